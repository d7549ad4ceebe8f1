/** `sdk scene`: lists scenes, shows them, and puts definitions into force. */

import { isDeepStrictEqual } from 'node:util'
import type { SceneView } from '../../../base/contract/scene-api.ts'
import type { VersionChange } from '../../../base/contract/version-api.ts'
import type { Lock } from '../../../base/traffic/schema.ts'
import { lockedModules } from '../../../base/traffic/table.ts'
import type { Client } from '../../api/client.ts'
import { RefusedError, SdkError } from '../../sdk-error.ts'
import type { Context } from '../context.ts'
import { timed } from '../terminal/output.ts'
import { showMade } from './version.ts'

export async function listScenes({ client, out }: Context): Promise<void> {
  const scenes = await client.scenes()
  out.result(scenes)
  if (scenes.length === 0)
    return out.next('There is no scene yet: "sdk init --scene ID" makes a file, "sdk scene apply FILE" brings it to life.')
  out.table(
    ['scene', 'baseline', 'group', 'access', 'description'],
    scenes.map(({ definition, baseline }) => [
      definition.id,
      baseline ?? '(none)',
      describeGroup(definition),
      definition.access,
      definition.description ?? '',
    ]),
  )
}

function describeGroup({ group }: SceneView['definition']): string {
  return group.map(({ modules }) => modules.join(' + ')).join(' → ')
}

export async function showScene({ client, out }: Context, id: string): Promise<void> {
  const scene = await client.scene(id)
  out.result(scene)
  out.say(JSON.stringify(scene.definition, null, 2))
  out.next(`revision ${scene.revision}, baseline ${scene.baseline ?? '(none)'}   Its versions: sdk version list ${id}`)
}

export interface ApplyOptions {
  /**
   * Whether the parameters of a scene that exists already are applied too. They are published on their own otherwise.
   * @default false
   */
  readonly params?: boolean
}

/** All files are checked before the first is applied. A scene that has no version gets its first, so that it answers. */
export async function applyScenes({ client, out }: Context, files: readonly string[], options: ApplyOptions = {}): Promise<void> {
  const { readScene } = await import('../files/scene-file.ts')
  const definitions = []
  for (const file of files) definitions.push(await readScene(file))
  const applied = []
  for (const definition of definitions) {
    const { scene, changes, kept } = await applyScene(client, definition, options)
    out.say(`${definition.id}: ${changes === 'new' ? 'new' : changes.length === 0 ? 'unchanged' : `revision ${scene.revision}`}`)
    if (changes !== 'new') for (const change of changes) out.say(`  ${change}`)
    if (kept.length > 0) {
      const others = kept.map(line => `\n  ${line}`).join('')
      out.warn(`The parameters of ${definition.id} stay as they are; those of the file are others:${others}\n  To publish them: --params`)
    }
    const isNew = scene.baseline === null && (await client.versions(definition.id)).length === 0
    const first = isNew ? await makeFirst({ client, out }, definition.id) : undefined
    const { revision, baseline } = first ?? scene
    applied.push({ scene: definition.id, revision, baseline, changes, kept, ...(first && { version: first.version }) })
  }
  out.result(applied)
}

async function makeFirst({ client, out }: Context, scene: string): Promise<VersionChange> {
  const [made, ms] = await timed(() => client.createVersion(scene, { as: 'baseline' }))
  showMade(out, made, ms, 0)
  return made
}

export interface AppliedScene {
  readonly scene: SceneView
  /** `new`, or one line for each member that changed; empty when nothing was written. */
  readonly changes: 'new' | readonly string[]
  /** One line for each parameter that differs from the definition, and was left alone. */
  readonly kept: readonly string[]
}

/** Puts a definition into force, unless it is already. */
export async function applyScene(
  client: Client,
  definition: SceneView['definition'],
  { params = false }: ApplyOptions,
): Promise<AppliedScene> {
  const current = await existing(client, definition.id)
  if (current === undefined) return { scene: await client.putScene(definition, undefined), changes: 'new', kept: [] }
  const wanted = params ? definition : { ...definition, params: current.definition.params }
  const kept = differences('/params', wanted.params, definition.params)
  const changes = differences('', current.definition, wanted)
  return { scene: changes.length === 0 ? current : await client.putScene(wanted, current.revision), changes, kept }
}

/**
 * Defines a scene like another, and makes its first version of the modules that answer in the other now.
 * @throws SdkError TARGET_EXISTS when there is a scene with the new id
 */
export async function copyScene({ client, out }: Context, id: string, newId: string): Promise<void> {
  const { definition, baseline } = await client.scene(id)
  if (baseline === null) {
    throw new SdkError('SCENE_WITHOUT_BASELINE', `Cannot copy scene "${id}": it has no baseline version yet`, {
      hint: `Make its first version: sdk version create ${id} --as baseline`,
    })
  }
  const { lock } = (await client.versions(id)).find(version => version.id === baseline) ?? { lock: [] }
  const modules = [...new Set(lockedModules(lock as Lock).map(({ name, version }) => `${name}@${version}`))]
  // A scene without a baseline was left by a copy that could not be loaded, and may be replaced.
  const there = await existing(client, newId)
  if (there !== undefined && there.baseline !== null)
    throw new SdkError('TARGET_EXISTS', `Cannot copy scene "${id}" to "${newId}": there is such a scene already`, {
      hint: 'Choose another id.',
    })
  await client.putScene({ ...definition, id: newId }, there?.revision)
  const { cells } = await client.createVersion(newId, { modules, as: 'baseline', label: `copy of ${id} ${baseline}` })
  out.result({ scene: newId, from: id, modules, cells })
  out.say(`${newId}: ${describeGroup(definition)}, live on ${cells.applied} of ${cells.connected} cells`)
  out.next(`Call it: sdk invoke ${newId} --data '{}'`)
}

async function existing(client: Client, id: string): Promise<SceneView | undefined> {
  return client.scene(id).catch(error => {
    if (error instanceof RefusedError && error.code === 'SCENE_NOT_FOUND') return undefined
    throw error
  })
}

/** One line for each innermost member that differs: `/traffic/deadlineMs: 200 → 300`. */
export function differences(path: string, before: unknown, after: unknown): string[] {
  if (isDeepStrictEqual(before, after)) return []
  if (!isRecord(before) || !isRecord(after)) return [`${path}: ${show(before)} → ${show(after)}`]
  const keys = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...keys].flatMap(key => differences(`${path}/${key}`, before[key], after[key]))
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function show(value: unknown): string {
  return value === undefined ? '(none)' : JSON.stringify(value)
}
