/**
 * Who answers in a scene, and what may be made of it: versions taking their parts and leaving them. Pure: a change is worked out here, then
 * checked, loaded and kept by `Control`.
 */
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { RulesRecord } from '../store/records.ts'
import { checkOffline, checkRules } from '../traffic/check-rules.ts'
import { cutoverMovement, type Movement } from '../traffic/flip.ts'
import { showShare } from '../traffic/ranges.ts'
import { kindOf, routedVersions, usesOfVersion, type VersionKind } from '../traffic/rules.ts'
import type { SceneDefinition, VersionRecord } from '../traffic/schema.ts'
import type { WhitelistEntry } from '../traffic/table.ts'

/** Everything that decides who answers in a scene. */
export interface SceneTraffic {
  readonly definition: SceneDefinition
  readonly baseline: string | null
  readonly rules: RulesRecord
  /** Undefined before there was any. */
  readonly whitelist: WhitelistEntry | undefined
  /** Ids of versions, oldest first. */
  readonly online: readonly string[]
}

/** Records of a scene that a write may expect to be at a revision. */
export type SceneKind = 'scene' | 'rules' | 'whitelist'

export interface KeptTraffic extends SceneTraffic {
  /** Of the records it is made of; 0 for one that is not there yet. */
  readonly revisions: Readonly<Record<SceneKind, number>>
}

/** A change that was worked out and not made yet. */
export interface Planned<Told> {
  readonly traffic: SceneTraffic
  /** For the audit log, as `AuditNote` has them. */
  readonly action: string
  readonly before: unknown
  readonly after: unknown
  /** What whoever asked for it is told besides. */
  readonly told: Told
  /** A version that is kept with it. */
  readonly created?: VersionRecord
  /** Versions that every cell loads first, or has loaded still, besides those that rules begin to send requests to. */
  readonly load?: readonly string[]
}

/** What a change of the part of a version came to. */
export interface Placed {
  readonly version: string
  readonly kind: VersionKind
  /** Of the cutover, afterwards; null: there is none. */
  readonly cutover: { readonly version: string; readonly share: number } | null
  readonly previousBaseline: string | null
  /** Of the units of the scene, when the cutover changes and the baseline does not. */
  readonly moved?: Movement
  /** What is no longer possible, in words. */
  readonly warnings: readonly string[]
}

/** What a version is made for. */
export interface Part {
  /** Undefined: dev, and loaded on its first request. */
  readonly as?: VersionKind | undefined
  /** Of a cutover. */
  readonly share?: number | undefined
  /** Unit ids that are sent to it. */
  readonly whitelist: readonly string[]
}

/** What making a version came to. */
export interface PlacedVersion extends Placed {
  readonly record: VersionRecord
  /** False: it was there already. */
  readonly created: boolean
  /** Whether this made it the baseline. */
  readonly switched: boolean
}

/** Hundredths of a percent that a cutover begins with when nobody says. */
const FIRST_SHARE = 100
/** Unit ids that the audit log keeps of one change; of more it keeps how many. */
export const AUDITED_MAX = 20

/**
 * Checks a scene as it would be.
 * @returns its rules, with defaults
 * @throws as `checkRules`; VERSIONS_TOO_MANY
 */
export function checkTraffic(before: SceneTraffic, after: SceneTraffic): RulesRecord {
  const { definition, baseline, online, whitelist } = after
  const rules = checkRules(after.rules, { definition, versions: online, baseline })
  const unlisted = Object.entries(whitelist?.byVersion ?? {}).find(([version]) => !online.includes(version))
  if (unlisted !== undefined) throw offline(after, unlisted[0], 'send units of the whitelist to')
  if (online.length > Math.max(limits.scene.onlineVersionsMax, before.online.length)) throw tooMany(after)
  return rules
}

function tooMany(traffic: SceneTraffic): BerthError {
  const { definition, online } = traffic
  const unused = online.slice(0, -1).filter(version => usesOf(traffic, version).length === 0)
  const names = unused.slice(0, 5).join(', ')
  const hint = names === '' ? 'every one of them is in use' : `the oldest that nobody uses: ${names}`
  const message = `Cannot bring one more version of scene "${definition.id}" online: ${limits.scene.onlineVersionsMax} are, ${hint}`
  return new BerthError('VERSIONS_TOO_MANY', message, { extra: { unused: unused.slice(0, 5) } })
}

/** Everything that a version is there for, in words. */
function usesOf({ baseline, rules, whitelist }: SceneTraffic, version: string): string[] {
  return [
    ...(version === baseline ? ['the baseline'] : []),
    ...usesOfVersion(rules, version, whitelist?.byVersion[version] ?? 0),
    ...(version === rules.previousBaseline ? ['going back to it as the baseline'] : []),
  ]
}

