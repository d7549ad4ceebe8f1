/** What modules have logged. */
import Type from 'typebox'
import { limits } from '../kernel/limits.ts'
import { VersionId } from '../traffic/schema.ts'
import { closed } from './common-api.ts'
import type { Shape } from './shape.ts'

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
  'last-event-id': Type.Optional(Type.String({ pattern: '^(0|[1-9][0-9]{0,15})$', description: 'the seq of the last line that was seen' })),
})

export const LogEntry = Type.Object({
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
  code: Type.Optional(Type.String({ description: 'of an error, or of a fault that is warned of' })),
  fields: Type.Optional(Type.Unknown({ description: 'any JSON: what the module gave besides the message' })),
  stack: Type.Optional(Type.String({ description: 'mapped to the source' })),
  frame: Type.Optional(Type.String({ description: 'the place in the source that threw, with the lines around it' })),
  dropped: Type.Optional(Type.Integer({ description: 'lines of the version that were dropped before this one' })),
})
export type LogEntry = Shape<typeof LogEntry>
