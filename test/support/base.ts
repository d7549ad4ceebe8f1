/** Starts a real base, with its own processes and its own data folder, for tests and benches. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { channel } from 'node:diagnostics_channel'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { tokenPath } from '../../base/folder/paths.ts'
import { limits } from '../../base/kernel/limits.ts'
import type { SceneDraft } from '../../base/traffic/schema.ts'
import { splitLines } from '../../base/wire/lines.ts'
import { type Client, createClient } from '../../sdk/api/client.ts'
import type { Reporter } from './late.ts'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const nodeFlags = ['--no-node-snapshot', '--disable-warning=ExperimentalWarning']

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string; readonly process: string }

/** What a base prints. */
export interface BaseLog {
  /** Every log line so far, of all processes. */
  readonly log: readonly LogLine[]
  /**
   * The first matching line, which may have been written already or may come later. Rejects when the base ends first.
   * @param from ignores the lines before this index of `log`
   */
  logged(matches: (line: LogLine) => boolean, from?: number): Promise<LogLine>
  /** Every line that the base has printed so far outside of its log. */
  readonly output: readonly string[]
  /** The first matching line of `output`, which may have been printed already or may come later. Rejects when the base ends first. */
  printed(matches: RegExp): Promise<string>
}

export interface RunningBase extends BaseLog {
  readonly process: ChildProcess
  readonly data: string
  /** URL of the scene port. */
  readonly url: string
  readonly controlUrl: string
  readonly token: string
  readonly client: Client
  /** Ends every process of the base at once, and removes its data folder if that was made for it. Idempotent. */
  kill(): Promise<void>
}

export interface BaseSettings {
  /** @default a new temporary folder, removed at the end */
  readonly data?: string
  readonly cells?: number
  readonly args?: readonly string[]
  /** A script of the project to start through the launcher, as npm does. @default `base start`, without a launcher */
  readonly script?: string
  /** @default the environment of this process */
  readonly env?: NodeJS.ProcessEnv
  /** The folder of another copy of the project, or of an installed package `@berth/base`. */
  readonly project?: string
  /** The folder of a release, to start as an operator does: `base start`, through its launcher. */
  readonly release?: string
}

