/** How a change is validated before it gets traffic, and the report of it. */
import Type from 'typebox'
import type { Cost, Fault, Growth, Quantiles, Report } from '../capsule/report.ts'
import { SceneDefinition } from '../traffic/schema.ts'
import { type Shape, schemaOf } from './shape.ts'

const { mode } = SceneDefinition.properties.validation.properties

/** How this one change is validated. */
export const AskedValidation = Type.Optional(
  Type.Union(mode.anyOf, { description: 'in the place of what the scene says; of a dry run, which is else not validated' }),
)

const Requests = (description: string) => Type.Integer({ description })
const Capsules = Type.Array(Type.String(), { description: 'ids of some of them' })
const text = Type.Optional(Type.String())

const FaultName = schemaOf<Fault>()(
  Type.Union([
    Type.Literal('hosts'),
    Type.Literal('heap'),
    Type.Literal('killed'),
    Type.Literal('errors'),
    Type.Literal('shape'),
    Type.Literal('cpu'),
    Type.Literal('latency'),
    Type.Literal('differences'),
  ]),
)

const CostOfRequests = schemaOf<Cost>()(
  Type.Object(
    { baselineMs: Type.Number(), candidateMs: Type.Number(), ratio: Type.Number({ description: 'of all that both take' }) },
    { description: 'milliseconds that half of the requests take at most' },
  ),
)
const GrowthOfHeap = schemaOf<Growth>()(
  Type.Object({ baseline: Type.Number(), candidate: Type.Number() }, { description: 'bytes that the heap grows with each request' }),
)
const QuantilesOf = schemaOf<Quantiles>()(Type.Object({ p50: Type.Number(), p90: Type.Number(), max: Type.Number() }))

const Field = Type.Object({
  path: Type.String({ description: 'a JSON pointer with * for the items of a list; empty: the answer itself' }),
  kind: Type.Union([Type.Literal('value'), Type.Literal('type'), Type.Literal('missing'), Type.Literal('new'), Type.Literal('list')], {
    description: 'type and missing: it never is so with the baseline; list: items were moved, added or lost',
  }),
  requests: Requests('in how many it differs'),
  noise: Requests('in how many it would differ by the noise of the baseline alone'),
  counts: Type.Boolean({ description: 'whether that is more than noise, and more than the scene allows' }),
  renamedTo: Type.Optional(Type.String({ description: 'the member that has its values now' })),
  absolute: Type.Optional(QuantilesOf),
  relative: Type.Optional(QuantilesOf),
  list: Type.Optional(
    Type.Object(
      { moved: Type.Integer(), added: Type.Integer(), missing: Type.Integer() },
      { description: 'items, in all requests together' },
    ),
  ),
  carriedOver: Requests('in how many it differs only because of requests before them'),
  examples: Type.Array(Type.Object({ capsule: Type.String(), before: text, after: text }), {
    description: 'values as JSON, for tokens with the right "capsules"',
  }),
})

const FailedAnew = Type.Object({
  ...{ code: Type.String(), message: Type.String(), stage: text, module: text },
  requests: Requests('that fail so'),
  capsules: Capsules,
})

export const ValidationReport = schemaOf<Report>()(
  Type.Object(
    {
      verdict: Type.Union([Type.Literal('passed'), Type.Literal('failed'), Type.Literal('no data')], {
        description: 'no data: too few requests could be compared',
      }),
      mode: Type.Union(mode.anyOf),
      what: Type.Union([Type.Literal('version'), Type.Literal('params')]),
      baseline: Type.String(),
      candidate: Type.String({ description: 'of params: the same version, with them' }),
      capsules: Requests('that were chosen'),
      answered: Requests('that both have answered'),
      comparable: Requests('of these, for which everything that was asked of the outside has a reply'),
      differing: Requests('of these, whose answers differ beyond noise'),
      reasons: Type.Array(Type.Object({ fault: FaultName, message: Type.String() }), { description: 'why it failed, the gravest first' }),
      ended: Type.Optional(
        Type.Union([Type.Literal('time'), Type.Literal('kills'), Type.Literal('process'), Type.Literal('size')], {
          description: 'why not every capsule was answered',
        }),
      ),
      missingReplies: Type.Array(
        Type.Object({
          kind: Type.Union([Type.Literal('call'), Type.Literal('service'), Type.Literal('fetch')]),
          target: Type.String(),
          requests: Requests('that asked for it'),
        }),
      ),
      errors: Type.Array(FailedAnew, { description: 'of the candidate, where the baseline has none' }),
      mended: Requests('that fail with the baseline only'),
      cpu: Type.Optional(CostOfRequests),
      latency: Type.Optional(CostOfRequests),
      heap: Type.Optional(GrowthOfHeap),
      newHosts: Type.Array(Type.String(), { description: 'that the baseline does not ask' }),
      fields: Type.Array(Field, { description: 'those that count first' }),
      fieldsLeftOut: Type.Integer(),
      tookMs: Type.Integer(),
    },
    { description: 'how a candidate answers requests that were captured, compared with the baseline' },
  ),
)
/** How a candidate answers captured requests. */
export type ValidationReport = Shape<typeof ValidationReport>

export const OptionalReport = Type.Optional(ValidationReport)
