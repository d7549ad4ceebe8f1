/**
 * The scene table: everything a cell needs to serve, numbered by the store revision it was built from and never changed.
 * A cell holds one snapshot per request; a new table replaces the old one in a single assignment.
 */
import type { SceneRules } from './rules.ts'
import type { Lock, LockedModule, LockedStage, Right, SceneDefinition } from './schema.ts'

export const TABLE_FORMAT = 1

export interface SceneTable {
  readonly format: typeof TABLE_FORMAT
  /** Revision of the store this table was built from; a higher one is newer. */
  readonly revision: number
  readonly scenes: readonly SceneEntry[]
  readonly tokens: readonly TokenEntry[]
}

export interface SceneEntry {
  /** Of the last change to anything that is in it: entries of one scene with the same revision are the same. */
  readonly revision: number
  readonly definition: SceneDefinition
  /** Id of the version that answers when no rule says otherwise; null until the first is made. */
  readonly baseline: string | null
  /** Those that are online. */
  readonly versions: readonly VersionEntry[]
  /** Checked by `checkRules`, and of that what is in force; absent while the baseline answers everyone. */
  readonly rules?: SceneRules
  /** Beside the rules, because of its size. */
  readonly whitelist?: WhitelistEntry
}

/** A whitelist is a blob, JSON of unit ids by the version that they are sent to: neither tables nor commits carry it. */
export interface WhitelistEntry {
  readonly digest: string
  /** How many unit ids it has, in all and by version; versions that have none are not there. */
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

/** What it takes to load one slot. Two plans with the same `key` make the same slot. */
export interface SlotPlan {
  readonly key: string
  readonly scene: string
  readonly version: string
  readonly memoryMB: number
  readonly lock: Lock
}

export function slotPlan(definition: SceneDefinition, version: VersionEntry): SlotPlan {
  const { memoryMB } = definition.traffic.spec
  return { key: `${definition.id}/${version.id}@${memoryMB}`, scene: definition.id, version: version.id, memoryMB, lock: version.lock }
}

/** Every module of a stage, in the order it is bound: those that run, then the one that merges, then the one that stands in. */
export function stageModules({ modules, merge, fallback }: LockedStage): LockedModule[] {
  const stand = fallback !== undefined && 'module' in fallback ? [fallback.module] : []
  return [...modules, ...(typeof merge === 'object' ? [merge] : []), ...stand]
}

export const lockedModules = (lock: Lock): LockedModule[] => lock.flatMap(stageModules)

/** Every base service that a module of the lock uses, once. */
export const lockedServices = (lock: Lock): Set<string> => new Set(lockedModules(lock).flatMap(({ services }) => services ?? []))

/** Every host that a module of the lock may fetch from, once: the modules of a group share one realm, so they share these. */
export const lockedHosts = (lock: Lock): Set<string> => new Set(lockedModules(lock).flatMap(({ fetch }) => fetch ?? []))

export const emptyTable: SceneTable = { format: TABLE_FORMAT, revision: 0, scenes: [], tokens: [] }