/** Starts a base and waits until it is ready and every cell has connected to the keeper. If the base ends before that, rejects with its output. */
export async function launchBase(settings: BaseSettings = {}): Promise<RunningBase> {
  const { data, cells = 1, args = [], script, env = process.env, project = root, release } = settings
  const folder = data ?? (await mkdtemp(join(tmpdir(), 'berth-test-')))
  const flags = ['--port', '0', '--control-port', '0', '--data', folder, '--cells', String(cells), ...args]
  // A test that is killed leaves no base behind.
  const entry = join(project, existsSync(join(project, 'lib')) ? 'lib/main.js' : 'base/main.ts')
  const start = ['--require', join(root, 'bin/with-parent.cjs'), ...nodeFlags, entry, 'start']
  const launched = release === undefined ? [join(root, 'bin/launch.cjs'), script ?? ''] : [join(release, 'bin/base.cjs'), 'start']
  const hasLauncher = script !== undefined || release !== undefined
  const command = hasLauncher ? launched : start
  const child = spawn(process.execPath, [...command, ...flags], {
    // There is no config file in this folder.
    cwd: tmpdir(),
    // Which requests chance captures is no business of tests. Another release may not have the option.
    env: project === root && release === undefined ? { BERTH_CAPSULES: 'asked', ...env } : env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = new Promise<void>(resolve => child.once('close', () => resolve()))
  const log = readLog(child)
  const ready = await log.logged(({ msg }) => msg === 'base ready')
  // A cell that does not reach the keeper in time serves without it, and the next change would be acknowledged without this cell.
  for (let ordinal = 1; ordinal <= cells; ordinal++) await log.logged(({ msg, cell }) => msg === 'cell connected' && cell === ordinal)
  const token = readFileSync(tokenPath(folder), 'utf8').trim()
  const controlUrl = `http://127.0.0.1:${ready.controlPort}`
  return {
    process: child,
    data: folder,
    url: `http://127.0.0.1:${ready.port}`,
    controlUrl,
    token,
    client: createClient({ base: controlUrl, token }),
    ...log,
    kill: async () => {
      // A launcher passes on the signals that it can catch. SIGKILL is not one: it would end the launcher and leave the base running.
      child.kill(hasLauncher ? 'SIGTERM' : 'SIGKILL')
      // The output closes when the last process of the base has ended. The children end because their channel to the supervisor closes.
      await closed
      if (data === undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Starts a base as `launchBase` does, and kills it when the test ends. */
export async function startBase(t: TestContext, settings: BaseSettings = {}): Promise<RunningBase> {
  const base = await launchBase(settings)
  t.after(() => base.kill())
  return base
}

const folders: string[] = []
// Folders are removed only when the process exits. Hooks of tests run in the order in which they were added, so a hook of this file would run before
// that of a base that is started on the folder later.
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A temporary folder that is removed when the tests of the file have ended. */
export async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-test-'))
  folders.push(folder)
  return folder
}

/** Resolves once `holds` does. It pauses between two questions: without pauses they would take the processor from what they wait for. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await delay(20)
}

/** Reads what a base prints from its start on. */
export function readLog(child: ChildProcess): BaseLog {
  const log = new Lines<LogLine>()
  const output = new Lines<string>()
  const take = (text: string) => {
    if (text.startsWith('{')) log.take(JSON.parse(text) as LogLine)
    else output.take(text)
  }
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', splitLines(take))
  const last = () => [...log.all.slice(-20).map(line => JSON.stringify(line)), ...output.all.slice(-20)].join('\n')
  let ended = false
  const fail = (why: string) => {
    ended = true
    for (const lines of [log, output]) lines.fail(new Error(`${why}:\n${last()}`))
  }
  const report: Reporter = () =>
    ended ? undefined : [...log.awaited, ...output.awaited, `The base ${child.pid} said last:`, last()].join('\n')
  channel('berth:test:reporter').publish(report)
  child.on('error', error => fail(`The base did not start: ${error.message}`))
  child.on('close', code => fail(`The base ended with ${code}`))
  return {
    log: log.all,
    logged: (matches, from) => log.first(matches, from),
    output: output.all,
    printed: pattern => output.first(line => pattern.test(line)),
  }
}

/** Collects lines, and gives promises of lines that are still to come. */
class Lines<T> {
  readonly all: T[] = []
  readonly #waiting = new Set<{ matches: (line: T) => boolean; resolve: (line: T) => void; reject: (error: Error) => void }>()
  #failure: Error | undefined

  /** Descriptions of the lines that are awaited, for people. */
  get awaited(): string[] {
    return [...this.#waiting].map(({ matches }) => `A line is awaited: ${matches}`)
  }

  take(line: T): void {
    this.all.push(line)
    for (const waiter of this.#waiting) {
      if (!waiter.matches(line)) continue
      this.#waiting.delete(waiter)
      waiter.resolve(line)
    }
  }

  first(matches: (line: T) => boolean, from = 0): Promise<T> {
    const found = this.all.slice(from).find(matches)
    if (found !== undefined) return Promise.resolve(found)
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => this.#waiting.add({ matches, resolve, reject }))
  }

  fail(error: Error): void {
    this.#failure = error
    for (const { reject } of this.#waiting) reject(error)
  }
}

/**
 * Publishes a module from the code of each of its stages: `{ rank: 'x => x' }`.
 * @param services the base services that it uses
 * @returns whether the module is new
 */
export async function publishStages(
  client: Client,
  name: string,
  version: string,
  stages: Readonly<Record<string, string>>,
  services: readonly string[] = [],
): Promise<boolean> {
  const code = `(() => ({ ${Object.entries(stages)
    .map(([stage, text]) => `${stage}: ${text}`)
    .join(', ')} }))()`
  return publishCode(client, name, version, Object.keys(stages), code, services)
}

/** Publishes the code of a bundle unchanged. */
export async function publishCode(
  client: Client,
  name: string,
  version: string,
  stages: readonly string[],
  code: string,
  services: readonly string[] = [],
): Promise<boolean> {
  const bundle = createHash('sha256').update(code).digest('hex')
  await client.putBlob(bundle, code)
  return (await client.publishModule({ name, version, stages: [...stages], services: [...services], bundle })).created
}

type SceneSettings = Omit<SceneDraft, 'id' | 'group'>

/**
 * Defines a scene with one module, and makes its first version the baseline. Unless the settings say otherwise, requests have the longest possible
 * deadline, so that none misses it because the machine is slow.
 */
export async function makeScene(
  client: Client,
  id: string,
  stages: Readonly<Record<string, string>>,
  settings: SceneSettings = {},
  services: readonly string[] = [],
): Promise<void> {
  const name = `m-${id.replaceAll(/[^a-z0-9-]/g, '-')}`
  await publishStages(client, name, '1.0.0', stages, services)
  const group = Object.keys(stages).map(stage => ({ stage, modules: [`${name}@^1`] }))
  const traffic = { deadlineMs: limits.request.deadlineMsMax, ...settings.traffic }
  await client.putScene({ id, group, ...settings, traffic }, undefined)
  await client.createVersion(id, { as: 'baseline' })
}

/** POSTs JSON to a scene. */
export function callScene(
  base: Pick<RunningBase, 'url'>,
  scene: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(`${base.url}/scenes/${scene}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}
