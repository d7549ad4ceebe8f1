/** What the control API takes and answers, as schemas: types, validation and OpenAPI derive from them. */
import Type, { type Static, type TSchema } from 'typebox'
import { limits } from '../../kernel/limits.ts'
import { BUCKETS } from '../../traffic/hash.ts'
import {
  Digest,
  Lock,
  ModuleManifest,
  ModuleName,
  ModuleRef,
  Right,
  SceneDefinition,
  SemVer,
  VersionId,
  VersionRecord,
} from '../../traffic/schema.ts'

const closed = { additionalProperties: false } as const

// Parts of requests

export const DigestParam = Type.Object({ digest: Digest }, closed)
export const ModuleParams = Type.Object({ name: ModuleName, version: SemVer }, closed)
export const ModulesQuery = Type.Object({ name: Type.Optional(ModuleName) }, closed)
/** What is no id is not found, or refused with the definition. */
export const SceneParam = Type.Object({ id: Type.String({ description: 'of the scene' }) }, closed)
export const TokenParam = Type.Object({ id: Type.String({ maxLength: 100 }) }, closed)
export const CellParam = Type.Object({ cell: Type.Integer({ minimum: 1, maximum: 1_000_000 }) }, closed)
export const AuditQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'rows to answer' }),
    scene: Type.Optional(Type.String({ maxLength: 128, description: 'only what was done to this scene' })),
    before: Type.Optional(Type.Integer({ minimum: 1, description: 'only commits before this revision: the last one of the page before' })),
  },
  closed,
)

const LogLevel = Type.Union([Type.Literal('debug'), Type.Literal('info'), Type.Literal('warn'), Type.Literal('error')])
export const LogsQuery = Type.Object(
  {
    version: Type.Optional(VersionId),
    level: Type.Optional(Type.Union(LogLevel.anyOf, { default: 'debug', description: 'this one and what is worse' })),
    module: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: 'a name, or name@version' })),
    limit: Type.Integer({ minimum: 1, maximum: limits.log.readMax, default: 100, description: 'the last so many lines' }),
    follow: Type.Optional(
      Type.Boolean({ description: 'as server-sent events, and go on with what comes; so does "Accept: text/event-stream"' }),
    ),
  },
  closed,
)
export const LogsHeaders = Type.Object({
  'last-event-id': Type.Optional(Type.String({ pattern: '^[0-9]{1,16}$', description: 'the seq of the last line that was seen' })),
})

export const ProfileBody = Type.Object(
  {
    version: Type.Optional(VersionId),
    kind: Type.Union([Type.Literal('cpu'), Type.Literal('heap')], { default: 'cpu' }),
    seconds: Type.Number({ minimum: 0.1, maximum: limits.profile.secondsMax, default: 5, description: 'of a CPU profile' }),
    cell: Type.Optional(Type.Integer({ minimum: 1, description: 'the one whose slot has used most CPU, when there is none' })),
  },
  closed,
)

const Etag = Type.String({ pattern: '^"[0-9]{1,15}"$', description: 'the revision that was read, in quotes, as the ETag header had it' })
export const IfMatch = Type.Object({ 'if-match': Type.Optional(Etag) })
export const IfMatchOrNone = Type.Object({
  'if-match': Type.Optional(Etag),
  'if-none-match': Type.Optional(Type.Literal('*', { description: 'the scene must not be defined yet' })),
})

export const Reason = Type.Optional(Type.String({ maxLength: 1000, description: 'for the audit log' }))

const Kind = Type.Union([Type.Literal('dev'), Type.Literal('cutover'), Type.Literal('baseline'), Type.Literal('loadtest')], {
  description: 'what the version is for; every cell loads it first. Not given: dev, loaded on its first request',
})
export const Share = Type.Integer({ minimum: 0, maximum: BUCKETS, description: 'hundredths of a percent' })

export const PublishBody = Type.Object({ manifest: ModuleManifest }, closed)
export const VersionBody = Type.Object(
  {
    modules: Type.Optional(
      Type.Array(ModuleRef, { maxItems: 512, description: 'modules to replace, each with an exact version (a prerelease too) or a range' }),
    ),
    from: Type.Optional(VersionId),
    resolve: Type.Optional(Type.Boolean({ default: false, description: 'resolve the ranges of modules that are not named too' })),
    reuse: Type.Optional(
      Type.Boolean({ default: false, description: 'take a version that has exactly this lock instead of making another' }),
    ),
    label: Type.Optional(Type.String({ maxLength: 200 })),
    as: Type.Optional(Kind),
    share: Type.Optional(Share),
    whitelist: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: 1000,
        description: 'unit ids to send to it, in the same commit; those on the whitelist already move',
      }),
    ),
    reason: Reason,
  },
  closed,
)
export const TokenBody = Type.Object(
  {
    rights: Type.Array(Right, { minItems: 1, uniqueItems: true }),
    label: Type.String({ minLength: 1, maxLength: 200, description: 'whose it is or what for' }),
  },
  closed,
)

// Answers

/** A list as what answers is made of has it. */
const readonlyList = <Item extends TSchema>(item: Item, description = '') =>
  Type.Unsafe<readonly Static<Item>[]>(Type.Array(item, { description }))

