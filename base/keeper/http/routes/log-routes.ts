/** Reads the log of a scene: the last lines as JSON, or these lines and all later ones as server-sent events. */
import type { Readable } from 'node:stream'
import Type from 'typebox'
import { SceneParams } from '../../../contract/common-api.ts'
import { LogEntry, LogsHeaders, LogsQuery } from '../../../contract/log-api.ts'
import { BerthError } from '../../../kernel/errors.ts'
import { limits } from '../../../kernel/limits.ts'
import type { LogQuery, Logs } from '../../logs/logs.ts'
import { EventStream } from '../event-stream.ts'
import { ok, route } from '../route.ts'

const gives = {
  description:
    'the last lines; or as events those, then an event `live`, then what comes, and an event `deleted` when the scene or version is',
  contents: { 'application/json': Type.Array(LogEntry), 'text/event-stream': Type.String({ description: 'each event a line as JSON' }) },
}

export const logRoutes = [
  route({
    operation: 'readLogs',
    method: 'GET',
    path: '/api/scenes/:id/logs',
    // Where scenes answer, stacks of errors need this right as well.
    right: 'pin',
    about: 'The last lines that the modules of a scene have logged, and their errors; followed as server-sent events',
    takes: { params: SceneParams, headers: LogsHeaders, query: LogsQuery },
    gives: { 200: gives },
    run: async ({ params, query: { level = 'debug', follow = false, ...rest }, headers, accept, token }, { book, logs }) => {
      const { id } = book.scenes.get(params.id).definition
      const query = { ...rest, level }
      if (query.version !== undefined) book.scenes.version(id, query.version)
      if (!follow && !accept.includes('text/event-stream')) return ok(await logs.read(id, query))
      const mayGoOn = () => book.tokens.list().some(one => one.id === token.id)
      const events = followLogs(logs, id, resume(query, headers['last-event-id']), mayGoOn)
      const asEvents = { 'cache-control': 'no-store', 'x-accel-buffering': 'no', 'content-type': 'text/event-stream' }
      return ok(events, asEvents)
    },
  }),
]

/** A reader that was cut off gets all kept lines that it missed, not the last few lines again. */
function resume(query: LogQuery, lastId: string | undefined): LogQuery {
  return lastId === undefined ? query : { ...query, limit: limits.log.readMax, after: Number(lastId) }
}

/**
 * Sends the last lines, an event `live`, then each new line.
 * @param mayGoOn is asked now and then, since a token may be revoked meanwhile
 * @throws LOGS_OVERLOADED
 */
function followLogs(logs: Logs, scene: string, query: LogQuery, mayGoOn: () => boolean): Readable {
  if (logs.followers >= limits.log.followersMax) {
    throw new BerthError('LOGS_OVERLOADED', `Cannot follow the log of scene "${scene}": ${logs.followers} follow logs already`, {
      retryAfterSeconds: 10,
    })
  }
  const stream = new EventStream({ mayGoOn, onEnd: () => unfollow() })
  // Lines that come while the last lines are read are sent after them.
  let early: LogEntry[] | undefined = []
  const onEntry = (entry: LogEntry) => {
    if (early === undefined) stream.send(entry, { id: entry.seq })
    else if (early.length < limits.log.readMax) early.push(entry)
    else stream.skip()
  }
  const unfollow = logs.follow(scene, query, onEntry, why => {
    if (why === 'deleted') stream.send({}, { event: 'deleted' })
    stream.end()
  })
  const replay = async () => {
    let last = 0
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
