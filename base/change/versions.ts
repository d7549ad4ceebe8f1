/** Versions of a scene take their parts and leave them: they are made, promoted, rolled back and taken offline here. Pure. */
import type { ScenePayloads } from '../contract/change-api.ts'
import type { Applied } from '../contract/common-api.ts'
import type { PartChange, VersionView } from '../contract/version-api.ts'
import { BerthError } from '../kernel/errors.ts'
import { checkOffline } from '../traffic/check-rules.ts'
import { baselineMovement, cutoverMovement, type Movement } from '../traffic/flip.ts'
import { showShare } from '../traffic/ranges.ts'
import { isQuarantined, kindOf, type VersionKind } from '../traffic/rules.ts'
import type { ModuleOrigin, VersionRecord } from '../traffic/schema.ts'
import type { WhitelistEntry } from '../traffic/table.ts'
import { holdersOf } from './deletion.ts'
import { nextPrevious, requireTrusted } from './quarantine.ts'
import { broughtOnline, type Next, requireOnline, type SceneState, usesOf, withRules } from './scene-state.ts'
import { auditedUnits } from './whitelist-edit.ts'

/** What a change of the part of a version did. */
export type PartOutcome = Omit<PartChange, keyof Applied | 'baseline' | 'since'>

/** What taking several versions offline did. */
export interface OfflineOutcome {
  /** Those that were online. */
  readonly versions: readonly string[]
  readonly warnings: readonly string[]
}

/** What making a version did. */
export interface NewVersionOutcome extends PartOutcome {
  readonly record: VersionRecord
  /** False when the version was there already. */
  readonly created: boolean
  /** Whether this made it the baseline. */
  readonly switched: boolean
  /** Versions that went offline, so that there is room for this one. */
  readonly retired: readonly string[]
}

type Part = Pick<ScenePayloads['create version'], 'as' | 'share' | 'whitelist'>

/** The share that a cutover begins with when nobody says another, in hundredths of a percent. */
const FIRST_SHARE = 100

/** Versions, each with what it is used for. */
export const viewVersions = (scene: SceneState, versions: readonly VersionRecord[]): Omit<VersionView, 'createdByLabel'>[] =>
  versions.map(version => viewVersion(scene, version))

export function viewVersion(scene: SceneState, version: VersionRecord): Omit<VersionView, 'createdByLabel'> {
  const { baseline, rules, online } = scene
  return {
    ...version,
    kind: kindOf(version.id, baseline, rules),
    online: online.includes(version.id),
    uses: usesOf(scene, version.id),
    ...(rules.cutover?.version === version.id ? { share: rules.cutover.share } : {}),
    ...(rules.previousBaseline === version.id ? { previous: true as const } : {}),
    ...(online.includes(version.id) || holdersOf(scene, version.id).length > 0 ? {} : { deletable: true as const }),
    ...(rules.quarantined?.[version.id] === undefined ? {} : { quarantine: rules.quarantined[version.id] }),
  }
}

/**
 * Gives a version the part that is wanted, unless it has it. Without a part, which only rows of earlier releases are, it is the next step:
 * from dev to the cutover, more of the cutover, from the cutover to the baseline.
 * @throws VERSION_OFFLINE; PROMOTION_REFUSED when another version has the cutover, or for a cutover to the baseline
 */
export function promote(
  before: SceneState,
  version: string,
  wanted: { readonly to?: 'cutover' | 'baseline' | undefined; readonly share?: number | undefined },
  salt: string,
): Next<PartOutcome> {
  const cutsOver = before.rules.cutover?.version === version
  const to = wanted.to ?? (cutsOver && wanted.share === undefined ? 'baseline' : 'cutover')
  requireCutover(to, wanted.share)
  return to === 'baseline' ? makeBaseline(before, version) : cutOver(before, version, wanted.share, salt)
}

/**
 * Makes a version the baseline; a rollback then goes back to the one that was the baseline before, or, if that is in quarantine, to the one
 * before it.
 * @throws VERSION_OFFLINE, VERSION_QUARANTINED
 */
export function makeBaseline(before: SceneState, version: string): Next<PartOutcome> {
  requireOnline(before, version, 'make the baseline of')
  requireTrusted(before, version)
  if (before.baseline === version) return partChange(before, before, version, 'set baseline')
  const { cutover, loadtest } = before.rules
  const rules = withRules(before.rules, {
    previousBaseline: nextPrevious(before, version),
    cutover: cutover?.version === version ? undefined : cutover,
    loadtest: loadtest === version ? undefined : loadtest,
  })
  return { ...partChange(before, { ...before, baseline: version, rules }, version, 'set baseline'), load: [version] }
}

/**
 * Gives a version a share of the traffic, or another share.
 * @param share undefined: the share that it has, or 1%
 * @param salt is for a version that has none yet; a version that has one keeps its units
 * @throws VERSION_OFFLINE, PROMOTION_REFUSED
 */
