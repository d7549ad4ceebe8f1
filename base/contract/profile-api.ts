/** Profiles of slots that serve. */
import Type from 'typebox'
import { limits } from '../kernel/limits.ts'
import { VersionId } from '../traffic/schema.ts'
import { closed } from './common-api.ts'
import type { Shape } from './shape.ts'

export const NewProfile = Type.Object(
  {
    version: Type.Optional(VersionId),
    kind: Type.Union([Type.Literal('cpu'), Type.Literal('heap')], { default: 'cpu' }),
    seconds: Type.Number({ minimum: 0.1, maximum: limits.profile.secondsMax, default: 5, description: 'of a CPU profile' }),
    cell: Type.Optional(Type.Integer({ minimum: 1, description: 'the one whose slot has used most CPU, when there is none' })),
  },
  closed,
)
export type NewProfile = Shape<typeof NewProfile>

const CallFrame = Type.Object({
  functionName: Type.String(),
  scriptId: Type.String(),
  url: Type.String(),
  lineNumber: Type.Integer({ description: 'from 0' }),
  columnNumber: Type.Integer(),
})
const ProfileNode = Type.Object({
  id: Type.Integer(),
  callFrame: CallFrame,
  hitCount: Type.Integer(),
  children: Type.Optional(Type.Array(Type.Integer())),
  positionTicks: Type.Optional(Type.Array(Type.Object({ line: Type.Integer({ description: 'from 1' }), ticks: Type.Integer() }))),
})
export const CpuProfile = Type.Object(
  {
    nodes: Type.Array(ProfileNode),
    startTime: Type.Number({ description: 'microseconds' }),
    endTime: Type.Number(),
    samples: Type.Array(Type.Integer(), { description: 'ids of the nodes that were seen on top' }),
    timeDeltas: Type.Array(Type.Number(), { description: 'microseconds from the sample before, or the start' }),
  },
  { description: 'what .cpuprofile files hold' },
)
/** The profile with places in the source. */
export type CpuProfile = Shape<typeof CpuProfile>

const Integers = Type.Array(Type.Integer())
export const HeapSnapshot = Type.Object(
  {
    snapshot: Type.Object(
      {
        meta: Type.Object({
          node_fields: Type.Array(Type.String()),
          edge_fields: Type.Array(Type.String()),
        }),
        node_count: Type.Integer(),
        edge_count: Type.Integer(),
      },
      { description: 'how the lists below are to be read' },
    ),
    nodes: Integers,
    edges: Integers,
    strings: Type.Array(Type.String()),
  },
  { description: 'what .heapsnapshot files hold, with more lists that V8 adds' },
)
