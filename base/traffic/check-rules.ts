/** Checks the rules of a scene before they are stored, so that no invalid rule ever reaches a cell. */
import { compileCheck } from '../kernel/check.ts'
import { BerthError } from '../kernel/errors.ts'
import { BUCKETS } from './hash.ts'
import { common, type Range, showRanges, showShare, sizeOf } from './ranges.ts'
import { allExperiments, type Experiment, isOpen, type Layer, SceneRules, usesInstead, usesOfVersion } from './rules.ts'
import type { SceneDefinition } from './schema.ts'
import { compileAttributes, conditionFault } from './targeting.ts'
import { checkWhitelist } from './whitelist.ts'

/** What rules are checked against. */
export interface RulesContext {
  readonly definition: Pick<SceneDefinition, 'id' | 'attributes'>
  /** Ids of the versions that are online. */
  readonly versions: Iterable<string>
  readonly baseline: string | null
  /** Numbers of unit ids by version, of a whitelist that is stored apart from the rules. */
  readonly listed?: Readonly<Record<string, number>>
}

const checkSchema = compileCheck(SceneRules)

/**
 * Checks the rules of a scene as a whole: first their shape, then how they fit each other, the scene and its versions.
 * Stopped experiments and retired layers only need a valid shape and an id that nothing else has.
 * @returns a copy with defaults filled in
 * @throws RULES_INVALID for the shape and the cutover
 * @throws EXPERIMENT_INVALID for ranges, weights, arms and conditions
 * @throws EXPERIMENT_EXISTS for an id that is used twice in a scene
 * @throws SEGMENTS_TAKEN when two running experiments own one segment
 * @throws ATTRIBUTE_UNKNOWN for an attribute that the scene does not declare
 * @throws LAYER_KEY_TAKEN when two live layers own one parameter
 * @throws VERSION_OFFLINE for a version that is not online
 * @throws WHITELIST_INVALID
 */
export function checkRules(candidate: unknown, context: RulesContext): SceneRules {
  const { value: rules, faults } = checkSchema(candidate)
  const what = `Cannot use the rules of scene "${context.definition.id}"`
  if (faults !== undefined) throw new BerthError('RULES_INVALID', `${what}: ${faults.join('; ')}`)
  checkIds(rules)
  for (const { experiment, layer } of allExperiments(rules)) checkExperiment(experiment, layer)
  checkSegments(rules.experiments, 'the scene')
  const live = rules.layers.filter(({ state }) => state === 'live')
  for (const layer of live) checkSegments(layer.experiments, `layer "${layer.id}"`)
  checkKeys(live)
  checkAttributes(rules, context)
  checkVersions(rules, new Set(context.versions), context)
  if (rules.cutover !== undefined && rules.cutover.version === context.baseline) {
    throw new BerthError('RULES_INVALID', `${what}: the cutover goes to ${context.baseline}, which is the baseline already`)
  }
  checkWhitelist(rules.whitelist ?? {})
  return rules
}

/**
 * Checks that a version may be taken offline.
 * @throws VERSION_IN_USE when it is the baseline or a rule names it; the message says which
 */
export function checkOffline(version: string, rules: SceneRules | undefined, { definition, baseline, listed }: RulesContext): void {
  const named = rules === undefined ? [] : usesOfVersion(rules, version, listed?.[version])
  const uses = [...(version === baseline ? ['the baseline'] : []), ...usesInstead(rules, baseline, version), ...named]
  if (uses.length === 0) return
  const message = `Cannot take version "${version}" of scene "${definition.id}" offline: it is used by ${uses.join(', ')}`
  throw new BerthError('VERSION_IN_USE', message, { extra: { uses } })
}

function checkIds(rules: SceneRules): void {
  const experiment = repeated(allExperiments(rules).map(({ experiment: { id } }) => id))
  if (experiment !== undefined) {
    const message = `Cannot use the id "${experiment}" for an experiment: the scene has one of that id already, and results are kept by it`
    throw new BerthError('EXPERIMENT_EXISTS', message)
  }
  const layer = repeated(rules.layers.map(({ id }) => id))
  if (layer !== undefined) throw new BerthError('RULES_INVALID', `Cannot use the layers: "${layer}" is there twice`)
}

function repeated(ids: readonly string[]): string | undefined {
  return ids.find((id, index) => ids.indexOf(id) !== index)
}

