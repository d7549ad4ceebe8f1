/** What routes that read or change a scene have in common: the revision that was read, who asks and why, and the answer to a change. */
import type { Actor, Token } from '../book/registry.ts'
import type { Changed, ChangeOptions } from '../driver.ts'
import { type Answer, ok } from './route.ts'

export function actorOf({ token }: { readonly token: Token }, reason?: string): Actor {
  return { who: token.id, reason }
}

interface Conditions {
  readonly 'if-match'?: string | undefined
  readonly 'if-none-match'?: string | undefined
}

/** What `If-Match` and `If-None-Match`, already checked, expect the scene, or what a route is about, to be at. */
export function expectedBy({ headers }: { readonly headers: Conditions }): number | 'absent' | undefined {
  if (headers['if-none-match'] !== undefined) return 'absent'
  return headers['if-match'] === undefined ? undefined : Number(headers['if-match'].slice(1, -1))
}

type Expectation = NonNullable<ChangeOptions['expect']>['kind']

interface ChangeRequest {
  readonly token: Token
  readonly headers: Conditions
  readonly body: { readonly reason?: string; readonly dryRun?: boolean }
}

/** What a change is made with: who asks, why, and what the rules, or another record, must be at. */
export function optionsOf({ token, headers, body: { reason, dryRun } }: ChangeRequest, kind: Expectation = 'rules'): ChangeOptions {
  return { actor: actorOf({ token }, reason), expect: { kind, revision: expectedBy({ headers }) }, dryRun }
}

/** Headers with a revision as the ETag. */
export const tag = (revision: number): Readonly<Record<string, string>> => ({ etag: `"${revision}"` })

/** The answer to a change of who answers in a scene. @param revision of the record that it was about; @default that of the rules */
export function changed<Told extends object>(
  { told, traffic, cells, timings }: Changed<Told>,
  revision: number = traffic.revisions.rules,
): Answer<200, Told & Pick<Changed<Told>, 'cells' | 'timings'> & { readonly revision: number }> {
  return ok({ ...told, revision, cells, timings }, tag(revision))
}
