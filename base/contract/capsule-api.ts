/** Capsules: requests that were captured with everything that reached the modules. */
import Type from 'typebox'
import type * as answered from '../capsule/answered.ts'
import type * as capsule from '../capsule/capsule.ts'
import type * as contents from '../capsule/contents.ts'
import { limits } from '../kernel/limits.ts'
import { Digest, Lock, Params, recordOf, SceneDefinition, SceneId, SceneSchemas, VersionId } from '../traffic/schema.ts'
import { closed, Reason } from './common-api.ts'
import { type Shape, schemaOf } from './shape.ts'

const Id = Type.String({ pattern: '^[0-9a-f]{16}$', description: '16 hexadecimal digits' })
export const CapsuleParams = Type.Object(
  { id: Type.String({ description: 'id of a scene' }), capsule: Type.String({ maxLength: 100, description: 'id of a capsule' }) },
  closed,
)

const any = Type.Unknown({ description: 'any JSON' })
const date = Type.String({ description: 'ISO 8601, UTC' })
const milliseconds = (description: string) => Type.Number({ description: `milliseconds: ${description}` })

const CaptureReason = schemaOf<capsule.CaptureReason>()(
  Type.Union([Type.Literal('sampled'), Type.Literal('asked'), Type.Literal('failed')], {
    description: 'by chance; because a pinned request asked for it; because it failed elsewhere, and was run again for this',
  }),
)
const Inexactness = schemaOf<capsule.Inexactness>()(
  Type.Union([
    Type.Literal('redacted'),
    Type.Literal('weak references'),
    Type.Literal('stack overflow'),
    Type.Literal('too many readings'),
    Type.Literal('killed'),
    Type.Literal('another V8'),
    Type.Literal('another platform'),
    Type.Literal('another time zone or locale'),
    Type.Literal('another release'),
  ]),
)
const Inexact = Type.Array(Inexactness, {
  description: 'why a replay may give other bytes, though nothing was changed; empty: it gives the same',
})

// What is exported and imported

const Origin = schemaOf<capsule.Origin>()(
  Type.Object(
    {
      v8: Type.String(),
      platform: Type.String({ description: 'such as linux-x64' }),
      zone: Type.String({ description: 'IANA name of the time zone of the process' }),
      locale: Type.String(),
      inside: Digest,
    },
    { description: 'where it was recorded' },
  ),
)

const { memoryMB } = SceneDefinition.properties.traffic.properties.spec.properties

const RecordingHead = schemaOf<capsule.RecordingHead>()(
  Type.Object({
    format: Type.Literal(1),
    id: Id,
    scene: SceneId,
    version: VersionId,
    startedAt: date,
    startedAtMs: milliseconds('the same by the monotonic clock of the cell'),
    memoryMB,
    lock: Lock,
    schemas: Type.Optional(SceneSchemas),
    services: Type.Record(Type.String(), Type.Array(Type.String()), {
      description: 'the base services that the slot was offered, with their methods',
    }),
    seed: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    origin: Origin,
  }),
)

const Entry = schemaOf<capsule.Entry>()(
  Type.Object({
    kind: Type.Union([
      Type.Literal('load'),
      Type.Literal('turn'),
      Type.Literal('settleCalls'),
      Type.Literal('settleFetch'),
      Type.Literal('fireTimer'),
      Type.Literal('abandon'),
      Type.Literal('reportOf'),
    ]),
    atMs: milliseconds('since the load began'),
    values: Type.Array(any),
    readings: Type.Array(Type.Number(), { description: 'what clocks said, in milliseconds' }),
    wallMinusMonotonic: Type.Number(),
    seed: Type.Optional(
      Type.Array(Type.Integer({ minimum: 0, maximum: 0xffffffff }), {
        minItems: 8,
        maxItems: 8,
        description: 'words of 32 bits, of chance',
      }),
    ),
    asked: Type.Array(Type.Array(any)),
    said: Type.String({ pattern: '^([0-9a-f]{64})?$' }),
  }),
)

const Failure = Type.Object({
  code: Type.String({ description: 'of the table of errors' }),
  message: Type.String(),
  stage: Type.Optional(Type.String()),
  module: Type.Optional(Type.String()),
})
const CapturedAnswer = schemaOf<capsule.CapturedAnswer>()(
  Type.Union([
    Type.Object({ json: Type.String(), degraded: Type.Optional(Type.String({ description: 'stages that had no part in it' })) }),
    Type.Object({ failure: Failure }),
  ]),
)

const CapturedLine = Type.Object({
  level: Type.String(),
  message: Type.String(),
  module: Type.Optional(Type.String()),
  fields: Type.Optional(Type.String({ description: 'JSON' })),
})

