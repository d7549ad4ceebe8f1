/** The routes of the control API: what each takes, calls and answers. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger, FastifyInstance, RawReplyDefaultExpression, RawRequestDefaultExpression, RawServerDefault } from 'fastify'
import Type from 'typebox'
import { digestOf } from '../../../folder/blob-files.ts'
import { BerthError } from '../../../kernel/errors.ts'
import { limits } from '../../../kernel/limits.ts'
import type { Logger } from '../../../kernel/log.ts'
import type { Blobs } from '../../../store/blobs.ts'
import type { Expected } from '../../../store/store.ts'
import { SceneDefinition } from '../../../traffic/schema.ts'
import type { Actor, Registry, Token } from '../../book/registry.ts'
import type { Cells } from '../../cells/cells.ts'
import type { Vitals } from '../../cells/vitals.ts'
import type { Control } from '../../driver.ts'
import type { Logs } from '../../logs/logs.ts'
import { compileAllButBody } from '../body.ts'
import * as schemas from '../replies.ts'

export interface RouteParts {
  readonly registry: Registry
  readonly control: Control
  readonly blobs: Blobs
  readonly vitals: Vitals
  readonly logs: Logs
  readonly cells: Cells
  readonly log: Logger
  /** Asks the supervisor to replace a cell. */
  readonly retire: (cell: number) => void
}

export type Scope = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** The problem document that any of them may answer. */
export const problems = { '4xx': schemas.ProblemReply, '5xx': schemas.ProblemReply } as const

/** For probes and scrapers: no token. */
export function publicRoutes(scope: Scope, { vitals }: RouteParts): void {
  const tags = ['probes']

  scope.get(
    '/healthz',
    { schema: { operationId: 'healthz', summary: 'Whether the keeper is up', tags, response: { 200: schemas.HealthReply } } },
    async () => ({ status: 'ok' as const }),
  )

  scope.get(
    '/readyz',
    {
      schema: {
        operationId: 'readyz',
        summary: 'Whether a cell has the current table in force and every baseline answers',
        tags,
        response: { 200: schemas.HealthReply, ...problems },
      },
    },
    async () => {
      vitals.checkReady()
      return { status: 'ok' as const }
    },
  )

  scope.get(
    '/metrics',
    { schema: { operationId: 'metrics', summary: 'Metrics of the keeper and all cells, for Prometheus', tags, produces: ['text/plain'] } },
    async (_, reply) => {
      const { type, text } = await vitals.metrics()
      return reply.type(type).send(text)
    },
  )
}

/** Bytes in: bundles and source maps. */
export function blobRoutes(scope: Scope, { blobs }: RouteParts): void {
  const tags = ['blobs']

  scope.put(
    '/api/blobs/:digest',
    {
      bodyLimit: limits.module.sourceMapBytesMax,
      validatorCompiler: compileAllButBody,
      schema: {
        operationId: 'putBlob',
        summary: 'Keep bytes under their sha256',
        tags,
        consumes: ['application/octet-stream'],
        params: schemas.DigestParam,
        body: Type.Unknown({ description: 'the bytes' }),
        response: { 200: schemas.BlobReply, 201: schemas.BlobReply, ...problems },
      },
    },
    async ({ params: { digest }, body }, reply) => {
      const action = `Cannot keep blob ${digest}`
      if (!Buffer.isBuffer(body)) throw new BerthError('CONTENT_TYPE_UNSUPPORTED', `${action}: send it as application/octet-stream`)
      const actual = await digestOf(body)
      if (actual !== digest) throw new BerthError('BLOB_DIGEST_MISMATCH', `${action}: the bytes have the digest ${actual}`)
      const known = await blobs.has(digest)
      await blobs.put(body)
      return reply.code(known ? 200 : 201).send({ digest, bytes: body.length })
    },
  )

  scope.head(
    '/api/blobs/:digest',
    { schema: { operationId: 'headBlob', summary: 'Whether there are bytes with this sha256', tags, params: schemas.DigestParam } },
    async ({ params: { digest } }, reply) => {
      if (!(await blobs.has(digest))) throw new BerthError('BLOB_NOT_FOUND', `Cannot find blob ${digest}: it was not uploaded`)
      return reply.code(200).send()
    },
  )
}

/** What algorithm engineers do. */
export function publishRoutes(scope: Scope, parts: RouteParts): void {
  moduleRoutes(scope, parts)
  sceneRoutes(scope, parts)
  stateRoutes(scope, parts)
}

function moduleRoutes(scope: Scope, { registry, control }: RouteParts): void {
  const tags = ['modules']

  scope.post(
    '/api/modules',
    {
      schema: {
        operationId: 'publishModule',
        summary: 'Publish a version of a module whose blobs are uploaded; it is loaded in a trial process first',
        tags,
        body: schemas.PublishBody,
        response: { 200: schemas.PublishReply, 201: schemas.PublishReply, ...problems },
      },
    },
    async (request, reply) => {
      const { created, module, timings } = await control.publishModule(request.body.manifest, actorOf(request))
      return reply.code(created ? 201 : 200).send({ created, ...module, timings })
    },
  )

  scope.get(
    '/api/modules',
    {
      schema: {
        operationId: 'listModules',
        summary: 'Published versions of one module or of all',
        tags,
        querystring: schemas.ModulesQuery,
        response: { 200: Type.Array(schemas.ModuleReply), ...problems },
      },
    },
    async ({ query }) => registry.modules(query.name),
  )

  scope.get(
    '/api/modules/:name/:version',
    {
      schema: {
        operationId: 'getModule',
        summary: 'One version of a module',
        tags,
        params: schemas.ModuleParams,
        response: { 200: schemas.ModuleReply, ...problems },
      },
    },
    async ({ params }) => registry.module(params.name, params.version),
  )
}

