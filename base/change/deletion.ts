/**
 * Scenes, and what belongs to a scene, are deleted here, but only while nothing uses them. The audit log keeps what was deleted, and a name that
 * other records may mention never comes to mean something else. Pure.
 */
import type { ScenePayloads } from '../contract/change-api.ts'
import type { Applied } from '../contract/common-api.ts'
import type { DeletedExperiment, DeletedLayer } from '../contract/experiment-api.ts'
import type { DeletedScene } from '../contract/scene-api.ts'
import type { DeletedVersions } from '../contract/version-api.ts'
import { BerthError } from '../kernel/errors.ts'
import { findExperiment } from '../traffic/flip.ts'
import { allExperiments, type Experiment, isOpen } from '../traffic/rules.ts'
import type { VersionRecord } from '../traffic/schema.ts'
import { lockedModules } from '../traffic/table.ts'
import { moduleKey, type RulesRecord } from './records.ts'
import { type Next, type SceneState, usesOf, withRules } from './scene-state.ts'

/** What is found out before something is deleted. Deleting again what was deleted before changes nothing. */
export interface DeletionFacts {
  readonly 'delete versions': VersionsToDelete
  readonly 'delete experiment': { readonly isGone: boolean }
  readonly 'delete layer': { readonly isGone: boolean }
  readonly 'delete scene': SceneToDelete
}

/** The answer to whoever deleted something. */
export interface DeletedOutcomes {
  readonly 'delete versions': Omit<DeletedVersions, keyof Applied>
  readonly 'delete experiment': Omit<DeletedExperiment, keyof Applied>
  readonly 'delete layer': Omit<DeletedLayer, keyof Applied>
  readonly 'delete scene': Omit<DeletedScene, keyof Applied>
}

interface VersionsToDelete {
  /** Those that are there. */
  readonly versions: readonly VersionSummary[]
  /** The highest number that a version of the scene has had: no other version gets it. */
  readonly lastVersion: number
}

interface SceneToDelete extends VersionsToDelete {
  /** Other scenes that list it among their callers. */
  readonly listedBy: readonly string[]
  /** Seconds since a request was last sent to it, when that was a moment ago. */
  readonly calledSecondsAgo?: number
}

/** What the audit log keeps of a version that was deleted. The change that made it has all of it. */
export interface VersionSummary {
  readonly id: string
  readonly label?: string
  readonly modules: readonly string[]
}

export const summaryOf = ({ id, label, lock }: VersionRecord): VersionSummary => ({
  id,
  ...(label === undefined ? {} : { label }),
  modules: [...new Set(lockedModules(lock).map(({ name, version }) => moduleKey(name, version)))],
})

/** Everything that keeps a version from being deleted, in words: all that uses it, and what may come to use it again. */
export function holdersOf(scene: SceneState, version: string): string[] {
  const isNamedBy = (experiment: Experiment) =>
    experiment.arms.some(arm => 'version' in arm && arm.version === version) ||
    ('versions' in experiment && experiment.versions?.includes(version) === true)
  const stopped = allExperiments(scene.rules).filter(({ experiment }) => !isOpen(experiment) && isNamedBy(experiment))
  return [
    ...usesOf(scene, version),
    ...stopped.map(({ experiment: { id } }) => `experiment "${id}", which is stopped and may be started again`),
  ]
}

/** @throws VERSION_IN_USE */
export function deleteVersions(before: SceneState, { versions, lastVersion }: VersionsToDelete): Next<DeletedOutcomes['delete versions']> {
  const ids = versions.map(({ id }) => id)
  for (const id of ids) requireUnused(before, id)
  const without = <T>(byVersion: Readonly<Record<string, T>> | undefined) => {
    const kept = Object.entries(byVersion ?? {}).filter(([version]) => !ids.includes(version))
    return kept.length === 0 ? undefined : Object.fromEntries(kept)
  }
  const { versionParams, quarantined } = before.rules
  const rules = withRules(before.rules, { versionParams: without(versionParams), quarantined: without(quarantined) })
  return {
    ...{ scene: { ...before, rules }, action: 'delete versions', before: { versions }, after: null },
    deletes: { versions: ids, lastVersion },
    outcome: { versions: ids },
  }
}

function requireUnused(scene: SceneState, version: string): void {
  const { id } = scene.definition
  const holders = [
    ...(scene.online.includes(version) ? [`its being online ("sdk version offline ${id} ${version}")`] : []),
    ...holdersOf(scene, version),
  ]
  if (holders.length === 0) return
  const message = `Cannot delete version "${version}" of scene "${id}": it is kept by ${holders.join(', ')}`
  throw new BerthError('VERSION_IN_USE', message, { extra: { uses: holders } })
}

/**
 * Deletes an experiment that does not run. Its id stays taken if it has ever run, since exposures are counted by it.
 * @throws EXPERIMENT_NOT_FOUND, EXPERIMENT_RUNS
 */
