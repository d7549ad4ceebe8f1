/** The HTTP server of the keeper: how it is put together, and how errors are answered. */
import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type RouteOptions } from 'fastify'
import { answerClientError } from '../../kernel/client-error.ts'
import { BerthError, type ErrorCode, messageOf, type Problem, toBerthError, toProblem } from '../../kernel/errors.ts'
import { isRequestId } from '../../kernel/headers.ts'
import { limits } from '../../kernel/limits.ts'
import type { Logger } from '../../kernel/log.ts'
import { pageHeaders, problemPage, wantsPage } from '../../kernel/page.ts'
import { Explainer } from '../book/explainer.ts'
import type { Token } from '../book/token-book.ts'
import { CapsuleDriver } from '../driver/capsule-driver.ts'
import { boundArrival, MAY_BE_SLOW } from './arrival.ts'
import { compilePart } from './body.ts'
import { checkHead } from './guard.ts'
import { describeRoutes } from './openapi.ts'
import { registerRoutes } from './register-routes.ts'
import type { RouteParts } from './route.ts'
import { routes } from './routes/routes.ts'

export interface ApiParts extends Omit<RouteParts, 'explainer' | 'capsuleDriver'> {
  /** Called after the answer when the disk has failed. Only a restart can say then what is kept. */
  readonly onStoreFailed: (error: BerthError) => void
  /** Called after the answer when the disk is full. */
  readonly onStoreFull: () => void
}

/** The server, not listening yet. */
export async function createApi(parts: ApiParts): Promise<FastifyInstance> {
  const app = createServer()
  app.setValidatorCompiler(compilePart)
  // Answers are made from typed values. A serializer made from the schema would drop members that the schema lacks.
  app.setSerializerCompiler(() => value => JSON.stringify(value))
  app.setErrorHandler((error, request, reply) => answerError(parts, error, request, reply))
  app.setNotFoundHandler(request => {
    throw new BerthError('ROUTE_NOT_FOUND', `Cannot ${request.method} ${request.url.slice(0, 128)}: there is no such route`)
  })
  app.decorateRequest('token', undefined)
  app.decorateRequest('bodyDigest', '')
  app.decorateRequest(MAY_BE_SLOW, false)
  app.addHook('onRequest', async (request, reply) => {
    boundArrival(request, reply)
    checkHead(request, reply)
  })
  app.addHook('onResponse', async (request, reply) => {
    parts.vitals.observe(request.method, request.routeOptions.url ?? 'none', reply.statusCode, reply.elapsedTime / 1000)
    logWrite(parts.log, request, reply)
  })
  app.removeAllContentTypeParsers()
  await describeRoutes(app)
  const methods = collectMethods(app)
  const more = { explainer: new Explainer(parts.book, parts.blobs), capsuleDriver: new CapsuleDriver(parts) }
  await registerRoutes(app, routes, { ...parts, ...more })
  refuseOtherMethods(app, methods)
  return app
}

function createServer(): FastifyInstance {
  return Fastify({
    logger: false,
    // Requests that still come on open connections are answered until the drain is over.
    return503OnClosing: false,
    bodyLimit: limits.control.bodyBytesMax,
    requestTimeout: limits.control.uploadTimeoutMs,
    keepAliveTimeout: limits.http.keepAliveMs,
    http: { headersTimeout: limits.http.headersTimeoutMs, maxHeaderSize: limits.request.headerBytesMax, joinDuplicateHeaders: true },
    requestIdHeader: false,
    genReqId: ({ headers: { 'x-request-id': given } }) => (isRequestId(given) ? given : randomUUID()),
    routerOptions: { maxParamLength: 300 },
    frameworkErrors: (error, request, reply) => sendProblem(describeFault(error), request, reply),
    clientErrorHandler: answerClientError,
  })
}

// Methods

/** Collects the methods of each path of the routes that are registered from now on. */
function collectMethods(app: FastifyInstance): Map<string, Set<string>> {
  const methods = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }: RouteOptions) => {
    const known = methods.get(url) ?? new Set()
    for (const name of [method].flat()) known.add(name)
    methods.set(url, known)
  })
  return methods
}

/** Refuses a wrong method on a known path, which fastify would answer as a path that is not found. */
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

// Errors

function answerError(parts: ApiParts, thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { destroyed, complete } = request.raw
  // A caller that goes away in the middle of its body is no defect of ours, and hears no answer.
  const error =
    destroyed && !complete ? new BerthError('REQUEST_MALFORMED', 'Cannot take the request: its body broke off') : describeFault(thrown)
  if (error.blame === 'base')
    parts.log.error({ err: error, requestId: request.id, method: request.method, url: request.url }, error.message)
  sendProblem(error, request, reply, members => parts.book.names.inProblem(members))
  if (error.code === 'STORE_FAILED') parts.onStoreFailed(error)
  if (error.code === 'STORE_FULL') parts.onStoreFull()
}

function sendProblem(
  error: BerthError,
  request: FastifyRequest,
  reply: FastifyReply,
  complete: (members: Problem) => Problem = members => members,
): void {
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', error.retryAfterSeconds)
  if (error.status === 401) reply.header('www-authenticate', 'Bearer')
  const problem = complete(toProblem(error, { requestId: request.id, help: `/errors#${error.code}` }))
  reply.code(error.status)
  if (wantsPage(request.headers.accept)) reply.headers(pageHeaders).send(problemPage(problem))
  else reply.type('application/problem+json').serializer(JSON.stringify).send(problem)
}

const frameworkCodes: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_BAD_URL: 'REQUEST_MALFORMED',
  FST_ERR_MAX_PARAM_LENGTH: 'REQUEST_MALFORMED',
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'CONTENT_TYPE_UNSUPPORTED',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'REQUEST_MALFORMED',
}

/** A row of the error table for what Fastify and its plugins throw. What has a status of the caller's is no defect of ours, whoever throws it. */
function describeFault(thrown: unknown): BerthError {
  const { code: name = '', statusCode = 500 } = Object(thrown) as { readonly code?: string; readonly statusCode?: number }
  const isOfCaller = !(thrown instanceof BerthError) && statusCode >= 400 && statusCode < 500
  const code = frameworkCodes[name] ?? (isOfCaller ? (statusCode === 400 ? 'REQUEST_MALFORMED' : 'ROUTE_NOT_FOUND') : undefined)
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
