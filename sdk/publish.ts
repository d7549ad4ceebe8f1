/** Publishing through a client, step by step; every step done twice changes nothing the second time. */
import type { LockedModule } from '../base/traffic/schema.ts'
import type { Bundle } from './bundle.ts'
import type { Client, NewVersion, PublishReceipt, VersionChange } from './control.ts'

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

export type WantedModule = Pick<LockedModule, 'name' | 'version'>

/**
 * Sees to it that the scene has a version that runs `wanted` and is otherwise like its baseline, and that it is the baseline when
 * `options.as` says so.
 */
export function updateScene(
  client: Client,
  scene: string,
  wanted: readonly WantedModule[],
  options: Pick<NewVersion, 'as' | 'label' | 'reason'>,
): Promise<VersionChange> {
  const modules = wanted.map(({ name, version }) => `${name}@${version}`)
  return client.createVersion(scene, { modules, reuse: true, ...options })
}
