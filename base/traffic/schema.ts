/** The one schema of modules, scenes and versions. Types, validation, OpenAPI and editor completion all derive from it. */
import Type, { type Static, type TObjectOptions, type TSchema, type TString } from 'typebox'
import Value from 'typebox/value'
import { limits } from '../kernel/limits.ts'
import { DEFAULT_MEMORY_MB, manifestLimits, patterns } from './names.ts'

const closed = { additionalProperties: false } as const

/**
 * An object whose members all have names of this form. It uses `propertyNames` and not `additionalProperties: false`, because with the latter
 * typebox throws at an excess member while it fills in defaults.
 */
export const recordOf = <Key extends TString, Value extends TSchema>(key: Key, value: Value, options: TObjectOptions = {}) =>
  Type.Record(key, value, { ...options, propertyNames: key })

const Json = Type.Unknown({ description: 'any JSON' })

/** sha256 of the bytes, in lower-case hex. */
export const Digest = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'sha256 of the bytes, hex' })

export const ModuleName = Type.String({ pattern: patterns.module, description: 'lower-case letters, digits and dashes' })
export const StageName = Type.String({
  pattern: patterns.stage,
  description: 'a JavaScript identifier: the name of the exported function',
})
export const SceneId = Type.String({
  pattern: '^[a-z0-9][a-z0-9._-]{0,127}$',
  description: 'lower-case letters, digits, dots, dashes and underscores',
})
export const VersionId = Type.String({ pattern: '^v[1-9][0-9]{0,8}$', description: 'v and a number, counted per scene' })
export const ServiceName = Type.String({
  pattern: patterns.service,
  description: 'a JavaScript identifier: the member of ctx.services',
})
const ServiceNames = Type.Array(ServiceName, {
  maxItems: manifestLimits.services,
  uniqueItems: true,
  description: 'the base services that the module uses',
})
const FetchHosts = Type.Array(
  Type.String({ pattern: patterns.host, description: 'such as api.example.com (https) or http://10.0.0.7:8080' }),
  {
    maxItems: manifestLimits.hosts,
    uniqueItems: true,
    description: 'the hosts that the module fetches from, each with its scheme and port unless these are https and 443',
  },
)
export const SemVer = Type.String({
  pattern: patterns.version,
  maxLength: manifestLimits.versionChars,
  description: 'a semantic version',
})
export const ModuleRef = Type.String({
  pattern: '^[a-z][a-z0-9-]{0,63}@.{1,128}$',
  description: 'a module and a semver range, such as rank-lr@^2',
})

export const ModuleOrigin = Type.Object(
  {
    commit: Type.String({ pattern: patterns.commit, description: 'id of the git commit that was checked out' }),
    modified: Type.Optional(
      Type.Boolean({ description: 'whether files of the module differed from the commit, or were not in it; not given: not known' }),
    ),
    ref: Type.Optional(Type.String({ maxLength: manifestLimits.originChars, description: 'branch, or tag' })),
    path: Type.Optional(Type.String({ maxLength: manifestLimits.originChars, description: 'of the module inside its repository' })),
    remote: Type.Optional(
      Type.String({ maxLength: manifestLimits.originChars, description: 'URL of the repository, without credentials' }),
    ),
  },
  { ...closed, description: 'where the sources of the module are, as whoever published it said; not given: in no repository' },
)
/** Where the sources of a published module are. */
export type ModuleOrigin = Static<typeof ModuleOrigin>

export const ModuleManifest = Type.Object(
  {
    name: ModuleName,
    version: SemVer,
    stages: Type.Array(StageName, {
      minItems: 1,
      maxItems: manifestLimits.stages,
      uniqueItems: true,
      description: 'the exports that are stage functions',
    }),
    description: Type.Optional(Type.String({ maxLength: manifestLimits.descriptionChars })),
    services: Type.Optional(ServiceNames),
    fetch: Type.Optional(FetchHosts),
    bundle: Digest,
    sourceMap: Type.Optional(Digest),
    origin: Type.Optional(ModuleOrigin),
  },
  closed,
)
export type ModuleManifest = Static<typeof ModuleManifest>