function cutOver(before: SceneState, version: string, share: number | undefined, salt: string): Next<PartOutcome> {
  const { definition, baseline, rules } = before
  requireOnline(before, version, 'cut over to')
  const refuse = (why: string) =>
    new BerthError('PROMOTION_REFUSED', `Cannot cut over to version "${version}" of scene "${definition.id}": ${why}`)
  if (version === baseline) throw refuse('it is the baseline already')
  if (baseline === null) throw refuse('there is no baseline to take over from; promote it to the baseline')
  const { cutover } = rules
  if (cutover !== undefined && cutover.version !== version) {
    throw refuse(`version "${cutover.version}" has the cutover, at ${showShare(cutover.share)}: promote that one, or roll it back, first`)
  }
  const next = { version, share: share ?? cutover?.share ?? FIRST_SHARE, salt: cutover?.salt ?? salt }
  const changed = withRules(rules, { cutover: next, loadtest: rules.loadtest === version ? undefined : rules.loadtest })
  return partChange(before, { ...before, rules: changed }, version, cutover === undefined ? 'cut over' : 'ramp cutover')
}

/** What makes room for a version that comes online. */
export interface Retiring {
  /** Versions that nothing uses, which go offline. Rows from before there was such a rule have none. */
  readonly retired?: readonly string[]
}

/** What is known of a version that is made, besides the part that was asked for. */
export interface VersionFacts extends Retiring {
  readonly version: VersionRecord
  /** False when a version with exactly this lock was there and is taken instead. */
  readonly isNew: boolean
  /** The salt that a cutover gets. */
  readonly salt: string
  /** The whitelist afterwards, when unit ids are sent to the version. */
  readonly whitelist?: WhitelistEntry
  /** Where the sources of its modules are, as far as that is known, by `name@version`. */
  readonly origins?: Readonly<Record<string, ModuleOrigin>>
  /** What whoever asked should know of how the modules were chosen. */
  readonly warnings?: readonly string[]
}

/**
 * Brings a version online, maybe a new one, and gives it its part.
 * @throws PROMOTION_REFUSED
 */
export function createVersion(
  before: SceneState,
  part: Part,
  { version, isNew, salt, whitelist, origins, retired = [], warnings = [] }: VersionFacts,
): Next<NewVersionOutcome> {
  const listed = { ...takeAllOffline(before, retired).scene, whitelist: whitelist ?? before.whitelist }
  const next = takePart(broughtOnline(listed, version.id), version.id, part, salt)
  const switched = next.scene.baseline !== before.baseline
  const { as, share } = part
  const units = part.whitelist === undefined ? {} : { whitelist: auditedUnits(part.whitelist) }
  const noted = { ...units, ...(origins && { origins }) }
  return {
    ...next,
    ...(isNew && !switched ? { action: 'create version', before: null, after: { ...version, as, share, ...noted } } : {}),
    ...(isNew && switched ? { after: { ...stateOf(next.scene, version.id), created: version, ...noted } } : {}),
    ...(isNew ? { created: version } : {}),
    ...(part.as === undefined ? {} : { load: [version.id] }),
    outcome: {
      ...next.outcome,
      record: version,
      created: isNew,
      switched,
      retired,
      warnings: [...warnOfRetired(before, retired), ...next.outcome.warnings, ...warnings],
    },
  }
}

function takePart(before: SceneState, version: string, { as, share }: Part, salt: string): Next<PartOutcome> {
  requireCutover(as, share)
  if (as === 'baseline') return makeBaseline(before, version)
  if (as === 'cutover') return cutOver(before, version, share, salt)
  const scene = as === 'loadtest' ? sendLoadTests(before, version).scene : before
  return partChange(before, scene, version, 'bring version online')
}

/**
 * Sends load tests to a version, or with null to the baseline.
 * @throws VERSION_OFFLINE
 */
export function sendLoadTests(before: SceneState, version: string | null): Next<{ readonly loadtest: string | null }> {
  if (version !== null) requireOnline(before, version, 'send load tests to')
  return {
    scene: { ...before, rules: withRules(before.rules, { loadtest: version ?? undefined }) },
    action: 'set load-test version',
    before: { loadtest: before.rules.loadtest ?? null },
    after: { loadtest: version },
    outcome: { loadtest: version },
  }
}

/**
 * Goes back from a version: its cutover ends, or the previous baseline, which stays loaded for this, takes its place. When the version has
 * neither part, the way back has been gone already, and nothing changes: the same rollback twice is one.
 * @param from undefined only in rows of earlier releases: the version of the cutover, and without one the baseline
 * @throws NOTHING_TO_ROLL_BACK; VERSION_QUARANTINED for a previous baseline that is in quarantine
 */
export function rollBack(before: SceneState, from: string | undefined): Next<PartOutcome> {
  const { cutover } = before.rules
  const leaving = from ?? cutover?.version ?? before.baseline
  if (cutover !== undefined && leaving === cutover.version) return endCutover(before, cutover.version)
  if (leaving === null || leaving === before.baseline) return goBack(before)
  return partChange(before, before, leaving, 'roll back')
}

function endCutover(before: SceneState, version: string): Next<PartOutcome> {
  const { baseline, rules } = before
  const isBad = baseline !== null && isQuarantined(rules, baseline)
  const warnings = isBad
    ? [`the baseline "${baseline}" is in quarantine: the previous baseline, if there is one, answers in its place`]
    : []
  return partChange(before, { ...before, rules: withRules(rules, { cutover: undefined }) }, baseline ?? version, 'roll back', warnings)
}

