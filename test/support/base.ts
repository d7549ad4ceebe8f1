/** A real base in processes of its own, on a data folder of its own, for tests and benches. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { channel } from 'node:diagnostics_channel'
import { readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { tokenPath } from '../../base/folder/paths.ts'
import { limits } from '../../base/kernel/limits.ts'
import type { SceneDraft } from '../../base/traffic/schema.ts'
import { splitLines } from '../../base/wire/lines.ts'
import { type Client, createClient } from '../../sdk/api/client.ts'
import type { Teller } from './late.ts'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const nodeFlags = ['--no-node-snapshot', '--disable-warning=ExperimentalWarning']

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string; readonly process: string }

export interface RunningBase {
  readonly process: ChildProcess
  readonly data: string
  /** Where scenes answer. */
  readonly url: string
  readonly controlUrl: string
  readonly token: string
  readonly client: Client
  /** Every log line so far, of all processes. */
  readonly log: readonly LogLine[]
  /**
   * The first line that matches, written already or still to come. Rejects when the base ends first.
   * @param from leaves out the lines before this index of `log`
   */
  logged(matches: (line: LogLine) => boolean, from?: number): Promise<LogLine>
  /** Every line it printed so far that is not of the log. */
  readonly output: readonly string[]
  /** The first of those lines that matches, printed already or still to come. Rejects when the base ends first. */
  printed(matches: RegExp): Promise<string>
  /** Ends every process of it at once and removes its folder if it made that. Idempotent. */
  kill(): Promise<void>
}

export interface BaseSettings {
  /** @default a new temporary folder, removed at the end */
  readonly data?: string
  readonly cells?: number
  readonly args?: readonly string[]
  /** A script of the project to start through the launcher, as npm does. @default `base start`, without a launcher */
  readonly script?: string
}

/** Starts a base and waits until it is ready and every cell knows the keeper. Rejects with what it printed when it ends before that. */
export async function launchBase({ data, cells = 1, args = [], script }: BaseSettings = {}): Promise<RunningBase> {
  const folder = data ?? (await mkdtemp(join(tmpdir(), 'berth-test-')))
  const flags = ['--port', '0', '--control-port', '0', '--data', folder, '--cells', String(cells), ...args]
  const command = script === undefined ? [...nodeFlags, join(root, 'base/main.ts'), 'start'] : [join(root, 'bin/launch.cjs'), script]
  const child = spawn(process.execPath, [...command, ...flags], {
    // Where no config file is.
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = new Promise<void>(resolve => child.once('close', () => resolve()))
  const log = readLog(child)
  const ready = await log.logged(({ msg }) => msg === 'base ready')
  // A cell that does not find the keeper in time serves with what it has: what is changed next is in force in those that are connected.
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
      // A launcher passes on what it can catch, and would leave the base behind.
      child.kill(script === undefined ? 'SIGKILL' : 'SIGTERM')
      // Its output closes when the last of its processes, which see their channel to it close, is gone.
      await closed
      if (data === undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}

/** `launchBase`, killed when the test ends. */
export async function startBase(t: TestContext, settings: BaseSettings = {}): Promise<RunningBase> {
  const base = await launchBase(settings)
  t.after(() => base.kill())
  return base
}

const folders: string[] = []
// Hooks run in the order they were made: a base that is started on a folder later must be gone before the folder is.
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A temporary folder that goes when the tests of the file have ended. */
export async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-test-'))
  folders.push(folder)
  return folder
}

function readLog(child: ChildProcess): Pick<RunningBase, 'log' | 'logged' | 'output' | 'printed'> {
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
  const tell: Teller = () =>
    ended ? undefined : [...log.awaited, ...output.awaited, `The base ${child.pid} said last:`, last()].join('\n')
  channel('berth:test:teller').publish(tell)
  child.on('error', error => fail(`The base did not start: ${error.message}`))
  child.on('close', code => fail(`The base ended with ${code}`))
  return {
    log: log.all,
    logged: (matches, from) => log.first(matches, from),
    output: output.all,
    printed: pattern => output.first(line => pattern.test(line)),
  }
}

/** Lines as they come, and promises of those still to come. */
class Lines<T> {
  readonly all: T[] = []
  readonly #waiting = new Set<{ matches: (line: T) => boolean; resolve: (line: T) => void; reject: (error: Error) => void }>()
  #failure: Error | undefined

  /** What is awaited, for people. */
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
 * Publishes a module given as the text of each of its stages: `{ rank: 'x => x' }`.
 * @param services base services that it uses
 * @returns whether it was new
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

/** Publishes the text of a bundle as it is. */
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
 * Defines a scene of one stage bound to one module, makes its first version and the baseline. Its requests have all the time that a scene may
 * give, unless the settings say otherwise: none misses its deadline because the machine is slow.
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
