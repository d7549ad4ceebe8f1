/** Compares what was seen of a case with what is promised, and with what was seen when the table was last saved. */
import { type Code, digestOf, type NamedCase } from './case.ts'
import { isMemoryBack, type Observed } from './run.ts'

const LATE_MS_MAX = 100
const GAP_MS_MAX = 1000
const COMMIT_MS_MAX = 1000
/** Cells that a version which turns bad may cost before it is kept from loading. */
const TURNED_BAD_CELLS_MAX = 2
/** Cells that a base of two may have at once: each seat has one that leaves, and one that takes its place. */
const CELLS_AT_ONCE_MAX = 4

export interface Judging {
  /** Whether times are judged. A test does not, since its machine may be busy. */
  readonly isTimed: boolean
}

/** What is not as promised, in words. */
export function faultsOf(each: NamedCase, seen: Observed, { isTimed }: Judging): string[] {
  const faults: string[] = []
  const unexpected = Object.keys(seen.codes).filter(code => !each.sees.includes(code as Code))
  if (unexpected.length > 0) faults.push(`the caller saw ${unexpected.join(', ')} instead of ${each.sees.join(' or ')}: ${seen.detail}`)
  const ok = seen.codes.OK ?? 0
  if (ok < (each.okMin ?? 0)) faults.push(`${ok} of its requests were answered, fewer than ${each.okMin}: ${seen.detail}`)
  if (seen.wrong !== undefined) faults.push(`the caller got ${JSON.stringify(seen.wrong)} instead of ${JSON.stringify(each.answer)}`)
  for (const [where, { failures }] of [['the same', seen.same] as const, ['the other', seen.other] as const]) {
    if (failures.length > 0) faults.push(`a neighbour in ${where} cell lost ${failures.length} requests: ${failures[0]}`)
  }
  const lostMax = each.turnsBad ? TURNED_BAD_CELLS_MAX : 1
  if (seen.cellsLost > (each.mayCostCell ? lostMax : 0)) faults.push(`it cost ${seen.cellsLost} cells`)
  if ((seen.cellsMost ?? 0) > CELLS_AT_ONCE_MAX) faults.push(`there were ${seen.cellsMost} cells at once`)
  if (!seen.isIdle) faults.push('it burns on')
  if (!isMemoryBack(seen, each.limits.memoryMB)) {
    const { before, after } = seen.memoryMB
    faults.push(`its cell has ${Math.round(after)} MB, after ${Math.round(before)} before`)
  }
  return isTimed ? [...faults, ...delaysOf(seen)] : faults
}

/** A busy machine makes everything late: what a probe of the other cell had to wait is not the fault of the case. */
function delaysOf({ lateMs = 0, gapMs = 0, commitMs = 0, other }: Observed): string[] {
  const faults: string[] = []
  if (lateMs > LATE_MS_MAX + other.worstMs) faults.push(`it was answered ${Math.round(lateMs)} ms after its deadline`)
  if (gapMs > GAP_MS_MAX + other.worstMs) faults.push(`its scene did not answer for ${Math.round(gapMs)} ms`)
  if (commitMs > COMMIT_MS_MAX + other.worstMs) faults.push(`a change of another scene took ${Math.round(commitMs)} ms`)
  return faults
}

/** What is saved of each case: it is the same on every machine, unless the base, V8 or isolated-vm has changed. */
export interface Saved {
  /** Of what the case does and expects. */
  readonly digest: string
  readonly codes: readonly string[]
  readonly cell: 'kept' | 'replaced'
}

export function savedOf(each: NamedCase, { codes, cellsLost }: Observed): Saved {
  return { digest: digestOf(each), codes: Object.keys(codes).sort(), cell: cellsLost > 0 ? 'replaced' : 'kept' }
}

/** How a case differs from what was saved, in words; undefined when it does not, or when it is new or has changed itself. */
export function changeOf(saved: Saved | undefined, now: Saved): string | undefined {
  if (saved === undefined || saved.digest !== now.digest) return undefined
  const [before, after] = [saved, now].map(({ codes, cell }) => `${codes.join(', ')}, cell ${cell}`)
  return before === after ? undefined : `was ${before}; is ${after}`
}
