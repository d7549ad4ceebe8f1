/** What the changes of a scene say about its past: which parameters it had, and which flip can be undone. Pure; rows come newest first. */
import { isDeepStrictEqual } from 'node:util'
import type { ParamsChange, PastFlip } from '../contract/change-api.ts'
import { BerthError } from '../kernel/errors.ts'
import type { AuditedChange, ChangeRow } from './change.ts'
import type { WayBack } from './parameters.ts'

type Rows = Iterable<AuditedChange>

/** Changes of parameters, newest first. Those that came with a definition of the scene are among them. */
export function* paramsHistory(rows: Rows): Generator<ParamsChange> {
  for (const row of rows) {
    if (row.kind === 'import scene') {
      yield* row.payload.params
      return
    }
    const changed = paramsIn(row)
    if (changed === undefined || isDeepStrictEqual(changed.before, changed.after)) continue
    const { revision, at, who, reason } = row
    yield { revision, at, who, ...(reason === undefined ? {} : { reason }), ...changed }
  }
}

type ChangeOfParams = Omit<ParamsChange, 'revision' | 'at' | 'who' | 'reason'>

function paramsIn(row: AuditedChange): ChangeOfParams | undefined {
  if (row.kind === 'define scene') {
    const { before, after } = row
    return { version: null, before: before?.params ?? {}, after: after.params, ...(before === null && { initial: true }) }
  }
  if (row.kind !== 'set params' && row.kind !== 'roll back params') return undefined
  const change = { version: row.payload.version, before: row.before?.params ?? {}, after: row.after.params }
  return row.kind === 'set params' ? change : { ...change, to: row.facts.target?.revision ?? 0 }
}

/**
 * Where a rollback of parameters leads. With `to` it is the change of that revision. Otherwise it is the change before the last one that is not
 * undone yet, so that the next rollback goes further back; with `from` only if that last one has this revision. When the change that `from` names
 * is undone already, nothing is left to do.
 * @param asked the revisions that the wish names
 * @throws NOTHING_TO_ROLL_BACK
 */
export function paramsToGoBackTo(
  scene: string,
  version: string | null,
  { from, to }: { readonly from?: number | undefined; readonly to?: number | undefined },
  history: Iterable<ParamsChange>,
): WayBack {
  const changes = Iterator.from(history).filter(change => change.version === version)
  const whose = version === null ? `scene "${scene}"` : `version "${version}" of scene "${scene}"`
  const refuse = (why: string) => new BerthError('NOTHING_TO_ROLL_BACK', `Cannot roll back the params of ${whose}: ${why}`)
  if (to !== undefined) return { target: changeAt(to, changes, refuse) }
  return from === undefined ? beforeLast(standing(changes), refuse) : before(from, changes.toArray(), refuse)
}

type Refuse = (why: string) => BerthError

/** @param stand the changes that are not undone */
function beforeLast(stand: Iterable<ParamsChange>, refuse: Refuse): WayBack {
  const [last, previous = null] = Iterator.from(stand).take(2)
  if (last === undefined) throw refuse('no change of them is left to undo')
  if (last.initial) throw refuse('they are as the scene was defined')
  return { target: previous, undoes: last }
}

function before(revision: number, changes: readonly ParamsChange[], refuse: Refuse): WayBack {
  const undoes = changeAt(revision, changes, refuse)
  const stand = [...standing(changes)]
  const [last = null] = stand
  if (last === undoes) return beforeLast(stand, refuse)
  if (undoes.to !== undefined) throw refuse(`revision ${revision} is a rollback itself; name where to go instead`)
  if (!stand.includes(undoes)) return { target: last, undoes, isDone: true }
  throw refuse(
    `the last change that is not undone is that of revision ${last?.revision}, and not that of ${revision}; name where to go instead`,
  )
}

/** The changes that no rollback has undone. */
function* standing(changes: Iterable<ParamsChange>): Generator<ParamsChange> {
  let upTo = Number.POSITIVE_INFINITY
  for (const change of changes) {
    if (change.revision > upTo) continue
    if (change.to === undefined) yield change
    else upTo = change.to
  }
}

