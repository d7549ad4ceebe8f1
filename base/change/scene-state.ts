/**
 * Everything that is kept of a scene, and what must hold of it after every change. All of it is pure. Changes are worked out in this
 * folder; `keeper/driver` has the cells load what they need, keeps them, and puts them in force.
 */
import { hash } from 'node:crypto'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { checkRules } from '../traffic/check-rules.ts'
import { routedVersions, usesInstead, usesOfVersion } from '../traffic/rules.ts'
import type { SceneDefinition, VersionRecord } from '../traffic/schema.ts'
import type { WhitelistEntry } from '../traffic/table.ts'
import type { RulesRecord } from './records.ts'

/** Everything that decides who answers in a scene. The versions themselves never change and are kept beside it. */
export interface SceneState {
  readonly definition: SceneDefinition
  /** Id of the version that answers when no rule says otherwise; null until the first. */
  readonly baseline: string | null
  readonly rules: RulesRecord
  /** Undefined before the scene has had any. */
  readonly whitelist: WhitelistEntry | undefined
  /** Ids of the versions that are online, oldest first. */
  readonly online: readonly string[]
}

/** The records that a scene is kept in; a write may expect each of them to be at a revision. */
export type SceneRecordKind = 'scene' | 'rules' | 'whitelist'

/** A scene as the store has it. */
export interface KeptScene extends SceneState {
  /** The revision of each record; 0 for one that is not there yet. */
  readonly revisions: Readonly<Record<SceneRecordKind, number>>
}

/** A change that was worked out and is not kept yet. */
export interface Next<Outcome> {
  /** The scene as it would be. */
  readonly scene: SceneState
  /** What happens, as a verb and a noun for people who read the audit log. */
  readonly action: string
  /** The part of the scene that the change is about, as it was and as it will be: JSON, for people and for going back. */
  readonly before: unknown
  readonly after: unknown
  /** The answer to whoever asked for the change. */
  readonly outcome: Outcome
  /** A version that is kept with the change. */
  readonly created?: VersionRecord
  /** What is deleted with the change, besides what `scene` lacks. */
  readonly deletes?: Deletes
  /** Versions that every cell must have loaded first, besides those that the rules begin to send requests to. */
  readonly load?: readonly string[]
}

export interface Deletes {
  /** Whether everything of the scene goes; `scene` is then as it was before. */
  readonly scene?: true
  /** Ids of versions, and the highest number that one has had. */
  readonly versions?: readonly string[]
  readonly lastVersion?: number
  /** What is remembered as deleted; only a free name may be given to something else. */
  readonly names?: readonly { readonly what: 'experiment' | 'layer'; readonly id: string; readonly isFree: boolean }[]
}

/**
 * Checks a scene as it would be after a change.
 * @returns it, with the defaults of its rules filled in
 * @throws as `checkRules`; VERSION_OFFLINE, VERSIONS_TOO_MANY
 */
export function checkScene(before: SceneState | undefined, after: SceneState): SceneState {
  const { definition, baseline, online, whitelist } = after
  const rules = checkRules(after.rules, { definition, versions: online, baseline })
  const unlisted = Object.keys(whitelist?.byVersion ?? {}).find(version => !online.includes(version))
  if (unlisted !== undefined) throw offline(after, unlisted, 'send units of the whitelist to')
  if (online.length > Math.max(limits.scene.onlineVersionsMax, before?.online.length ?? 0)) throw tooMany(after)
  return { ...after, rules }
}

function tooMany(scene: SceneState): BerthError {
  const { definition, online } = scene
  const unused = online.slice(0, -1).filter(version => usesOf(scene, version).length === 0)
  const names = unused.slice(0, 5).join(', ')
  const hint = names === '' ? `each is used, such as ${usedInWords(scene)}` : `those that no rule uses were called a moment ago: ${names}`
  const message = `Cannot bring one more version of scene "${definition.id}" online: ${limits.scene.onlineVersionsMax} are, ${hint}`
  return new BerthError('VERSIONS_TOO_MANY', message, { extra: { unused: unused.slice(0, 5) } })
}

/** The first few versions that are online, each with the first of its uses. */
const usedInWords = (scene: SceneState): string =>
  scene.online
    .slice(0, 3)
    .map(version => `"${version}" by ${usesOf(scene, version)[0]}`)
    .join(', ')

/** Everything that a version is used for, in words. */
export function usesOf({ baseline, rules, whitelist }: SceneState, version: string): string[] {
  return [
    ...(version === baseline ? ['the baseline'] : []),
    ...usesInstead(rules, baseline, version),
    ...usesOfVersion(rules, version, whitelist?.byVersion[version] ?? 0),
    ...(version === rules.previousBaseline ? ['going back to it as the baseline'] : []),
  ]
}

/** The versions that have to be loaded wherever the scene is served. */
export const routedIn = ({ baseline, rules, whitelist }: SceneState): Set<string> =>
  routedVersions(rules, baseline, Object.keys(whitelist?.byVersion ?? {}))

/** The rules with some members changed; undefined takes a member away. */
export function withRules(rules: RulesRecord, changes: { readonly [K in keyof RulesRecord]?: RulesRecord[K] | undefined }): RulesRecord {
  const members = Object.entries({ ...rules, ...changes }).filter(([, value]) => value !== undefined)
  return Object.fromEntries(members) as RulesRecord
}

/** The scene with a version among those that are online. */
export function broughtOnline(scene: SceneState, version: string): SceneState {
  return scene.online.includes(version) ? scene : { ...scene, online: [...scene.online, version].sort(byOrdinal) }
}

/** @throws VERSION_OFFLINE */
export function requireOnline(scene: SceneState, version: string, what: string): void {
  if (!scene.online.includes(version)) throw offline(scene, version, what)
}

function offline({ definition, online }: SceneState, version: string, what: string): BerthError {
  const known = online.slice(-10).join(', ') || 'none'
  const message = `Cannot ${what} version "${version}" of scene "${definition.id}": it is not online (online: ${known})`
  return new BerthError('VERSION_OFFLINE', message, { extra: { version, online } })
}

/** Orders ids of versions by their number: `v10` comes after `v9`. */
export const byOrdinal = (a: string, b: string): number => Number(a.slice(1)) - Number(b.slice(1))

/**
 * The salt of the segments of a scene. It follows from the id for ever, since another one would reshuffle every experiment of the scene.
 */
export const segmentSalt = (scene: string): string => hash('sha256', `segments of ${scene}`, 'hex').slice(0, 16)
