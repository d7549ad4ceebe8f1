/** `sdk modules`: what is published. */

import compareNewestFirst from 'semver/functions/rcompare.js'
import type { Module } from '../../../base/contract/module-api.ts'
import { describeCommit } from '../../../base/kernel/origin.ts'
import { SdkError } from '../../sdk-error.ts'
import { usage } from '../arguments.ts'
import type { Context } from '../context.ts'

/** The newest version comes first. Without a name, the latest version of each module is listed. */
export async function listModules({ client, out }: Context, name: string | undefined): Promise<void> {
  const found = [...(await client.modules(name))].sort((a, b) => a.name.localeCompare(b.name) || compareNewestFirst(a.version, b.version))
  if (name !== undefined && found.length === 0) {
    throw new SdkError('MODULE_NOT_FOUND', `Cannot list the versions of "${name}": no such module`, {
      hint: 'List the modules with "sdk modules", or publish it with "sdk publish".',
    })
  }
  out.result(found)
  if (found.length === 0) return out.next('No module is published yet: sdk publish ./modules/rank-lr')
  if (name === undefined) return out.table(['module', 'latest', 'versions', 'stages', 'description'], latest(found))
  out.table(
    ['version', 'stages', 'published', 'by', 'bundle', 'commit'],
    found.map(({ version, stages, publishedAt, publishedByLabel, bundle, origin }) => [
      version,
      stages.join(', '),
      publishedAt,
      publishedByLabel,
      bundle.slice(0, 12),
      describeOrigin(origin),
    ]),
  )
}

/** The commit as `7f67eabcbb51`, with `, modified` when the module differed from it; `–` when it is not known. */
export const describeOrigin = (origin: Module['origin']): string =>
  origin === undefined ? '–' : describeCommit(origin.commit, origin.modified)

/** @throws SdkError USAGE; RefusedError */
export async function showModule({ client, out }: Context, reference: string): Promise<void> {
  const [name = '', version] = reference.split('@')
  if (version === undefined) throw usage(`Cannot show "${reference}": it names no version`, `Its versions: sdk modules ${name}`)
  const found = await client.module(name, version)
  out.result(found)
  const { stages, description, publishedAt, publishedByLabel, firstBaselineAt, bundle, origin } = found
  const rows = [
    ['module', `${name}@${version}`],
    ['description', description],
    ['stages', stages.join(', ')],
    ['services', found.services?.join(', ')],
    ['fetch', found.fetch?.join(', ')],
    ['bundle', bundle],
    ['published', `${publishedAt} by ${publishedByLabel}`],
    ['first baseline', firstBaselineAt],
    ['commit', origin?.commit ?? 'not known'],
    ['modified', origin?.modified === undefined ? undefined : origin.modified ? 'yes: its files were not those of the commit' : 'no'],
    ['branch or tag', origin?.ref],
    ['path', origin?.path],
    ['repository', origin?.remote],
  ]
  out.table(
    [],
    rows.flatMap(([label = '', value]) => (value === undefined ? [] : [[label, value]])),
  )
}

function latest(modules: readonly Module[]): string[][] {
  return Object.values(Object.groupBy(modules, ({ name }) => name)).flatMap((versions = []) => {
    const [newest] = versions
    return newest === undefined
      ? []
      : [[newest.name, newest.version, String(versions.length), newest.stages.join(', '), newest.description ?? '']]
  })
}
