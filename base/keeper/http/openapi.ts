/** The OpenAPI document of the control API, made from the rows of its routes, and the page that shows it beside that of the scene port. */
import { STATUS_CODES } from 'node:http'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { IdempotencyKey } from '../../contract/common-api.ts'
import { Problem } from '../../contract/problem-api.ts'
import { scenePortDocument } from '../../contract/scene-port-api.ts'
import { isWrite, type Route } from './route.ts'

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

/** The OpenAPI document of the routes that are registered from now on, with a page that shows that of the scene port too. */
export async function describeRoutes(app: FastifyInstance): Promise<void> {
  app.addSchema({ $id: 'Problem', ...Problem })
  await app.register(swagger, {
    openapi,
    refResolver: { buildLocalReference: ({ $id }, _base, _fragment, index) => String($id ?? index) },
    transform: ({ schema, url }) => ({
      schema: schema && { ...schema, querystring: asSent(schema.querystring), body: asSent(schema.body) },
      url,
    }),
  })
  const urls = [
    { name: 'control API', url: '/docs/json' },
    { name: 'scenes', url: '/docs/scenes.json' },
  ]
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true, uiConfig: { urls } })
  app.get('/docs/scenes.json', { schema: { hide: true } }, async () => scenePortDocument())
}

/** What fastify checks requests against, and what the OpenAPI document is made of. */
export function describeRoute(row: Route, tag: string) {
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

/** A schema as the sender sees it: what has a default may be left out. Fastify fills in defaults before it checks. */
function asSent(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(asSent)
  if (typeof schema !== 'object' || schema === null) return schema
  const { required, ...rest } = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, asSent(value)]))
  if (!Array.isArray(required)) return { ...rest, ...(required === undefined ? {} : { required }) }
  const properties = rest.properties as Readonly<Record<string, { readonly default?: unknown }>>
  const needed = required.filter((name: string) => properties[name]?.default === undefined)
  return { ...rest, ...(needed.length === 0 ? {} : { required: needed }) }
}
