/** The base that a command is for: the one that is found, or for `sdk dev` else one of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { type Clues, type FoundBase, findBase, findConfig } from '../../base/folder/find-base.ts'
import { parseConfig } from '../../base/kernel/config-file.ts'
import { BerthError, errorTable, messageOf } from '../../base/kernel/errors.ts'
import { clone, launcherPath } from '../../base/kernel/installation.ts'
import { exitCodes, SdkError } from '../sdk-error.ts'

const here = () => ({ env: process.env, cwd: process.cwd(), project: clone })

/**
 * Finds the base that a command means which is run here.
 * @throws SdkError USAGE when a variable or the config file says something that cannot be used
 */
export async function findBaseHere(flags: Pick<Clues, 'url' | 'token'> = {}): Promise<FoundBase> {
  return findBase({ ...flags, ...here() }).catch((error: unknown) => {
    if (!(error instanceof BerthError)) throw error
    throw new SdkError('USAGE', error.message, { hint: errorTable[error.code].fix, exit: exitCodes.usage, cause: error })
  })
}

export interface LocalBase extends Pick<FoundBase, 'url' | 'token'> {
  /** Whether it was started here. */
  readonly started: boolean
  /** Rejects when a base that was started here ends by itself; never resolves. */
  readonly ended: Promise<never>
  /** Ends the base if it was started here. Idempotent. */
  stop(): Promise<void>
}

const LINES_KEPT = 20
const never = new Promise<never>(() => {})

/**
 * Finds the base as every command does. When there is none, and no URL names one, it starts one for development, with the options that the environment
 * and the config file have for it.
 * @throws SdkError BASE_NOT_STARTED with what the base printed
 */
export async function findOrStartBase(flags: Pick<Clues, 'url' | 'token'>): Promise<LocalBase> {
  const { url, token, found } = await findBaseHere(flags)
  return found ? { url, token, started: false, ended: never, stop: async () => undefined } : startBase(flags)
}

/** What is said of a base for development, unless the environment or the config file says something else. */
function startArguments(): string[] {
  const file = findConfig(here())
  const config = file === undefined ? {} : parseConfig(file)
  const isGiven = (name: string, variable: string) => process.env[variable] !== undefined || config[name] !== undefined
  return [
    'start',
    ...(file === undefined ? [] : ['--config', file.path]),
    ...(isGiven('mode', 'BERTH_MODE') ? [] : ['--mode', 'development']),
    ...(isGiven('cells', 'BERTH_CELLS') ? [] : ['--cells', '1']),
  ]
}

async function startBase(flags: Pick<Clues, 'url' | 'token'>): Promise<LocalBase> {
  const child = spawn(process.execPath, [launcherPath, ...startArguments()], {
    // The launcher ends the base when its channel to this process closes, however this process ends.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // The base is in a process group of its own, because Ctrl-C is for this process, which then ends the base.
    detached: true,
    windowsHide: true,
  })
  const { ready, ended, last } = follow(child)
  const failed = ended.then((how): never => {
    throw new SdkError('BASE_NOT_STARTED', `Cannot go on: the base that was started here has ended (${how})`, {
      hint: 'Mend what it says, or name a running base with --base.',
      details: last.join('\n'),
    })
  })
  failed.catch(() => undefined)
  await Promise.race([ready, failed])
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    // The event "close" may not come any more once the channel is closed from this side.
    const exited = once(child, 'exit')
    if (child.connected) child.disconnect()
    await exited
  }
  const { url, token, found, tried } = await findBaseHere(flags)
  if (found) return { url, token, started: true, ended: failed, stop }
  await stop()
  throw new SdkError('BASE_NOT_STARTED', 'Cannot go on: the base that was started here cannot be found', {
    hint: 'Start one with "base start", and name it with --base.',
    details: tried.join('\n'),
  })
}

interface Following {
  readonly ready: Promise<void>
  /** Resolves with how the base ended. */
  readonly ended: Promise<string>
  /** The last lines that it printed. */
  readonly last: readonly string[]
}

function follow(child: ChildProcess): Following {
  const ready = Promise.withResolvers<void>()
  const last: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue
    createInterface({ input: stream }).on('line', line => {
      last.push(line)
      if (last.length > LINES_KEPT) last.shift()
      if (parse(line).msg === 'base ready') ready.resolve()
    })
  }
  const ended = new Promise<string>(resolve => {
    child.on('error', error => resolve(messageOf(error)))
    child.on('close', (code, signal) => resolve(signal ?? `exit code ${code}`))
  })
  return { ready: ready.promise, ended, last }
}

/** A line of the log as an object; empty for text that is no line of the log. */
function parse(line: string): { readonly msg?: string } {
  try {
    return line.startsWith('{') ? JSON.parse(line) : {}
  } catch {
    // The line is kept as it is, for whoever has to find out why the base ended.
    return {}
  }
}
