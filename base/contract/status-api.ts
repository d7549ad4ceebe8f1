/** The state of the base. */
import Type from 'typebox'
import { limits } from '../kernel/limits.ts'
import { baseModes } from '../kernel/options.ts'
import { VersionId } from '../traffic/schema.ts'
import { ReleaseFacts } from './change-api.ts'
import { closed } from './common-api.ts'
import { FeatureTable } from './feature-api.ts'
import type { Shape } from './shape.ts'

export const CellParams = Type.Object({ cell: Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'ordinal of a cell' }) }, closed)

export const CellFailure = Type.Object(
  { scene: Type.String(), version: Type.String(), code: Type.String(), message: Type.String() },
  { description: 'a baseline that cannot answer in a cell' },
)

const CellView = Type.Object({
  cell: Type.Integer({ description: 'its ordinal; a retiring cell and its replacement share one' }),
  pid: Type.Integer(),
  state: Type.String({ description: 'starting, ready or retiring; unknown until the supervisor has reported it' }),
  connected: Type.Boolean({ description: 'to the keeper' }),
  revision: Type.Union([Type.Integer(), Type.Null()], { description: 'of the scene table in force there' }),
  failures: Type.Array(CellFailure, { description: 'baselines that cannot answer there' }),
  rssMB: Type.Optional(Type.Number()),
  connections: Type.Optional(Type.Integer()),
  startedAt: Type.Optional(Type.String()),
  crashes: Type.Optional(Type.Integer({ description: 'since the base started' })),
})
export type CellView = Shape<typeof CellView>

const MemoryView = Type.Object({
  limitMB: Type.Integer({ description: 'that all processes of the base may use together' }),
  limitFile: Type.Union([Type.String(), Type.Null()], { description: 'that limits it; null when it is the memory of the machine' }),
  neededMB: Type.Integer({ description: 'that the base may come to use with its options' }),
  cores: Type.Integer({ description: 'processors that it may use' }),
  kernelKills: Type.Integer({ description: 'cells and keepers that the kernel has killed for want of memory since the base started' }),
  shortage: Type.Union([Type.String(), Type.Null()], { description: 'what that means and what to do; null when there were none' }),
})

const WallLayerView = Type.Object({
  layer: Type.String({ description: 'privileges, namespaces or system calls' }),
  state: Type.String({ description: 'on or off' }),
  detail: Type.String({ description: 'by what it is in force, or why it is not and what to do' }),
})

const ServiceFault = Type.Object({
  service: Type.String(),
  name: Type.String({ description: 'by its own account: of `features`, a table whose file is broken' }),
  cells: Type.Array(Type.Integer(), { description: 'ordinals of the cells that say so' }),
})

const megabytes = (description: string) => Type.Number({ description: `MB: ${description}` })
const DiskView = Type.Object(
  {
    freeMB: megabytes('that the base may still write'),
    bundlesMB: megabytes('code of published modules'),
    sourceMapsMB: megabytes('source maps of published modules'),
    whitelistsMB: megabytes('whitelists of scenes'),
    unusedBlobsMB: megabytes('uploads to which nothing refers, which are removed after some minutes'),
    storeMB: megabytes('the database; nearly all of it is the audit log'),
    storeFreeMB: megabytes('of the database, what holds nothing'),
    logsMB: megabytes('what modules have logged'),
    capsulesMB: megabytes('captured requests'),
    featureTablesMB: megabytes('feature tables'),
    otherMB: megabytes('other files of the data folder, such as the saved scene table'),
  },
  { description: 'what takes the disk, as of a minute ago at most' },
)
const ModuleSize = Type.Object({ module: Type.String(), versions: Type.Integer(), MB: megabytes('bundles and source maps') })

const QuarantinedVersion = Type.Object({
  scene: Type.String(),
  version: VersionId,
  since: Type.String({ description: 'ISO 8601, UTC' }),
  why: Type.String({ description: 'in words' }),
})
/** A version that gets no requests. */
export type QuarantinedVersion = Shape<typeof QuarantinedVersion>

const Trouble = Type.Object({
  process: Type.String({ description: 'such as `cell 2`, `keeper`, or `base` for all of them' }),
  problem: Type.String({ description: 'in words' }),
})

