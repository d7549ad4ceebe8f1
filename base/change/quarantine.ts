/** Versions are put into quarantine here, and let out of it. What newly sends requests to a version in quarantine is refused. Pure. */
import type { ScenePayloads } from '../contract/change-api.ts'
import type { VersionQuarantine } from '../contract/version-api.ts'
import type { BerthError } from '../kernel/errors.ts'
import { describeQuarantine, liftAdvice, quarantineError } from '../traffic/quarantine-words.ts'
import { isQuarantined } from '../traffic/rules.ts'
import { type Next, type SceneState, withRules } from './scene-state.ts'

/** What a quarantine changed. */
export interface QuarantineOutcome {
  readonly version: string
  /** Why the version is in quarantine; of a lift: why it was, and null when it was not. */
  readonly quarantine: VersionQuarantine | null
}

/** Puts a version into quarantine. One that is in quarantine already stays there for the reason it had. */
export function quarantineVersion(
  before: SceneState,
  { version, why, evidence }: ScenePayloads['quarantine version'],
  { since }: { readonly since: string },
): Next<QuarantineOutcome> {
  const known = before.rules.quarantined?.[version]
  const quarantine = known ?? { since, why, evidence: [...evidence] }
  const rules =
    known === undefined ? withRules(before.rules, { quarantined: { ...before.rules.quarantined, [version]: quarantine } }) : before.rules
  const outcome = { version, quarantine }
  return { scene: { ...before, rules }, action: 'quarantine version', before: null, after: outcome, outcome }
}

/** Lets a version have requests again. */
export function liftQuarantine(before: SceneState, version: string): Next<QuarantineOutcome> {
  const { [version]: quarantine = null, ...others } = before.rules.quarantined ?? {}
  const rules = withRules(before.rules, { quarantined: Object.keys(others).length === 0 ? undefined : others })
  const outcome = { version, quarantine }
  return { scene: { ...before, rules }, action: 'lift quarantine', before: outcome, after: null, outcome }
}

/**
 * Checks that a change sends no more requests to a version in quarantine than before.
 * @throws VERSION_QUARANTINED
 */
export function checkQuarantine(before: SceneState | undefined, after: SceneState): void {
  for (const [version, why] of Object.entries(after.rules.quarantined ?? {})) {
    const had = before === undefined ? new Map<string, number>() : sendersTo(before, version)
    const sendsMore = [...sendersTo(after, version)].some(([sender, amount]) => amount > (had.get(sender) ?? -1))
    if (sendsMore) throw refusal(after, version, why)
  }
}

/** Checks that the version is not in quarantine. @throws VERSION_QUARANTINED */
export function requireTrusted(scene: SceneState, version: string): void {
  const why = scene.rules.quarantined?.[version]
  if (why !== undefined) throw refusal(scene, version, why)
}

function refusal({ definition: { id } }: SceneState, version: string, why: VersionQuarantine): BerthError {
  const message = `Cannot send requests of scene "${id}" to version "${version}": it is ${describeQuarantine(why)}; ${liftAdvice(id, version)}`
  return quarantineError(message)
}

/** What sends requests to the version, with how many: the share of a cutover or an arm, or the number of unit ids. */
function sendersTo({ baseline, rules, whitelist }: SceneState, version: string): Map<string, number> {
  const { cutover, loadtest, experiments } = rules
  const running = experiments.filter(({ state }) => state === 'running')
  const arms = running.flatMap(({ id, arms }) => arms.map(arm => [`${id} ${arm.name}`, arm.version === version ? arm.share : -1] as const))
  return new Map([
    ['baseline', baseline === version ? 1 : -1],
    ['cutover', cutover?.version === version ? cutover.share : -1],
    ['loadtest', loadtest === version ? 1 : -1],
    ['whitelist', whitelist?.byVersion[version] ?? -1],
    ...arms,
  ])
}

/** The version to which a rollback goes once `version` is the baseline: never one in quarantine, as long as there is another. */
export function nextPrevious({ baseline, rules }: SceneState, version: string): string | undefined {
  const { previousBaseline } = rules
  const isOfNoUse = baseline !== null && isQuarantined(rules, baseline)
  return isOfNoUse && previousBaseline !== undefined && previousBaseline !== version ? previousBaseline : (baseline ?? undefined)
}
