/** What the changes of a scene say about its past: which parameters it had, and which flip can be undone. Pure; rows come newest first. */
import { isDeepStrictEqual } from 'node:util'
import type { ParamsChange, PastFlip } from '../contract/change-api.ts'
import { BerthError } from '../kernel/errors.ts'
import type { AuditedChange } from './change.ts'

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
 * The change whose parameters a rollback publishes again. With a revision it is the change of that revision. Without one it is the change
 * before the last one that is not undone yet, so that the next rollback goes further back. Null when there was no change before.
 * @throws NOTHING_TO_ROLL_BACK
 */
export function paramsToGoBackTo(
  scene: string,
  version: string | null,
  revision: number | undefined,
  history: Iterable<ParamsChange>,
): ParamsChange | null {
  const changes = Iterator.from(history).filter(change => change.version === version)
  const whose = version === null ? `scene "${scene}"` : `version "${version}" of scene "${scene}"`
  const refuse = (why: string) => new BerthError('NOTHING_TO_ROLL_BACK', `Cannot roll back the params of ${whose}: ${why}`)
  return revision === undefined ? beforeLast(changes, refuse) : changeAt(revision, changes, refuse)
}

type Refuse = (why: string) => BerthError

function beforeLast(changes: Iterable<ParamsChange>, refuse: Refuse): ParamsChange | null {
  const [last, previous = null] = standing(changes).take(2)
  if (last === undefined) throw refuse('no change of them is left to undo')
  if (last.initial) throw refuse('they are as the scene was defined')
  return previous
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

/**
 * The last flip of an experiment that was not undone yet.
 * @throws NOTHING_TO_ROLL_BACK when it was never flipped, or all flips are undone
 */
export function flipToUndo(id: string, rows: Rows): PastFlip {
  const undone = new Set<number>()
  for (const flip of flipsOf(id, rows, undone)) if (!undone.has(flip.revision)) return flip
  throw new BerthError('NOTHING_TO_ROLL_BACK', `Cannot revert experiment "${id}": there is no flip of it that was not reverted`)
}

/** Every flip of an experiment, newest first. A flip that was undone is in `undone` by the time that the flip itself comes. */
function* flipsOf(id: string, rows: Rows, undone: Set<number>): Generator<PastFlip> {
  for (const row of rows) {
    if (row.kind === 'import scene') {
      yield* row.payload.flips.filter(({ after }) => after.id === id)
      return
    }
    if (row.kind === 'revert experiment' && row.payload.experiment === id) undone.add(row.facts.flip.revision)
    if (row.kind === 'flip experiment' && row.payload.experiment === id && row.before !== null) {
      yield { revision: row.revision, before: row.before, after: row.after }
    }
  }
}