const ReleaseView = Type.Object({
  ...ReleaseFacts.properties,
  since: Type.String({ description: 'ISO 8601, UTC: when it took the base over, or the base started' }),
  fixed: Type.Union([Type.String(), Type.Null()], { description: 'why the base cannot be upgraded now; null when it can' }),
})

const LastUpgrade = Type.Object(
  {
    id: Type.String(),
    result: Type.String({ description: 'running, done, or failed: then the release before it serves on' }),
    from: ReleaseFacts,
    to: ReleaseFacts,
    by: Type.String({ description: 'id of the token that asked for it' }),
    startedAt: Type.String(),
    endedAt: Type.Union([Type.String(), Type.Null()]),
    why: Type.Union([Type.String(), Type.Null()], { description: 'why it failed' }),
    steps: Type.Array(
      Type.Object({ step: Type.String(), ms: Type.Union([Type.Number(), Type.Null()]), about: Type.Optional(Type.String()) }),
    ),
  },
  { description: 'the last upgrade of the base' },
)

export const WishedUpgrade = Type.Object(
  {
    id: Type.String({ minLength: 1, maxLength: 64, description: 'of the wish in the data folder, which names the release' }),
    timeoutSeconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: limits.process.upgradeMsMax / 1000,
        default: limits.process.upgradeMs / 1000,
        description: 'until it has to serve',
      }),
    ),
  },
  closed,
)

export const StartedUpgrade = Type.Object({ id: Type.String() })
export type StartedUpgrade = Shape<typeof StartedUpgrade>

export const BaseStatus = Type.Object({
  release: Type.Union([ReleaseView, Type.Null()], {
    description: 'the release that the base runs; null until the supervisor has reported it',
  }),
  mode: Type.Enum(baseModes, {
    description: 'what the base is for: `serving`, or `development`, where each save of `sdk dev` becomes the baseline of its scene',
  }),
  port: Type.Union([Type.Integer(), Type.Null()], { description: 'where scenes answer; null while the base starts' }),
  controlPort: Type.Integer(),
  revision: Type.Integer({ description: 'of the store' }),
  tableRevision: Type.Integer({ description: 'of the scene table that cells should have' }),
  keeper: Type.Object({ pid: Type.Integer(), uptimeSeconds: Type.Number() }),
  upgrade: Type.Union([LastUpgrade, Type.Null()], { description: 'null when there was none' }),
  storageFault: Type.Union([Type.String(), Type.Null()], {
    description: 'what keeps the data folder from being written; null when nothing does',
  }),
  memory: Type.Union([MemoryView, Type.Null()], { description: 'null until the supervisor has reported it' }),
  disk: Type.Union([DiskView, Type.Null()], { description: 'null while it cannot be looked at' }),
  largestModules: Type.Array(ModuleSize, { description: 'those whose versions together take most of the disk' }),
  wall: Type.Array(WallLayerView, {
    description: 'what confines the processes that run modules from outside; empty until the supervisor has reported it',
  }),
  troubles: Type.Array(Trouble, { description: 'what keeps processes of the base from running as they should' }),
  serviceFaults: Type.Array(ServiceFault, { description: 'what base services cannot offer as they should at present' }),
  features: Type.Array(Type.Pick(FeatureTable, ['name', 'source', 'rows', 'bytes', 'version', 'since', 'byLabel', 'note']), {
    description: 'the feature tables',
  }),
  quarantined: Type.Array(QuarantinedVersion, { description: 'versions that kept killing their slots or cells and get no requests' }),
  cells: Type.Array(CellView),
})
export type BaseStatus = Shape<typeof BaseStatus>

export const RetiringCell = Type.Object({ cell: Type.Integer() })
export type RetiringCell = Shape<typeof RetiringCell>

export const Health = Type.Object({ status: Type.Literal('ok') })

export const Readiness = Type.Object({
  status: Type.Literal('ok'),
  failures: Type.Optional(Type.Array(CellFailure, { description: 'scenes that cannot answer, while others can' })),
  troubles: Type.Optional(Type.Array(Trouble, { description: 'what keeps processes of the base from running as they should' })),
})
export type Readiness = Shape<typeof Readiness>
