/** A base that was started as an operator does, and the commands that they type. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tokenPath } from '../../base/folder/paths.ts'
import { type Client, createClient } from '../../sdk/api/client.ts'
import { type BaseLog, readLog, until } from '../../test/support/base.ts'
import type { Release } from './releases.ts'

export interface Running extends BaseLog {
  /** The process that a service manager watches. */
  readonly launcher: ChildProcess
  readonly data: string
  /** URL of the scene port. */
  readonly url: string
  readonly controlUrl: string
  readonly token: string
  readonly client: Client
  /** Stops it as a service manager does. @returns the exit code; null when it was killed */
  stop(): Promise<number | null>
}

export interface RunningSettings {
  readonly cells: number
  readonly data: string
  /** Of scenes and of the control API. @default the system chooses them */
  readonly ports?: readonly [number, number]
}

/** Starts the release on its launcher, and waits until it says that it is ready. */
export async function startRelease({ folder }: Release, { cells, data, ports = [0, 0] }: RunningSettings): Promise<Running> {
  const flags = ['--port', String(ports[0]), '--control-port', String(ports[1]), '--data', data, '--cells', String(cells)]
  // It has a channel so that it ends with this process.
  const stdio = ['ignore', 'pipe', 'pipe', 'ipc'] as const
  const launcher = spawn(process.execPath, [join(folder, 'bin/base.cjs'), 'start', ...flags], { cwd: tmpdir(), stdio: [...stdio] })
  const log = readLog(launcher)
  const closed = once(launcher, 'close')
  // Lines that say why a base has ended are wanted where it is waited for.
  closed.catch(() => undefined)
  const { port, controlPort } = await log.logged(({ msg }) => msg === 'base ready')
  const token = readFileSync(tokenPath(data), 'utf8').trim()
  const controlUrl = `http://127.0.0.1:${controlPort}`
  return {
    launcher,
    data,
    url: `http://127.0.0.1:${port}`,
    controlUrl,
    token,
    client: createClient({ base: controlUrl, token }),
    ...log,
    stop: async () => {
      launcher.kill('SIGTERM')
      await closed
      return launcher.exitCode
    },
  }
}

/** Resolves once the base can be upgraded: the release before has answered its last request and ended, or the base has come back to it. */
export async function settled({ client }: Running): Promise<void> {
  await until(async () => (await client.status().catch(() => undefined))?.release?.fixed === null)
}

export interface Command {
  readonly code: number | null
  readonly output: string
  /** From when the command started until it ended, in milliseconds. */
  readonly ms: number
}

/** Runs `base upgrade` of the release, and resolves however it ends. */
export async function upgradeTo({ folder }: Release, data: string, args: readonly string[] = []): Promise<Command> {
  return startUpgrade(folder, data, args).ended
}

export interface UnderWay {
  readonly process: ChildProcess
  readonly ended: Promise<Command>
}

/** @param uid the user who types it. @default the one of this process */
export function startUpgrade(folder: string, data: string, args: readonly string[] = [], uid?: number): UnderWay {
  const startedAt = performance.now()
  const child = spawn(process.execPath, [join(folder, 'bin/base.cjs'), 'upgrade', '--data', data, ...args], {
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    ...(uid !== undefined && { uid }),
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  const ended = once(child, 'close').then(() => ({ code: child.exitCode, output, ms: performance.now() - startedAt }))
  return { process: child, ended }
}
