/**
 * The one schema of modules, scenes and versions. Types, validation, OpenAPI and editor completion all derive from it.
 */
import Type, { type Static } from 'typebox'

const closed = { additionalProperties: false } as const

/** sha256 of the bytes, in lower-case hex. */
export const Digest = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'sha256 of the bytes, hex' })

export const ModuleName = Type.String({ pattern: '^[a-z][a-z0-9-]{0,63}$', description: 'lower-case letters, digits and dashes' })
export const StageName = Type.String({
  pattern: '^[a-z][A-Za-z0-9]{0,63}$',
  description: 'a JavaScript identifier: the name of the exported function',
})
export const SceneId = Type.String({
  pattern: '^[a-z0-9][a-z0-9._-]{0,127}$',
  description: 'lower-case letters, digits, dots, dashes and underscores',
})
export const VersionId = Type.String({ pattern: '^v[1-9][0-9]{0,8}$', description: 'v and a number, counted per scene' })
/** Full SemVer 2.0.0 including prerelease and build, without a leading v; `semver.valid` decides in the end. */
export const SemVer = Type.String({
  pattern: '^\\d+\\.\\d+\\.\\d+([-+][0-9A-Za-z.+-]+)?$',
  maxLength: 256,
  description: 'a semantic version',
})
export const ModuleRef = Type.String({
  pattern: '^[a-z][a-z0-9-]{0,63}@.{1,128}$',
  description: 'a module and a semver range, such as rank-lr@^2',
})

export const ModuleManifest = Type.Object(
  {
    name: ModuleName,
    version: SemVer,
    stages: Type.Array(StageName, { minItems: 1, maxItems: 32, uniqueItems: true, description: 'the exports that are stage functions' }),
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    bundle: Digest,
    sourceMap: Type.Optional(Digest),
  },
  closed,
)
export type ModuleManifest = Static<typeof ModuleManifest>

const StageDefinition = Type.Object(
  {
    stage: StageName,
    modules: Type.Array(ModuleRef, {
      minItems: 1,
      maxItems: 16,
      description: 'run one after the other, each on what the one before returned',
    }),
  },
  closed,
)

/** RFC 6901. */
const JsonPointer = Type.String({
  pattern: '^(/([^~/]|~[01])*)+$',
  maxLength: 256,
  description: 'a JSON pointer into the body, such as /user/id',
})

const Traffic = Type.Object(
  {
    unit: Type.Object(
      {
        header: Type.String({
          pattern: '^[a-z0-9-]{1,64}$',
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
    deadlineMs: Type.Integer({ minimum: 1, maximum: 60_000, default: 1000, description: 'milliseconds until a request is answered 504' }),
    cpuMs: Type.Optional(
      Type.Number({
        minimum: 1,
        maximum: 60_000,
        description: 'milliseconds of CPU a request may use in one go; a quarter of the deadline if not given',
      }),
    ),
    spec: Type.Object(
      { memoryMB: Type.Integer({ minimum: 16, maximum: 2048, default: 128, description: 'heap limit of a slot of this scene' }) },
      { ...closed, default: {} },
    ),
  },
  { ...closed, default: {} },
)

export const SceneDefinition = Type.Object(
  {
    id: SceneId,
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    group: Type.Array(StageDefinition, { minItems: 1, maxItems: 32, description: 'the stages, in order' }),
    traffic: Traffic,
    params: Type.Record(Type.String(), Type.Unknown(), { default: {}, description: 'what stages see as ctx.params' }),
    access: Type.Union([Type.Literal('public'), Type.Literal('token')], {
      default: 'public',
      description: 'token: callers need a token with the right "call"',
    }),
  },
  closed,
)
export type SceneDefinition = Static<typeof SceneDefinition>

const LockedModule = Type.Object({ name: ModuleName, version: SemVer, bundle: Digest, sourceMap: Type.Optional(Digest) }, closed)
export type LockedModule = Static<typeof LockedModule>

/** A scene's group with every range resolved to exact digests. */
export const Lock = Type.Array(Type.Object({ stage: StageName, modules: Type.Array(LockedModule) }, closed))
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
 * `call`: scenes with `access: "token"`. `pin`: choose a version by header and see stacks of module errors. `publish`: modules, scenes and
 * versions. `admin`: everything, tokens and cells included.
 */
export const Right = Type.Union([Type.Literal('call'), Type.Literal('pin'), Type.Literal('publish'), Type.Literal('admin')])
export type Right = Static<typeof Right>