function changeAt(revision: number, changes: Iterable<ParamsChange>, refuse: Refuse): ParamsChange {
  const others: number[] = []
  for (const change of changes) {
    if (change.revision === revision) return change
    others.push(change.revision)
  }
  throw refuse(`they did not change at revision ${revision}; they did at ${others.slice(0, 10).join(', ') || 'none'}`)
}

/** A flip that is to be undone. */
interface FlipToUndo {
  readonly flip: PastFlip
  /** Whether it is undone already, so that nothing is left to do. */
  readonly isDone?: true
}

/**
 * The last flip of an experiment that was not undone yet, or the one of a revision.
 * @throws NOTHING_TO_ROLL_BACK when it was never flipped, or all flips are undone; for a revision at which it was not flipped, or when a later
 * flip stands
 */
export function flipToUndo(id: string, rows: Rows, revision?: number): FlipToUndo {
  const undone = new Set<number>()
  let last: PastFlip | undefined
  for (const flip of flipsOf(id, rows, undone)) {
    if (flip.revision === revision && undone.has(revision)) return { flip, isDone: true }
    if (undone.has(flip.revision)) continue
    last ??= flip
    if (revision === undefined || last.revision === revision) return { flip: last }
  }
  const none =
    last === undefined ? 'there is no flip of it that was not reverted' : `the last flip that stands is that of revision ${last.revision}`
  const which = revision === undefined ? '' : `, and not that of ${revision}`
  throw new BerthError('NOTHING_TO_ROLL_BACK', `Cannot revert experiment "${id}": ${none}${which}`)
}

/** Every flip of an experiment, newest first. A flip that was undone is in `undone` by the time that the flip itself comes. */
function* flipsOf(id: string, rows: Rows, undone: Set<number>): Generator<PastFlip> {
  for (const row of rows) {
    if (row.kind === 'import scene') {
      yield* row.payload.flips.filter(({ after }) => after.id === id)
      return
    }
    // Before that there may have been another experiment of this id: a draft that was deleted.
    if (row.kind === 'create experiment' && row.payload.id === id) return
    if (row.kind === 'revert experiment' && row.payload.experiment === id) undone.add(row.facts.flip.revision)
    if (row.kind === 'flip experiment' && row.payload.experiment === id && row.before !== null) {
      yield { revision: row.revision, before: row.before, after: row.after, at: row.at, who: row.who }
    }
  }
}

/** Those of these arms that a flip of the experiment has dropped. */
export function droppedBefore(id: string, arms: readonly string[], rows: Rows): string[] {
  if (arms.length === 0) return []
  const has = ({ arms }: PastFlip['before'], name: string) => arms.some(arm => arm.name === name)
  const dropped = Iterator.from(flipsOf(id, rows, new Set())).flatMap(({ before, after }) =>
    arms.filter(arm => has(before, arm) && !has(after, arm)),
  )
  return [...new Set(dropped)]
}

/**
 * The newest change that gave a version its part, the baseline or the cutover, or took it away; undefined when none of the rows did.
 * @param rows newest first
 */
export function lastPartChange(version: string, rows: Rows): ChangeRow | undefined {
  for (const row of rows) {
    if (row.kind !== 'promote version' && row.kind !== 'roll back' && row.kind !== 'create version') continue
    if (partIn(row.before, version) !== partIn(row.after, version)) return row
  }
  return undefined
}

/** Of a version that was made and did not become the baseline, the row has what it was made as. */
function partIn(state: unknown, version: string): 'baseline' | 'cutover' | undefined {
  const { baseline, cutover, id, as } = Object(state) as {
    [member: string]: unknown
    readonly cutover?: { readonly version?: unknown } | null
  }
  if (baseline === version) return 'baseline'
  return cutover?.version === version || (id === version && as === 'cutover') ? 'cutover' : undefined
}