const OnFailure = Type.Union([Type.Literal('fail'), Type.Literal('skip'), Type.Literal('fallback')], {
  description:
    'fail: the request fails; skip: the input passes on unchanged ([] from the first stage; of a parallel stage only the modules that failed are left out); fallback: the fallback answers',
})

const stageSettings = {
  parallel: Type.Optional(Type.Boolean({ description: 'the modules run together, each on the input of the stage' })),
  deadlineMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 60_000,
      description: 'milliseconds the stage may wait; synchronous code that ends late still counts',
    }),
  ),
  onFailure: Type.Optional(OnFailure),
}

const StageDefinition = Type.Object(
  {
    stage: StageName,
    modules: Type.Array(ModuleRef, {
      minItems: 1,
      maxItems: 16,
      description: 'run one after the other, each on what the one before returned',
    }),
    ...stageSettings,
    merge: Type.Optional(
      Type.Union([Type.Literal('concat'), ModuleRef], {
        description: 'of a parallel stage: concat joins the lists (the default), a module gets the list of results and returns one',
      }),
    ),
    fallback: Type.Optional(
      Type.Union([Type.Object({ module: ModuleRef }, closed), Type.Object({ value: Json }, closed)], {
        description: 'with onFailure "fallback": a module that gets the input of the stage, or the value itself',
      }),
    ),
  },
  closed,
)
export type StageDefinition = Static<typeof StageDefinition>

/** RFC 6901. */
const JsonPointer = Type.String({
  pattern: '^(/([^~/]|~[01])*)+$',
  maxLength: 256,
  description: 'a JSON pointer into the body, such as /user/id',
})

const HEADER_NAME = '^[a-z0-9-]{1,64}$'
const HeaderName = Type.String({ pattern: HEADER_NAME, description: 'a request header, lower case' })

const Breaker = Type.Object(
  {
    enabled: Type.Boolean({ default: true }),
    failureRatio: Type.Number({
      exclusiveMinimum: 0,
      maximum: 1,
      default: 0.5,
      description: 'opens when this part of the requests in the window failed, each in a way its module is to blame for',
    }),
    minRequests: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 100, description: 'fewer in the window of a cell prove nothing' }),
    windowMs: Type.Integer({ minimum: 100, maximum: 600_000, default: 10_000, description: 'how far back it looks' }),
    openMs: Type.Integer({
      minimum: 10,
      maximum: 600_000,
      default: 5000,
      description: 'how long it refuses before it tries the version again',
    }),
    probes: Type.Integer({
      minimum: 1,
      maximum: 1000,
      default: 3,
      description: 'requests at a time that try it, and how many in a row have to succeed',
    }),
  },
  {
    ...closed,
    description: 'per version and cell: refuses with BREAKER_OPEN while the version mostly fails; pinned requests are let through',
  },
)
/** The breaker of a scene that sets none. */
export const breakerDefaults: Static<typeof Breaker> = Value.Create(Breaker)

/** A JSON pointer in which `*` stands for every element of a list, and for every member of an object. */
const JsonPointers = Type.Array(
  Type.String({
    pattern: '^(/([^~/]|~[01])*)+$',
    maxLength: 256,
    description: 'a JSON pointer, such as /user/phone; * stands for every element or member, as in /orders/*/address',
  }),
  {
    maxItems: 64,
    uniqueItems: true,
    default: [],
    description:
      'what is taken out of each JSON of a capsule before it leaves the cell: body, parameters, calls and replies, answer, fields of log lines; such capsules are inexact',
  },
)

