/** The HTTP server of the keeper: who may ask, how bodies are read and checked, and how errors are told. Routes are in `routes.ts`. */
import { randomUUID } from 'node:crypto'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type RouteOptions } from 'fastify'
import { answerClientError } from '../../kernel/client-error.ts'
import { BerthError, type ErrorCode, messageOf, toBerthError, toProblem } from '../../kernel/errors.ts'
import { bearerToken, hasOneHost, isRequestId } from '../../kernel/headers.ts'
import { limits } from '../../kernel/limits.ts'
import type { Logger } from '../../kernel/log.ts'
import { holds } from '../../traffic/scene.ts'
import type { Right } from '../../traffic/schema.ts'
import type { Registry, Token } from '../book/registry.ts'
import { compilePart, parseStrictJson, parseText } from './body.ts'
import { experimentRoutes } from './routes/experiment-routes.ts'
import { logRoutes } from './routes/log-routes.ts'
import { profileRoutes } from './routes/profile-routes.ts'
import { adminRoutes, blobRoutes, publicRoutes, publishRoutes, type RouteParts, type Scope } from './routes/routes.ts'
import { rulesRoutes } from './routes/rules-routes.ts'
import { versionRoutes } from './routes/version-routes.ts'

export interface ApiParts extends RouteParts {
  /** Called after the answer when the disk has failed: what is kept is known again only after a restart. */
  readonly onStoreFailed: (error: BerthError) => void
}

/** The server, not listening yet. */
export async function createApi(parts: ApiParts): Promise<FastifyInstance> {
  const app = createServer()
  app.setValidatorCompiler(compilePart)
  // Answers are made from typed values; a serializer by schema would drop what the schema forgets.
  app.setSerializerCompiler(() => value => JSON.stringify(value))
  app.setErrorHandler((error, request, reply) => answerError(parts, error, request, reply))
  app.setNotFoundHandler(request => {
    throw new BerthError('ROUTE_NOT_FOUND', `Cannot ${request.method} ${request.url.slice(0, 128)}: /docs lists the routes`)
  })
  app.decorateRequest('token', undefined)
  app.addHook('onRequest', checkHead)
  app.addHook('onResponse', async (request, reply) => {
    parts.vitals.observe(request.method, request.routeOptions.url ?? 'none', reply.statusCode, reply.elapsedTime / 1000)
    logWrite(parts.log, request, reply)
  })
  app.removeAllContentTypeParsers()
  await app.register(swagger, { openapi })
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true })
  const methods = collectMethods(app)
  await app.register(async scope => publicRoutes(typed(scope), parts))
  await app.register(async scope => blobRoutes(authorized(bytesBodies(scope), parts.registry, 'publish'), parts))
  await app.register(async scope => publishRoutes(authorized(jsonBodies(scope), parts.registry, 'publish'), parts))
  await app.register(async scope => versionRoutes(authorized(jsonBodies(scope), parts.registry, 'publish'), parts))
  await app.register(async scope => rulesRoutes(authorized(textBodies(jsonBodies(scope)), parts.registry, 'publish'), parts))
  await app.register(async scope => experimentRoutes(authorized(jsonBodies(scope), parts.registry, 'publish'), parts))
  await app.register(async scope => logRoutes(authorized(scope, parts.registry, 'pin'), parts))
  await app.register(async scope => profileRoutes(authorized(jsonBodies(scope), parts.registry, 'publish'), parts))
  await app.register(async scope => adminRoutes(authorized(jsonBodies(scope), parts.registry, 'admin'), parts))
  refuseOtherMethods(app, methods)
  return app
}

function createServer(): FastifyInstance {
  return Fastify({
    logger: false,
    // What is still asked on open connections is answered until the drain is over.
    return503OnClosing: false,
    bodyLimit: limits.control.bodyBytesMax,
    requestTimeout: limits.http.requestTimeoutMs,
    keepAliveTimeout: limits.http.keepAliveMs,
    http: { headersTimeout: limits.http.headersTimeoutMs, maxHeaderSize: limits.request.headerBytesMax, joinDuplicateHeaders: true },
    requestIdHeader: false,
    genReqId: ({ headers: { 'x-request-id': given } }) => (isRequestId(given) ? given : randomUUID()),
    routerOptions: { maxParamLength: 300 },
    frameworkErrors: (error, request, reply) => sendProblem(describeFault(error), request, reply),
    clientErrorHandler: answerClientError,
  })
}

const openapi = {
  openapi: '3.1.0',
  info: {
    title: 'Berth control API',
    version: '1',
    description:
      'Modules, scenes, versions and tokens of a base. Every write takes effect in all connected cells before it is answered, and is in the audit log.',
  },
  components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
} as const

const typed = (scope: FastifyInstance): Scope => scope.withTypeProvider<TypeBoxTypeProvider>()

// Who may ask

/** Everything in the scope needs a token with this right, or with `admin`. */
function authorized(scope: FastifyInstance, registry: Registry, right: Right): Scope {
  scope.addHook('onRequest', async request => {
    request.setDecorator('token', authorize(request, registry, right))
  })
  scope.addHook('onRoute', route => {
    route.schema = { security: [{ token: [] }], ...route.schema }
  })
  return typed(scope)
}

