/** What a base keeps: the kinds of entries in its store, and their keys. They are part of the format of a data folder. */
import type { SceneRules } from '../traffic/rules.ts'
import type { ModuleManifest, Right, SceneDefinition, VersionRecord } from '../traffic/schema.ts'
import type { WhitelistEntry } from '../traffic/table.ts'

export interface Records {
  /** Keyed `name@version`. Written once. */
  readonly module: ModuleRecord
  /** Keyed by its id. */
  readonly scene: SceneRecord
  /** Keyed `scene/version`. Written once. */
  readonly version: VersionRecord
  /** Keyed `scene/version`, there while the version is online. Apart from the version, which never changes, and from the rules, which others change. */
  readonly online: OnlineRecord
  /** Keyed by the scene; none until the first rule. */
  readonly rules: RulesRecord
  /** Keyed by the scene. Apart from the rules: its unit ids are in a blob. */
  readonly whitelist: WhitelistEntry
  /** Keyed by its id. */
  readonly token: TokenRecord
}

export interface ModuleRecord extends ModuleManifest {
  /** ISO 8601, UTC. */
  readonly publishedAt: string
  /** Id of the token. */
  readonly publishedBy: string
}

export interface SceneRecord {
  readonly definition: SceneDefinition
  /** Id of the version that answers when no rule says otherwise; null until the first. */
  readonly baseline: string | null
}

export interface OnlineRecord {
  /** ISO 8601, UTC. */
  readonly since: string
}

/** Passed by `checkRules`. */
export type RulesRecord = Omit<SceneRules, 'whitelist'>

export interface TokenRecord {
  /** sha256 of the token, hex. */
  readonly hash: string
  readonly rights: Right[]
  readonly label: string
  readonly createdAt: string
  readonly createdBy: string
}

export const moduleKey = (name: string, version: string): string => `${name}@${version}`
export const versionKey = (scene: string, version: string): string => `${scene}/${version}`