/** A version, and what it is for. */
export interface VersionView extends VersionRecord {
  readonly kind: VersionKind
  readonly online: boolean
  readonly uses: readonly string[]
  /** Of the cutover. */
  readonly share?: number
  /** Whether it is the previous baseline. */
  readonly previous?: true
}

export function viewVersions(traffic: SceneTraffic, versions: readonly VersionRecord[]): VersionView[] {
  const { baseline, rules, online } = traffic
  return versions.map(version => ({
    ...version,
    kind: kindOf(version.id, baseline, rules),
    online: online.includes(version.id),
    uses: usesOf(traffic, version.id),
    ...(rules.cutover?.version === version.id ? { share: rules.cutover.share } : {}),
    ...(rules.previousBaseline === version.id ? { previous: true as const } : {}),
  }))
}

/** Versions that have to be loaded wherever the scene is served. */
export const routedIn = ({ baseline, rules, whitelist }: SceneTraffic): Set<string> =>
  routedVersions(rules, baseline, Object.keys(whitelist?.byVersion ?? {}))

/** The rules with members changed; undefined takes one away. */
export function withRules(rules: RulesRecord, changes: { readonly [K in keyof RulesRecord]?: RulesRecord[K] | undefined }): RulesRecord {
  const members = Object.entries({ ...rules, ...changes }).filter(([, value]) => value !== undefined)
  return Object.fromEntries(members) as RulesRecord
}

// The parts of versions

/** A version among those that are online. */
function broughtOnline(traffic: SceneTraffic, version: string): SceneTraffic {
  return traffic.online.includes(version) ? traffic : { ...traffic, online: [...traffic.online, version].sort(byOrdinal) }
}

/**
 * The next step of a version: from dev to the cutover, more of the cutover, from the cutover to the baseline.
 * @throws VERSION_OFFLINE; PROMOTION_REFUSED when another version has the cutover, or for a cutover to the baseline
 */
export function promote(
  before: SceneTraffic,
  version: string,
  wanted: { readonly to?: 'cutover' | 'baseline' | undefined; readonly share?: number | undefined },
  salt: string,
): Planned<Placed> {
  const cutsOver = before.rules.cutover?.version === version
  const to = wanted.to ?? (cutsOver && wanted.share === undefined ? 'baseline' : 'cutover')
  requireCutover(to, wanted.share)
  return to === 'baseline' ? makeBaseline(before, version) : cutOver(before, version, wanted.share, salt)
}

/** Makes a version the baseline, and the baseline that which a rollback goes back to. @throws VERSION_OFFLINE */
export function makeBaseline(before: SceneTraffic, version: string): Planned<Placed> {
  requireOnline(before, version, 'make the baseline of')
  if (before.baseline === version) return placed(before, before, version, 'set baseline')
  const { cutover, loadtest } = before.rules
  const rules = withRules(before.rules, {
    previousBaseline: before.baseline ?? undefined,
    cutover: cutover?.version === version ? undefined : cutover,
    loadtest: loadtest === version ? undefined : loadtest,
  })
  return { ...placed(before, { ...before, baseline: version, rules }, version, 'set baseline'), load: [version] }
}

/**
 * Gives a version a share of the traffic, or another share.
 * @param share undefined: what it has, or 1%
 * @param salt for a version that has none yet; what one has keeps its units
 * @throws VERSION_OFFLINE, PROMOTION_REFUSED
 */
function cutOver(before: SceneTraffic, version: string, share: number | undefined, salt: string): Planned<Placed> {
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
  return placed(before, { ...before, rules: changed }, version, cutover === undefined ? 'cut over' : 'ramp cutover')
}

/**
 * Brings a version online, maybe a new one, and gives it its part.
 * @param whitelist afterwards, when unit ids are sent to it
 * @throws PROMOTION_REFUSED
 */
export function placeVersion(
  before: SceneTraffic,
  made: { readonly version: VersionRecord; readonly isNew: boolean; readonly whitelist: WhitelistEntry | undefined },
  part: Part,
  salt: string,
): Planned<PlacedVersion> {
  const { version, isNew, whitelist = before.whitelist } = made
  const planned = takePart(broughtOnline({ ...before, whitelist }, version.id), version.id, part, salt)
  const switched = planned.traffic.baseline !== before.baseline
  const units = part.whitelist.length > AUDITED_MAX ? part.whitelist.length : part.whitelist
  const listed = part.whitelist.length > 0 ? { whitelist: units } : {}
  return {
    ...planned,
    ...(isNew && !switched ? { action: 'create version', before: null, after: { ...version, ...part, ...listed } } : {}),
    ...(isNew && switched ? { after: { ...stateOf(planned.traffic, version.id), created: version, ...listed } } : {}),
    ...(isNew ? { created: version } : {}),
    ...(part.as === undefined ? {} : { load: [version.id] }),
    told: { ...planned.told, record: version, created: isNew, switched },
  }
}

