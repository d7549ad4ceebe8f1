/** Publishes through a client, step by step. To do a step a second time changes nothing. */

import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Module, PublishedModule } from '../../base/contract/module-api.ts'
import type { SceneView } from '../../base/contract/scene-api.ts'
import type { NewVersion, VersionChange } from '../../base/contract/version-api.ts'
import type { LockedModule, ModuleOrigin } from '../../base/traffic/schema.ts'
import type { Bundle } from '../bundle/bundle.ts'
import type { Client } from './client.ts'

/**
 * Uploads what the base does not have yet.
 * @returns the names of what was sent; empty when the base had all of it
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
 * @param origin where its sources are
 * @throws RefusedError MODULE_EXISTS when the version was published with other bytes
 */
export function publishBundle(
  client: Client,
  { manifest, digest, sourceMapDigest }: Bundle,
  origin?: ModuleOrigin | undefined,
): Promise<PublishedModule> {
  return client.publishModule({ ...manifest, bundle: digest, sourceMap: sourceMapDigest, ...(origin && { origin }) })
}

/** Whether a published module is exactly this bundle, whatever its version and description are. */
export function isSame(published: Module, bundle: Bundle): boolean {
  const { name, stages, services, fetch, bundle: digest, sourceMap } = published
  const there = { name, stages, ...(services && { services }), ...(fetch && { fetch }), bundle: digest, sourceMap }
  return isDeepStrictEqual(there, identityOf(bundle))
}

function identityOf({ manifest: { version: _, description: __, ...manifest }, digest, sourceMapDigest }: Bundle) {
  return { ...manifest, bundle: digest, sourceMap: sourceMapDigest }
}

const IDENTITY_CHARS = 12

/**
 * The development version `1.2.3-dev.3f2a81c09b4d` for a module whose package.json says 1.2.3. Every state of its code has another, so
 * 1.2.3 itself never changes.
 */
export function devVersion(bundle: Bundle): string {
  const [release] = bundle.manifest.version.split(/[-+]/)
  const identity = createHash('sha256')
    .update(JSON.stringify(identityOf(bundle)))
    .digest('hex')
  // SemVer allows no number with leading zeros. When the hash begins with digits, a letter has to follow them.
  const [, digits = ''] = /^(\d*)/.exec(identity) ?? []
  return `${release}-dev.${identity.slice(0, Math.max(IDENTITY_CHARS, digits.length + 1))}`
}

/**
 * Makes sure that the base has exactly this bundle: as the version that has it already, or else as a new development version.
 * @returns the name to give it in a lock
 */
export async function storeDevelopment(client: Client, bundle: Bundle, origin?: Promise<ModuleOrigin | undefined>): Promise<WantedModule> {
  const { manifest } = bundle
  const [published] = await Promise.all([client.modules(manifest.name), uploadBundle(client, bundle)])
  const same = published.filter(module => isSame(module, bundle))
  const found = same.find(({ version }) => version === manifest.version) ?? same[0]
  if (found !== undefined) return found
  return publishBundle(client, { ...bundle, manifest: { ...manifest, version: devVersion(bundle) } }, await origin)
}

export type WantedModule = Pick<LockedModule, 'name' | 'version'>

/**
 * Makes sure that the scene has a version that runs `wanted` and is otherwise like its baseline, and that this version has the part that
 * `options` ask for.
 * @param revision that the scene must be at, if any
 */
export function updateScene(
  client: Client,
  scene: string,
  wanted: readonly WantedModule[],
  options: Pick<NewVersion, 'as' | 'share' | 'whitelist' | 'label' | 'validation' | 'reason'>,
  revision?: number,
): Promise<VersionChange> {
  return client.createVersion(scene, updateOf(wanted, options), revision)
}

/** What `updateScene` asks for. */
export function updateOf(
  wanted: readonly WantedModule[],
  options: Pick<NewVersion, 'as' | 'share' | 'whitelist' | 'label' | 'validation' | 'reason'>,
): NewVersion {
  return { modules: wanted.map(({ name, version }) => `${name}@${version}`), reuse: true, ...options }
}

/** How many versions of earlier saves stay online besides those that something uses. */
export const SAVES_KEPT = 3

/**
 * Takes versions of earlier saves offline, but for the newest few: a scene may have only so many online.
 * @param made the version of the last save; earlier ones have its label, and were made with the same token
 * @param kept a version to leave alone
 * @returns the earlier versions that stay online, oldest first
 * @throws as every call to a base
 */
export async function retireSaves(
  client: Client,
  { scene, id, label, createdBy }: VersionChange['version'],
  kept?: string | null,
): Promise<string[]> {
  const idle = (await client.versions(scene)).filter(version => {
    const isEarlier = version.label === label && version.createdBy === createdBy && version.id !== id && version.id !== kept
    return isEarlier && version.online && version.kind === 'dev' && version.uses.length === 0
  })
  for (const version of idle.slice(0, -SAVES_KEPT)) await client.setOnline(scene, version.id, false, { reason: `${id} was saved since` })
  return idle.slice(-SAVES_KEPT).map(version => version.id)
}

/** Names of the modules that a scene has in its group, including those that merge and stand in. */
export function modulesOf({ group }: SceneView['definition']): Set<string> {
  const references = group.flatMap(({ modules, merge, fallback }) => [
    ...modules,
    ...(merge === undefined || merge === 'concat' ? [] : [merge]),
    ...(fallback !== undefined && 'module' in fallback ? [fallback.module] : []),
  ])
  return new Set(references.map(reference => reference.slice(0, reference.indexOf('@'))))
}