export const BlobReply = Type.Object({ digest: Digest, bytes: Type.Integer() })
export const Timings = Type.Record(Type.String(), Type.Number(), { description: 'milliseconds of each step' })
export const ModuleReply = Type.Object({ ...ModuleManifest.properties, publishedAt: Type.String(), publishedBy: Type.String() })
export const PublishReply = Type.Object({
  created: Type.Boolean({ description: 'false: the same version with the same bytes was there already' }),
  ...ModuleReply.properties,
  timings: Timings,
})
export const SceneReply = Type.Object({
  definition: SceneDefinition,
  baseline: Type.Union([VersionId, Type.Null()]),
  cutover: Type.Union([Type.Object({ version: VersionId, share: Share }), Type.Null()]),
  loadtest: Type.Union([VersionId, Type.Null()], { description: 'null: the baseline answers load tests' }),
  revision: Type.Integer({ description: 'for If-Match' }),
})
export const AppliedReply = Type.Object(
  { applied: Type.Integer(), connected: Type.Integer() },
  { description: 'cells that have the change in force, of those connected' },
)
export const SceneChangeReply = Type.Object({ ...SceneReply.properties, cells: AppliedReply })
const Movement = Type.Object(
  { entering: Type.Number(), leaving: Type.Number(), switching: Type.Number(), moved: Type.Number() },
  { description: 'units, out of 10^12' },
)
export const placedMembers = {
  kind: Kind,
  cutover: Type.Union([Type.Object({ version: VersionId, share: Share }), Type.Null()], { description: 'of the scene, afterwards' }),
  previousBaseline: Type.Union([VersionId, Type.Null()], { description: 'what a rollback goes back to when there is no cutover' }),
  moved: Type.Optional(Movement),
  warnings: readonlyList(Type.String(), 'what is no longer possible'),
}
export const VersionReply = Type.Object({
  ...VersionRecord.properties,
  kind: Kind,
  online: Type.Boolean(),
  uses: readonlyList(Type.String(), 'what it is there for, in words'),
  share: Type.Optional(Share),
  previous: Type.Optional(Type.Literal(true, { description: 'the previous baseline' })),
})
export const VersionChangeReply = Type.Object({
  ...placedMembers,
  created: Type.Boolean({ description: 'false: it was there already' }),
  switched: Type.Boolean({ description: 'whether this made it the baseline' }),
  version: VersionRecord,
  lock: Lock,
  baseline: Type.Union([VersionId, Type.Null()], { description: 'of the scene, afterwards' }),
  revision: Type.Integer({ description: 'of the scene, for If-Match' }),
  rulesRevision: Type.Integer({ description: 'of its rules, for If-Match' }),
  cells: AppliedReply,
  timings: Timings,
})
export const TokenReply = Type.Object({
  id: Type.String(),
  label: Type.String(),
  rights: Type.Array(Right),
  createdAt: Type.String(),
  createdBy: Type.String(),
})
export const NewTokenReply = Type.Object({
  ...TokenReply.properties,
  token: Type.String({ description: 'the secret; told this once, kept nowhere' }),
})
export const RevokeReply = Type.Object({ id: Type.String(), cells: AppliedReply })
export const AuditReply = Type.Array(
  Type.Object({
    revision: Type.Integer(),
    at: Type.String(),
    who: Type.String({ description: 'id of the token, or base' }),
    action: Type.String(),
    target: Type.String(),
    reason: Type.Optional(Type.String()),
    before: Type.Unknown(),
    after: Type.Unknown(),
  }),
)
const Failure = Type.Object({ scene: Type.String(), version: Type.String(), code: Type.String(), message: Type.String() })
const CellReply = Type.Object({
  cell: Type.Integer({ description: 'its ordinal; a retiring cell and its replacement share one' }),
  pid: Type.Integer(),
  state: Type.String({ description: 'starting, ready or retiring; unknown until the supervisor has told' }),
  connected: Type.Boolean({ description: 'to the keeper' }),
  revision: Type.Union([Type.Integer(), Type.Null()], { description: 'of the scene table in force there' }),
  failures: Type.Array(Failure, { description: 'baselines that cannot answer there' }),
  rssMB: Type.Optional(Type.Number()),
  connections: Type.Optional(Type.Integer()),
  startedAt: Type.Optional(Type.String()),
  crashes: Type.Optional(Type.Integer()),
})
export const StatusReply = Type.Object({
  port: Type.Union([Type.Integer(), Type.Null()], { description: 'where scenes answer' }),
  controlPort: Type.Integer(),
  revision: Type.Integer({ description: 'of the store' }),
  tableRevision: Type.Integer({ description: 'of the scene table that cells should have' }),
  keeper: Type.Object({ pid: Type.Integer(), uptimeSeconds: Type.Number() }),
  cells: Type.Array(CellReply),
})
export type StatusReply = Static<typeof StatusReply>
export const LogEntryReply = Type.Object({
  seq: Type.Integer({ description: 'grows with every line; the id of its event' }),
  at: Type.String({ description: 'ISO 8601, when it was written' }),
  level: LogLevel,
  scene: Type.String(),
  version: Type.String(),
  cell: Type.Integer(),
  message: Type.String(),
  module: Type.Optional(Type.String({ description: 'name@version' })),
  stage: Type.Optional(Type.String()),
  requestId: Type.Optional(Type.String()),
  code: Type.Optional(Type.String({ description: 'of an error' })),
  fields: Type.Optional(Type.Unknown()),
  stack: Type.Optional(Type.String({ description: 'mapped to the source' })),
  dropped: Type.Optional(Type.Integer({ description: 'lines of the version that were dropped before this one' })),
})
export const RetireReply = Type.Object({ cell: Type.Integer() })
export const HealthReply = Type.Object({ status: Type.Literal('ok') })

export const ProblemReply = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ description: 'stable; docs/errors.md lists them all' }),
    detail: Type.String(),
    blame: Type.String(),
    fix: Type.String(),
    requestId: Type.String(),
  },
  { description: 'RFC 9457' },
)