function takePart(before: SceneTraffic, version: string, { as, share }: Part, salt: string): Planned<Placed> {
  requireCutover(as, share)
  if (as === 'baseline') return makeBaseline(before, version)
  if (as === 'cutover') return cutOver(before, version, share, salt)
  const traffic = as === 'loadtest' ? sendLoadTests(before, version).traffic : before
  return placed(before, traffic, version, 'bring version online')
}

/** Sends load tests to a version; undefined: to the baseline. @throws VERSION_OFFLINE */
export function sendLoadTests(before: SceneTraffic, version: string | undefined): Planned<{ readonly loadtest: string | null }> {
  if (version !== undefined) requireOnline(before, version, 'send load tests to')
  return {
    traffic: { ...before, rules: withRules(before.rules, { loadtest: version }) },
    action: 'set load-test version',
    before: { loadtest: before.rules.loadtest ?? null },
    after: { loadtest: version ?? null },
    told: { loadtest: version ?? null },
  }
}

/**
 * Ends the cutover when there is one, else goes back to the previous baseline, which stays loaded for it. What it went away from is the previous
 * baseline then.
 * @throws NOTHING_TO_ROLL_BACK
 */
export function rollBack(before: SceneTraffic): Planned<Placed> {
  const { definition, baseline, rules } = before
  const { cutover, previousBaseline } = rules
  if (cutover !== undefined) {
    return placed(before, { ...before, rules: withRules(rules, { cutover: undefined }) }, baseline ?? cutover.version, 'roll back')
  }
  if (previousBaseline === undefined || baseline === null) {
    const message = `Cannot roll back scene "${definition.id}": there is no cutover to end, and no previous baseline that is online`
    throw new BerthError('NOTHING_TO_ROLL_BACK', message)
  }
  const changed = withRules(rules, { previousBaseline: baseline })
  return placed(before, { ...before, baseline: previousBaseline, rules: changed }, previousBaseline, 'roll back')
}

/** @throws VERSION_IN_USE */
export function takeOffline(before: SceneTraffic, version: string): Planned<Placed> {
  const { definition, baseline, rules, whitelist, online } = before
  checkOffline(version, rules, { definition, versions: online, baseline, listed: whitelist?.byVersion ?? {} })
  const isPrevious = rules.previousBaseline === version
  const after = {
    ...before,
    online: online.filter(id => id !== version),
    rules: isPrevious ? withRules(rules, { previousBaseline: undefined }) : rules,
  }
  const warnings = isPrevious ? [`"${version}" was the previous baseline: there is none to roll back to now`] : []
  return placed(before, after, version, 'take version offline', warnings)
}

/** @throws VERSIONS_TOO_MANY when it is checked */
export function bringOnline(before: SceneTraffic, version: string): Planned<Placed> {
  return { ...placed(before, broughtOnline(before, version), version, 'bring version online'), load: [version] }
}

function placed(
  before: SceneTraffic,
  traffic: SceneTraffic,
  version: string,
  action: string,
  warnings: readonly string[] = [],
): Planned<Placed> {
  const moves = before.baseline === traffic.baseline && (before.rules.cutover ?? traffic.rules.cutover) !== undefined
  return {
    traffic,
    action,
    before: stateOf(before, version),
    after: stateOf(traffic, version),
    told: {
      version,
      kind: kindOf(version, traffic.baseline, traffic.rules),
      cutover: cutoverOf(traffic),
      previousBaseline: traffic.rules.previousBaseline ?? null,
      ...(moves ? { moved: cutoverMovement(before.rules.cutover, traffic.rules.cutover, traffic.rules.experiments) } : {}),
      warnings,
    },
  }
}

/** @throws REQUEST_INVALID for a share of something else */
function requireCutover(part: VersionKind | undefined, share: number | undefined): void {
  if (share === undefined || part === 'cutover') return
  throw new BerthError('REQUEST_INVALID', 'Cannot take the body of the request: /share is for a cutover, and this is none')
}

/** What the audit log keeps of a change of parts. */
const stateOf = (traffic: SceneTraffic, version: string) => ({
  baseline: traffic.baseline,
  cutover: cutoverOf(traffic),
  version,
  online: traffic.online.includes(version),
})

function cutoverOf({ rules: { cutover } }: SceneTraffic): Placed['cutover'] {
  return cutover === undefined ? null : { version: cutover.version, share: cutover.share }
}

function requireOnline(traffic: SceneTraffic, version: string, what: string): void {
  if (!traffic.online.includes(version)) throw offline(traffic, version, what)
}

function offline({ definition, online }: SceneTraffic, version: string, what: string): BerthError {
  const known = online.slice(-10).join(', ') || 'none'
  const message = `Cannot ${what} version "${version}" of scene "${definition.id}": it is not online (online: ${known})`
  return new BerthError('VERSION_OFFLINE', message, { extra: { version, online } })
}

/** `v10` after `v9`. */
export const byOrdinal = (a: string, b: string): number => Number(a.slice(1)) - Number(b.slice(1))
