/** Parameters of a scene and of its versions, published on their own. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { ParamsChange } from '../contract/change-api.ts'
import { BerthError } from '../kernel/errors.ts'
import type { Params } from '../traffic/schema.ts'
import { type Next, type SceneState, withRules } from './scene-state.ts'

/** Whether a value that was read from JSON is the same when it is written and read again. 1e999, which is read as infinity, is not. */
export const isJson = (value: unknown): boolean => isDeepStrictEqual(JSON.parse(JSON.stringify(value)), value)

/** The parameters of a scene, or what a version sets over them. */
function paramsOf({ definition, rules }: SceneState, version: string | null): Params {
  return version === null ? definition.params : (rules.versionParams?.[version] ?? {})
}

/** What a change of parameters did. */
export type ParamsOutcome = Pick<ParamsChange, 'version' | 'before' | 'after'>

/**
 * Replaces the parameters of the scene, or those of a version.
 * @throws PARAMS_INVALID for what JSON cannot hold
 */
export function setParams(before: SceneState, version: string | null, params: Params, action = 'set params'): Next<ParamsOutcome> {
  if (!isJson(params)) {
    throw new BerthError(
      'PARAMS_INVALID',
      `Cannot set the params of scene "${before.definition.id}": they hold what JSON cannot, such as 1e999`,
    )
  }
  const was = paramsOf(before, version)
  const outcome = { version, before: was, after: params }
  return { scene: withParams(before, version, params), action, before: { version, params: was }, after: { version, params }, outcome }
}

function withParams(before: SceneState, version: string | null, params: Params): SceneState {
  if (version === null) return { ...before, definition: { ...before.definition, params } }
  const { [version]: _, ...others } = before.rules.versionParams ?? {}
  const next = Object.keys(params).length === 0 ? others : { ...others, [version]: params }
  return { ...before, rules: withRules(before.rules, { versionParams: Object.keys(next).length === 0 ? undefined : next }) }
}

/** Where a rollback of parameters leads. */
export interface WayBack {
  /** The change after which the parameters were as they are to be again; null when they were so before every change. */
  readonly target: ParamsChange | null
  /** The change that is undone. It is missing when the wish names where to go, and in rows of earlier releases. */
  readonly undoes?: ParamsChange
  /** Whether that change is undone already, so that nothing is left to do. */
  readonly isDone?: true
}

/** What a rollback of parameters did. */
export interface ParamsRollbackOutcome extends ParamsOutcome {
  readonly to: ParamsChange | null
  readonly undoes?: ParamsChange
}

/**
 * Publishes parameters again as they were after a change of them; with null, as they were before every change.
 * @throws PARAMS_INVALID
 */
export function rollBackParams(
  before: SceneState,
  version: string | null,
  { target, undoes, isDone }: WayBack,
): Next<ParamsRollbackOutcome> {
  const params = isDone ? paramsOf(before, version) : (target?.after ?? {})
  const next = setParams(before, version, params, 'roll back params')
  const after = { version, params: next.outcome.after, to: target?.revision ?? 0 }
  return { ...next, after, outcome: { ...next.outcome, to: target, ...(undoes === undefined ? {} : { undoes }) } }
}
