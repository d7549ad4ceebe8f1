/** `sdk modules`: what is published. */

import semver from 'semver'
import type { Module } from '../../../base/contract/module-api.ts'
import { SdkError } from '../../sdk-error.ts'
import type { Context } from '../context.ts'

/** The newest version comes first. Without a name, the latest version of each module is listed. */
export async function listModules({ client, out }: Context, name: string | undefined): Promise<void> {
  const found = [...(await client.modules(name))].sort((a, b) => a.name.localeCompare(b.name) || semver.rcompare(a.version, b.version))
  if (name !== undefined && found.length === 0) {
    throw new SdkError('MODULE_NOT_FOUND', `Cannot list the versions of "${name}": no such module`, {
      hint: 'List the modules with "sdk modules", or publish it with "sdk publish".',
    })
  }
  out.result(found)
  if (found.length === 0) return out.next('No module is published yet: sdk publish ./modules/rank-lr')
  if (name === undefined) return out.table(['module', 'latest', 'versions', 'stages', 'description'], latest(found))
  out.table(
    ['version', 'stages', 'published', 'by', 'bundle'],
    found.map(({ version, stages, publishedAt, publishedByLabel, bundle }) => [
      version,
      stages.join(', '),
      publishedAt,
      publishedByLabel,
      bundle.slice(0, 12),
    ]),
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