export const Capsule = schemaOf<capsule.Capsule>()(
  Type.Object({
    format: Type.Literal(1),
    id: Id,
    recording: Id,
    no: Type.Integer({ minimum: 1, description: 'its number in its slot' }),
    entries: Type.Tuple([Type.Integer({ minimum: 0 }), Type.Integer({ minimum: 0 })], {
      description: 'the places of its first and last entry in the recording',
    }),
    at: date,
    requestId: Type.String(),
    scene: SceneId,
    version: VersionId,
    why: CaptureReason,
    unit: Type.Optional(Type.String()),
    bucket: Type.Optional(Type.Integer()),
    because: Type.String({ description: 'why the version was chosen' }),
    arms: Type.Array(Type.Object({ layer: Type.String(), experiment: Type.String(), arm: Type.String(), values: Params }), {
      description: 'of business experiments, in the order in which their parameters override those of the version',
    }),
    deadlineMs: Type.Number(),
    answer: CapturedAnswer,
    tookMs: milliseconds('from the call to the answer'),
    cpuMs: milliseconds('CPU'),
    stageMs: Type.Array(Type.Number(), { description: 'milliseconds of each stage' }),
    logs: Type.Array(CapturedLine),
    inexact: Inexact,
    redacted: Type.Array(Type.String(), { description: 'JSON pointers of what was taken out' }),
  }),
)

export const ExportedCapsule = schemaOf<capsule.ExportedCapsule>()(
  Type.Object({
    format: Type.Literal(1),
    head: RecordingHead,
    entries: Type.Array(Entry, { minItems: 2 }),
    capsule: Capsule,
    blobs: recordOf(Digest, Type.String(), { description: 'bundles and source maps, by digest' }),
  }),
)

// Requests

export const CapsulesQuery = Type.Object(
  {
    version: Type.Optional(VersionId),
    why: Type.Optional(CaptureReason),
    failed: Type.Optional(Type.Boolean({ description: 'whether it was answered with an error' })),
    unit: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    requestId: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
    limit: Type.Integer({ minimum: 1, maximum: limits.capsule.listedMax, default: 100, description: 'the newest so many' }),
  },
  closed,
)

const reason = { reason: Reason }
export const CapsulesToDelete = Type.Union([
  Type.Object(
    { capsules: Type.Array(Type.String({ maxLength: 100 }), { minItems: 1, maxItems: limits.capsule.listedMax }), ...reason },
    closed,
  ),
  Type.Object(
    { unit: Type.String({ minLength: 1, maxLength: 256, description: 'all of the unit, and whatever else mentions its id' }), ...reason },
    closed,
  ),
  Type.Object({ version: VersionId, ...reason }, closed),
  Type.Object({ all: Type.Literal(true), ...reason }, closed),
])
/** Which capsules of a scene shall be deleted. */
export type CapsulesToDelete = Shape<typeof CapsulesToDelete>

export const CapsuleReading = Type.Object({
  how: Type.Union([
    Type.Literal('list'),
    Type.Literal('show'),
    Type.Literal('export'),
    Type.Literal('verify'),
    Type.Literal('run'),
    Type.Literal('validate'),
  ]),
  capsule: Type.Optional(Type.String({ description: 'its id' })),
})
/** How capsules were read, for the audit log. */
export type CapsuleReading = Shape<typeof CapsuleReading>

// Answers

export const CapsuleView = Type.Object({
  id: Id,
  recording: Id,
  scene: Type.String(),
  version: Type.String(),
  at: date,
  requestId: Type.String(),
  why: CaptureReason,
  imported: Type.Boolean({ description: 'whether another base has captured it' }),
  failed: Type.Optional(Type.String({ description: 'the code of the error, where it was answered with one' })),
  unit: Type.Optional(Type.String()),
  because: Type.String(),
  tookMs: milliseconds('from the call to the answer'),
  cpuMs: milliseconds('CPU'),
  inexact: Inexact,
})
/** A capsule in a list. */
export type CapsuleView = Shape<typeof CapsuleView>

const Exchange = schemaOf<contents.Exchange>()(
  Type.Object({
    kind: Type.Union([Type.Literal('call'), Type.Literal('service'), Type.Literal('fetch')]),
    target: Type.String({ description: 'the scene; service and method; method and URL' }),
    input: Type.Optional(Type.String({ description: 'JSON; the body of a fetch' })),
    askedMs: milliseconds('after the request came in'),
    reply: Type.Optional(
      Type.Object(
        {
          ok: Type.Boolean({ description: 'false: the text is JSON of an error' }),
          text: Type.String(),
          isBase64: Type.Optional(Type.Boolean({ description: 'whether the text is base64, of bytes' })),
          status: Type.Optional(Type.Number({ description: 'of a fetch' })),
          headers: Type.Optional(Type.Array(Type.Tuple([Type.String(), Type.String()]), { description: 'of a fetch' })),
          atMs: milliseconds('after the request came in'),
        },
        { description: 'not given: the request was answered before' },
      ),
    ),
  }),
)
const CapsuleContents = schemaOf<contents.CapsuleContents>()(
  Type.Object({
    body: Type.String(),
    params: Type.String({ description: 'JSON of what stages saw as ctx.params' }),
    exchanges: Type.Array(Exchange, { description: 'what was asked of the outside, in order' }),
    readings: Type.Integer({ description: 'how often clocks were read' }),
    timers: Type.Integer({ description: 'how often timers were set' }),
  }),
)

