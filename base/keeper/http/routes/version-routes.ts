/** The routes about versions: making them, and the part that each has in answering. */
import Type from 'typebox'
import { parseReference } from '../../../change/lock.ts'
import {
  bringOnline,
  type Placed,
  type PlacedVersion,
  promote,
  rollBack,
  sendLoadTests,
  takeOffline,
  viewVersions,
} from '../../../change/versions.ts'
import { type Changed, type ChangeOptions, newSalt } from '../../driver.ts'
import * as schemas from '../replies.ts'
import * as rulesSchemas from '../rules-replies.ts'
import { actorOf, expectedBy, problems, type RouteParts, type Scope, tagged } from './routes.ts'

export function versionRoutes(scope: Scope, { registry, control }: RouteParts): void {
  const tags = ['versions']

  scope.get(
    '/api/scenes/:id/versions',
    {
      schema: {
        operationId: 'listVersions',
        summary: 'Versions of a scene, oldest first',
        tags,
        params: schemas.SceneParam,
        response: { 200: Type.Array(schemas.VersionReply), ...problems },
      },
    },
    async ({ params }) => viewVersions(registry.traffic(params.id), registry.versions(params.id)),
  )

  scope.post(
    '/api/scenes/:id/versions',
    {
      schema: {
        operationId: 'createVersion',
        summary: 'Make a version: the lock of another with the named modules replaced',
        tags,
        params: schemas.SceneParam,
        headers: schemas.IfMatch,
        body: schemas.VersionBody,
        response: { 200: schemas.VersionChangeReply, 201: schemas.VersionChangeReply, ...problems },
      },
    },
    async (request, reply) => {
      const { modules = [], from, resolve = false, reuse = false, label, as, share, whitelist = [], reason } = request.body
      const named = new Map(modules.map(parseReference).map(({ name, range }) => [name, range]))
      const wanted = { named, resolve, reuse, from, label }
      const options = { actor: actorOf(request, reason), expect: { kind: 'scene' as const, revision: expectedBy(request) } }
      const change = await control.createVersion(request.params.id, wanted, { as, share, whitelist }, options)
      return tagged(reply.code(change.told.created ? 201 : 200), change.traffic.revisions.scene).send(versionReply(change))
    },
  )

  scope.post(
    '/api/scenes/:id/versions/:version/promote',
    {
      schema: {
        operationId: 'promoteVersion',
        summary: 'The next step of a version, once every cell has loaded it: the cutover, more of the cutover, the baseline',
        tags,
        params: rulesSchemas.VersionParams,
        headers: schemas.IfMatch,
        body: rulesSchemas.PromoteBody,
        response: { 200: rulesSchemas.PlacedReply, ...problems },
      },
    },
    async (request, reply) => {
      const { id, version } = request.params
      registry.version(id, version)
      const change = await control.changeScene(id, optionsOf(request), before => promote(before, version, request.body, newSalt()))
      return tagged(reply, change.traffic.revisions.rules).send(placedReply(change))
    },
  )

  scope.post(
    '/api/scenes/:id/rollback',
    {
      schema: {
        operationId: 'rollBack',
        summary: 'End the cutover, or go back to the previous baseline, which every cell has loaded still; waits for no other change',
        tags,
        params: schemas.SceneParam,
        headers: schemas.IfMatch,
        body: rulesSchemas.ReasonBody,
        response: { 200: rulesSchemas.PlacedReply, ...problems },
      },
    },
    async (request, reply) => {
      const change = await control.changeScene(request.params.id, { ...optionsOf(request), urgent: true }, rollBack)
      return tagged(reply, change.traffic.revisions.rules).send(placedReply(change))
    },
  )

  for (const [path, summary, plan] of [
    ['offline', 'Take a version offline that nothing uses: it is loaded nowhere, and may come back', takeOffline],
    ['online', 'Bring a version back online, as dev, once every cell has loaded it', bringOnline],
  ] as const) {
    scope.post(
      `/api/scenes/:id/versions/:version/${path}`,
      {
        schema: {
          operationId: `${path}Version`,
          summary,
          tags,
          params: rulesSchemas.VersionParams,
          headers: schemas.IfMatch,
          body: rulesSchemas.ReasonBody,
          response: { 200: rulesSchemas.PlacedReply, ...problems },
        },
      },
      async (request, reply) => {
        const { id, version } = request.params
        registry.version(id, version)
        const change = await control.changeScene(id, optionsOf(request), before => plan(before, version))
        return tagged(reply, change.traffic.revisions.rules).send(placedReply(change))
      },
    )
  }

  scope.put(
    '/api/scenes/:id/loadtest',
    {
      schema: {
        operationId: 'setLoadtest',
        summary: 'Send load tests to a version, or with null to the baseline',
        tags,
        params: schemas.SceneParam,
        headers: schemas.IfMatch,
        body: rulesSchemas.LoadtestBody,
        response: { 200: rulesSchemas.LoadtestReply, ...problems },
      },
    },
    async (request, reply) => {
      const { version } = request.body
      const change = await control.changeScene(request.params.id, optionsOf(request), before => sendLoadTests(before, version ?? undefined))
      return tagged(reply, change.traffic.revisions.rules).send(written(change))
    },
  )
}

/** What a change of the rules is made with: who asks, why, and what the rules must be at. */
export function optionsOf(request: RulesRequest, kind: NonNullable<ChangeOptions['expect']>['kind'] = 'rules'): ChangeOptions {
  const { reason, dryRun } = request.body
  return { actor: actorOf(request, reason), expect: { kind, revision: expectedBy(request) }, dryRun }
}

type RulesRequest = Parameters<typeof actorOf>[0] &
  Parameters<typeof expectedBy>[0] & { readonly body: { readonly reason?: string; readonly dryRun?: boolean } }

/** What every change is answered with. */
export function written<Told extends object>({ told, traffic, cells, timings }: Changed<Told>) {
  return { ...told, revision: traffic.revisions.rules, cells, timings }
}

function placedReply(change: Changed<Placed>) {
  return { ...written(change), baseline: change.traffic.baseline }
}

function versionReply({ told, traffic: { baseline, revisions }, cells, timings }: Changed<PlacedVersion>) {
  const { record, ...placed } = told
  const revision = revisions.scene
  return { ...placed, version: record, lock: record.lock, baseline, revision, rulesRevision: revisions.rules, cells, timings }
}
