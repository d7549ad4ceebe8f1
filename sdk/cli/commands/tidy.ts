/** What is not needed any more goes: versions go offline, and scenes and what belongs to them are deleted. */
import type { Reasoned } from '../../../base/contract/common-api.ts'
import { parseVersion, usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { type AgreementOptions, agree } from '../terminal/agreement.ts'
import { timeAgo, timed } from '../terminal/output.ts'
import { isUnused } from './version.ts'

export interface TidyOptions extends Reasoned, AgreementOptions {
  readonly dryRun?: boolean
}

export interface UnusedOptions extends TidyOptions {
  /** Whether all that nothing uses is meant, instead of what is named. */
  readonly unused?: boolean
  /** Such as `7d`: leaves alone what is younger. */
  readonly olderThan?: string
}

/** How many versions one change takes; of more, the oldest go. */
const AT_ONCE = 1000

const DRY_RUN = 'Nothing was changed: this was a dry run.'

const units: Readonly<Record<string, number>> = { s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 }

/** The time that is so long ago: ISO 8601. @throws SdkError USAGE */
function beforeOf(olderThan: string | undefined): string | undefined {
  if (olderThan === undefined) return undefined
  const [, number, unit = ''] = /^(\d{1,6}) ?(s|min|h|d)$/.exec(olderThan) ?? []
  const ms = units[unit]
  if (ms === undefined) throw usage(`Cannot take "${olderThan}" as an age: it has no unit, or another`, 'Write it like 7d, 12h or 30min.')
  return timeAgo(Number(number) * ms)
}

/** Which versions are meant: those that are named, or those that nothing uses. @throws SdkError USAGE */
async function versionsMeant(
  { client }: Context,
  scene: string,
  named: readonly string[],
  { unused, olderThan }: UnusedOptions,
  online: boolean,
): Promise<string[]> {
  if (unused && named.length > 0) throw usage('Cannot take --unused with the names of versions', 'Leave one out.')
  requireChoice(named, unused, olderThan)
  if (!unused) return named.map(parseVersion)
  const before = beforeOf(olderThan)
  const versions = (await client.versions(scene)).filter(version => isUnused(version) && version.online === online)
  const old = versions.filter(({ createdAt }) => before === undefined || Date.parse(createdAt) < Date.parse(before))
  return old.slice(0, AT_ONCE).map(({ id }) => id)
}

/** @throws SdkError USAGE */
function requireChoice(named: readonly string[], unused = false, olderThan: string | undefined): void {
  if (unused) return
  if (olderThan !== undefined) throw usage('Cannot take --older-than: what is named goes, however old it is', 'Add --unused.')
  if (named.length === 0) throw usage('Cannot tell what is to go: nothing is named', 'Name it, or take --unused, first with --dry-run.')
}

export async function takeOffline(context: Context, scene: string, named: readonly string[], options: UnusedOptions): Promise<void> {
  const { client, out } = context
  const versions = await versionsMeant(context, scene, named, options, true)
  if (versions.length === 0) {
    out.result({ versions })
    return out.say(`Nothing to do: ${scene} has no version online that nothing uses`)
  }
  const { dryRun, reason } = options
  const [change, ms] = await timed(() => client.takeOffline(scene, { versions, ...(dryRun && { dryRun }), ...(reason && { reason }) }))
  out.result(change)
  out.say(scene)
  const gone = change.versions.join(', ')
  const isOne = change.versions.length === 1
  if (options.dryRun) out.say(`  ${gone || 'no version'} would go offline`)
  else if (gone === '') out.say(`  ${versions.join(', ')} ${versions.length === 1 ? 'is' : 'are'} offline, already: nothing was changed`)
  else out.done('offline', ms, `${gone} ${isOne ? 'is' : 'are'} offline`)
  for (const warning of change.warnings) out.warn(warning)
  if (options.dryRun) return out.next(DRY_RUN)
  if (gone !== '')
    out.next(
      `Back again: sdk version online ${scene} ${change.versions[0]}   For good: sdk version delete ${scene} ${change.versions.join(' ')}`,
    )
}

/** What a deletion would come to, and what carries it out. */
interface Deletion<Outcome> {
  /** What is to go, as it is named in questions. */
  readonly what: string
  readonly send: (sending: Reasoned & { readonly dryRun?: boolean }) => Promise<Outcome>
  /** What goes, in words; undefined when nothing is left to delete. */
  readonly describe: (outcome: Outcome) => string | undefined
  /** What is said then. @default that it is gone already */
  readonly nothing?: string | undefined
}

/** Shows what would go, asks, and deletes it. What was deleted before is done already. */
async function remove<Outcome>(
  { out }: Context,
  deletion: Deletion<Outcome>,
  { dryRun, reason, ...agreement }: TidyOptions,
): Promise<void> {
  const { what, send, describe, nothing = `${what} is gone already` } = deletion
  const planned = await send({ dryRun: true })
  const goes = describe(planned)
  if (goes === undefined || dryRun) {
    out.result(planned)
    if (goes === undefined) return out.say(`Nothing to do: ${nothing}`)
    out.say(`${goes} would go`)
    return out.next(DRY_RUN)
  }
  if (!agreement.yes) out.say(`${goes} would go; this cannot be undone`)
  const hint = 'Add --yes, or --dry-run to see what would go.'
  await agree({ question: `Delete ${what}?`, what: `whether to delete ${what}`, hint }, agreement)
  const [done, ms] = await timed(() => send({ ...(reason && { reason }) }))
  out.result(done)
  out.done('deleted', ms, goes)
}

export function deleteScene(
  context: Context,
  id: string,
  { evenIfCalled, ...options }: TidyOptions & { readonly evenIfCalled?: boolean },
): Promise<void> {
  const { client } = context
  return remove(
    context,
    {
      what: `scene "${id}"`,
      send: sending => client.deleteScene(id, { ...sending, ...(evenIfCalled && { evenIfCalled }) }),
      describe: ({ deleted, versions, online, experiments, units }) =>
        deleted
          ? `${id}: ${counted(versions, 'version')} (${online} online), ${counted(experiments, 'experiment')}, ${counted(units, 'unit id')}, parameters and logs`
          : undefined,
    },
    options,
  )
}

export async function deleteVersions(context: Context, scene: string, named: readonly string[], options: UnusedOptions): Promise<void> {
  const { client, out } = context
  const versions = await versionsMeant(context, scene, named, options, false)
  if (versions.length === 0) {
    out.result({ versions })
    return out.say(`Nothing to do: ${scene} has no version offline that nothing uses`)
  }
  const deletion = {
    what: `${counted(versions.length, 'version')} of ${scene}`,
    send: (sending: Reasoned) => client.deleteVersions(scene, { versions, ...sending }),
    describe: ({ versions: gone }: { readonly versions: readonly string[] }) =>
      gone.length === 0 ? undefined : `${scene}: ${gone.join(', ')}`,
  }
  await remove(context, deletion, options)
}

export function deleteExperiment(context: Context, scene: string, id: string, options: TidyOptions): Promise<void> {
  const deletion = {
    what: `experiment "${id}" of ${scene}`,
    send: (sending: Reasoned) => context.client.deleteExperiment(scene, id, sending),
    describe: ({ deleted }: { readonly deleted: boolean }) =>
      deleted ? `experiment "${id}" (its id stays taken if it ever ran, because exposures are counted by it)` : undefined,
  }
  return remove(context, deletion, options)
}

export function deleteLayer(context: Context, scene: string, id: string, options: TidyOptions): Promise<void> {
  const deletion = {
    what: `layer "${id}" of ${scene}`,
    send: (sending: Reasoned) => context.client.deleteLayer(scene, id, sending),
    describe: ({ deleted }: { readonly deleted: boolean }) => (deleted ? `layer "${id}" with its experiments` : undefined),
  }
  return remove(context, deletion, options)
}

/** Versions by the name of their module. */
type ByModule = Readonly<Record<string, readonly string[]>>

/** @param named such as `rank-lr`, which is every version of it, or `rank-lr@1.0.0`; of each module all go or none */
export async function deleteModules(context: Context, named: readonly string[], options: UnusedOptions): Promise<void> {
  const { client } = context
  requireChoice(named, options.unused, options.olderThan)
  const publishedBefore = beforeOf(options.olderThan)
  const wanted = { ...(options.unused && { unused: true }), ...(publishedBefore !== undefined && { publishedBefore }) }
  const modules = named.length === 0 ? new Set((await client.modules()).map(({ name }) => name)) : new Set(named)
  const meant = Map.groupBy([...modules], reference => reference.split('@')[0] ?? '')
  let planned: ByModule | undefined
  const plan = async () => {
    const found: Record<string, readonly string[]> = {}
    for (const [name, references] of meant) {
      const versions = references.flatMap(reference => reference.split('@')[1] ?? [])
      const ofAll = versions.length < references.length
      found[name] = (await client.deleteModules(name, { ...wanted, ...(!ofAll && { versions }), dryRun: true })).versions
    }
    planned = found
    return found
  }
  /** Deletes what was shown. */
  const carryOut = async (shown: ByModule, { reason }: Reasoned) => {
    const deleted: Record<string, readonly string[]> = {}
    for (const [name, versions] of Object.entries(shown)) {
      if (versions.length > 0)
        deleted[name] = (await client.deleteModules(name, { versions: [...versions], ...(reason && { reason }) })).versions
    }
    return deleted
  }
  const send = (sending: Reasoned & { readonly dryRun?: boolean }): Promise<ByModule> =>
    planned === undefined || sending.dryRun ? plan() : carryOut(planned, sending)
  const what = named.length === 0 ? 'every version of a module that nothing uses' : named.join(', ')
  const nothing = options.unused ? 'every version of them is used, or too young' : undefined
  await remove(context, { what, send, describe: describeModules, nothing }, options)
}

function describeModules(deleted: ByModule): string | undefined {
  const gone = Object.entries(deleted).flatMap(([name, versions]) => versions.map(version => `${name}@${version}`))
  return gone.length === 0 ? undefined : gone.join(', ')
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`
