/**
 * The scene table: everything that a cell needs to serve. It never changes; it is numbered by the revision of the store from which it was built.
 * A cell switches to a new table by a single assignment, and a request uses the table that it began with until its end.
 */
import { createHash } from 'node:crypto'
import type { TableSource } from '../kernel/table-facts.ts'
import type { SceneRules } from './rules.ts'
import type { Lock, LockedModule, LockedStage, Right, SceneDefinition, SceneSchemas } from './schema.ts'

export const TABLE_FORMAT = 1

export interface SceneTable {
  readonly format: typeof TABLE_FORMAT
  /** Revision of the store from which this table was built; a higher one is newer. */
  readonly revision: number
  readonly scenes: readonly SceneEntry[]
  readonly tokens: readonly TokenEntry[]
  /** The feature tables that were uploaded. Absent in tables that an older base has saved. */
  readonly features?: readonly TableSource[]
}

/** One scene in a table. */
export interface SceneEntry {
  /** Revision of the last change to any part of the entry: two entries of a scene with the same revision are equal. */
  readonly revision: number
  readonly definition: SceneDefinition
  /** Id of the version that answers when no rule says otherwise; null until the first is made. */
  readonly baseline: string | null
  /** The versions that are online. */
  readonly versions: readonly VersionEntry[]
  /** The rules in force, which have passed `checkRules`; absent while the baseline answers everyone. */
  readonly rules?: SceneRules
  /** The whitelist, apart from the rules because of its size. */
  readonly whitelist?: WhitelistEntry
}

/** A reference to a whitelist. The whitelist itself, JSON of unit ids by version, is a blob and is neither in tables nor in commits. */
export interface WhitelistEntry {
  readonly digest: string
  /** How many unit ids it has, in total and by version; a version that has none is left out. */
  readonly units: number
  readonly byVersion: Readonly<Record<string, number>>
}

export interface VersionEntry {
  readonly id: string
  readonly lock: Lock
}

export interface TokenEntry {
  readonly id: string
  /** sha256 of the token, hex: the token itself is never stored. */
  readonly hash: string
  readonly rights: readonly Right[]
}

/** Everything that is needed to load a slot. Plans with the same `key` lead to equal slots. */
export interface SlotPlan {
  readonly key: string
  readonly scene: string
  readonly version: string
  readonly memoryMB: number
  readonly lock: Lock
  /** What requests and answers of the scene have to fit. */
  readonly schemas?: SceneSchemas
}

const digestOf = (schemas: SceneSchemas): string => createHash('sha256').update(JSON.stringify(schemas)).digest('hex').slice(0, 16)

export function slotPlan(definition: SceneDefinition, version: VersionEntry): SlotPlan {
  const { id, schemas, traffic } = definition
  const { memoryMB } = traffic.spec
  const key = `${id}/${version.id}@${memoryMB}`
  const plan = { key, scene: id, version: version.id, memoryMB, lock: version.lock }
  return schemas === undefined ? plan : { ...plan, key: `${key}#${digestOf(schemas)}`, schemas }
}

/** Every module of a stage: those that run, in order, then the module that merges, then the fallback module. */
export function stageModules({ modules, merge, fallback }: LockedStage): LockedModule[] {
  const stand = fallback !== undefined && 'module' in fallback ? [fallback.module] : []
  return [...modules, ...(typeof merge === 'object' ? [merge] : []), ...stand]
}

export const lockedModules = (lock: Lock): LockedModule[] => lock.flatMap(stageModules)

/** Every base service that a module of the lock uses. */
export const lockedServices = (lock: Lock): Set<string> => new Set(lockedModules(lock).flatMap(({ services }) => services ?? []))

/** Every host that a module of the lock may fetch from. Modules of a group run in one realm, so they share all of these. */
export const lockedHosts = (lock: Lock): Set<string> => new Set(lockedModules(lock).flatMap(({ fetch }) => fetch ?? []))

export const emptyTable: SceneTable = { format: TABLE_FORMAT, revision: 0, scenes: [], tokens: [] }