function sceneRoutes(scope: Scope, { registry, control }: RouteParts): void {
  const tags = ['scenes']

  scope.get(
    '/api/scenes',
    {
      schema: { operationId: 'listScenes', summary: 'All scenes', tags, response: { 200: Type.Array(schemas.SceneReply), ...problems } },
    },
    async () => registry.scenes(),
  )

  scope.get(
    '/api/scenes/:id',
    {
      schema: {
        operationId: 'getScene',
        summary: 'A scene, its revision as the ETag',
        tags,
        params: schemas.SceneParam,
        response: { 200: schemas.SceneReply, ...problems },
      },
    },
    async ({ params }, reply) => {
      const scene = registry.scene(params.id)
      return tagged(reply, scene.revision).send(scene)
    },
  )

  scope.put(
    '/api/scenes/:id',
    {
      // The registry checks definitions and answers SCENE_INVALID.
      validatorCompiler: compileAllButBody,
      schema: {
        operationId: 'putScene',
        summary: 'Define a scene, or define it anew; its versions and its baseline stay',
        tags,
        params: schemas.SceneParam,
        headers: schemas.IfMatchOrNone,
        body: SceneDefinition,
        response: { 200: schemas.SceneChangeReply, 201: schemas.SceneChangeReply, ...problems },
      },
    },
    async (request, reply) => {
      const { scene, created, cells } = await control.defineScene(request.params.id, request.body, expectedBy(request), actorOf(request))
      return tagged(reply.code(created ? 201 : 200), scene.revision).send({ ...scene, cells })
    },
  )
}

function stateRoutes(scope: Scope, { registry, vitals }: RouteParts): void {
  const tags = ['base']

  scope.get(
    '/api/audit',
    {
      schema: {
        operationId: 'listAudit',
        summary: 'Who changed what, when and why, newest first',
        tags,
        querystring: schemas.AuditQuery,
        response: { 200: schemas.AuditReply, ...problems },
      },
    },
    async ({ query }) => registry.audit(query.limit, query.before, query.scene),
  )

  scope.get(
    '/api/status',
    {
      schema: {
        operationId: 'getStatus',
        summary: 'Ports, revisions and cells of the base',
        tags,
        response: { 200: schemas.StatusReply, ...problems },
      },
    },
    async () => vitals.status(),
  )
}

/** What whoever runs the base does. */
export function adminRoutes(scope: Scope, { registry, control, vitals, retire }: RouteParts): void {
  scope.get(
    '/api/tokens',
    {
      schema: {
        operationId: 'listTokens',
        summary: 'Tokens, without their secrets',
        tags: ['tokens'],
        response: { 200: Type.Array(schemas.TokenReply), ...problems },
      },
    },
    async () => registry.tokens(),
  )

  scope.post(
    '/api/tokens',
    {
      schema: {
        operationId: 'createToken',
        summary: 'Make a token; its secret is told this once',
        tags: ['tokens'],
        body: schemas.TokenBody,
        response: { 201: schemas.NewTokenReply, ...problems },
      },
    },
    async (request, reply) => {
      const { rights, label } = request.body
      return reply.code(201).send(await control.createToken(rights, label, actorOf(request)))
    },
  )

  scope.delete(
    '/api/tokens/:id',
    {
      schema: {
        operationId: 'revokeToken',
        summary: 'Revoke a token; `cells` tells how many of them take it no more',
        tags: ['tokens'],
        params: schemas.TokenParam,
        response: { 200: schemas.RevokeReply, ...problems },
      },
    },
    async request => {
      const { id } = request.params
      return { id, cells: await control.revokeToken(id, actorOf(request)) }
    },
  )

  scope.post(
    '/api/cells/:cell/retire',
    {
      schema: {
        operationId: 'retireCell',
        summary: 'Replace a cell: it ends once its replacement is ready and its connections are gone',
        tags: ['base'],
        params: schemas.CellParam,
        response: { 202: schemas.RetireReply, ...problems },
      },
    },
    async (request, reply) => {
      const { cell } = request.params
      vitals.requireCell(cell)
      registry.note(actorOf(request), 'retire cell', String(cell))
      retire(cell)
      return reply.code(202).send({ cell })
    },
  )
}

export function actorOf(request: { getDecorator<T>(name: string): T }, reason?: string): Actor {
  return { who: request.getDecorator<Token>('token').id, reason }
}

/** What `If-Match` and `If-None-Match`, already checked, expect the scene, or what a route is about, to be at. */
export function expectedBy({ headers }: { headers: { 'if-match'?: string | undefined; 'if-none-match'?: string | undefined } }): Expected {
  if (headers['if-none-match'] !== undefined) return 'absent'
  return headers['if-match'] === undefined ? undefined : Number(headers['if-match'].slice(1, -1))
}

/** The answer with a revision as its ETag. */
export function tagged<Reply extends { header(name: string, value: string): Reply }>(reply: Reply, revision: number): Reply {
  return reply.header('etag', `"${revision}"`)
}
