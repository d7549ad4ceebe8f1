/** The processors of this machine: which process may run where, and who used them how much. Linux only. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** Two processors that share no core: one for what is measured, one for what sends the load. */
export interface Pair {
  readonly measured: number
  readonly generator: number
}

/** Undefined where processes cannot be pinned: there is one core only, or no `taskset`. */
export function choosePair(): Pair | undefined {
  if (spawnSync('taskset', ['--version']).error !== undefined) return undefined
  const [measured, ...others] = allowed()
  const generator = others.find(other => !siblingsOf(other).includes(measured ?? other))
  return measured === undefined || generator === undefined ? undefined : { measured, generator }
}

/** The processors that this process may use. */
export function allowed(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  return numbersIn(list)
}

/** The hardware threads of the core of a processor, that one included. */
function siblingsOf(processor: number): number[] {
  try {
    return numbersIn(readFileSync(`/sys/devices/system/cpu/cpu${processor}/topology/thread_siblings_list`, 'utf8').trim())
  } catch {
    // The system does not say.
    return [processor]
  }
}

/** The numbers of a list such as `0-2,5`. */
function numbersIn(list: string): number[] {
  return list.split(',').flatMap(range => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}

/** Lets all threads of a process, and those that they will start, run on these processors only. */
export function pin(pid: number, processors: readonly number[]): void {
  const args = ['--all-tasks', '--cpu-list', '--pid', processors.join(','), String(pid)]
  const { status, stderr } = spawnSync('taskset', args, { encoding: 'utf8' })
  if (status !== 0 && threadsOf(pid).length > 0) throw new Error(`Cannot pin process ${pid}: ${stderr}`)
}

/** None when the process has ended. */
function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

/**
 * Counts the CPU that processes use from now on, as the scheduler of Linux counts it for each of their threads, in nanoseconds. A thread that ends before it is
 * read is left out, with all that it used.
 */
export class CpuMeter {
  readonly #pids: readonly number[]
  readonly #before: ReadonlyMap<string, number>

  constructor(pids: readonly number[]) {
    this.#pids = pids
    this.#before = this.#read()
  }

  /**
   * Microseconds of all threads that run now, by what they are: the number of the process, and `main` or the name of the thread. Threads that isolates
   * run in have the name of the main thread.
   */
  usedUs(): Map<string, number> {
    const used = new Map<string, number>()
    for (const [thread, now] of this.#read()) {
      const label = this.#labelOf(thread)
      used.set(label, (used.get(label) ?? 0) + (now - (this.#before.get(thread) ?? 0)) / 1000)
    }
    return used
  }

  #labelOf(path: string): string {
    const [, , pid, , thread] = path.split('/')
    return `${this.#pids.indexOf(Number(pid)) + 1} ${pid === thread ? 'main' : readIfThere(`${path}/comm`).trim()}`
  }

  /** By the path of a thread. */
  #read(): Map<string, number> {
    const paths = this.#pids.flatMap(pid => threadsOf(pid).map(thread => `/proc/${pid}/task/${thread}`))
    const read = paths.map(path => [path, readIfThere(`${path}/schedstat`)] as const)
    return new Map(read.flatMap(([path, text]) => (text === '' ? [] : [[path, Number(text.split(' ')[0])]])))
  }
}

export const sumOf = (values: Iterable<number>): number => [...values].reduce((sum, value) => sum + value, 0)

/** Empty for a thread that has ended since it was listed. */
function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** Seconds since the machine started. */
interface MachineTimes {
  /** In which processes and the system for them used a processor, for all processors together. */
  readonly busy: number
  /** In which a virtual processor had something to do but the host ran something else. */
  readonly stolen: number
  /** Of the ended children of this process. */
  readonly children: number
}

const TICKS_PER_SECOND = 100

export function machineTimes(): MachineTimes {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0] ?? ''
  const [user = 0, nice = 0, system = 0, , , , , stolen = 0] = line.split(/\s+/).slice(1).map(Number)
  const own = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? []
  const seconds = (ticks: number) => ticks / TICKS_PER_SECOND
  return {
    busy: seconds(user + nice + system),
    stolen: seconds(stolen),
    children: seconds(Number(own[13]) + Number(own[14])),
  }
}