/** Checks an experiment by itself, without regard to the others. */
function checkExperiment({ id, arms, segments, unit, ...rest }: Experiment, layer: Layer | undefined): void {
  const refuse = (why: string) => new BerthError('EXPERIMENT_INVALID', `Cannot use experiment "${id}": ${why}`)
  const name = repeated(arms.map(arm => arm.name))
  if (name !== undefined) throw refuse(`it has two arms "${name}"`)
  const reversed = [segments, ...arms.map(({ reserve }) => reserve)].flat().find(([from, to]) => from >= to)
  if (reversed !== undefined) throw refuse(`the range ${showRanges([reversed])} is empty: ranges are half-open, [from, to)`)
  const twice = overlap(segments)
  if (twice !== undefined) throw refuse(`its segments overlap at ${showRanges([twice])}`)
  const weight = arms.reduce((sum, { reserve }) => sum + sizeOf(reserve), 0)
  if (weight > BUCKETS) throw refuse(`the weights of its arms come to ${showShare(weight)}, over 100%`)
  const shared = overlap(arms.flatMap(({ reserve }) => reserve))
  if (shared !== undefined) throw refuse(`the ranges of its arms overlap at ${showRanges([shared])}`)
  const over = arms.find(({ reserve, share }) => share > sizeOf(reserve))
  if (over !== undefined) {
    throw refuse(`arm "${over.name}" is to have ${showShare(over.share)}, and its ranges hold ${showShare(sizeOf(over.reserve))}`)
  }
  if (rest.state === 'running' && segments.length === 0) throw refuse('it runs and owns no segment')
  if (layer !== undefined) checkOwnKeys(id, arms, layer)
}

function checkOwnKeys(id: string, arms: Experiment['arms'], layer: Layer): void {
  for (const arm of arms) {
    const foreign = 'values' in arm ? Object.keys(arm.values).find(key => !layer.keys.includes(key)) : undefined
    if (foreign === undefined) continue
    const message = `Cannot use experiment "${id}": arm "${arm.name}" sets "${foreign}", and layer "${layer.id}" owns ${layer.keys.join(', ')}`
    throw new BerthError('EXPERIMENT_INVALID', message)
  }
}

/** The first range that two of the ranges have in common, or undefined when they are disjoint. */
function overlap(ranges: readonly Range[]): Range | undefined {
  const sorted = ranges.toSorted(([a], [b]) => a - b)
  for (const [index, [from, to]] of sorted.entries()) {
    const before = sorted[index - 1]
    if (before !== undefined && from < before[1]) return [from, Math.min(to, before[1])]
  }
  return undefined
}

/** A unit is in exactly one segment, so it is in at most one experiment as long as no two experiments own the same segment. */
function checkSegments(experiments: readonly Experiment[], where: string): void {
  const running = experiments.filter(({ state }) => state === 'running')
  for (const [index, one] of running.entries()) {
    for (const other of running.slice(0, index)) {
      const shared = common(one.segments, other.segments)
      if (shared.length === 0) continue
      const message = `Cannot run experiment "${one.id}" on segments ${showRanges(shared)} of ${where}: experiment "${other.id}" owns them`
      throw new BerthError('SEGMENTS_TAKEN', message, { extra: { experiment: one.id, owner: other.id, segments: shared } })
    }
  }
}

function checkKeys(live: readonly Layer[]): void {
  const owners = new Map<string, string>()
  for (const { id, keys } of live) {
    for (const key of keys) {
      const owner = owners.get(key)
      if (owner !== undefined) {
        const message = `Cannot have layer "${id}" own the parameter "${key}": layer "${owner}" owns it`
        throw new BerthError('LAYER_KEY_TAKEN', message, { extra: { key, layers: [owner, id] } })
      }
      owners.set(key, id)
    }
  }
}

function checkAttributes(rules: SceneRules, { definition }: RulesContext): void {
  const declared = compileAttributes(definition)
  for (const { experiment } of openExperiments(rules)) {
    for (const condition of experiment.where) {
      const what = `Cannot target experiment "${experiment.id}" on "${condition.attribute}"`
      const attribute = declared.get(condition.attribute)
      if (attribute === undefined) {
        const known = [...declared.keys()].join(', ') || 'none'
        throw new BerthError('ATTRIBUTE_UNKNOWN', `${what}: scene "${definition.id}" declares ${known}`)
      }
      const fault = conditionFault(condition, attribute.type)
      if (fault !== undefined) throw new BerthError('EXPERIMENT_INVALID', `${what}: ${fault}`)
    }
  }
}

function openExperiments(rules: SceneRules): ReturnType<typeof allExperiments> {
  return allExperiments(rules).filter(({ experiment, layer }) => isOpen(experiment) && layer?.state !== 'retired')
}

/**
 * Checks that every version to which rules send requests is online. The parameters of a version and the previous baseline are not checked: they
 * are kept while a version is offline, in case it comes back.
 */
function checkVersions(rules: SceneRules, online: ReadonlySet<string>, { definition }: RulesContext): void {
  const { experiments, cutover, loadtest, whitelist = {} } = rules
  const named = [
    ...experiments.flatMap(({ arms }) => arms.map(({ version }) => version)),
    ...openExperiments(rules).flatMap(({ experiment }) => ('versions' in experiment ? (experiment.versions ?? []) : [])),
    ...[cutover?.version, loadtest].flatMap(version => version ?? []),
    ...Object.keys(whitelist),
  ]
  for (const version of new Set(named)) {
    const uses = online.has(version) ? [] : usesOfVersion(rules, version)
    if (uses.length === 0) continue
    const message = `Cannot send requests of scene "${definition.id}" to version "${version}": it is not online, and ${uses.join(', ')} would need it`
    throw new BerthError('VERSION_OFFLINE', message, { extra: { version, uses, online: [...online] } })
  }
}
