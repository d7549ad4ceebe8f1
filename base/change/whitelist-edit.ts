/** Changes of a whitelist. A unit id is sent to one version; to name it for another version moves it there. Pure. */
import type { ScenePayloads } from '../contract/change-api.ts'
import type { Applied } from '../contract/common-api.ts'
import type { WhitelistChange } from '../contract/whitelist-api.ts'
import { limits } from '../kernel/limits.ts'
import type { Whitelist } from '../traffic/rules.ts'
import type { WhitelistEntry } from '../traffic/table.ts'
import { checkWhitelist, indexWhitelist, unitField } from '../traffic/whitelist.ts'

/** How many unit ids an edit changed. An id that was already as asked counts nowhere. */
export type WhitelistCounts = Omit<WhitelistChange, keyof Applied | 'whitelist'>

/**
 * @returns the whitelist afterwards
 * @throws WHITELIST_INVALID
 */
export function editWhitelist(before: Whitelist, add: Whitelist, remove: readonly string[] = []): Whitelist {
  checkWhitelist(add)
  const versions = new Map(indexWhitelist(before))
  const added = indexWhitelist(add)
  // A unit id that is added too stays where it is in the order, so that the same edit twice makes the same whitelist.
  for (const unit of remove) if (!added.has(unit)) versions.delete(unit)
  for (const [unit, version] of added) versions.set(unit, version)
  const after = byVersion(versions)
  // Neither the added ids nor those before have a fault, but together they may be too many.
  if (versions.size > limits.scene.whitelistUnitsMax) checkWhitelist(after)
  return after
}

/**
 * The whitelist with all unit ids of one version replaced. Ids that another version had move to this one.
 * @throws WHITELIST_INVALID
 */
export function replaceVersion(before: Whitelist, version: string, units: readonly string[]): Whitelist {
  const { [version]: _, ...others } = before
  return editWhitelist(others, { [version]: [...units] })
}

/** Versions are in their order, unit ids in the order in which they came. */
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

/** The whitelist as a file that `parseWhitelist` reads. */
export const whitelistText = (whitelist: Whitelist): string =>
  Object.entries(whitelist)
    .flatMap(([version, units]) => units.map(unit => `${unitField(unit)}\t${version}\n`))
    .join('')

/** How many unit ids of one change the audit log keeps. Of a change with more, it keeps only their number. */
const AUDITED_UNITS_MAX = 20

type WhitelistEdit = ScenePayloads['edit whitelist']
type Units = NonNullable<WhitelistEdit['remove']>

/** Unit ids as the audit log keeps them. */
export const auditedUnits = (units: Units): Units => (countOf(units) <= AUDITED_UNITS_MAX ? units : countOf(units))

/** An edit as the audit log keeps it: either all of its unit ids or only how many there are. */
export function auditedEdit({ add = {}, remove = [] }: WhitelistEdit): WhitelistEdit {
  const few = Object.values(add).reduce((sum: number, units) => sum + countOf(units), countOf(remove)) <= AUDITED_UNITS_MAX
  return few ? { add, remove } : { add: countUnits(add), remove: countOf(remove) }
}

export const countUnits = (units: Readonly<Record<string, Units>>): Record<string, number> =>
  Object.fromEntries(Object.entries(units).map(([version, ids]) => [version, countOf(ids)]))

const countOf = (units: Units): number => (typeof units === 'number' ? units : units.length)
