/** Registers rows with fastify: who may ask, how bodies are read, what is checked and documented, and what becomes of the answer. */
import { STATUS_CODES } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import Type from 'typebox'
import { IdempotencyKey } from '../../contract/common-api.ts'
import { Problem } from '../../contract/problem-api.ts'
import type { Actor } from '../book/book.ts'
import type { Token } from '../book/token-book.ts'
import { compileAllButBody, compilePart, parseStrictJson, parseText } from './body.ts'
import { authorize } from './guard.ts'
import { Idempotency, type KeyedWrite } from './idempotency.ts'
import { type BodyType, isWrite, type Route, type RouteParts, type RouteRequest } from './route.ts'

/** @param routes by the tag that they have in the OpenAPI document */
export async function registerRoutes(
  app: FastifyInstance,
  routes: Readonly<Record<string, readonly Route[]>>,
  parts: RouteParts,
): Promise<void> {
  const idempotency = new Idempotency(parts.book, parts.log)
  app.addSchema({ $id: 'Problem', ...Problem })
  const rows = Object.entries(routes).flatMap(([tag, ofTag]) => ofTag.map(row => optionsOf(row, tag, parts, idempotency)))
  // Parsers hold for all routes of a scope.
  for (const [types, sameTypes] of Map.groupBy(rows, ({ types }) => types.join())) {
    await app.register(async scope => {
      for (const type of types.split(',') as BodyType[])
        scope.addContentTypeParser(type, { parseAs: 'buffer' }, async (_: FastifyRequest, body: Buffer) => parsers[type](body))
      for (const { options } of sameTypes) scope.route(options)
    })
  }
}

const parsers: Readonly<Record<BodyType, (body: Buffer) => unknown>> = {
  'application/json': parseStrictJson,
  'text/plain': parseText,
  'application/octet-stream': body => body,
}

function optionsOf(row: Route, tag: string, parts: RouteParts, idempotency: Idempotency) {
  const { method, path: url, right, takes } = row
  const { types = ['application/json'], checked = true, bytesMax } = takes.body ?? {}
  const options: RouteOptions = {
    ...{ method, url, schema: schemaOf(row, tag), validatorCompiler: checked ? compilePart : compileAllButBody },
    ...(bytesMax === undefined ? {} : { bodyLimit: bytesMax }),
    exposeHeadRoute: !isEndless(row),
    config: { swagger: { exposeHeadRoute: method === 'HEAD' } },
    onRequest: async request => {
      if (right !== 'anyone') request.setDecorator('token', authorize(request, parts.book.tokens, right))
    },
    handler: async (request, reply) => {
      const run = async (keyed?: Actor['keyed']) => row.run(requestOf(request, reply, keyed), parts)
      const write = isWrite(row) ? keyedWrite(request, row) : undefined
      const { status, headers = {}, body } = await (write === undefined ? run() : idempotency.answer(write, run))
      return reply.code(status).headers(headers).send(body)
    },
  }
  return { types, options }
}

/** To HEAD it would be answered with a stream that nobody reads. */
const isEndless = ({ gives: { 200: answer } }: Route): boolean =>
  answer !== undefined && 'contents' in answer && 'text/event-stream' in answer.contents

/** A write that was sent with an `Idempotency-Key`. */
function keyedWrite(request: FastifyRequest, { secret }: Route): KeyedWrite | undefined {
  const { method, url, headers, body } = request
  const key = headers['idempotency-key']
  if (typeof key !== 'string') return undefined
  return { who: request.getDecorator<Token>('token').id, key, method, url, body, secret: secret === true }
}

function requestOf(request: FastifyRequest, reply: FastifyReply, keyed: Actor['keyed']): RouteRequest {
  const { params, query, headers, body } = request
  return {
    ...{ params, query, headers, body, keyed, token: request.getDecorator<Token>('token'), accept: headers.accept ?? '' },
    gone: () => {
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      return gone.signal
    },
  } as RouteRequest
}

/** What fastify checks requests against, and what the OpenAPI document is made of. */
function schemaOf(row: Route, tag: string) {
  const { operation, about, details, right, takes } = row
  const { params, query, body } = takes
  const headers = isWrite(row)
    ? Type.Object({ ...takes.headers?.properties, 'idempotency-key': Type.Optional(IdempotencyKey) })
    : takes.headers
  return {
    ...{ operationId: operation, summary: about, tags: [tag], security: right === 'anyone' ? [] : [{ token: [] }] },
    description: [...(details === undefined ? [] : [details]), right === 'anyone' ? 'For anyone.' : `Needs the right \`${right}\`.`].join(
      ' ',
    ),
    ...(params && { params }),
    ...(query && { querystring: query }),
    ...(headers && { headers }),
    ...(body && { body: body.schema, consumes: [...body.types] }),
    response: { ...answersOf(row), '4xx': problem, '5xx': problem },
  }
}

const problem = { description: 'a problem document', content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } } }
const etagHeader = { etag: { type: 'string', description: 'the revision, in quotes, for If-Match' } }

function answersOf({ gives, takes, etag }: Route): Record<string, object> {
  const hasEtag = etag ?? (takes.headers !== undefined && 'if-match' in takes.headers.properties)
  const headers = hasEtag ? { headers: etagHeader } : {}
  const answers = Object.entries(gives).map(([status, answer]): [string, object] => {
    if (!('contents' in answer)) return [status, { 'x-response-description': STATUS_CODES[status], ...answer, ...headers }]
    const content = Object.entries(answer.contents).map(([type, schema]) => [type, { schema }])
    return [status, { description: answer.description, content: Object.fromEntries(content), ...headers }]
  })
  return Object.fromEntries(answers)
}

/** A schema for who sends what it describes: what has a default may be left out. (Fastify checks after it has filled defaults in.) */
export function asSent(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(asSent)
  if (typeof schema !== 'object' || schema === null) return schema
  const { required, ...rest } = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, asSent(value)]))
  if (!Array.isArray(required)) return { ...rest, ...(required === undefined ? {} : { required }) }
  const properties = rest.properties as Readonly<Record<string, { readonly default?: unknown }>>
  const needed = required.filter((name: string) => properties[name]?.default === undefined)
  return { ...rest, ...(needed.length === 0 ? {} : { required: needed }) }
}