function authorize({ raw }: FastifyRequest, registry: Registry, right: Right): Token {
  const headers = raw.headersDistinct.authorization ?? []
  if (headers.length > 1) throw new BerthError('REQUEST_MALFORMED', 'Cannot tell who asks: there is more than one Authorization header')
  const secret = bearerToken(headers[0] ?? '')
  if (secret === undefined)
    throw new BerthError('UNAUTHENTICATED', 'Cannot tell who asks: there is no "Authorization: Bearer TOKEN" header')
  const token = registry.findToken(secret)
  if (token === undefined) throw new BerthError('UNAUTHENTICATED', 'Cannot tell who asks: the token is not known here, or was revoked')
  if (holds(token, right)) return token
  throw new BerthError('FORBIDDEN', `Cannot allow this with token "${token.id}": it lacks the right "${right}"`)
}

// How bodies are read and checked

function jsonBodies(scope: FastifyInstance): FastifyInstance {
  scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_: FastifyRequest, body: Buffer) => parseStrictJson(body))
  return scope
}

function bytesBodies(scope: FastifyInstance): FastifyInstance {
  scope.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, async (_: FastifyRequest, body: Buffer) => body)
  return scope
}

function textBodies(scope: FastifyInstance): FastifyInstance {
  scope.addContentTypeParser('text/plain', { parseAs: 'buffer' }, async (_: FastifyRequest, body: Buffer) => parseText(body))
  return scope
}

async function checkHead(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  reply.header('x-request-id', request.id)
  if (!hasOneHost(request.headers.host)) {
    throw new BerthError('REQUEST_MALFORMED', 'Cannot tell for which host the request is: it has more than one Host header')
  }
  const encoding = request.headers['content-encoding'] ?? 'identity'
  if (encoding === 'identity') return
  throw new BerthError('CONTENT_TYPE_UNSUPPORTED', `Cannot read the body: its Content-Encoding is "${encoding.slice(0, 100)}"`)
}

// Methods

/** What each path of the routes registered from now on answers to. */
function collectMethods(app: FastifyInstance): Map<string, Set<string>> {
  const methods = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }: RouteOptions) => {
    const known = methods.get(url) ?? new Set()
    for (const name of [method].flat()) known.add(name)
    methods.set(url, known)
  })
  return methods
}

/** Without this a wrong method on a right path would be a path not found. */
function refuseOtherMethods(app: FastifyInstance, collected: ReadonlyMap<string, ReadonlySet<string>>): void {
  for (const [url, known] of [...collected]) {
    const method = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].filter(name => !known.has(name))
    const allow = [...known].sort().join(', ')
    const onRequest = async (request: FastifyRequest, reply: FastifyReply) => {
      reply.header('allow', allow)
      throw new BerthError('METHOD_NOT_ALLOWED', `Cannot ${request.method} ${request.url.slice(0, 128)}: allowed is ${allow}`)
    }
    app.route({ url, method, exposeHeadRoute: false, schema: { hide: true }, onRequest, handler: async () => undefined })
  }
}

// How errors are told

function answerError(parts: ApiParts, thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { destroyed, complete } = request.raw
  // Who went away half way through a body is no defect of ours, and hears no answer.
  const error =
    destroyed && !complete ? new BerthError('REQUEST_MALFORMED', 'Cannot take the request: its body broke off') : describeFault(thrown)
  if (error.blame === 'base')
    parts.log.error({ err: error, requestId: request.id, method: request.method, url: request.url }, error.message)
  sendProblem(error, request, reply)
  if (error.code === 'STORE_FAILED') parts.onStoreFailed(error)
}

function sendProblem(error: BerthError, request: FastifyRequest, reply: FastifyReply): void {
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', error.retryAfterSeconds)
  if (error.status === 401) reply.header('www-authenticate', 'Bearer')
  reply.code(error.status).type('application/problem+json')
  reply.serializer(JSON.stringify).send(toProblem(error, { requestId: request.id }))
}

const frameworkCodes: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_BAD_URL: 'REQUEST_MALFORMED',
  FST_ERR_MAX_PARAM_LENGTH: 'REQUEST_MALFORMED',
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'CONTENT_TYPE_UNSUPPORTED',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'REQUEST_MALFORMED',
}

/** What Fastify throws, as a row of the error table. */
function describeFault(thrown: unknown): BerthError {
  const code = frameworkCodes[(thrown as { code?: string }).code ?? '']
  return code === undefined
    ? toBerthError(thrown)
    : new BerthError(code, `Cannot take the request: ${messageOf(thrown)}`, { cause: thrown })
}

function logWrite(log: Logger, request: FastifyRequest, reply: FastifyReply): void {
  if (request.method === 'GET' || request.method === 'HEAD') return
  const token = request.getDecorator<Token | undefined>('token')
  const line = { requestId: request.id, who: token?.id, method: request.method, url: request.url, status: reply.statusCode }
  log.debug({ ...line, ms: Math.round(reply.elapsedTime) }, 'control request')
}
