/** Publishing through a client, step by step; every step done twice changes nothing the second time. */
import semver from 'semver'
import type { Lock, LockedModule, SceneDefinition } from '../base/traffic/schema.ts'
import type { Bundle } from './bundle.ts'
import type { AppliedCells, Client, NewVersion, PublishReceipt, Timings } from './client.ts'

/**
 * Uploads what the base does not have yet.
 * @returns the names of what was sent, empty when the base had all of it.
 */
export async function uploadBundle(client: Client, bundle: Bundle): Promise<string[]> {
  const blobs = [
    { name: 'bundle', digest: bundle.digest, bytes: bundle.code },
    { name: 'source map', digest: bundle.sourceMapDigest, bytes: bundle.sourceMap },
  ]
  const sent = blobs.map(async ({ name, digest, bytes }) => {
    if (await client.hasBlob(digest)) return []
    await client.putBlob(digest, bytes)
    return [name]
  })
  return (await Promise.all(sent)).flat()
}

/**
 * Publishes an uploaded bundle under the name and version of its manifest.
 * @throws RefusedError MODULE_EXISTS when the version was published with other bytes
 */
export function publishBundle(client: Client, { manifest, digest, sourceMapDigest }: Bundle): Promise<PublishReceipt> {
  return client.publishModule({ ...manifest, bundle: digest, sourceMap: sourceMapDigest })
}

export type WantedModule = Pick<LockedModule, 'name' | 'version' | 'bundle'>

export interface SceneUpdate {
  readonly version: string
  /** False when a version with exactly this lock was there already. */
  readonly created: boolean
  readonly isBaseline: boolean
  /** Whether this call made it the baseline. */
  readonly switched: boolean
  /** Where it is in force and what took how long; undefined when nothing had to be done. */
  readonly cells?: AppliedCells
  readonly timings?: Timings
}

/**
 * Sees to it that the scene has a version that runs `wanted` and is otherwise like its baseline, and that it is the baseline when
 * `options.as` says so.
 */
export async function updateScene(
  client: Client,
  scene: string,
  wanted: readonly WantedModule[],
  options: Pick<NewVersion, 'as' | 'label' | 'reason'>,
): Promise<SceneUpdate> {
  const [{ definition, baseline }, versions] = await Promise.all([client.scene(scene), client.versions(scene)])
  const current = versions.find(({ id }) => id === baseline)
  const lock = current === undefined ? undefined : lockWith(current.lock, wanted, definition)
  const existing = lock === undefined ? undefined : versions.findLast(version => sameLock(version.lock, lock))
  if (existing === undefined) {
    const modules = wanted.map(({ name, version }) => `${name}@${version}`)
    const { version, cells, timings } = await client.createVersion(scene, { modules, ...options })
    return {
      version: version.id,
      created: true,
      isBaseline: options.as === 'baseline',
      switched: options.as === 'baseline',
      cells,
      timings,
    }
  }
  const kept = { version: existing.id, created: false, switched: false }
  if (options.as !== 'baseline' || existing.id === baseline) return { ...kept, isBaseline: existing.id === baseline }
  const { cells, timings } = await client.setBaseline(scene, existing.id, options.reason)
  return { ...kept, isBaseline: true, switched: true, cells, timings }
}

/** The lock with the wanted modules in the place of those of the same name; undefined when the scene has come to ask for something else. */
function lockWith(lock: Lock, wanted: readonly WantedModule[], { group }: SceneDefinition): WantedLock | undefined {
  const names = new Set(lock.flatMap(({ modules }) => modules.map(({ name }) => name)))
  if (!wanted.every(({ name }) => names.has(name))) return undefined
  const replaced = lock.map(({ stage, modules }) => ({
    stage,
    modules: modules.map(module => wanted.find(({ name }) => name === module.name) ?? module),
  }))
  return fitsGroup(replaced, group) ? replaced : undefined
}

function fitsGroup(lock: WantedLock, group: SceneDefinition['group']): boolean {
  if (lock.length !== group.length) return false
  return lock.every(({ stage, modules }, i) => {
    const references = group[i]?.modules ?? []
    if (stage !== group[i]?.stage || modules.length !== references.length) return false
    return modules.every(({ name, version }, j) => {
      const [wantedName, range = ''] = references[j]?.split('@') ?? []
      return name === wantedName && semver.satisfies(version, range, { includePrerelease: true })
    })
  })
}

type WantedLock = readonly { readonly stage: string; readonly modules: readonly WantedModule[] }[]

function sameLock(one: WantedLock, other: WantedLock): boolean {
  return JSON.stringify(identities(one)) === JSON.stringify(identities(other))
}

function identities(lock: WantedLock): unknown {
  return lock.map(({ stage, modules }) => [stage, modules.map(({ name, version, bundle }) => [name, version, bundle])])
}
