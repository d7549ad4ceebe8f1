/** Parameters of a scene and of its versions, published on their own. Pure, as `rules.ts`. */
import { isDeepStrictEqual } from 'node:util'
import { BerthError } from '../kernel/errors.ts'
import type { AuditRow } from '../store/store.ts'
import type { Params } from '../traffic/schema.ts'
import { type Planned, type SceneTraffic, withRules } from './versions.ts'

/** A change of parameters, as the audit log has it. */
export interface ParamsChange {
  readonly revision: number
  readonly at: string
  readonly who: string
  readonly reason?: string
  /** Null: the scene's own. */
  readonly version: string | null
  readonly before: Params
  readonly after: Params
  /** Whether the scene was defined with them. */
  readonly initial?: true
  /** Of a rollback: the change after which they were as they are again; 0: it was before every change. */
  readonly to?: number
}

/** Whether a value that was read from JSON is the same when it is written and read again; 1e999, read as infinity, is not. */
export const isJson = (value: unknown): boolean => isDeepStrictEqual(JSON.parse(JSON.stringify(value)), value)

/** The parameters of a scene, or what a version sets over them. */
function paramsOf({ definition, rules }: SceneTraffic, version: string | null): Params {
  return version === null ? definition.params : (rules.versionParams?.[version] ?? {})
}

export interface ChangedParams {
  readonly version: string | null
  readonly before: Params
  readonly after: Params
}

/**
 * Replaces the parameters of the scene, or those of a version.
 * @throws PARAMS_INVALID for what JSON cannot hold
 */
export function setParams(before: SceneTraffic, version: string | null, params: Params, action = 'set params'): Planned<ChangedParams> {
  if (!isJson(params)) {
    throw new BerthError(
      'PARAMS_INVALID',
      `Cannot set the params of scene "${before.definition.id}": they hold what JSON cannot, such as 1e999`,
    )
  }
  const was = paramsOf(before, version)
  const told = { version, before: was, after: params }
  return { traffic: withParams(before, version, params), action, before: { version, params: was }, after: { version, params }, told }
}

function withParams(before: SceneTraffic, version: string | null, params: Params): SceneTraffic {
  if (version === null) return { ...before, definition: { ...before.definition, params } }
  const { [version]: _, ...others } = before.rules.versionParams ?? {}
  const next = Object.keys(params).length === 0 ? others : { ...others, [version]: params }
  return { ...before, rules: withRules(before.rules, { versionParams: Object.keys(next).length === 0 ? undefined : next }) }
}

/** Changes of parameters, those that came with a new definition of the scene too. @param rows audit rows of the scene, newest first */
export function* paramsHistory(rows: Iterable<AuditRow>): Generator<ParamsChange> {
  for (const row of rows) {
    const change = changeIn(row)
    if (change === undefined || isDeepStrictEqual(change.before, change.after)) continue
    const { revision, at, who, reason } = row
    yield { revision, at, who, ...(reason === undefined ? {} : { reason }), ...change }
  }
}

/** Only the keeper writes such rows. */
function changeIn({ action, before, after }: AuditRow): Omit<ParamsChange, 'revision' | 'at' | 'who' | 'reason'> | undefined {
  if (action === 'define scene') {
    const [was, is] = [before, after] as ({ readonly params: Params } | null)[]
    return { version: null, before: was?.params ?? {}, after: is?.params ?? {}, ...(was === null && { initial: true }) }
  }
  if (action !== 'set params' && action !== 'roll back params') return undefined
  const [was, is] = [before, after] as { readonly version: string | null; readonly params: Params; readonly to?: number }[]
  return was && is && { version: is.version, before: was.params, after: is.params, ...(is.to === undefined ? {} : { to: is.to }) }
}

interface RolledBack extends ChangedParams {
  /** The change after which they were so; null: it was before every change. */
  readonly to: ParamsChange | null
}

/**
 * Publishes parameters again as they were before the last change that is not undone yet, so that who asks again goes further back; or as they
 * were after the change of a revision.
 * @param history newest first
 * @throws NOTHING_TO_ROLL_BACK
 */
export function rollBackParams(
  traffic: SceneTraffic,
  version: string | null,
  revision: number | undefined,
  history: Iterable<ParamsChange>,
): Planned<RolledBack> {
  const changes = Iterator.from(history).filter(change => change.version === version)
  const whose = version === null ? `scene "${traffic.definition.id}"` : `version "${version}" of scene "${traffic.definition.id}"`
  const refuse = (why: string) => new BerthError('NOTHING_TO_ROLL_BACK', `Cannot roll back the params of ${whose}: ${why}`)
  const to = revision === undefined ? beforeLast(changes, refuse) : changeAt(revision, changes, refuse)
  const planned = setParams(traffic, version, to?.after ?? {}, 'roll back params')
  return { ...planned, after: { version, params: planned.told.after, to: to?.revision ?? 0 }, told: { ...planned.told, to } }
}

type Refuse = (why: string) => BerthError

/** The change that was in force before the last one that stands; null: there was none. */
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
