/** Registers rows with fastify: who may ask, how bodies are read, what is checked and documented, and how answers are sent. */
import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { Actor } from '../book/book.ts'
import type { Token } from '../book/token-book.ts'
import { MAY_BE_SLOW } from './arrival.ts'
import { compileAllButBody, compilePart, parseStrictJson, parseText } from './body.ts'
import { authorize } from './guard.ts'
import { digestOf, Idempotency, type KeyedWrite } from './idempotency.ts'
import { describeRoute } from './openapi.ts'
import { type BodyType, isWrite, type Route, type RouteParts, type RouteRequest } from './route.ts'

const KEY = 'idempotency-key'
const BYTES = 'application/octet-stream'

/** @param routes by the tag that they have in the OpenAPI document */
export async function registerRoutes(
  app: FastifyInstance,
  routes: Readonly<Record<string, readonly Route[]>>,
  parts: RouteParts,
): Promise<void> {
  const idempotency = new Idempotency(parts.book, parts.log)
  const rows = Object.entries(routes).flatMap(([tag, ofTag]) => ofTag.map(row => optionsOf(row, tag, parts, idempotency)))
  // Parsers apply to all routes of a scope.
  for (const [types, sameTypes] of Map.groupBy(rows, ({ types }) => types.join())) {
    await app.register(async scope => {
      for (const type of types.split(',') as BodyType[]) addParser(scope, type)
      for (const { options } of sameTypes) scope.route(options)
    })
  }
}

const parsers: Readonly<Record<Exclude<BodyType, typeof BYTES>, (body: Buffer) => unknown>> = {
  'application/json': parseStrictJson,
  'text/plain': parseText,
}

function addParser(scope: FastifyInstance, type: BodyType): void {
  if (type === BYTES) {
    // Bytes may be many, so a route gets them as a stream, and limits them itself.
    scope.addContentTypeParser(type, async (_: FastifyRequest, body: IncomingMessage) => body)
    return
  }
  scope.addContentTypeParser(type, { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) => {
    if (request.headers[KEY] !== undefined) request.setDecorator('bodyDigest', hash('sha256', body, 'hex'))
    return parsers[type](body)
  })
}

function optionsOf(row: Route, tag: string, parts: RouteParts, idempotency: Idempotency) {
  const { method, path: url, right, takes } = row
  const { types = ['application/json'], checked = true, bytesMax } = takes.body ?? {}
  const options: RouteOptions = {
    ...{ method, url, schema: describeRoute(row, tag), validatorCompiler: checked ? compilePart : compileAllButBody },
    ...(bytesMax === undefined ? {} : { bodyLimit: bytesMax }),
    exposeHeadRoute: !isEndless(row),
    config: { swagger: { exposeHeadRoute: method === 'HEAD' } },
    onRequest: async request => {
      if (right !== 'anyone') request.setDecorator('token', authorize(request, parts, right))
      if (types.includes(BYTES)) request.setDecorator(MAY_BE_SLOW, true)
    },
    handler: async (request, reply) => {
      const run = async (keyed?: Actor['keyed']) => row.run(requestOf(request, reply, keyed), parts)
      const write = isWrite(row) ? keyedWrite(request, row) : undefined
      if (isWrite(row)) await parts.changes.opened
      const { status, headers = {}, body } = await (write === undefined ? run() : idempotency.answer(write, run))
      return reply.code(status).headers(headers).send(body)
    },
  }
  return { types, options }
}

/** Whether the answer may be an endless stream. Such a route has no HEAD, because that would open a stream that nobody reads. */
const isEndless = ({ gives: { 200: answer } }: Route): boolean =>
  answer !== undefined && 'contents' in answer && 'text/event-stream' in answer.contents

/** A write that was sent with an `Idempotency-Key`. */
function keyedWrite(request: FastifyRequest, { secret }: Route): KeyedWrite | undefined {
  const { method, url, headers } = request
  const key = headers[KEY]
  if (typeof key !== 'string') return undefined
  const digest = digestOf(method, url, headers, request.getDecorator<string>('bodyDigest'))
  return { who: request.getDecorator<Token>('token').id, key, digest, secret: secret === true }
}

function requestOf(request: FastifyRequest, reply: FastifyReply, keyed: Actor['keyed']): RouteRequest {
  const { params, query, headers, body } = request
  return {
    ...{ params, query, headers, body, keyed, token: request.getDecorator<Token>('token'), accept: headers.accept ?? '' },
    gone: () => {
      const gone = new AbortController()
      if (reply.raw.closed) gone.abort()
      else reply.raw.once('close', () => gone.abort())
      return gone.signal
    },
  } as RouteRequest
}
