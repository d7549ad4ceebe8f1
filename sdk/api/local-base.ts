/** The base on this machine that `sdk dev` works against: the one that runs, else one of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { messageOf } from '../../base/kernel/errors.ts'
import { SdkError } from '../sdk-error.ts'
import { localBase } from './client.ts'

export interface LocalBase {
  /** URL of its control API. */
  readonly url: string
  /** Whether it was started here. */
  readonly started: boolean
  /** Rejects when a base that was started here ends by itself; never resolves. */
  readonly ended: Promise<never>
  /** Ends the base if it was started here. Idempotent. */
  stop(): Promise<void>
}

const launcher = fileURLToPath(new URL('../../bin/base.cjs', import.meta.url))
const LINES_KEPT = 20
/** Milliseconds within which whatever listens there has to answer. */
const LOOK_MS_MAX = 5000
const never = new Promise<never>(() => {})

/**
 * Looks whether a base of this machine listens at its port (`BERTH_CONTROL_PORT`, else 8081). When none is there, it starts one, with the
 * options that the environment has for it.
 * @throws SdkError BASE_NOT_STARTED with what the base printed
 */
export async function findOrStartBase(): Promise<LocalBase> {
  const url = localBase()
  if (url.port !== '0' && (await isThere(url))) return { url: url.href, started: false, ended: never, stop: async () => undefined }
  return startBase()
}

async function isThere(url: URL): Promise<boolean> {
  return fetch(new URL('/healthz', url), { signal: AbortSignal.timeout(LOOK_MS_MAX) }).then(
    () => true,
    // Nothing listens there. If something does and is no base, the first call to it says so.
    () => false,
  )
}

async function startBase(): Promise<LocalBase> {
  const child = spawn(
    process.execPath,
    [launcher, 'start', '--mode', 'development', ...(process.env.BERTH_CELLS ? [] : ['--cells', '1'])],
    {
      // The launcher ends the base when its channel to this process closes, however this process ends.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // The base is in a process group of its own, because Ctrl-C is for this process, which then ends the base.
      detached: true,
      windowsHide: true,
    },
  )
  const { ready, ended, last } = follow(child)
  const failed = ended.then((how): never => {
    throw new SdkError('BASE_NOT_STARTED', `Cannot go on: the base that was started here has ended (${how})`, {
      hint: 'Mend what it says, or name a running base with --base.',
      details: last.join('\n'),
    })
  })
  failed.catch(() => undefined)
  const { controlPort } = await Promise.race([ready, failed])
  return {
    url: `http://127.0.0.1:${controlPort}`,
    started: true,
    ended: failed,
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      // The event "close" may not come any more once the channel is closed from this side.
      const exited = once(child, 'exit')
      if (child.connected) child.disconnect()
      await exited
    },
  }
}

interface Following {
  readonly ready: Promise<{ readonly controlPort: number }>
  /** Resolves with how the base ended. */
  readonly ended: Promise<string>
  /** The last lines that it printed. */
  readonly last: readonly string[]
}

function follow(child: ChildProcess): Following {
  const ready = Promise.withResolvers<{ controlPort: number }>()
  const last: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue
    createInterface({ input: stream }).on('line', line => {
      last.push(line)
      if (last.length > LINES_KEPT) last.shift()
      const entry = parse(line)
      if (entry.msg === 'base ready' && entry.controlPort !== undefined) ready.resolve({ controlPort: entry.controlPort })
    })
  }
  const ended = new Promise<string>(resolve => {
    child.on('error', error => resolve(messageOf(error)))
    child.on('close', (code, signal) => resolve(signal ?? `exit code ${code}`))
  })
  return { ready: ready.promise, ended, last }
}

/** A line of the log as an object; empty for text that is no line of the log. */
function parse(line: string): { readonly msg?: string; readonly controlPort?: number } {
  try {
    return line.startsWith('{') ? JSON.parse(line) : {}
  } catch {
    // The line is kept as it is, for whoever has to find out why the base ended.
    return {}
  }
}
