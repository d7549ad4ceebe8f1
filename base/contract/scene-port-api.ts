/** The OpenAPI document of the scene port: what callers of scenes send, and each way in which they are answered. */
import Type, { type TSchema } from 'typebox'
import { BerthError, type ErrorCode, errorTable, toProblem } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { SceneId, VersionId } from '../traffic/schema.ts'
import { because } from './explain-api.ts'
import { Problem } from './problem-api.ts'
import { SceneRoot } from './root-api.ts'
import { Health, Readiness } from './status-api.ts'

/** Every way in which a request to a scene is refused, in the order of the data path. */
const refusals = [
  ...['REQUEST_MALFORMED', 'HEADERS_TOO_LARGE', 'METHOD_NOT_ALLOWED', 'CONTENT_TYPE_UNSUPPORTED', 'BODY_TOO_LARGE', 'BODY_TIMEOUT'],
  ...['BASE_DRAINING', 'BASE_NOT_READY', 'SCENE_NOT_FOUND', 'UNAUTHENTICATED', 'FORBIDDEN', 'SCENE_OVERLOADED', 'RATE_LIMITED'],
  ...[
    'BODY_MALFORMED',
    'REQUEST_INVALID',
    'REQUEST_REJECTED',
    'UNIT_TOO_LONG',
    'UNIT_INVALID',
    'HEADER_INVALID',
    'VERSION_NOT_FOUND',
    'SCENE_WITHOUT_BASELINE',
    'VERSION_QUARANTINED',
    'BREAKER_OPEN',
  ],
  ...['SLOT_UNAVAILABLE', 'DEADLINE_EXCEEDED', 'MODULE_KILLED', 'MODULE_THREW', 'RESULT_UNDEFINED', 'RESULT_NOT_DATA', 'RESULT_NOT_LIST'],
  ...['RESULT_BIGINT', 'RESULT_CYCLE', 'RESULT_TOO_LARGE', 'RESULT_TOO_DEEP'],
  // What the base could not do for a module, which has not caught the error.
  ...['SERVICE_FAILED', 'FEATURES_NOT_FOUND', 'FEATURES_BROKEN'],
  ...['CALL_CYCLE', 'CALL_TOO_DEEP', 'INTERNAL'],
] as const satisfies readonly ErrorCode[]

/** The examples are about the men's campaign: who asks, and the answer. */
const example = {
  request: {
    user: {
      features: [
        'cef3390ed299c09874189c387777674a',
        '03a5648a76832f83c859d46bc06cb64a',
        '7bc94a2da491829b777c49c4b5e480f2',
        '9bde591ffaab8d54c457448e4dca6f53',
      ],
      affinity: { 1: 1, 2: 1, 10: 1, 11: 1, 14: 1 },
    },
  },
  answer: {
    items: [
      { itemId: 17, score: 0.007067929574723309, position: 1 },
      { itemId: 0, score: 0.0062368147734838605, position: 2 },
      { itemId: 14, score: 0.006244741769580455, position: 3 },
    ],
    candidates: 34,
    diversity: 0.3,
  },
}

const parameter = (name: string, description: string, schema: TSchema, more: object = {}) => ({
  ...{ name, in: 'header', required: false, description, schema },
  ...more,
})
const text = (maxLength?: number) => Type.String(maxLength === undefined ? {} : { maxLength })

const parameters = [
  { name: 'id', in: 'path', required: true, description: 'id of the scene', schema: SceneId, example: 'fashion-men' },
  parameter(
    'x-unit-id',
    `who the request is for, at most ${limits.request.unitIdBytesMax} bytes of UTF-8, or UTF-8'' and the id percent-encoded; a scene may name another header or a JSON pointer into the body`,
    text(limits.request.unitIdBytesMax),
    { example: 'u1' },
  ),
  parameter('x-scene-version', 'pins a version; needs a token with the right `pin`', VersionId),
  parameter('x-scene-loadtest', 'marks a load test, whatever it says; needs a token with the right `pin`', text()),
  parameter('x-scene-capture', 'has the request captured, whatever it says; needs a token with the right `pin`', text()),
  parameter('x-request-id', 'comes back, and is in the log; made up when missing', text()),
  parameter('traceparent', 'W3C trace context: goes along through calls and fetches of the modules', text()),
  parameter('tracestate', 'W3C trace context', text()),
]

const header = (description: string, schema: TSchema) => ({ description, schema })
const requestIdHeader = { 'x-request-id': header('for the log', text()) }
const decisionHeaders = {
  'x-scene-version': header('which version answered', VersionId),
  'x-scene-because': header('why that one', Type.Enum(because)),
}
const capsuleHeader = {
  'x-scene-capsule': header(
    'the id of the capsule of a request that was captured; `none; ` and a reason when it asked for that and could not be captured',
    text(),
  ),
}
const answerHeaders = {
  ...requestIdHeader,
  ...decisionHeaders,
  ...capsuleHeader,
  'x-scene-bucket': header('the bucket of an experiment or a cutover that was asked, if one was', Type.Integer()),
  'x-scene-degraded': header('the stages that failed and were skipped or stood in for, if any', text()),
  'server-timing': header(
    'milliseconds: `decide`, `queue` (waiting for the slot), each stage by its name, and `scene`, all together',
    text(),
  ),
}
const retryAfter = { 'retry-after': header('seconds', Type.Integer()) }

