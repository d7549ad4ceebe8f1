/** The processes of a base, as the system and the log of the base show them. Linux only. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { LogLine, RunningBase } from '../../test/support/base.ts'
import { OWN_END } from './record.ts'

export interface Vitals {
  readonly rssMB: number
  readonly handles: number
  readonly threads: number
}

/** Undefined when the process has ended. */
export function vitalsOf(pid: number): Vitals | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1])
    // A zombie (a process that has ended but was not waited for yet) has no memory.
    if (!status.includes('VmRSS')) return undefined
    return { rssMB: field('VmRSS') / 1024, threads: field('Threads'), handles: readdirSync(`/proc/${pid}/fd`).length }
  } catch {
    // It ended since it was listed.
    return undefined
  }
}

/** Whether the process runs; a zombie does not. */
export function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && vitalsOf(pid) !== undefined
}

/** Whether the process is stopped. That takes a moment after the signal. A process that has ended is not stopped. */
export function isStopped(pid: number): boolean {
  try {
    return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    // It ended since the signal was sent.
    return false
  }
}

/** The remote ports of the connections to `port` that the process holds; none when it has ended. */
export function peersOf(pid: number, port: number): number[] {
  const held = new Set(handlesOf(pid))
  const lines = ['tcp', 'tcp6'].flatMap(file => readFileSync(`/proc/net/${file}`, 'utf8').split('\n').slice(1))
  return lines.flatMap(line => {
    const [, local = '', remote = '', , , , , , , inode = ''] = line.trim().split(/\s+/)
    return portOf(local) === port && held.has(`socket:[${inode}]`) ? [portOf(remote)] : []
  })
}

const portOf = (address: string): number => Number.parseInt(address.slice(address.lastIndexOf(':') + 1), 16)

/** The handles that the process holds; none when it has ended. */
function handlesOf(pid: number): string[] {
  return handleNamesOf(pid).map(name => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${name}`)
    } catch {
      // It was closed since it was listed.
      return ''
    }
  })
}

function handleNamesOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`)
  } catch (error) {
    // A zombie fails with the same error code as a process that may not be read.
    if (isAlive(pid)) throw error
    return []
  }
}

export type Leaving = 'asked' | 'memory' | 'lost' | 'stop'

interface LiveCell {
  readonly cell: number
  state: 'ready' | 'retiring'
  leaving: Leaving
  /** Whether the supervisor has killed it. */
  isKilled: boolean
  readonly brokenBy: string[]
}

export interface CellEnd {
  readonly pid: number
  /** `OWN_END`, or as the supervisor has it. */
  readonly how: string
  /** Why it was retiring; undefined when it was not. `stop` means that the base ends. */
  readonly leaving: Leaving | undefined
  /** Scenes that were running code in it, and those whose slots made it unable to go on. */
  readonly suspects: readonly string[]
}

/** The processes that run, read from the log of the supervisor, which goes on while the keeper is away. */
export class Roster {
  readonly #base: RunningBase
  readonly #onEnd: (end: CellEnd) => void
  readonly #cells = new Map<number, LiveCell>()
  readonly #all = new Set<number>()
  #keeper = 0
  #read = 0

  constructor(base: RunningBase, onEnd: (end: CellEnd) => void) {
    this.#base = base
    this.#onEnd = onEnd
    if (base.process.pid !== undefined) this.#all.add(base.process.pid)
    this.look()
  }

  get keeper(): number {
    return this.#keeper
  }

  /** Every process that has ever run. */
  get all(): ReadonlySet<number> {
    return this.#all
  }

  /** The cells that are ready, in the order of their ordinals. */
  get ready(): { readonly cell: number; readonly pid: number }[] {
    const ready = [...this.#cells].filter(([, { state }]) => state === 'ready')
    return ready.map(([pid, { cell }]) => ({ cell, pid })).sort((a, b) => a.cell - b.cell)
  }

  /** Reads the lines that have been logged since the last call. Has to be called often. */
  look(): void {
    const { log } = this.#base
    for (; this.#read < log.length; this.#read++) {
      const line = log[this.#read]
      if (line?.process === 'base') this.#take(line)
    }
  }

  #take(line: LogLine): void {
    const [pid, cell] = [Number(line.pid), Number(line.cell)]
    if (line.msg === 'keeper ready') this.#keeper = pid
    if (line.msg === 'keeper ready' || line.msg === 'cell ready') this.#all.add(pid)
    if (line.msg === 'cell ready') this.#cells.set(pid, { cell, state: 'ready', leaving: 'stop', isKilled: false, brokenBy: [] })
    const known = this.#cells.get(pid)
    if (line.msg === 'cell ended') this.#end(line, known)
    if (known === undefined) return
    if (line.msg === 'cell to be replaced') known.leaving = line.because as Leaving
    if (line.msg === 'cell retiring') known.state = 'retiring'
    if (line.msg === 'cell killed') known.isKilled = true
    // Such a slot may be gone from the black box by the time its cell ends, so it is remembered here.
    if (line.msg === 'cell is lost') known.brokenBy.push(...(/^slot ([^/ ]+)/.exec(String(line.reason))?.slice(1) ?? []))
  }

  #end(line: LogLine, known: LiveCell | undefined): void {
    const pid = Number(line.pid)
    const suspects = ((line.suspects ?? []) as readonly { readonly scene: string }[]).map(({ scene }) => scene)
    this.#cells.delete(pid)
    const leaving = known?.state === 'retiring' ? known.leaving : undefined
    // A cell ends itself by this signal, since an orderly end would wait for threads that cannot be stopped.
    const how = leaving !== undefined && known?.isKilled === false && line.how === 'signal SIGKILL' ? OWN_END : String(line.how)
    this.#onEnd({ pid, how, leaving, suspects: [...new Set([...suspects, ...(known?.brokenBy ?? [])])] })
  }
}