const Capsules = Type.Object(
  {
    off: Type.Boolean({ default: false, description: 'whether nothing of the scene is ever captured, asked for or not' }),
    rate: Type.Number({ minimum: 0, maximum: 1, default: 0.01, description: 'the part of its requests that is captured' }),
    perSecond: Type.Number({
      exclusiveMinimum: 0,
      maximum: 1000,
      default: 5,
      description: 'at most so many a second in the whole base, in the long run; those that were asked for come in addition',
    }),
    kept: Type.Integer({ minimum: 1, maximum: 10_000, default: 1000, description: 'capsules of each version that are kept' }),
    bytes: Type.Integer({
      minimum: 64 * 1024,
      maximum: 1024 ** 3,
      default: 64 * 1024 ** 2,
      description: 'bytes on disk that the capsules of the scene may take',
    }),
    ageDays: Type.Number({ exclusiveMinimum: 0, maximum: 365, default: 7, description: 'days after which a capsule is deleted' }),
    warmUp: Type.Boolean({
      default: true,
      description: 'whether new slots answer capsules, whose answers nobody gets, before requests reach them',
    }),
    redact: JsonPointers,
  },
  {
    ...closed,
    description: 'which requests are captured with everything that reached the modules, so that any version can answer them again',
  },
)
export type CapsuleSettings = Static<typeof Capsules>
/** The settings of a scene that sets none. */
export const capsuleDefaults: CapsuleSettings = Value.Create(Capsules)

const Traffic = Type.Object(
  {
    unit: Type.Object(
      {
        header: Type.String({
          pattern: HEADER_NAME,
          default: 'x-unit-id',
          description: 'request header that holds the unit id, lower case',
        }),
        pointer: Type.Optional(JsonPointer),
      },
      {
        ...closed,
        default: {},
        description: 'where the unit id is: the header, else the pointer (which costs a second parse of the body)',
      },
    ),
    deadlineMs: Type.Integer({
      minimum: 1,
      maximum: limits.request.deadlineMsMax,
      default: 1000,
      description: 'milliseconds until a request is answered 504',
    }),
    cpuMs: Type.Optional(
      Type.Number({
        minimum: 1,
        maximum: 60_000,
        description: 'milliseconds of CPU a request may use in one go; a quarter of the deadline if not given',
      }),
    ),
    maxConcurrency: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100_000,
        description: `requests under way at once in the whole base; more are answered SCENE_OVERLOADED; ${limits.scene.concurrency} if not given`,
      }),
    ),
    rateLimit: Type.Optional(
      Type.Object(
        {
          rps: Type.Number({ minimum: 0.01, maximum: 10_000_000, description: 'requests a second, in the long run' }),
          burst: Type.Optional(
            Type.Integer({ minimum: 1, maximum: 10_000_000, description: "requests at once after a pause; a second's worth if not given" }),
          ),
        },
        { ...closed, description: 'what the whole base lets in; more is answered RATE_LIMITED' },
      ),
    ),
    spec: Type.Object(
      {
        memoryMB: Type.Integer({
          minimum: 16,
          maximum: 2048,
          default: DEFAULT_MEMORY_MB,
          description: 'heap limit of a slot of this scene',
        }),
        cpu: Type.Optional(
          Type.Number({
            minimum: 0.01,
            maximum: 1024,
            description:
              'cores that the scene may use up in the whole base, measured by the second; over it requests are answered SCENE_OVERLOADED',
          }),
        ),
      },
      { ...closed, default: {} },
    ),
    priority: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 100,
        description: `when a cell has too much to do, scenes of lower priority are refused first; ${limits.scene.priority} if not given`,
      }),
    ),
    breaker: Type.Optional(Breaker),
  },
  { ...closed, default: {} },
)

const AttributeType = Type.Union([Type.Literal('string'), Type.Literal('number'), Type.Literal('boolean'), Type.Literal('semver')], {
  description: 'how it is compared; string if not given',
})
export type AttributeType = Static<typeof AttributeType>