const problemContent = (codes: readonly ErrorCode[]) => ({
  'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' }, examples: Object.fromEntries(codes.map(exampleOf)) },
})

function exampleOf(code: ErrorCode) {
  const { title } = errorTable[code]
  const members = { scene: 'fashion-men', requestId: '5f0c9d5e-8a4b-2' }
  return [
    code,
    { summary: title, value: toProblem(new BerthError(code, `Cannot serve scene "fashion-men": ${title.toLowerCase()}`), members) },
  ]
}

/** Refusals with the same status are one answer, with an example of each. */
function refused(codes: readonly ErrorCode[]): Record<string, object> {
  const byStatus = Map.groupBy(codes, code => errorTable[code].status)
  const answers = [...byStatus].map(([status, ofStatus]) => [
    String(status),
    {
      description: ofStatus.map(code => `\`${code}\`: ${errorTable[code].title}`).join('; '),
      headers: { ...requestIdHeader, ...decisionHeaders, ...capsuleHeader, ...(status === 429 || status === 503 ? retryAfter : {}) },
      content: problemContent(ofStatus),
    },
  ])
  return Object.fromEntries(answers)
}

const probe = (operationId: string, summary: string, codes: readonly ErrorCode[], schema: TSchema = Health) => ({
  get: {
    ...{ operationId, summary, tags: ['probes'], security: [] },
    responses: { 200: { description: 'yes', content: { 'application/json': { schema } } }, ...refused(codes) },
  },
})

const probes = {
  '/': probe('root', 'What this is, and where to look; a page for browsers', ['METHOD_NOT_ALLOWED'], SceneRoot),
  '/healthz': probe('healthz', 'Whether the cell is up', ['METHOD_NOT_ALLOWED']),
  '/readyz': probe(
    'readyz',
    'Whether the cell can answer for a scene, and which scenes it cannot answer for',
    ['METHOD_NOT_ALLOWED', 'BASE_NOT_READY', 'BASE_DRAINING'],
    Readiness,
  ),
}

/** The members of a problem document that a caller of a scene may see. */
const problemMembers = [
  'type',
  'title',
  'status',
  'code',
  'detail',
  'blame',
  'fix',
  'scene',
  'version',
  'stage',
  'module',
  'reason',
  'details',
  'faults',
  'stack',
  'frame',
  'at',
  'failures',
] as const

const anyRequest = {
  description: 'any JSON that fits `schemas.request` of the scene, if it has that: GET /api/scenes/{id} of the control port shows it',
}
const anyAnswer = {
  description: 'any JSON: what the last stage of the scene returned; `schemas.answer` of the scene describes it, if it has that',
}

/** The document, as JSON. */
export const scenePortDocument = () => ({
  openapi: '3.1.0',
  info: {
    title: 'Berth scenes',
    version: '1',
    description:
      'Calls scenes of a base. What a scene takes and answers is what its modules say; everything around that is described here.',
  },
  paths: {
    '/scenes/{id}': {
      post: {
        ...{ operationId: 'callScene', summary: 'Call a scene', tags: ['scenes'], security: [{}, { token: [] }], parameters },
        requestBody: {
          required: true,
          description: 'UTF-8, not compressed, and no larger than the base allows (--body-limit-bytes)',
          content: {
            'application/json': {
              schema: anyRequest,
              examples: { 'fashion-men': { summary: 'a visitor of the men’s campaign', value: example.request } },
            },
          },
        },
        responses: {
          200: {
            description: 'what the last stage returned',
            headers: answerHeaders,
            content: {
              'application/json': {
                schema: anyAnswer,
                examples: { 'fashion-men': { summary: 'three items', value: example.answer } },
              },
            },
          },
          ...refused(refusals),
        },
      },
    },
    ...probes,
    '/openapi.json': {
      get: {
        ...{ operationId: 'openapi', summary: 'This document', tags: ['probes'], security: [] },
        responses: {
          200: {
            description: 'OpenAPI 3.1',
            content: {
              'application/json': {
                schema: Type.Object({
                  openapi: Type.String(),
                  paths: Type.Record(Type.String(), Type.Unknown({ description: 'a path item' })),
                }),
              },
            },
          },
          ...refused(['METHOD_NOT_ALLOWED']),
        },
      },
    },
  },
  components: {
    securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    schemas: {
      Problem: Type.Object(
        {
          ...Type.Pick(Problem, problemMembers).properties,
          requestId: Type.Optional(Problem.properties.requestId),
          chain: Type.Optional(Type.Array(Type.String(), { description: 'of a call from another scene: the scenes on the way' })),
        },
        { description: 'RFC 9457' },
      ),
    },
  },
})
