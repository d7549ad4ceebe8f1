/** What routes that read or change a scene have in common: the revision that was read, who asks and why, and the answer to a change. */
import type { SceneChangeKind, SceneOutcomes } from '../../change/change.ts'
import { BerthError } from '../../kernel/errors.ts'
import { holds } from '../../traffic/scene.ts'
import type { Actor } from '../book/book.ts'
import type { Changed, ChangeOptions } from '../driver/scene-driver.ts'
import { type Answer, ok, type RouteRequest } from './route.ts'

type Asker = Pick<RouteRequest, 'token' | 'keyed'>

export function actorOf({ token, keyed }: Asker, reason?: string): Actor {
  return { who: token.id, reason, keyed }
}

interface Conditions {
  readonly 'if-match'?: string | undefined
  readonly 'if-none-match'?: string | undefined
}

/** The revision that `If-Match` and `If-None-Match`, which are checked already, expect of what the route is about. */
export function expectedBy({ headers }: { readonly headers: Conditions }): number | 'absent' | undefined {
  if (headers['if-none-match'] !== undefined) return 'absent'
  return headers['if-match'] === undefined ? undefined : Number(headers['if-match'].slice(1, -1))
}

interface ChangeRequest extends Asker, Pick<RouteRequest, 'gone'> {
  readonly headers: Conditions
  readonly body: { readonly reason?: string; readonly dryRun?: boolean }
}

/** The options of a change: who asks, why, and at which revision the scene must be. */
export function optionsOf(request: ChangeRequest): ChangeOptions {
  const { reason, dryRun } = request.body
  const seesCapsules = holds(request.token, 'capsules')
  return { actor: actorOf(request, reason), expect: expectedBy(request), dryRun, seesCapsules, gone: request.gone }
}

/** The error of a request that would undo another change each time that it is sent, because it does not name the one that it means. */
export const unnamed = (action: string, pointer: string, what: string): BerthError =>
  new BerthError('REQUEST_INVALID', `Cannot ${action}: ${pointer} is missing, ${what}; a dry run says which change is the last`)

/** Headers with a revision as the ETag. */
export const tag = (revision: number): Readonly<Record<string, string>> => ({ etag: `"${revision}"` })

/**
 * The answer to a change of a scene.
 * @param more members besides the outcome of the change
 * @param revision of the record that it was about; @default that of the rules
 */
export function changed<K extends SceneChangeKind, More extends object>(
  { outcome, changed: isChanged, scene, validation, cells, timings }: Changed<K>,
  more: More,
  revision: number = scene.revisions.rules,
): Answer<200, SceneOutcomes[K] & More & Pick<Changed<K>, 'validation' | 'changed' | 'cells' | 'timings'> & { readonly revision: number }> {
  const report = validation && { validation }
  return ok({ ...outcome, ...more, ...report, changed: isChanged, revision, cells, timings }, tag(revision))
}