export const AttributeName = Type.String({
  pattern: '^[a-zA-Z][a-zA-Z0-9_]{0,63}$',
  description: 'letters, digits and underscores',
})

/** Where in a request the value of an attribute is found. */
const AttributeDefinition = Type.Union(
  [
    JsonPointer,
    Type.Object({ header: HeaderName, type: Type.Optional(AttributeType) }, closed),
    Type.Object({ pointer: JsonPointer, type: Type.Optional(AttributeType) }, closed),
  ],
  {
    description:
      'a JSON pointer into the body, { "pointer", "type" } or { "header", "type" }; the body is parsed only when an experiment asks for one of it',
  },
)

/** Parameters, which stages see as `ctx.params`, or a part of them. */
export const Params = Type.Record(Type.String(), Json)
export type Params = Static<typeof Params>

const JsonSchema = Type.Record(Type.String(), Json, {
  description: 'a JSON Schema of 2020-12, or rather of the part of it that docs/modules.md names',
})

export const SceneSchemas = Type.Object(
  {
    request: Type.Optional(JsonSchema),
    answer: Type.Optional(JsonSchema),
  },
  {
    ...closed,
    description:
      'request: a body that does not fit is refused with 400 before any stage runs; answer: checked in tests, and now and then in a base',
  },
)
export type SceneSchemas = Static<typeof SceneSchemas>

const FieldTolerance = Type.Object(
  {
    ignore: Type.Optional(Type.Literal(true, { description: 'it is not compared' })),
    absolute: Type.Optional(Type.Number({ minimum: 0, description: 'numbers that differ by this much are equal' })),
    relative: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description: 'numbers that differ by this part of the larger one are equal; if not given 1e-9, and 0 for integers',
      }),
    ),
    order: Type.Optional(Type.Literal('any', { description: 'of a list: its order means nothing' })),
    key: Type.Optional(
      Type.String({ minLength: 1, maxLength: 128, description: 'of a list of objects: the member that says which item is which' }),
    ),
    requests: Type.Optional(Type.Number({ minimum: 0, maximum: 1, description: 'the part of the requests in which it may differ' })),
  },
  closed,
)
/** How far a field of answers may differ. */
export type FieldTolerance = Static<typeof FieldTolerance>

const FieldPath = Type.String({
  pattern: '^(/([^~/]|~[01])*)*$',
  maxLength: 512,
  description: 'a JSON pointer into the answer, with * for any item of a list, such as /items/*/score',
})

const ratio = (what: string) =>
  Type.Number({ minimum: 1, maximum: 1000, default: 1.5, description: `${what} a request may take, as a multiple of the baseline` })

const thresholds = Type.Object(
  {
    errors: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0,
      description: 'the part of the requests that may fail, though the baseline answers them',
    }),
    cpu: ratio('CPU that'),
    latency: ratio('time that'),
    heapKB: Type.Number({
      minimum: 0,
      maximum: 1_000_000,
      default: 64,
      description: 'KB by which the heap may grow with each request, beyond what it grows with the baseline',
    }),
    newHosts: Type.Boolean({ default: false, description: 'whether hosts may be asked that the baseline does not ask' }),
    differing: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0,
      description: 'the part of the requests whose answers may differ; what params change is not counted',
    }),
  },
  closed,
)

const ValidationMode = Type.Union([Type.Literal('strict'), Type.Literal('report'), Type.Literal('off')], {
  default: 'report',
  description: 'strict: what fails is refused; report: the report is shown, and the change is made; off: nothing is answered',
})
export type ValidationMode = Static<typeof ValidationMode>

const Validation = Type.Object(
  {
    mode: ValidationMode,
    thresholds: Type.Object(thresholds.properties, { ...closed, default: {} }),
    fields: recordOf(FieldPath, FieldTolerance, {
      maxProperties: 256,
      default: {},
      description: 'how far single fields of answers may differ, by their paths',
    }),
  },
  { ...closed, description: 'what a version or params have to pass before they get traffic: they answer requests that were captured' },
)
export type Validation = Static<typeof Validation>
/** The validation of a scene that says nothing about it. */
export const validationDefaults: Validation = { ...Value.Create(Validation), thresholds: Value.Create(thresholds) }

