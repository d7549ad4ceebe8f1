/** How the control API refuses: a problem document of RFC 9457, with a row of the error table in it. */
import Type from 'typebox'
import { type Blame, type ErrorCode, errorTable } from '../kernel/errors.ts'
import { AuditEntry } from './audit-api.ts'
import { Ranges, TokenId, TokenLabel } from './common-api.ts'
import { type Shape, schemaOf } from './shape.ts'
import { CellFailure } from './status-api.ts'
import { OptionalReport } from './validation-api.ts'

const Code = schemaOf<ErrorCode>()(
  Type.Enum(Object.keys(errorTable) as ErrorCode[], { description: 'stable; docs/errors.md says of each what to do' }),
)
const BlameName = schemaOf<Blame>()(
  Type.Union([Type.Literal('caller'), Type.Literal('module'), Type.Literal('base'), Type.Literal('load')], {
    description: 'who has to change something',
  }),
)
const Names = (description: string) => Type.Optional(Type.Array(Type.String(), { description }))
const Text = (description: string) => Type.Optional(Type.String({ description }))

export const Problem = Type.Object(
  {
    type: Type.String({ description: 'urn:berth:error: and the code' }),
    title: Type.String(),
    status: Type.Integer(),
    code: Code,
    detail: Type.String({ description: 'what could not be done, then why' }),
    blame: BlameName,
    fix: Type.String({ description: 'what whoever is to blame does next' }),
    requestId: Type.String(),
    help: Text('path on the control port that says what to do about each code'),
    // Only problems with some codes have the following members.
    revision: Type.Optional(Type.Union([Type.Integer(), Type.Null()], { description: 'REVISION_CONFLICT: which it is by now' })),
    changedBy: Type.Optional(TokenId),
    changedByLabel: Type.Optional(TokenLabel),
    changedAt: Text('REVISION_CONFLICT: when it was changed last'),
    current: Type.Optional(Type.Integer({ description: 'REVISION_CONFLICT: the revision to read again, 0 for none' })),
    changes: Type.Optional(Type.Array(AuditEntry, { description: 'REVISION_CONFLICT: what was done since, newest first' })),
    cause: Type.Optional(Type.Object({ code: Type.String(), message: Type.String() }, { description: 'UPGRADE_FAILED: what a cell met' })),
    uncaught: Type.Optional(
      Type.Object(
        { code: Code, blame: BlameName, fix: Type.String() },
        {
          description:
            'MODULE_THREW: the error of a call, a service or a fetch that the module did not catch, and who mends what caused it',
        },
      ),
    ),
    failures: Type.Optional(Type.Array(CellFailure, { description: 'BASE_NOT_READY: baselines that cannot answer, when none can' })),
    cells: Type.Optional(
      Type.Object({ connected: Type.Integer(), current: Type.Integer() }, { description: 'BASE_NOT_READY: how many have the table' }),
    ),
    validation: OptionalReport,
    newPhase: Names('FLIP_REFUSED: why a new phase would begin'),
    uses: Names('VERSION_IN_USE, SCENE_IN_USE, MODULE_IN_USE and VERSION_OFFLINE: what names it'),
    online: Names('VERSION_OFFLINE: the versions that are online'),
    unused: Names('VERSIONS_TOO_MANY: versions that nothing uses'),
    running: Names('LAYER_IN_USE: its experiments that run'),
    experiment: Text('SEGMENTS_TAKEN: the experiment that wants them'),
    owner: Text('SEGMENTS_TAKEN: the experiment that has them'),
    segments: Type.Optional(Ranges),
    kind: Text('REVISION_CONFLICT: of which record the revision is'),
    expected: Type.Optional(
      Type.Union([Type.Integer(), Type.Literal('absent')], { description: 'REVISION_CONFLICT: the revision that was expected' }),
    ),
    token: Text('ANSWER_LOST: id of the token that was made'),
    key: Text('LAYER_KEY_TAKEN: the parameter; REVISION_CONFLICT: the key of the record'),
    layers: Names('LAYER_KEY_TAKEN: the layers that both want it'),
    reason: Text('REQUEST_REJECTED: the code that the module gave, a name in capitals'),
    details: Type.Optional(Type.Unknown({ description: 'REQUEST_REJECTED: what the module gave with it, any JSON' })),
    faults: Type.Optional(
      Type.Array(Type.Object({ pointer: Type.String(), expected: Type.String() }), {
        description: 'REQUEST_INVALID: JSON pointers into the body, empty for the body itself, and what was expected there',
      }),
    ),
    scene: Text('where it happened'),
    version: Text('where it happened, or which version it is about'),
    stage: Text('where it happened, or which stage is missing'),
    module: Text('where it happened, or which module it is about'),
    stages: Names('MODULE_LACKS_STAGE: the stages it has'),
    missing: Names('SERVICE_NOT_OFFERED: the services that the base lacks'),
    offered: Type.Optional(
      Type.Union([Type.Array(Type.String()), Type.String()], {
        description: 'SERVICE_NOT_OFFERED: the services it has; MODULE_EXISTS: the digest of the bundle that was sent',
      }),
    ),
    ranges: Names('MODULE_RANGE_UNSATISFIED: what was asked for'),
    published: Type.Optional(
      Type.Union([Type.Array(Type.String()), Type.String()], {
        description: 'MODULE_RANGE_UNSATISFIED: the versions that there are; MODULE_EXISTS: the digest of the bundle that is published',
      }),
    ),
    stack: Text('of an error that a module threw, mapped to its source; for tokens with the right "pin", and for who publishes the module'),
    frame: Text('the place in the source that threw, with its npm package and the lines around it; for whom there is a stack'),
    at: Type.Optional(
      Type.Object(
        { file: Type.String(), line: Type.Integer(), column: Type.Integer() },
        { description: 'the same place for programs, counted from 1; for whom there is a stack' },
      ),
    ),
  },
  { description: 'RFC 9457' },
)
export type Problem = Shape<typeof Problem>
