/** How often requests met the arms of experiments, read from the metrics of a base. Pure. */

export interface Exposures {
  /** The count of all cells since each started; 0 when there were none. */
  of(experiment: string, phase: number, arm: string): number
}

/** @param metrics Prometheus text */
export function countExposures(metrics: string, scene: string): Exposures {
  const counts = new Map<string, number>()
  for (const [, text = '', value] of metrics.matchAll(/^berth_exposures_total\{([^}]*)\} ([\d.e+]+)/gm)) {
    // Ids of scenes, experiments and arms have no characters that would be escaped.
    const labels = Object.fromEntries([...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, content]) => [name, content]))
    if (labels.scene !== scene) continue
    const key = keyOf(labels.experiment ?? '', labels.phase ?? '', labels.arm ?? '')
    counts.set(key, (counts.get(key) ?? 0) + Number(value))
  }
  return { of: (experiment, phase, arm) => counts.get(keyOf(experiment, String(phase), arm)) ?? 0 }
}

const keyOf = (...labels: readonly string[]): string => labels.join(' ')
