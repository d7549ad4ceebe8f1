/**
 * The second wall, which confines the processes that run module code, should a module ever get out of its isolate: no new privileges, a view of the
 * system that has only what the process needs, and few system calls. It exists on Linux, by tools that a machine may not have.
 */

import { type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Setpriv, WallLayer, WallMode, WallPlan } from '../kernel/wall-plan.ts'
import { childrenPath, type Needs, type StartedProcess, spawnInBubblewrap } from './bubblewrap.ts'
import { seccompFilter } from './seccomp.ts'

export class Wall {
  readonly #onFailed: (why: string) => void
  #plan: WallPlan

  /** @param onFailed is called when bubblewrap stops working, with what follows from it */
  constructor(plan: WallPlan, onFailed: (why: string) => void) {
    this.#plan = plan
    this.#onFailed = onFailed
  }

  /** What is in force now. */
  get plan(): WallPlan {
    return this.#plan
  }

  /** @throws what `spawn` throws */
  spawn(command: readonly string[], env: NodeJS.ProcessEnv, stdio: readonly unknown[], needs: Needs): StartedProcess {
    const { bubblewrap, setpriv } = this.#plan
    if (bubblewrap === undefined)
      return setpriv === undefined ? spawnPlain(command, env, stdio) : this.#spawnWith(setpriv, command, env, stdio)
    const started = spawnInBubblewrap(bubblewrap, command, env, stdio, needs)
    started.child.once('exit', async code => {
      if (typeof code === 'number' && code !== 0 && (await started.pid) === undefined) this.#fail(code)
    })
    return started
  }

  #spawnWith(setpriv: Setpriv, command: readonly string[], env: NodeJS.ProcessEnv, stdio: readonly unknown[]): StartedProcess {
    try {
      return spawnWith(setpriv, setpriv.filters ? filterFile() : undefined, command, env, stdio)
    } catch (error) {
      // Without the file, setpriv can do the rest. An error of another origin comes again.
      const why = `the filter of system calls cannot be written: ${error instanceof Error ? error.message : error}`
      this.#plan = { ...this.#plan, setpriv: { ...setpriv, filters: false }, layers: describe(why, { ...setpriv, filters: false }) }
      if (setpriv.filters) this.#onFailed(`${why}. Processes are started without it from now on`)
      return spawnWith(setpriv, undefined, command, env, stdio)
    }
  }

  /** A base that serves is worth more than a wall around one that does not, unless its operator has said otherwise. */
  #fail(code: number): void {
    const { mode, setpriv, bubblewrap } = this.#plan
    if (bubblewrap === undefined) return
    const why = `bubblewrap has ended with exit code ${code}, before it started Node.js, and has printed why`
    if (mode !== 'require') this.#plan = { mode, setpriv, layers: describe(why, setpriv ?? why) }
    const consequence = mode === 'require' ? 'With --wall require none is started without it' : 'Others are started without it from now on'
    this.#onFailed(`${why}. ${consequence}`)
  }
}

/** Starts a process without bubblewrap. @throws what `spawn` throws */
export function spawnPlain([file = '', ...args]: readonly string[], env: NodeJS.ProcessEnv, stdio: readonly unknown[]): StartedProcess {
  const child = spawn(file, args, { env, stdio: stdio as StdioOptions })
  return { child, pid: Promise.resolve(child.pid), kill: () => child.kill('SIGKILL') }
}

/** Starts a process by `setpriv`, which becomes Node.js. @throws what `spawn` throws */
function spawnWith(
  { command: setpriv }: Setpriv,
  filter: number | undefined,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
  stdio: readonly unknown[],
): StartedProcess {
  if (filter === undefined) return spawnPlain([...setpriv, '--', ...command], env, stdio)
  return spawnPlain([...setpriv, '--seccomp-filter', `/proc/self/fd/${stdio.length}`, '--', ...command], env, [...stdio, filter])
}

let filterDescriptor: number | undefined

