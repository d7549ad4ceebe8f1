/** Times the steps of a change. */

/** Milliseconds that each step took. */
export type Timings = Readonly<Record<string, number>>

export interface Stopwatch {
  <T>(step: string, work: () => T | Promise<T>): Promise<T>
  readonly timings: Timings
}

export function stopwatch(): Stopwatch {
  const timings: Record<string, number> = {}
  const time = async <T>(step: string, work: () => T | Promise<T>): Promise<T> => {
    const startedAt = performance.now()
    const result = await work()
    timings[step] = Math.round((performance.now() - startedAt) * 10) / 10
    return result
  }
  return Object.assign(time, { timings })
}
