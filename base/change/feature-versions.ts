/** What changes of feature tables make of one. Pure, as all of `base/change`. */
import type { TableVersion } from '../contract/feature-api.ts'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { TableFacts } from '../kernel/table-facts.ts'
import type { FeaturesRecord } from './records.ts'

/** The version in force. */
export function versionInForce({ inForce, versions }: FeaturesRecord): TableVersion {
  return versionOf(versions, inForce) ?? missing(inForce)
}

/** @returns the table with a version that was just uploaded in force; undefined when it is in force already */
export function withVersion(before: FeaturesRecord | undefined, version: TableVersion): FeaturesRecord | undefined {
  const { digest, format, at: since, by } = version
  if (before === undefined) return { inForce: digest, since, by, versions: [version] }
  const current = versionInForce(before)
  if (current.digest === digest && current.format === format) return undefined
  // After a rollback the version in force is not the first. It is what a rollback of the new version goes back to.
  const others = [current, ...before.versions.filter(({ digest }) => digest !== current.digest)].filter(other => other.digest !== digest)
  return { inForce: digest, since, by, versions: [version, ...others].slice(0, limits.features.versionsMax) }
}

/**
 * The version to which a rollback goes. Without `to` it goes from the newest version to the one before: when the newest is not in force, that
 * has been done already, so that the same rollback twice goes back once.
 * @throws TABLE_NOT_FOUND when no such version is kept
 */
export function rollbackTarget(table: string, { inForce, versions }: FeaturesRecord, to: string | undefined): TableVersion {
  const [newest, previous] = versions
  const isDone = newest?.digest !== inForce
  const target = to === undefined ? (isDone ? versionOf(versions, inForce) : previous) : versionOf(versions, to)
  if (target !== undefined) return target
  const action = `Cannot roll back feature table "${table}"`
  const kept = versions.map(({ digest }) => digest.slice(0, 12)).join(', ')
  const why = to === undefined ? 'it has no version before the one in force' : `version ${to.slice(0, 12)} is not kept; there are ${kept}`
  throw new BerthError('TABLE_NOT_FOUND', `${action}: ${why}`)
}

/** A table of less than this part of the rows that there were has probably lost some. */
const ROWS_SHARE_MIN = 0.5
const NAMED_MAX = 10

/** What about a new table may not be meant, in words that complete "it …". */
export function concernsOf(before: TableFacts | undefined, after: TableFacts): string[] {
  if (before === undefined) return []
  const isShort = after.rows < before.rows * ROWS_SHARE_MIN
  const lost = before.columns.filter(name => !after.columns.includes(name))
  // A table without rows lacks every column, which its number of rows says.
  const isNarrow = lost.length > 0 && after.rows > 0 && after.columns.length < limits.features.columnsMax
  const names = lost.slice(0, NAMED_MAX).join(', ') + (lost.length > NAMED_MAX ? ` and ${lost.length - NAMED_MAX} more` : '')
  return [
    ...(isShort ? [`has ${rowsInWords(after.rows)} where there were ${before.rows.toLocaleString('en')}`] : []),
    ...(isNarrow ? [`lacks the ${lost.length === 1 ? 'column' : 'columns'} ${names}`] : []),
  ]
}

const rowsInWords = (rows: number): string => `${rows.toLocaleString('en')} ${rows === 1 ? 'row' : 'rows'}`

const versionOf = (versions: readonly TableVersion[], digest: string): TableVersion | undefined =>
  versions.find(version => version.digest === digest)

function missing(digest: string): never {
  throw new Error(`version ${digest} is in force and not kept`)
}
