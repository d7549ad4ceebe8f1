/** Reading the log of a scene: the last lines as JSON, or those and what comes as server-sent events. */
import type { Readable } from 'node:stream'
import Type from 'typebox'
import { BerthError } from '../../../kernel/errors.ts'
import { limits } from '../../../kernel/limits.ts'
import type { Token } from '../../book/registry.ts'
import type { LogEntry, LogQuery, Logs } from '../../logs/logs.ts'
import { EventStream } from '../event-stream.ts'
import * as schemas from '../replies.ts'
import type { RouteParts, Scope } from './routes.ts'

/** For who may see stacks. */
export function logRoutes(scope: Scope, { registry, logs }: Pick<RouteParts, 'registry' | 'logs'>): void {
  scope.get(
    '/api/scenes/:id/logs',
    {
      exposeHeadRoute: false,
      schema: {
        operationId: 'readLogs',
        summary: 'The last lines that the modules of a scene have logged, and their errors; followed as server-sent events',
        tags: ['scenes'],
        params: schemas.SceneParam,
        headers: schemas.LogsHeaders,
        querystring: schemas.LogsQuery,
        produces: ['application/json', 'text/event-stream'],
        // Of the one of two forms that a type can say; the other is a stream.
        response: {
          200: Type.Unsafe<unknown>(Type.Array(schemas.LogEntryReply)),
          '4xx': schemas.ProblemReply,
          '5xx': schemas.ProblemReply,
        },
      },
    },
    async (request, reply) => {
      const { level = 'debug', follow = false, ...query } = request.query
      const { id } = registry.scene(request.params.id).definition
      if (query.version !== undefined) registry.version(id, query.version)
      if (!follow && !request.headers.accept?.includes('text/event-stream')) return logs.read(id, { ...query, level })
      const token = request.getDecorator<Token>('token').id
      const lastId = request.headers['last-event-id']
      const events = followLogs(logs, id, resume({ ...query, level }, lastId), () => registry.tokens().some(one => one.id === token))
      return reply.header('cache-control', 'no-store').header('x-accel-buffering', 'no').type('text/event-stream').send(events)
    },
  )
}

/** Who was cut off gets all that it missed and is kept, not the last few lines again. */
function resume(query: LogQuery, lastId: string | undefined): LogQuery {
  return lastId === undefined ? query : { ...query, limit: limits.log.readMax, after: Number(lastId) }
}

/**
 * The last lines, an event `live`, then what comes.
 * @param mayGoOn is asked now and then: a token may be revoked meanwhile
 * @throws LOGS_OVERLOADED
 */
function followLogs(logs: Logs, scene: string, query: LogQuery, mayGoOn: () => boolean): Readable {
  if (logs.followers >= limits.log.followersMax) {
    throw new BerthError('LOGS_OVERLOADED', `Cannot follow the log of scene "${scene}": ${logs.followers} follow logs already`, {
      retryAfterSeconds: 10,
    })
  }
  const stream = new EventStream({ mayGoOn, onEnd: () => unfollow() })
  // What comes while the last lines are read has its turn after them.
  let early: LogEntry[] | undefined = []
  const onEntry = (entry: LogEntry) => {
    if (early === undefined) stream.send(entry, { id: entry.seq })
    else if (early.length < limits.log.readMax) early.push(entry)
    else stream.skip()
  }
  const unfollow = logs.follow(scene, query, onEntry, () => stream.end())
  const replay = async () => {
    let last = query.after ?? 0
    for (const entry of await logs.read(scene, query)) {
      await stream.caughtUp()
      stream.send(entry, { id: entry.seq })
      last = entry.seq
    }
    for (const entry of early ?? []) if (entry.seq > last) stream.send(entry, { id: entry.seq })
    early = undefined
    stream.send({}, { event: 'live' })
  }
  replay().catch((error: unknown) => stream.body.destroy(error instanceof Error ? error : new Error(String(error))))
  return stream.body
}
