/** `sdk version`: lists the versions of a scene, makes new ones, and gives each its part in answering. */

import type { Reasoned } from '../../../base/contract/common-api.ts'
import type { NewVersion, PartChange, Promotion, VersionChange, VersionView } from '../../../base/contract/version-api.ts'
import { describeQuarantine, liftAdvice } from '../../../base/traffic/quarantine-words.ts'
import { MOVED_OF, showShare } from '../../../base/traffic/ranges.ts'
import type { ValidationMode } from '../../../base/traffic/schema.ts'
import type { Client } from '../../api/client.ts'
import { SdkError } from '../../sdk-error.ts'
import { type PartOptions, parsePart, parseShare, parseVersion, usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { type AgreementOptions, agree, agreeToMove } from '../terminal/agreement.ts'
import { ageOf, describeCells, describeTimings, type Output, timed } from '../terminal/output.ts'
import { exactPercent } from '../views/experiment-view.ts'
import { describeOrigin } from './modules.ts'
import { showValidation, validated, warnOfFailed } from './validation.ts'

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
      describeUses(version),
    ]),
  )
  for (const { id, quarantine } of shown) {
    if (quarantine !== undefined) out.warn(`${id} is ${describeQuarantine(quarantine)}; ${liftAdvice(scene, id)}`)
  }
  const hidden = versions.length - shown.length
  if (hidden > 0) out.next(`${hidden} more ${hidden === 1 ? 'is' : 'are'} offline: sdk version list ${scene} --all`)
}

/** @throws SdkError USAGE; RefusedError */
export async function showVersion({ client, out }: Context, scene: string, which: string): Promise<void> {
  const version = await client.version(scene, parseVersion(which))
  out.result(version)
  const made = `${ageOf(version.createdAt)} ago by ${version.createdByLabel}${version.from === undefined ? '' : `, from ${version.from}`}`
  const label = version.label === undefined ? '' : `, "${version.label}"`
  out.say(`${scene} ${version.id}: ${describeKind(version)}${label}, made ${made}`)
  out.say(describeLock(version.lock))
  out.table(
    ['module', 'bundle', 'published', 'by', 'commit', 'ref', 'path', 'repository'],
    version.modules.map(({ name, version, bundle, publishedAt, publishedByLabel, origin }) => [
      `${name}@${version}`,
      bundle.slice(0, 12),
      publishedAt,
      publishedByLabel,
      describeOrigin(origin),
      origin?.ref ?? '',
      origin?.path ?? '',
      origin?.remote ?? '',
    ]),
  )
}

/** Whether nothing uses the version: it may go offline, or once it is offline, be deleted. */
export const isUnused = ({ online, uses, deletable }: VersionView): boolean => (online ? uses.length === 0 : deletable === true)

/** What the columns beside it do not say. */
const describeUses = (version: VersionView): string =>
  isUnused(version) ? 'unused' : version.uses.filter(use => use !== 'the baseline' && use !== 'the cutover').join(', ')

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

export interface CreateOptions extends Pick<NewVersion, 'from' | 'resolve' | 'label' | 'validation' | 'reason'>, PartOptions {
  readonly module?: readonly string[]
  /** Whether to make one more version when there is one with exactly these modules. */
  readonly another?: boolean
}

/** The same command twice makes one version: one that has exactly these modules is taken as it is. */
export async function createVersion(
  context: Context,
  scene: string,
  { module: modules, as, share, whitelist, another = false, ...options }: CreateOptions,
  agreement: AgreementOptions,
): Promise<void> {
  const { out } = context
  if (options.from !== undefined) parseVersion(options.from)
  const part = parsePart({ ...(as && { as }), ...(share !== undefined && { share }), ...(whitelist && { whitelist }) })
  const wanted = { ...(modules && { modules }), ...part, ...options, reuse: !another }
  const { validation: _, ...planned } = wanted
  const agreed = await agreeToPart(context, scene, planned, agreement)
  const [made, ms] = await timed(() => validated(out, context.client.createVersion(scene, wanted, agreed)))
  out.result(made)
  out.say(scene)
  showMade(out, made, ms, part.whitelist?.length ?? 0)
}

/**
 * Resolves when the part that a version is to get is agreed to, as far as it moves units.
 * @param declined what is so when it is not
 * @returns the revision of the scene that somebody has agreed to change; undefined when nobody was asked
 * @throws as `agreeToMove`, and as the base when it refuses the version
 */