export const SceneDefinition = Type.Object(
  {
    id: SceneId,
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    group: Type.Array(StageDefinition, { minItems: 1, maxItems: 32, description: 'the stages, in order' }),
    traffic: Traffic,
    params: Type.Record(Type.String(), Json, { default: {}, description: 'what stages see as ctx.params' }),
    schemas: Type.Optional(SceneSchemas),
    capsules: Type.Optional(Capsules),
    validation: Type.Optional(Validation),
    attributes: Type.Optional(
      recordOf(AttributeName, AttributeDefinition, { maxProperties: 64, description: 'what experiments may be targeted on' }),
    ),
    access: Type.Union([Type.Literal('public'), Type.Literal('token')], {
      default: 'public',
      description: 'token: callers need a token with the right "call"',
    }),
    callers: Type.Optional(
      Type.Array(SceneId, {
        maxItems: 1000,
        uniqueItems: true,
        description:
          'with access "token": the scenes that may call this one with ctx.call for any request; for others, the request needs a token with the right "call"',
      }),
    ),
  },
  closed,
)
export type SceneDefinition = Static<typeof SceneDefinition>

type Draft<T> = {
  [K in keyof T]?: NonNullable<T[K]> extends readonly unknown[] ? T[K] : T[K] extends object | undefined ? Draft<NonNullable<T[K]>> : T[K]
}

/** A scene as people write it: everything that has a default may be left out, at any depth. */
export type SceneDraft = Pick<SceneDefinition, 'id' | 'group'> & Draft<Omit<SceneDefinition, 'id' | 'group'>>

const LockedModule = Type.Object(
  {
    name: ModuleName,
    version: SemVer,
    bundle: Digest,
    sourceMap: Type.Optional(Digest),
    services: Type.Optional(ServiceNames),
    fetch: Type.Optional(FetchHosts),
  },
  closed,
)
export type LockedModule = Static<typeof LockedModule>

export const LockedStage = Type.Object(
  {
    stage: StageName,
    modules: Type.Array(LockedModule),
    ...stageSettings,
    merge: Type.Optional(Type.Union([Type.Literal('concat'), LockedModule])),
    fallback: Type.Optional(Type.Union([Type.Object({ module: LockedModule }, closed), Type.Object({ value: Json }, closed)])),
  },
  closed,
)
export type LockedStage = Static<typeof LockedStage>

/** A scene's group with every range resolved to exact digests. */
export const Lock = Type.Array(LockedStage)
export type Lock = Static<typeof Lock>

export const VersionRecord = Type.Object(
  {
    id: VersionId,
    scene: SceneId,
    lock: Lock,
    /** The version whose lock this one started from. */
    from: Type.Optional(VersionId),
    label: Type.Optional(Type.String({ maxLength: 200 })),
    createdAt: Type.String({ description: 'ISO 8601, UTC' }),
    createdBy: Type.String({ description: 'id of the token' }),
  },
  closed,
)
export type VersionRecord = Static<typeof VersionRecord>

/**
 * A right of a token. `call`: call scenes with `access: "token"`. `read`: read the control API, except logs, profiles and tokens. `pin`: choose a
 * version by header, and see logs and the stacks of module errors. `capsules`: read, import and delete captured requests, which hold what callers have sent.
 * `publish`: change modules, scenes, versions and who gets which, and everything that `read` and `pin` allow. `admin`: everything, including tokens and cells.
 */
export const Right = Type.Union([
  Type.Literal('call'),
  Type.Literal('read'),
  Type.Literal('pin'),
  Type.Literal('publish'),
  Type.Literal('capsules'),
  Type.Literal('admin'),
])
export type Right = Static<typeof Right>