/** @returns the descriptor of a file with the filter. The file has no name any more, so nothing is left of it. @throws the error of the system */
function filterFile(): number {
  if (filterDescriptor !== undefined) return filterDescriptor
  const folder = mkdtempSync(join(tmpdir(), 'berth-filter-'))
  try {
    writeFileSync(join(folder, 'filter'), seccompFilter('module') ?? '')
    filterDescriptor = openSync(join(folder, 'filter'), 'r')
    return filterDescriptor
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/**
 * Finds out by trying what this machine can do. It takes about as long as `node --version`.
 * @param needs those of a process that shall be confined
 */
export async function planWall(mode: WallMode, needs: Needs): Promise<WallPlan> {
  const none = process.platform !== 'linux' ? 'it exists on Linux only' : mode === 'off' ? 'switched off by --wall off' : undefined
  if (none !== undefined) return { mode, layers: describe(none, none) }
  const [bubblewrap, setpriv] = await Promise.all([tryBubblewrap(needs), trySetpriv()])
  const works = typeof setpriv === 'string' ? undefined : setpriv
  return { mode, bubblewrap: bubblewrap.works, setpriv: works, layers: describe(bubblewrap.fault, setpriv) }
}

/** @param namespaces why these are not in force; undefined when they are @param setpriv the same of it, when it does not work */
function describe(namespaces: string | undefined, setpriv: Setpriv | string): WallLayer[] {
  const isWhole = namespaces === undefined
  const asRoot = process.getuid?.() === 0 ? '; the base runs as root: give it a user of its own' : ''
  const privileges = isWhole || typeof setpriv !== 'string' ? undefined : setpriv
  const filtering = isWhole ? 'bubblewrap' : typeof setpriv !== 'string' && setpriv.filters ? 'setpriv' : filteredFromOutside()
  return [
    { layer: 'privileges', ...stateOf(privileges, `by ${isWhole ? 'bubblewrap' : 'setpriv'}${asRoot}`) },
    { layer: 'namespaces', ...stateOf(namespaces, 'by bubblewrap') },
    { layer: 'system calls', ...stateOf(filtering === undefined ? namespaces : undefined, `by ${filtering}`) },
  ]
}

/** What filters the calls of this process, and so those of its children. */
const filteredFromOutside = (): string | undefined =>
  /^Seccomp:\s+2$/m.test(ownStatus()) ? 'what started the base, such as a container' : undefined

const stateOf = (fault: string | undefined, by: string): Pick<WallLayer, 'state' | 'detail'> =>
  fault === undefined ? { state: 'on', detail: by } : { state: 'off', detail: fault }

/** What the kernel says of this process. */
const ownStatus = (): string => (process.platform === 'linux' ? readFileSync('/proc/self/status', 'utf8') : '')

interface Tried<T> {
  readonly works?: T
  /** In words for the operator. */
  readonly fault?: string
}

async function tryBubblewrap(needs: Needs): Promise<Tried<string>> {
  const bubblewrap = findProgram('bwrap')
  if (bubblewrap === undefined) return { fault: 'bubblewrap is not installed: apt-get install bubblewrap' }
  if (seccompFilter('module') === undefined) return { fault: `its filter of system calls is not made for ${process.arch}` }
  if (!existsSync(childrenPath(process.pid))) return { fault: 'this kernel does not list the children of a process (CONFIG_PROC_CHILDREN)' }
  const fault = await faultOf(stdio => spawnInBubblewrap(bubblewrap, trialCommand, {}, stdio, { ...needs, network: false }))
  if (fault === undefined) return { works: bubblewrap }
  return { fault: `bubblewrap does not work here (${fault}): allow namespaces of users; in a container, see docs/security.md` }
}

/** @returns why it does not work, in words for the operator, when it does not */
async function trySetpriv(): Promise<Setpriv | string> {
  const setpriv = findProgram('setpriv')
  if (setpriv === undefined) return 'setpriv is not installed: apt-get install util-linux'
  const command = [setpriv, '--no-new-privs', ...(mayDropCapabilities() ? dropCapabilities : [])]
  const faultWith = (filters: boolean) =>
    faultOf(stdio => spawnWith({ command, filters }, filters ? filterFile() : undefined, trialCommand, {}, stdio))
  if ((await faultWith(true)) === undefined) return { command, filters: true }
  const fault = await faultWith(false)
  return fault === undefined ? { command, filters: false } : `setpriv does not work here (${fault})`
}

const trialCommand = [process.execPath, '--version']
const dropCapabilities = ['--ambient-caps=-all', '--inh-caps=-all', '--bounding-set=-all']

/** Whether this process has CAP_SETPCAP, which takes capabilities away for good. */
function mayDropCapabilities(): boolean {
  const [, capabilities = '0'] = /^CapEff:\s+([0-9a-f]+)$/m.exec(ownStatus()) ?? []
  return ((BigInt(`0x${capabilities}`) >> 8n) & 1n) === 1n
}

function findProgram(name: string): string | undefined {
  const folders = (process.env.PATH ?? '/usr/bin:/bin').split(delimiter)
  return folders
    .filter(folder => folder.startsWith('/'))
    .map(folder => join(folder, name))
    .find(path => existsSync(path))
}

/** Runs a process to its end. @returns the first sentence that it wrote to standard error, or how it ended, when that was not with success */
async function faultOf(start: (stdio: readonly unknown[]) => StartedProcess): Promise<string | undefined> {
  try {
    const { child } = start(['ignore', 'ignore', 'pipe'])
    let text = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      text += chunk
    })
    const [code, signal] = await once(child, 'close')
    return code === 0 ? undefined : text.trim().split(/\.\s|\n/)[0] || `it ended with ${signal ?? code}`
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