export async function agreeToPart(
  context: Context,
  scene: string,
  wanted: NewVersion,
  options: AgreementOptions,
  declined?: string,
): Promise<number | undefined> {
  const { as } = wanted
  if (options.yes || (as !== 'baseline' && as !== 'cutover')) return undefined
  const planned = await context.client.createVersion(scene, { ...wanted, dryRun: true })
  const plan = `${scene}: ${describePlan(planned, planned.version.id)}`
  const question = as === 'baseline' ? `Make ${planned.version.id} the baseline of ${scene}?` : `Begin the cutover of ${scene}?`
  const asked = { plan, question, what: `whether units of "${scene}" may move`, ...(declined !== undefined && { declined }) }
  return (await agreeToMove(context, planned.moved, asked, options)) ? planned.revision : undefined
}

/** Says what a part comes to: `v4 would be the baseline, 95% of the units move`. */
function describePlan(planned: Pick<PartChange, 'kind' | 'cutover' | 'moved'>, version: string): string {
  const part = planned.kind === 'baseline' ? 'be the baseline' : `take ${showShare(planned.cutover?.share ?? 0)} of the units`
  return `${version} would ${part}${describeMoved(planned)}`
}

/** @param listed how many unit ids were sent to it */
export function showMade(out: Output, made: VersionChange, ms: number, listed: number): void {
  const { id, scene } = made.version
  showValidation(out, made.validation)
  const how = made.created ? 'made' : 'was there, with exactly these modules'
  out.done('version', ms, `${id} ${how}${describePart(made, listed)} (${describeTimings(made.timings)})`)
  out.say(`    ${describeLock(made.lock)}`)
  for (const warning of made.warnings) out.warn(warning)
  warnOfFailed(out, scene, made.validation)
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
  const back = `   Back again: sdk version rollback ${scene} ${version}`
  if (kind === 'baseline') return `Try it: sdk invoke ${scene}${previousBaseline === null ? '' : back}`
  if (kind !== 'cutover') return `Try it: sdk invoke ${scene} --version ${version}   Give it traffic: ${promote} --to cutover --share 1%`
  const next = shareSteps.find(step => step > (cutover?.share ?? 0))
  return `${next === undefined ? `Make it the baseline: ${promote} --to baseline` : `More of it: ${promote} --to cutover --share ${showShare(next)}`}${back}`
}

/** The shares by which cutovers usually grow. */
const shareSteps = [100, 500, 1000, 2500, 5000, 10_000] as const

export interface PromoteOptions extends Reasoned, AgreementOptions {
  readonly to: Promotion['to']
  readonly share?: string
  readonly dryRun?: boolean
  readonly validation?: ValidationMode
}

/** Gives a version a part, after what that comes to was agreed to. When the version has the part already, nothing is changed. */
export async function promoteVersion(
  context: Context,
  scene: string,
  version: string,
  { to, share, reason, validation, dryRun = false, ...agreement }: PromoteOptions,
): Promise<void> {
  if (to === 'baseline' && share !== undefined)
    throw usage('Cannot take --share with --to baseline: the baseline has what is left', 'Leave one out.')
  const { client, out } = context
  const promotion = { to, share: share === undefined ? undefined : parseShare(share), reason }
  const tried = { ...promotion, dryRun: true, ...(dryRun && { validation }) }
  const planned = await client.promote(scene, parseVersion(version), tried)
  out.say(scene)
  showValidation(out, planned.validation)
  if (dryRun || !planned.changed) {
    out.result(planned)
    if (!planned.changed) out.say(`  ${version} ${describeNewPart(planned)} already${describeSince(planned)}: nothing was changed`)
    else out.say(`  ${describePlan(planned, version)}`)
    return dryRun ? out.next('Nothing was changed: this was a dry run.') : undefined
  }
  const asked = await agreeToPromotion(context, scene, version, planned, agreement)
  // What was agreed to is what happens, or nothing.
  const promoting = () => client.promote(scene, version, { ...promotion, validation }, asked ? planned.revision : undefined)
  const [change, ms] = await timed(() => validated(out, promoting(), capsule => `sdk capsule run ${scene} ${capsule} --version ${version}`))
  out.result(change)
  showValidation(out, change.validation)
  const outcome = `${version} ${describeNewPart(change)}${change.kind === 'cutover' ? describeMoved(change) : ''}`
  out.done('promote', ms, `${outcome}, ${describeCells(change.cells)} (${describeTimings(change.timings)})`)
  for (const warning of change.warnings) out.warn(warning)
  warnOfFailed(out, scene, change.validation)
  out.next(nextStep(scene, version, change))
}

function agreeToPromotion(context: Context, scene: string, version: string, planned: PartChange, options: AgreementOptions) {
  const plan = describePlan(planned, version)
  const question =
    planned.kind === 'baseline'
      ? `Make ${version} the baseline?`
      : `Send ${showShare(planned.cutover?.share ?? 0)} of the units to ${version}?`
  return agreeToMove(context, planned.moved, { plan, question, what: `whether units of "${scene}" may move to ${version}` }, options)
}

