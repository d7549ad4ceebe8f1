/** The one function that says what a change makes of a scene. Pure: what it needs besides the scene is in the change and its facts. */
import { BerthError } from '../kernel/errors.ts'
import { noRules } from '../traffic/rules.ts'
import type { VersionRecord } from '../traffic/schema.ts'
import type {
  AuditedChange,
  ChangeRowOf,
  SceneChangeKind,
  SceneChangeOf,
  SceneChangeRow,
  SceneFacts,
  SceneOutcomes,
  ScenePayloads,
} from './change.ts'
import { deleteExperiment, deleteLayer, deleteScene, deleteVersions } from './deletion.ts'
import { createExperiment, createLayer, flipExperiment, retireLayer, revertExperiment, switchExperiment } from './experiments.ts'
import { rollBackParams, setParams } from './parameters.ts'
import { checkQuarantine, liftQuarantine, quarantineVersion } from './quarantine.ts'
import { checkScene, type Next, type SceneState } from './scene-state.ts'
import { bringOnline, createVersion, promote, rollBack, sendLoadTests, takeAllOffline, takeOffline } from './versions.ts'
import { auditedEdit } from './whitelist-edit.ts'

type Step<K extends SceneChangeKind> = (
  before: SceneState | undefined,
  payload: ScenePayloads[K],
  facts: SceneFacts[K],
  scene: string,
) => Next<SceneOutcomes[K]>

/** A change of a scene that must be there. */
const ofScene =
  <Payload, Facts, Outcome>(step: (before: SceneState, payload: Payload, facts: Facts) => Next<Outcome>) =>
  (before: SceneState | undefined, payload: Payload, facts: Facts, scene: string): Next<Outcome> => {
    if (before === undefined) throw new BerthError('SCENE_NOT_FOUND', `Cannot change scene "${scene}": it is not defined`)
    return step(before, payload, facts)
  }

const steps: { readonly [K in SceneChangeKind]: Step<K> } = {
  'import scene': (_, { scene }) => ({
    scene: { ...scene, whitelist: scene.whitelist },
    action: 'import scene',
    before: null,
    after: null,
    outcome: {},
  }),
  'define scene': (before, { definition }, { salt }) => ({
    scene: before === undefined ? newScene(definition, salt) : { ...before, definition },
    action: 'define scene',
    before: before?.definition ?? null,
    after: definition,
    outcome: { created: before === undefined },
  }),
  'create version': ofScene(createVersion),
  'promote version': ofScene((before, { version, ...wanted }, { salt }) => promote(before, version, wanted, salt)),
  'roll back': ofScene((before, { from }) => rollBack(before, from)),
  'take version offline': ofScene((before, { version }) => takeOffline(before, version)),
  'take versions offline': ofScene((before, { versions }) => takeAllOffline(before, versions)),
  'bring version online': ofScene((before, { version }, facts) => bringOnline(before, version, facts)),
  'quarantine version': ofScene(quarantineVersion),
  'lift quarantine': ofScene((before, { version }) => liftQuarantine(before, version)),
  'set load-test version': ofScene((before, { version }) => sendLoadTests(before, version)),
  'edit whitelist': ofScene((before, payload, { whitelist, counts }) => ({
    scene: { ...before, whitelist },
    action: 'edit whitelist',
    before: before.whitelist ?? null,
    after: { ...whitelist, ...auditedEdit(payload) },
    outcome: counts,
  })),
  'replace whitelist': ofScene((before, _, { whitelist, counts }) => ({
    scene: { ...before, whitelist },
    action: 'replace whitelist',
    before: before.whitelist ?? null,
    after: whitelist,
    outcome: counts,
  })),
  'create experiment': ofScene((before, wanted, { salt }) => createExperiment(before, wanted, salt)),
  'start experiment': ofScene((before, { experiment }) => switchExperiment(before, experiment, 'start')),
  'stop experiment': ofScene((before, { experiment }) => switchExperiment(before, experiment, 'stop')),
  'flip experiment': ofScene(flipExperiment),
  'revert experiment': ofScene((before, { experiment }, facts) => revertExperiment(before, experiment, facts)),
  'create layer': ofScene((before, { layer, keys }, { salt }) => createLayer(before, layer, keys, salt)),
  'retire layer': ofScene((before, { layer }) => retireLayer(before, layer)),
  'set params': ofScene((before, { version, params }) => setParams(before, version, params)),
  'roll back params': ofScene((before, { version }, facts) => rollBackParams(before, version, facts)),
  'delete versions': ofScene((before, _, facts) => deleteVersions(before, facts)),
  'delete experiment': ofScene(deleteExperiment),
  'delete layer': ofScene(deleteLayer),
  'delete scene': ofScene((before, _, facts) => deleteScene(before, facts)),
}

const newScene = (definition: SceneState['definition'], segmentSalt: string): SceneState => ({
  definition,
  baseline: null,
  rules: noRules(segmentSalt),
  whitelist: undefined,
  online: [],
})

/**
 * Works out a change of a scene and checks the scene as it would be.
 * @param before undefined for a scene that is not defined yet
 * @throws as the change itself, `checkScene` and `checkQuarantine`; SCENE_NOT_FOUND
 */
export function nextScene<K extends SceneChangeKind>(
  before: SceneState | undefined,
  { kind, scene, payload }: SceneChangeOf<K>,
  facts: SceneFacts[K],
): Next<SceneOutcomes[K]> {
  const step: Step<K> = steps[kind]
  const next = step(before, payload, facts, scene)
  if (next.deletes?.scene) return next
  const after = checkScene(before, next.scene)
  checkQuarantine(before, after)
  return { ...next, scene: after }
}

/** A scene and every version of it, oldest first. */
export interface ReplayedScene {
  readonly scene: SceneState | undefined
  readonly versions: readonly VersionRecord[]
}

/**
 * The scene that its changes make of nothing.
 * @param rows oldest first; rows in words, and changes of other things, are passed over
 */
export function replay(rows: Iterable<AuditedChange>): ReplayedScene {
  let replayed: ReplayedScene = { scene: undefined, versions: [] }
  for (const row of rows) {
    if (!isSceneChange(row)) continue
    replayed = replayRow(replayed, row)
    if (row.kind === 'import scene') replayed = { ...replayed, versions: row.payload.versions }
  }
  return replayed
}

const isSceneChange = (row: AuditedChange): row is SceneChangeRow => row.kind !== null && Object.hasOwn(steps, row.kind)

function replayRow<K extends SceneChangeKind>({ scene, versions }: ReplayedScene, row: ChangeRowOf<K>): ReplayedScene {
  const { kind, target, payload, facts } = row
  const { scene: after, created, deletes } = nextScene(scene, { kind, scene: target, payload }, facts)
  if (deletes?.scene) return { scene: undefined, versions: [] }
  const kept = versions.filter(({ id }) => !deletes?.versions?.includes(id))
  return { scene: after, versions: created === undefined ? kept : [...kept, created] }
}