/** Makes the previous baseline the baseline again. The version that it leaves then is the previous one. */
function goBack(before: SceneState): Next<PartOutcome> {
  const { definition, baseline, rules } = before
  const { cutover, previousBaseline } = rules
  if (previousBaseline === undefined || baseline === null) {
    const message = `Cannot roll back scene "${definition.id}": there is no cutover to end, and no previous baseline that is online`
    throw new BerthError('NOTHING_TO_ROLL_BACK', message)
  }
  requireTrusted(before, previousBaseline)
  const kept = cutover?.version === previousBaseline ? undefined : cutover
  const warnings = kept === undefined ? [] : [`"${kept.version}" keeps its cutover of ${showShare(kept.share)}`]
  const changed = withRules(rules, { previousBaseline: baseline, cutover: kept })
  return partChange(before, { ...before, baseline: previousBaseline, rules: changed }, previousBaseline, 'roll back', warnings)
}

/** @throws VERSION_IN_USE */
export function takeOffline(before: SceneState, version: string): Next<PartOutcome> {
  const { definition, baseline, rules, whitelist, online } = before
  checkOffline(version, rules, { definition, versions: online, baseline, listed: whitelist?.byVersion ?? {} })
  const isPrevious = rules.previousBaseline === version
  const after = {
    ...before,
    online: online.filter(id => id !== version),
    rules: isPrevious ? withRules(rules, { previousBaseline: undefined }) : rules,
  }
  const warnings = isPrevious ? [`"${version}" was the previous baseline: there is none to roll back to now`] : []
  return partChange(before, after, version, 'take version offline', warnings)
}

/**
 * Takes several versions offline, or none of them when one is used.
 * @throws VERSION_IN_USE
 */
export function takeAllOffline(before: SceneState, versions: readonly string[]): Next<OfflineOutcome> {
  const taken = [...new Set(versions)].filter(version => before.online.includes(version))
  let scene = before
  const warnings: string[] = []
  for (const version of taken) {
    const next = takeOffline(scene, version)
    scene = next.scene
    warnings.push(...next.outcome.warnings)
  }
  const outcome = { versions: taken, warnings }
  return { scene, action: 'take versions offline', before: { online: before.online }, after: { online: scene.online }, outcome }
}

function warnOfRetired({ definition: { id } }: SceneState, retired: readonly string[]): string[] {
  if (retired.length === 0) return []
  const back = retired.map(version => `sdk version online ${id} ${version}`).join(', ')
  return [
    `${retired.join(', ')} went offline to make room, because nothing used ${retired.length === 1 ? 'it' : 'them'}. Back again: ${back}`,
  ]
}

/** Brings a version back online, as dev. */
export function bringOnline(before: SceneState, version: string, { retired = [] }: Retiring): Next<PartOutcome> {
  const after = broughtOnline(takeAllOffline(before, retired).scene, version)
  return { ...partChange(before, after, version, 'bring version online', warnOfRetired(before, retired)), load: [version] }
}

function partChange(
  before: SceneState,
  scene: SceneState,
  version: string,
  action: string,
  warnings: readonly string[] = [],
): Next<PartOutcome> {
  const moved = movementOf(before, scene)
  return {
    scene,
    action,
    before: stateOf(before, version),
    after: stateOf(scene, version),
    outcome: {
      version,
      kind: kindOf(version, scene.baseline, scene.rules),
      cutover: cutoverOf(scene),
      previousBaseline: scene.rules.previousBaseline ?? null,
      ...(moved === undefined ? {} : { moved }),
      warnings,
    },
  }
}

/** How many units another version answers; undefined where there was no baseline, or there is no cutover that could be another. */
function movementOf(before: SceneState, after: SceneState): Movement | undefined {
  const [was, is] = [before.rules.cutover, after.rules.cutover]
  const { experiments } = after.rules
  if (before.baseline === after.baseline) {
    return (was ?? is) === undefined ? undefined : cutoverMovement(was, is, experiments)
  }
  if (before.baseline === null || after.baseline === null) return undefined
  return baselineMovement({ baseline: before.baseline, cutover: was }, { baseline: after.baseline, cutover: is }, experiments)
}

/** @throws REQUEST_INVALID when a share is given for anything but a cutover */
function requireCutover(part: VersionKind | undefined, share: number | undefined): void {
  if (share === undefined || part === 'cutover') return
  throw new BerthError('REQUEST_INVALID', 'Cannot take the body of the request: /share is for a cutover, and this is none')
}

/** What the audit log keeps of a change of parts. */
const stateOf = (scene: SceneState, version: string) => ({
  baseline: scene.baseline,
  cutover: cutoverOf(scene),
  version,
  online: scene.online.includes(version),
})

export function cutoverOf({ rules: { cutover } }: Pick<SceneState, 'rules'>): PartOutcome['cutover'] {
  return cutover === undefined ? null : { version: cutover.version, share: cutover.share }
}
