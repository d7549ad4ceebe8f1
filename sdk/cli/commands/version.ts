/** `sdk version`: lists the versions of a scene, makes new ones, and gives each its part in answering. */

import type { Reasoned } from '../../../base/contract/common-api.ts'
import type { NewVersion, PartChange, Promotion, VersionChange, VersionView } from '../../../base/contract/version-api.ts'
import { describeQuarantine, liftAdvice } from '../../../base/traffic/quarantine-words.ts'
import { MOVED_OF, showShare } from '../../../base/traffic/ranges.ts'
import { parseShare, parseUnits, parseVersion, usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { ageOf, describeCells, describeTimings, type Output, timed } from '../terminal/output.ts'
import { exactPercent } from '../views/experiment-view.ts'

type Lock = VersionView['lock']

export async function listVersions({ client, out }: Context, scene: string, { all = false }: { readonly all?: boolean }): Promise<void> {
  const [versions, { baseline }] = await Promise.all([client.versions(scene), client.scene(scene)])
  out.result({ scene, baseline, versions })
  if (versions.length === 0) return out.next(`"${scene}" has no version yet: sdk version create ${scene} --as baseline`)
  const locks = new Map(versions.map(({ id, lock }) => [id, lock]))
  const shown = versions.filter(({ online }) => all || online)
  out.table(
    ['version', 'kind', 'share', 'modules', 'label', 'age', 'by', 'used by'],
    shown.map(version => [
      version.id,
      describeKind(version),
      version.share == null ? '' : showShare(version.share),
      describeModules(version, baseline, locks),
      version.label ?? '',
      ageOf(version.createdAt),
      version.createdByLabel,
      version.uses.filter(use => use !== 'the baseline' && use !== 'the cutover').join(', '),
    ]),
  )
  for (const { id, quarantine } of shown) {
    if (quarantine !== undefined) out.warn(`${id} is ${describeQuarantine(quarantine)}; ${liftAdvice(scene, id)}`)
  }
  const hidden = versions.length - shown.length
  if (hidden > 0) out.next(`${hidden} more ${hidden === 1 ? 'is' : 'are'} offline: sdk version list ${scene} --all`)
}

const describeKind = ({ online, kind, quarantine }: VersionView): string =>
  `${online ? kind : 'offline'}${quarantine === undefined ? '' : ', in quarantine'}`

/** The whole lock of the baseline. Of other versions, the modules that differ from the baseline's. */
function describeModules({ id, lock }: VersionView, baseline: string | null, locks: ReadonlyMap<string, Lock>): string {
  const reference = baseline === null || baseline === id ? undefined : locks.get(baseline)
  if (reference === undefined) return describeLock(lock)
  const theirs = new Set(modulesOf(reference))
  const own = modulesOf(lock).filter(module => !theirs.has(module))
  return own.length === 0 ? `as ${baseline}` : `as ${baseline}, but ${own.join(', ')}`
}

const modulesOf = (lock: Lock): string[] => lock.flatMap(({ modules }) => modules.map(({ name, version }) => `${name}@${version}`))

/** A lock such as `recall-all@1.0.0 → rank-lr@1.0.0`. */
export function describeLock(lock: Lock): string {
  return lock.map(({ modules }) => modules.map(({ name, version }) => `${name}@${version}`).join(' + ')).join(' → ')
}

/** The part that a new version gets, as it is typed. */
export interface PartOptions {
  readonly as?: NewVersion['as']
  /** The share of a cutover. */
  readonly share?: string
  /** Unit ids; each text holds one or several. */
  readonly whitelist?: readonly string[]
}

/** @throws SdkError USAGE */
export function parsePart({ as, share, whitelist }: PartOptions): Pick<NewVersion, 'as' | 'share' | 'whitelist'> {
  if (share !== undefined && as !== 'cutover') throw usage('Cannot take --share: only a cutover has one', 'Add --as cutover.')
  return {
    ...(as && { as }),
    ...(share !== undefined && { share: parseShare(share) }),
    ...(whitelist && { whitelist: parseUnits(whitelist) }),
  }
}

export interface CreateOptions extends Pick<NewVersion, 'from' | 'resolve' | 'label' | 'reason'>, PartOptions {
  readonly module?: readonly string[]
}

export async function createVersion(
  { client, out }: Context,
  scene: string,
  { module: modules, as, share, whitelist, ...options }: CreateOptions,
): Promise<void> {
  if (options.from !== undefined) parseVersion(options.from)
  const part = parsePart({ ...(as && { as }), ...(share !== undefined && { share }), ...(whitelist && { whitelist }) })
  const [made, ms] = await timed(() => client.createVersion(scene, { ...(modules && { modules }), ...part, ...options }))
  out.result(made)
  out.say(scene)
  showMade(out, made, ms, part.whitelist?.length ?? 0)
}

/** @param listed how many unit ids were sent to it */
export function showMade(out: Output, made: VersionChange, ms: number, listed: number): void {
  const { id, scene } = made.version
  out.done('version', ms, `${id} made${describePart(made, listed)} (${describeTimings(made.timings)})`)
  out.say(`    ${describeLock(made.lock)}`)
  for (const warning of made.warnings) out.warn(warning)
  out.next(nextStep(scene, id, made))
}

/** Says what a version that was made or found does now: `, and it is the baseline, live on 2 of 2 cells`. */
export function describePart({ kind, cutover, cells }: Pick<VersionChange, 'kind' | 'cutover' | 'cells'>, listed: number): string {
  const live = describeCells(cells)
  const units = `${listed} listed unit ${listed === 1 ? 'id' : 'ids'}`
  if (kind === 'baseline') return `, and it is the baseline, ${live}`
  if (kind === 'cutover')
    return `, and it takes ${showShare(cutover?.share ?? 0)} of the units${listed === 0 ? '' : ` and ${units}`}, ${live}`
  if (kind === 'loadtest') return `, and it answers load tests${listed === 0 ? '' : ` and ${units}`}, ${live}`
  return listed === 0 ? '; it answers requests that pin it' : `, and it answers ${units}, ${live}`
}

/** Suggests what to do next with a version that has this part. */
export function nextStep(scene: string, version: string, part: Pick<PartChange, 'kind' | 'cutover' | 'previousBaseline'>): string {
  const { kind, cutover, previousBaseline } = part
  const promote = `sdk version promote ${scene} ${version}`
  const back = `   Back again: sdk version rollback ${scene}`
  if (kind === 'baseline') return `Try it: sdk invoke ${scene}${previousBaseline === null ? '' : back}`
  if (kind !== 'cutover') return `Try it: sdk invoke ${scene} --version ${version}   Give it traffic: ${promote} --share 1%`
  const next = shareSteps.find(step => step > (cutover?.share ?? 0))
  return `${next === undefined ? `Make it the baseline: ${promote}` : `More of it: ${promote} --share ${showShare(next)}`}${back}`
}

/** The shares by which cutovers usually grow. */
const shareSteps = [100, 500, 1000, 2500, 5000, 10_000] as const

export interface PromoteOptions extends Reasoned {
  readonly to?: Promotion['to']
  readonly share?: string
}

export async function promoteVersion(
  { client, out }: Context,
  scene: string,
  version: string,
  { to, share, reason }: PromoteOptions,
): Promise<void> {
  if (to === 'baseline' && share !== undefined)
    throw usage('Cannot take --share with --to baseline: the baseline has what is left', 'Leave one out.')
  const promotion = { to, share: share === undefined ? undefined : parseShare(share), reason }
  const [change, ms] = await timed(() => client.promote(scene, parseVersion(version), promotion))
  out.result(change)
  out.say(scene)
  // A change that changes nothing is not applied, so it has no time for that step.
  const already = change.timings.applyMs === undefined ? ' already' : ''
  const part = change.kind === 'baseline' ? 'is the baseline' : `takes ${showShare(change.cutover?.share ?? 0)} of the units`
  const outcome = `${version} ${part}${already}${describeMoved(change)}`
  out.done('promote', ms, `${outcome}, ${describeCells(change.cells)} (${describeTimings(change.timings)})`)
  for (const warning of change.warnings) out.warn(warning)
  out.next(nextStep(scene, version, change))
}

const describeMoved = ({ moved }: PartChange): string => (moved?.moved ? `, ${exactPercent(moved.moved, MOVED_OF)} of the units move` : '')

export async function rollBack({ client, out }: Context, scene: string, { reason }: Reasoned): Promise<void> {
  const [change, ms] = await timed(() => client.rollback(scene, { reason }))
  out.result(change)
  out.say(scene)
  const outcome = change.moved === undefined ? `${change.version} is the baseline again` : `the cutover is over${describeMoved(change)}`
  out.done('rollback', ms, `${outcome}, ${describeCells(change.cells)}`)
  for (const warning of change.warnings) out.warn(warning)
  if (change.moved === undefined && change.previousBaseline !== null)
    out.next(`Forth again: sdk version promote ${scene} ${change.previousBaseline} --to baseline`)
}

export async function setOnline(
  { client, out }: Context,
  scene: string,
  version: string,
  online: boolean,
  { reason }: Reasoned,
): Promise<void> {
  const [change, ms] = await timed(() => client.setOnline(scene, parseVersion(version), online, { reason }))
  out.result(change)
  out.say(scene)
  out.done(online ? 'online' : 'offline', ms, `${version} is ${online ? 'online: it answers requests that pin it' : 'offline'}`)
  for (const warning of change.warnings) out.warn(warning)
  if (!online) out.next(`Back again: sdk version online ${scene} ${version}`)
}

export async function liftQuarantine({ client, out }: Context, scene: string, version: string, { reason }: Reasoned): Promise<void> {
  const [change, ms] = await timed(() => client.liftQuarantine(scene, parseVersion(version), { reason }))
  out.result(change)
  out.say(scene)
  const outcome = `has requests again, and what it cost before counts no more, ${describeCells(change.cells)}`
  out.done('lift', ms, `${version} ${change.quarantine === null ? 'was in no quarantine: nothing was changed' : outcome}`)
}

/** @param version undefined: the baseline answers load tests */
export async function setLoadtest(
  { client, out }: Context,
  scene: string,
  version: string | undefined,
  { reason }: Reasoned,
): Promise<void> {
  const [change, ms] = await timed(() => client.setLoadtest(scene, version === undefined ? null : parseVersion(version), { reason }))
  out.result(change)
  out.say(scene)
  out.done('loadtest', ms, `${change.loadtest ?? 'the baseline'} answers load tests, ${describeCells(change.cells)}`)
}