export function deleteExperiment(
  before: SceneState,
  { experiment: id }: ScenePayloads['delete experiment'],
  { isGone }: DeletionFacts['delete experiment'],
): Next<DeletedOutcomes['delete experiment']> {
  if (isGone) return unchanged(before, 'delete experiment', { experiment: id, deleted: false })
  const experiment = findExperiment(before.rules, id)
  if (experiment.state === 'running') {
    throw new BerthError('EXPERIMENT_RUNS', `Cannot delete experiment "${id}" of scene "${before.definition.id}": it runs`)
  }
  return {
    ...{ scene: { ...before, rules: withoutExperiment(before.rules, id) }, action: 'delete experiment', before: experiment, after: null },
    deletes: { names: [nameOf(experiment)] },
    outcome: { experiment: id, deleted: true },
  }
}

function withoutExperiment(rules: RulesRecord, id: string): RulesRecord {
  const others = <E extends Experiment>(experiments: readonly E[]): E[] => experiments.filter(each => each.id !== id)
  const layers = rules.layers.map(layer => ({ ...layer, experiments: others(layer.experiments) }))
  return withRules(rules, { experiments: others(rules.experiments), layers })
}

/**
 * Deletes a retired layer with its experiments.
 * @throws LAYER_NOT_FOUND, LAYER_IN_USE
 */
export function deleteLayer(
  before: SceneState,
  { layer: id }: ScenePayloads['delete layer'],
  { isGone }: DeletionFacts['delete layer'],
): Next<DeletedOutcomes['delete layer']> {
  if (isGone) return unchanged(before, 'delete layer', { layer: id, deleted: false })
  const { rules, definition } = before
  const layer = rules.layers.find(each => each.id === id)
  if (layer === undefined) {
    const known = rules.layers.map(each => each.id).join(', ') || 'none'
    throw new BerthError('LAYER_NOT_FOUND', `Cannot find layer "${id}": the scene has ${known}`)
  }
  if (layer.state === 'live') {
    const message = `Cannot delete layer "${id}" of scene "${definition.id}": it owns ${layer.keys.join(', ')} until it is retired`
    throw new BerthError('LAYER_IN_USE', message)
  }
  return {
    scene: { ...before, rules: withRules(rules, { layers: rules.layers.filter(each => each !== layer) }) },
    ...{ action: 'delete layer', before: layer, after: null },
    deletes: { names: [{ what: 'layer', id, isFree: true }, ...layer.experiments.map(nameOf)] },
    outcome: { layer: id, deleted: true },
  }
}

/**
 * Deletes a scene with everything that belongs to it.
 * @throws SCENE_IN_USE
 */
export function deleteScene(before: SceneState, facts: SceneToDelete): Next<DeletedOutcomes['delete scene']> {
  const { definition, baseline, rules, whitelist, online } = before
  const { versions, lastVersion } = facts
  requireQuiet(before, facts)
  const experiments = allExperiments(rules).map(({ experiment }) => experiment)
  return {
    ...{ scene: before, action: 'delete scene', before: { definition, baseline, rules, online, versions }, after: null },
    deletes: { scene: true, versions: versions.map(({ id }) => id), lastVersion, names: experiments.map(nameOf) },
    outcome: {
      ...{ scene: definition.id, deleted: true, versions: versions.length, online: online.length },
      ...{ experiments: experiments.length, layers: rules.layers.length, units: whitelist?.units ?? 0 },
    },
  }
}

/** Checks that nobody uses the scene any more. */
function requireQuiet({ definition: { id }, rules }: SceneState, { listedBy, calledSecondsAgo }: SceneToDelete): void {
  const { cutover, loadtest } = rules
  const running = allExperiments(rules).filter(({ experiment }) => experiment.state === 'running')
  const uses = [
    ...running.map(({ experiment }) => `experiment "${experiment.id}", which runs`),
    ...(cutover === undefined ? [] : [`the cutover to "${cutover.version}"`]),
    ...(loadtest === undefined ? [] : [`load tests, which go to "${loadtest}"`]),
    ...listedBy.map(scene => `scene "${scene}", which lists it among its callers`),
    ...(calledSecondsAgo === undefined
      ? []
      : [`whoever called it ${calledSecondsAgo} s ago (to delete it all the same: --even-if-called)`]),
  ]
  if (uses.length === 0) return
  throw new BerthError('SCENE_IN_USE', `Cannot delete scene "${id}": it is used by ${uses.join(', ')}`, { extra: { uses } })
}

/** Nobody can have been counted by an experiment that has never run, so its id may be used again. */
const nameOf = ({ id, state }: Experiment) => ({ what: 'experiment', id, isFree: state === 'draft' }) as const

const unchanged = <Outcome>(scene: SceneState, action: string, outcome: Outcome): Next<Outcome> => ({
  ...{ scene, action, before: null, after: null, outcome },
})
