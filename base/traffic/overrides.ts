/** Parameters that running experiments of layers override: whoever sets such a parameter changes nothing for the units in their arms. */
import { BUCKETS } from './hash.ts'
import { showShare, sizeOf } from './ranges.ts'
import type { BusinessExperiment, Layer, SceneRules } from './rules.ts'
import type { Params } from './schema.ts'

/** A parameter of a layer, and who gets another value of it from a running experiment than the scene or the version says. */
export interface Override {
  readonly parameter: string
  readonly layer: string
  readonly experiment: string
  /** The arms with a share that set it. */
  readonly arms: readonly string[]
  /** The units in these arms, of all units with an id: 0 to 1. */
  readonly share: number
  /** Whether these are only among units that fit conditions, or requests that certain versions answer. */
  readonly isLimited: boolean
}

/** What running experiments override, by the order of the layers. */
export function overridesOf({ layers }: Pick<SceneRules, 'layers'>): Override[] {
  return layers
    .filter(({ state }) => state === 'live')
    .flatMap(layer => layer.experiments.filter(({ state }) => state === 'running').flatMap(experiment => overridesBy(layer, experiment)))
}

function overridesBy(layer: Layer, { id, arms, segments, where, versions }: BusinessExperiment): Override[] {
  return layer.keys.flatMap(parameter => {
    const setting = arms.filter(({ values, share }) => share > 0 && Object.hasOwn(values, parameter))
    if (setting.length === 0) return []
    const inForce = setting.reduce((sum, { share }) => sum + share, 0)
    return {
      ...{ parameter, layer: layer.id, experiment: id, arms: setting.map(({ name }) => name) },
      share: (sizeOf(segments) * inForce) / BUCKETS ** 2,
      isLimited: where.length > 0 || versions !== undefined,
    }
  })
}

/** The overrides of the parameters that a change has changed, each as a sentence. */
export function warnOverridden(rules: Pick<SceneRules, 'layers'>, before: Params, after: Params): string[] {
  const isChanged = ({ parameter }: Override) => JSON.stringify(before[parameter]) !== JSON.stringify(after[parameter])
  return overridesOf(rules).filter(isChanged).map(describeOverride)
}

/** A sentence such as `experiment "exp-9" of layer "ui" sets "topK" for 40% of the units, in its arms a, b, whatever it is set to here`. */
export function describeOverride({ parameter, layer, experiment, arms, share, isLimited }: Override): string {
  const units = share === 1 ? 'all units' : `${showShare(Math.round(share * BUCKETS * 100) / 100)} of the units`
  const among = isLimited ? ' among those that it is limited to' : ''
  const which = arms.length === 1 ? `its arm ${arms[0]}` : `its arms ${arms.join(', ')}`
  return `experiment "${experiment}" of layer "${layer}" sets "${parameter}" for ${units}${among}, in ${which}, whatever it is set to here`
}
