/** What a base keeps: the kinds of entries in its store, and their keys. They are part of the format of a data folder. */
import type { LostCell } from '../contract/change-api.ts'
import type { TableVersion } from '../contract/feature-api.ts'
import type { SceneRules } from '../traffic/rules.ts'
import type { ModuleManifest, Right, SceneDefinition, VersionRecord } from '../traffic/schema.ts'
import type { WhitelistEntry } from '../traffic/table.ts'

export interface Records {
  /** The key is `name@version`. Written when it is published, and once more when it first becomes part of a baseline. */
  readonly module: ModuleRecord
  /** The key is the id of the scene. */
  readonly scene: SceneRecord
  /** The key is `scene/version`. Written once. */
  readonly version: VersionRecord
  /**
   * The key is `scene/version`; the entry exists while the version is online. It is apart from the version, which never changes, and from the rules,
   * which other people change.
   */
  readonly online: OnlineRecord
  /** The key is the id of the scene; there is no entry until the first rule. */
  readonly rules: RulesRecord
  /** The key is the id of the scene. It is apart from the rules because its unit ids are in a blob. */
  readonly whitelist: WhitelistEntry
  /** A cell that was lost of late. The key is `at pid`, by which it is known again when it is reported twice. */
  readonly loss: LostCell
  /** The key is the name of the table; there is an entry while a table of this name is uploaded. */
  readonly features: FeaturesRecord
  /** The key is the id of the token. */
  readonly token: TokenRecord
  /** What was deleted; see `deletedKey`. Neither a version of a module nor a number of a version of a scene ever comes to mean something else. */
  readonly deleted: DeletedRecord
}

export interface ModuleRecord extends ModuleManifest {
  /** ISO 8601, UTC. */
  readonly publishedAt: string
  /** Id of the token that published it. */
  readonly publishedBy: string
  /** When a baseline of any scene first had it in its lock: ISO 8601, UTC. It is missing in records of earlier releases. */
  readonly firstBaselineAt?: string
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

/** Rules that have passed `checkRules`. */
export type RulesRecord = Omit<SceneRules, 'whitelist'>

/** An uploaded feature table. The files are blobs. */
export interface FeaturesRecord {
  /** Digest of the version in force, which is among `versions`. */
  readonly inForce: string
  /** When it came into force (ISO 8601, UTC), and the id of the token that did that. */
  readonly since: string
  readonly by: string
  /** What can be gone back to, in the order in which it was last in force, the newest first. Only after a rollback is that not the one in force. */
  readonly versions: readonly TableVersion[]
}

export interface TokenRecord {
  /** sha256 of the token, hex. */
  readonly hash: string
  readonly rights: Right[]
  readonly label: string
  readonly createdAt: string
  readonly createdBy: string
}

export interface DeletedRecord {
  /** ISO 8601, UTC. */
  readonly at: string
  /** Of a version of a module: what it was, and is when it is published again. */
  readonly manifest?: ModuleManifest
  /** Of a scene, also while it is there: the highest number that one of its versions has had. */
  readonly lastVersion?: number
  /** Of an experiment or a layer: whether the scene may have another with its id. */
  readonly isFree?: boolean
}

/** The key of what was deleted: `module rank@1.0.0`, `versions home`, `experiment home/exp-7`, `layer home/ui`. */
export const deletedKey = (what: 'module' | 'versions' | 'experiment' | 'layer', name: string): string => `${what} ${name}`

export const moduleKey = (name: string, version: string): string => `${name}@${version}`
export const versionKey = (scene: string, version: string): string => `${scene}/${version}`