const describeNewPart = ({ kind, cutover }: PartChange): string =>
  kind === 'baseline' ? 'is the baseline' : `takes ${showShare(cutover?.share ?? 0)} of the units`

const describeMoved = ({ moved }: Pick<PartChange, 'moved'>): string =>
  moved?.moved ? `, ${exactPercent(moved.moved, MOVED_OF)} of the units move` : ''

/** An earlier change in words, such as ` (roll back, 3 min ago, by ada: "errors in checkout")`; empty when it is not known. */
function describeSince({ since }: PartChange): string {
  if (since === undefined) return ''
  const why = since.reason === undefined ? '' : `: ${JSON.stringify(since.reason)}`
  return ` (${since.action}, ${ageOf(since.at)} ago, by ${since.whoLabel}${why})`
}

export interface RollbackOptions extends Reasoned, AgreementOptions {
  readonly dryRun?: boolean
}

/**
 * Goes back from a version. A second time nothing is left to do, and no version comes back by it.
 * @param version undefined: the one of the cutover, and without one the baseline, after a question
 */
export async function rollBack(
  { client, out }: Context,
  scene: string,
  version: string | undefined,
  { reason, dryRun = false, ...agreement }: RollbackOptions,
): Promise<void> {
  const from = version === undefined ? await askFrom(client, scene, { dryRun, ...agreement }) : parseVersion(version)
  const [change, ms] = await timed(() => client.rollback(scene, { from, dryRun, reason }))
  out.result(change)
  out.say(scene)
  if (!change.changed) return out.say(`  ${from} is neither the baseline nor in the cutover${describeSince(change)}: nothing was changed`)
  if (dryRun) out.say(`  ${describeWayBack(from, change, 'would be')}`)
  else out.done('rollback', ms, `${describeWayBack(from, change, 'is')}, ${describeCells(change.cells)}`)
  for (const warning of change.warnings) out.warn(warning)
  if (dryRun) return out.next('Nothing was changed: this was a dry run.')
  if (!endsCutover(change)) out.next(`Forth again: sdk version promote ${scene} ${from} --to baseline`)
}

/** A rollback from a cutover makes units leave it, and one from a baseline sends them to another version. */
const endsCutover = ({ moved }: PartChange): boolean => (moved?.leaving ?? 0) > 0

const describeWayBack = (from: string, change: PartChange, is: 'is' | 'would be'): string =>
  endsCutover(change) ? `the cutover of ${from} ${is} over${describeMoved(change)}` : `${change.version} ${is} the baseline again`

/** @throws SdkError USAGE with the command that names the version, when nobody can be asked */
async function askFrom(client: Client, scene: string, { yes, json, dryRun }: RollbackOptions): Promise<string> {
  const { baseline, cutover } = await client.scene(scene)
  const from = cutover?.version ?? baseline
  if (from === null) {
    const message = `Cannot roll back scene "${scene}": it has no baseline yet`
    throw new SdkError('NOTHING_TO_ROLL_BACK', message, { hint: `Make its first version: sdk version create ${scene} --as baseline` })
  }
  const planned = await client.rollback(scene, { from, dryRun: true })
  if (dryRun) return from
  const command = `sdk version rollback ${scene} ${from}`
  if (yes) throw usage('Cannot roll back: nothing says from which version, and typed twice it would go back twice', `Type: ${command}`)
  const part = endsCutover(planned) ? `End the cutover of ${from}` : `Go back from ${from}`
  const to = endsCutover(planned) ? '' : ` to ${planned.version}`
  const question = `${part}${describeSince(planned)}${to}?`
  await agree({ question, what: 'from which version to go back', hint: `Type: ${command}` }, { json })
  return from
}

export async function bringOnline({ client, out }: Context, scene: string, version: string, { reason }: Reasoned): Promise<void> {
  const [change, ms] = await timed(() => client.setOnline(scene, parseVersion(version), true, { reason }))
  out.result(change)
  out.say(scene)
  if (!change.changed) return out.say(`  ${version} is online already: nothing was changed`)
  out.done('online', ms, `${version} is online: it answers requests that pin it`)
  for (const warning of change.warnings) out.warn(warning)
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
  if (!change.changed) return out.say(`  ${change.loadtest ?? 'the baseline'} answers load tests already: nothing was changed`)
  out.done('loadtest', ms, `${change.loadtest ?? 'the baseline'} answers load tests, ${describeCells(change.cells)}`)
}
