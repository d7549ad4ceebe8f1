/** Registers rows with fastify: who may ask, how bodies are read, what is checked and documented, and what becomes of the answer. */
import { STATUS_CODES } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import Type from 'typebox'
import { IdempotencyKey } from '../../contract/common-api.ts'
import { Problem } from '../../contract/problem-api.ts'
import type { Token } from '../book/registry.ts'
import { compileAllButBody, compilePart, parseStrictJson, parseText } from './body.ts'
import { authorize } from './guard.ts'
import { type Answer, type BodyType, isWrite, type Route, type RouteParts, type RouteRequest } from './route.ts'

/** Every write goes through this, whatever its route; `run` does it. */
export type PerformWrite = (request: FastifyRequest, run: () => Promise<Answer>) => Promise<Answer>

/** @param routes by the tag that they have in the OpenAPI document */
export async function registerRoutes(
  app: FastifyInstance,
  routes: Readonly<Record<string, readonly Route[]>>,
  parts: RouteParts,
  performWrite: PerformWrite,
): Promise<void> {
  app.addSchema({ $id: 'Problem', ...Problem })
  const rows = Object.entries(routes).flatMap(([tag, ofTag]) => ofTag.map(row => optionsOf(row, tag, parts, performWrite)))
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

function optionsOf(row: Route, tag: string, parts: RouteParts, performWrite: PerformWrite) {
  const { method, path: url, right, takes } = row
  const { types = ['application/json'], checked = true, bytesMax } = takes.body ?? {}
  const options: RouteOptions = {
    ...{ method, url, schema: schemaOf(row, tag), validatorCompiler: checked ? compilePart : compileAllButBody },
    ...(bytesMax === undefined ? {} : { bodyLimit: bytesMax }),
    exposeHeadRoute: !isEndless(row),
    onRequest: async request => {
      if (right !== 'anyone') request.setDecorator('token', authorize(request, parts.registry, right))
    },
    handler: async (request, reply) => {
      const run = async () => row.run(requestOf(request, reply), parts)
      const { status, headers = {}, body } = await (isWrite(row) ? performWrite(request, run) : run())
      return reply.code(status).headers(headers).send(body)
    },
  }
  return { types, options }
}

/** To HEAD it would be answered with a stream that nobody reads. */
const isEndless = ({ gives: { 200: answer } }: Route): boolean =>
  answer !== undefined && 'contents' in answer && 'text/event-stream' in answer.contents

function requestOf(request: FastifyRequest, reply: FastifyReply): RouteRequest {
  const { params, query, headers, body } = request
  return {
    ...{ params, query, headers, body, token: request.getDecorator<Token>('token'), accept: headers.accept ?? '' },
    gone: () => {
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      return gone.signal
    },
  } as RouteRequest
}

/** What fastify checks requests against, and what the OpenAPI document is made of. */
function schemaOf(row: Route, tag: string) {
  const { operation, about, details, right, takes, gives } = row
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
    response: { ...answersOf(gives), '4xx': { $ref: 'Problem#' }, '5xx': { $ref: 'Problem#' } },
  }
}

function answersOf(gives: Route['gives']): Record<string, unknown> {
  const answers = Object.entries(gives).map(([status, answer]) => {
    if (!('contents' in answer)) return [status, { 'x-response-description': STATUS_CODES[status], ...answer }]
    const content = Object.entries(answer.contents).map(([type, schema]) => [type, { schema }])
    return [status, { description: answer.description, content: Object.fromEntries(content) }]
  })
  return Object.fromEntries(answers)
}
