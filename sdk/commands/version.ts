/** `sdk version`: the versions of a scene, making one, and choosing the baseline. */
import type { Lock } from '../../base/traffic/schema.ts'
import type { Context } from '../context.ts'
import type { NewVersion } from '../control.ts'
import { describeCells, describeTimings, timed } from '../output.ts'

export async function listVersions({ client, out }: Context, scene: string): Promise<void> {
  const [versions, { baseline }] = await Promise.all([client.versions(scene), client.scene(scene)])
  out.result({ scene, baseline, versions })
  if (versions.length === 0) return out.next(`"${scene}" has no version yet: sdk version create ${scene} --as baseline`)
  out.table(
    ['version', '', 'modules', 'from', 'label', 'created', 'by'],
    versions.map(({ id, lock, from, label, createdAt, createdBy }) => [
      id,
      id === baseline ? 'baseline' : '',
      describeLock(lock),
      from ?? '',
      label ?? '',
      createdAt,
      createdBy,
    ]),
  )
}

/** `recall-all@1.0.0 → rank-lr@1.0.0` */
export function describeLock(lock: Lock): string {
  return lock.map(({ modules }) => modules.map(({ name, version }) => `${name}@${version}`).join(' + ')).join(' → ')
}

export interface CreateOptions extends Omit<NewVersion, 'modules'> {
  readonly module?: readonly string[]
}

export async function createVersion(
  { client, out }: Context,
  scene: string,
  { module: modules, ...options }: CreateOptions,
): Promise<void> {
  const [made, ms] = await timed(() => client.createVersion(scene, { ...(modules && { modules }), ...options }))
  out.result(made)
  const { id } = made.version
  out.say(scene)
  const outcome = options.as ? `made, and it is the baseline, ${describeCells(made.cells)}` : 'made; it answers requests that pin it'
  out.done('version', ms, `${id} ${outcome} (${describeTimings(made.timings)})`)
  out.say(`    ${describeLock(made.lock)}`)
  out.next(
    options.as
      ? `Try it: sdk invoke ${scene}`
      : `Try it: sdk invoke ${scene} --version ${id}   Make it live: sdk version baseline ${scene} ${id}`,
  )
}

export async function setBaseline(
  { client, out }: Context,
  scene: string,
  version: string,
  options: { readonly reason?: string },
): Promise<void> {
  const { baseline } = await client.scene(scene)
  if (baseline === version) {
    out.result({ scene, baseline, before: baseline, changed: false })
    return out.say(`${scene}: ${version} is the baseline already`)
  }
  const [{ cells, timings }, ms] = await timed(() => client.setBaseline(scene, version, options.reason))
  out.result({ scene, baseline: version, before: baseline, changed: true, cells, timings })
  out.say(scene)
  out.done('baseline', ms, `${version}, ${describeCells(cells)} (${describeTimings(timings)})`)
  if (baseline !== null) out.next(`Back again: sdk version baseline ${scene} ${baseline}`)
}
