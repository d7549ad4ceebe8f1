/** Parameters of a scene and of its versions, published on their own. Pure, as `rules.ts`. */
import { isDeepStrictEqual } from 'node:util'
import { BerthError } from '../kernel/errors.ts'
import type { AuditRow } from '../store/store.ts'
import type { Params } from '../traffic/schema.ts'
import { type Planned, type SceneTraffic, withRules } from './rules.ts'

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
}

/** Whether a value that was read from JSON is the same when it is written and read again; 1e999, read as infinity, is not. */
export const isJson = (value: unknown): boolean => isDeepStrictEqual(JSON.parse(JSON.stringify(value)), value)

/** The parameters of a scene, or what a version sets over them. */
export function paramsOf({ definition, rules }: SceneTraffic, version: string | null): Params {
  return version === null ? definition.params : (rules.versionParams?.[version] ?? {})
}

/**
 * Replaces the parameters of the scene, or those of a version.
 * @throws PARAMS_INVALID for what JSON cannot hold
 */
export function setParams(
  before: SceneTraffic,
  version: string | null,
  params: Params,
  action = 'set params',
): Planned<{ readonly version: string | null; readonly before: Params; readonly after: Params }> {
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
function changeIn({ action, before, after }: AuditRow): Pick<ParamsChange, 'version' | 'before' | 'after'> | undefined {
  if (action === 'define scene') {
    const [was, is] = [before, after] as ({ readonly params: Params } | null)[]
    return { version: null, before: was?.params ?? {}, after: is?.params ?? {} }
  }
  if (action !== 'set params' && action !== 'roll back params') return undefined
  const [was, is] = [before, after] as { readonly version: string | null; readonly params: Params }[]
  return was && is && { version: is.version, before: was.params, after: is.params }
}

/**
 * Parameters as they were before.
 * @param to the revision of a change, after which they were so; undefined: before the last change
 * @param history newest first
 * @throws NOTHING_TO_ROLL_BACK
 */
export function earlierParams(scene: string, version: string | null, to: number | undefined, history: Iterable<ParamsChange>): Params {
  const whose = version === null ? `scene "${scene}"` : `version "${version}" of scene "${scene}"`
  const revisions: number[] = []
  for (const change of history) {
    if (change.version !== version) continue
    if (to === undefined) return change.before
    if (change.revision === to) return change.after
    revisions.push(change.revision)
  }
  const why =
    to === undefined
      ? 'they have never changed'
      : `they did not change at revision ${to}; they did at ${revisions.slice(0, 10).join(', ') || 'none'}`
  throw new BerthError('NOTHING_TO_ROLL_BACK', `Cannot roll back the params of ${whose}: ${why}`)
}
