/** Changes of a whitelist, as `rules.ts`: a unit id is sent to one version, and naming it for another moves it there. */
import { limits } from '../kernel/limits.ts'
import type { Whitelist } from '../traffic/rules.ts'
import type { WhitelistEntry } from '../traffic/table.ts'
import { checkWhitelist, indexWhitelist } from '../traffic/whitelist.ts'
import { AUDITED_MAX } from './versions.ts'

export interface WhitelistEdit {
  readonly add?: Whitelist | undefined
  readonly remove?: readonly string[] | undefined
}

/** How many unit ids an edit changed; those named that were so already are in none. */
export interface WhitelistCounts {
  readonly added: number
  /** From another version, by that. */
  readonly moved: Readonly<Record<string, number>>
  readonly removed: number
}

/**
 * @returns the whitelist afterwards
 * @throws WHITELIST_INVALID
 */
export function editWhitelist(before: Whitelist, { add = {}, remove = [] }: WhitelistEdit): Whitelist {
  checkWhitelist(add)
  const versions = new Map(indexWhitelist(before))
  for (const unit of remove) versions.delete(unit)
  for (const [unit, version] of indexWhitelist(add)) versions.set(unit, version)
  const after = byVersion(versions)
  // What is added has no fault and the rest had none: they may be too many together.
  if (versions.size > limits.scene.whitelistUnitsMax) checkWhitelist(after)
  return after
}

/** The whitelist with all unit ids of one version replaced; those that another version had move. @throws WHITELIST_INVALID */
export function replaceVersion(before: Whitelist, version: string, units: readonly string[]): Whitelist {
  const { [version]: _, ...others } = before
  return editWhitelist(others, { add: { [version]: [...units] } })
}

/** Versions in their order, unit ids in that in which they came. */
function byVersion(versions: ReadonlyMap<string, string>): Whitelist {
  const groups = Map.groupBy(versions, ([, version]) => version)
  const sorted = [...groups].sort(([a], [b]) => Number(a.slice(1)) - Number(b.slice(1)))
  return Object.fromEntries(sorted.map(([version, entries]) => [version, entries.map(([unit]) => unit)]))
}

export function countChanges(before: Whitelist, after: Whitelist): WhitelistCounts {
  const [was, is] = [indexWhitelist(before), indexWhitelist(after)]
  const moved: Record<string, number> = {}
  let added = 0
  for (const [unit, version] of is) {
    const from = was.get(unit)
    if (from === undefined) added++
    else if (from !== version) moved[from] = (moved[from] ?? 0) + 1
  }
  let removed = 0
  for (const unit of was.keys()) if (!is.has(unit)) removed++
  return { added, moved, removed }
}

/** What tables and the store keep of a whitelist whose blob has this digest. */
export function whitelistEntry(digest: string, whitelist: Whitelist): WhitelistEntry {
  const counts = Object.entries(whitelist).flatMap(([version, units]): [string, number][] =>
    units.length === 0 ? [] : [[version, units.length]],
  )
  return { digest, units: counts.reduce((sum, [, count]) => sum + count, 0), byVersion: Object.fromEntries(counts) }
}

/** As a file that `parseWhitelist` reads. */
export const whitelistText = (whitelist: Whitelist): string =>
  Object.entries(whitelist)
    .flatMap(([version, units]) => units.map(unit => `${unit}\t${version}\n`))
    .join('')

/** What the audit log keeps of an edit: unit ids only when they are few. */
export function auditedEdit({ add = {}, remove = [] }: WhitelistEdit): object {
  const few = Object.values(add).reduce((sum, units) => sum + units.length, remove.length) <= AUDITED_MAX
  const counts = Object.fromEntries(Object.entries(add).map(([version, units]) => [version, units.length]))
  return few ? { add, remove } : { add: counts, remove: remove.length }
}
