/** `sdk logs`: shows what the modules of a scene have logged, and what they go on to log. */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { LogEntry } from '../../../base/contract/log-api.ts'
import type { Client } from '../../api/client.ts'
import { readEvents } from '../../api/server-sent-events.ts'
import { RefusedError } from '../../sdk-error.ts'
import { usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { colorsFor } from '../terminal/colors.ts'
import { interruption } from '../terminal/interruption.ts'
import { printable } from '../terminal/output.ts'

export interface LogsOptions {
  readonly version?: string
  readonly level?: string
  readonly module?: string
  readonly limit?: string
  readonly follow?: boolean
  readonly json?: boolean
}

type Show = (entry: LogEntry) => Promise<void>

/** Milliseconds between two tries to reach a base that went away. */
const AGAIN_MS = 500

/** Prints a line for each entry. With `follow` it goes on until it is interrupted or the scene is deleted, across restarts of the base. */
export async function showLogs({ client, out }: Context, scene: string, options: LogsOptions): Promise<void> {
  const path = `/api/scenes/${encodeURIComponent(scene)}/logs?${queryOf(options)}`
  const show: Show = async entry => {
    // A slow reader slows the base down, which then leaves lines out and says how many, instead of filling this process.
    if (!process.stdout.write(`${options.json ? JSON.stringify(entry) : formatEntry(entry)}\n`)) await once(process.stdout, 'drain')
  }
  const what = options.version === undefined ? `Scene ${scene}` : `Version ${options.version} of scene ${scene}`
  if (options.follow) return follow(client, path, what, out, show)
  const entries = (await (await client.open(path, {})).json()) as LogEntry[]
  for (const entry of entries) await show(entry)
  if (entries.length === 0) out.next(`Nothing is logged that fits. What comes: sdk logs ${scene} --follow`)
}

function queryOf({ version, level, module, limit }: LogsOptions): URLSearchParams {
  if (limit !== undefined && !/^[1-9]\d{0,8}$/.test(limit)) {
    throw usage(`Cannot show the last "${limit}" lines: that is no number from 1 on`, 'Give a number.')
  }
  const given = Object.entries({ version, level, module, limit }).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  return new URLSearchParams(given)
}

/** @param what is followed, for people */
async function follow(client: Client, path: string, what: string, out: Context['out'], show: Show): Promise<void> {
  const { signal } = interruption()
  let lastId: string | undefined
  let connected = false
  while (!signal.aborted) {
    try {
      const headers = { accept: 'text/event-stream', ...(lastId === undefined ? {} : { 'last-event-id': lastId }) }
      const response = await client.open(path, { headers, signal })
      if (lastId !== undefined && !connected) out.warn('The base answers again: going on where the log was cut off')
      connected = true
      for await (const { event, id, data } of readEvents(response)) {
        lastId = id ?? lastId
        if (event === undefined) await show(JSON.parse(data) as LogEntry)
        else if (event === 'dropped')
          out.warn(`${(JSON.parse(data) as { dropped: number }).dropped} lines were left out: this terminal is too slow`)
        // The base has sent all earlier lines: when the connection breaks from here on, it is opened again, even if no line has come yet.
        else if (event === 'live') lastId ??= '0'
        else if (event === 'deleted') return out.warn(`${what} was deleted, and its log with it: there is nothing more to follow`)
      }
    } catch (error) {
      if (signal.aborted) return
      // A failure before the first line is no restart of the base, and a refusal is an answer: neither is tried again.
      if (lastId === undefined || error instanceof RefusedError) throw error
    }
    if (connected && !signal.aborted) out.warn('The base went away: waiting for it to come back')
    connected = false
    await delay(AGAIN_MS, undefined, { signal }).catch(() => undefined)
  }
}

const labels = { debug: 'DEBUG', info: 'INFO ', warn: 'WARN ', error: 'ERROR' } as const

/** An entry as `09:41:07.123 WARN  v8 rank-lr@1.0.0 no features {"ids":3} request 1f-3, cell 2`, with the stack under it. */
export function formatEntry({ at, level, version, module, message, fields, stack, frame, code, requestId, cell }: LogEntry): string {
  const colors = colorsFor(process.stdout)
  const tint = { debug: colors.dim, info: colors.cyan, warn: colors.yellow, error: colors.red }[level]
  const text = code === undefined ? message : `${message} (${code})`
  const more = fields === undefined ? '' : ` ${typeof fields === 'string' ? fields : JSON.stringify(fields)}`
  const where = [requestId === undefined ? [] : `request ${requestId}`, `cell ${cell}`].flat().join(', ')
  const head = [colors.dim(timeOf(at)), tint(labels[level]), version, module === undefined ? [] : colors.bold(module)].flat().join(' ')
  const line = `${head} ${printable(text)}${colors.dim(`${printable(more)} ${where}`)}`
  const calls = stack === undefined ? [] : stack.split('\n').map(call => `    ${colors.dim(printable(call.trim()))}`)
  const lines = frame === undefined ? [] : frame.split('\n').map(text => `    ${printable(text)}`)
  return [line, ...calls, ...lines].join('\n')
}

function timeOf(at: string): string {
  const time = new Date(at)
  const two = (part: number) => String(part).padStart(2, '0')
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, '0')}`
}