export const CapsuleDetail = Type.Object({
  capsule: Capsule,
  imported: Type.Boolean(),
  contents: CapsuleContents,
  stages: Type.Array(Type.Object({ stage: Type.String(), modules: Type.Array(Type.String({ description: 'name@version' })) }), {
    description: 'of the version that answered',
  }),
  recording: Type.Object({
    startedAt: date,
    before: Type.Integer({ description: 'requests that the slot had answered before' }),
    origin: Origin,
  }),
})
/** A capsule with what it holds. */
export type CapsuleDetail = Shape<typeof CapsuleDetail>

export const ImportedCapsule = Type.Object({
  id: Id,
  created: Type.Boolean({ description: 'false: it was here already' }),
})
export type ImportedCapsule = Shape<typeof ImportedCapsule>

export const DeletedCapsules = Type.Object({
  capsules: Type.Array(Id, { description: 'all that are gone, those too that came after one of them in the same slot' }),
})
export type DeletedCapsules = Shape<typeof DeletedCapsules>

// Replays

export const VerifyCapsules = Type.Object(
  { version: Type.Optional(VersionId) },
  { ...closed, description: 'version: only what it has answered' },
)
export type VerifyCapsules = Shape<typeof VerifyCapsules>

export const Verification = Type.Object({
  recordings: Type.Integer({
    description: `the newest, ${limits.capsule.verifiedMax} and ${limits.capsule.answeredBytesMax / 1024 ** 2} MB at most`,
  }),
  capsules: Type.Integer({ description: 'of these recordings' }),
  same: Type.Integer({ description: 'that gave the same bytes' }),
  inexact: Type.Integer({ description: 'that did not, for a reason that is known' }),
  differing: Type.Integer({ description: 'recordings with a difference for which no reason is known: a defect' }),
  differences: Type.Array(
    Type.Object({
      recording: Id,
      version: VersionId,
      capsule: Type.Optional(Id),
      entry: Type.Integer({ description: 'the place of the first entry that said something else' }),
      kind: Type.String({ description: 'what entered the slot with it' }),
      what: Type.String({ description: 'in words' }),
      inexact: Inexact,
    }),
  ),
})
export type Verification = Shape<typeof Verification>

export const RunCapsule = Type.Object(
  {
    version: Type.Optional(VersionId),
    params: Type.Optional(
      Type.Union([Type.Literal('recorded'), Type.Object({ scene: Params, version: Params }, closed)], {
        description: 'overridden by the arms of the capsule; if not given, the recorded ones, or with a version those of today',
      }),
    ),
  },
  { ...closed, description: 'version: which is to answer, if not the one that has answered' },
)
export type RunCapsule = Shape<typeof RunCapsule>

const Answered = schemaOf<answered.Answered>()(
  Type.Object({
    capsule: Id,
    answer: CapturedAnswer,
    newCalls: Type.Array(
      Type.Object({
        kind: Type.Union([Type.Literal('call'), Type.Literal('service'), Type.Literal('fetch')]),
        target: Type.String(),
        module: Type.Optional(Type.String()),
      }),
      { description: 'what was asked that the capsule has no reply for' },
    ),
    hosts: Type.Array(Type.String()),
    cpuMs: milliseconds('CPU'),
    tookMs: milliseconds('for which code ran'),
    waitedMs: milliseconds('for which it waited for replies and timers'),
    stageMs: Type.Array(Type.Number()),
    heapBytes: Type.Optional(Type.Number()),
    killed: Type.Boolean(),
    logs: Type.Array(Type.Object({ level: Type.String(), message: Type.String(), module: Type.Optional(Type.String()) })),
  }),
)

export const CapsuleRun = Type.Object({
  capsule: Id,
  version: VersionId,
  recorded: CapturedAnswer,
  answered: Answered,
  same: Type.Boolean({ description: 'whether the answer is the recorded one, byte for byte' }),
  impure: Type.Boolean({
    description:
      'whether the version that has answered it answers otherwise in a fresh slot, though the recording gives the same bytes again: it carries something over between requests',
  }),
  inexact: Type.Array(Inexactness, {
    description: 'when the answer is another and nothing else has changed: why that may say nothing about the code',
  }),
  stage: Type.Optional(Type.String({ description: 'of an impure version: the first stage whose result is another in a fresh slot' })),
})
export type CapsuleRun = Shape<typeof CapsuleRun>
