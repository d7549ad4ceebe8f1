/** Processor time and memory of the processes of a base, as Linux shows them. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { vitalsOf } from '../soak/processes.ts'

const MS_PER_TICK = 1000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** Milliseconds of processor time that the process and everything that it started have used, by process id. */
export function cpuOfTree(root: number): Map<number, number> {
  const all = readdirSync('/proc').flatMap(name => (/^\d+$/.test(name) ? (readStat(Number(name)) ?? []) : []))
  const children = Map.groupBy(all, ({ parent }) => parent)
  const tree = new Map<number, number>()
  const visit = ({ pid, cpuMs }: Stat) => {
    tree.set(pid, cpuMs)
    for (const child of children.get(pid) ?? []) visit(child)
  }
  for (const stat of all) if (stat.pid === root) visit(stat)
  return tree
}

interface Stat {
  readonly pid: number
  readonly parent: number
  readonly cpuMs: number
}

function readStat(pid: number): Stat | undefined {
  const text = readIfThere(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), undefined)
  if (text === undefined) return undefined
  // The name of the command, in parentheses, may hold spaces.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { pid, parent: Number(fields[1]), cpuMs: (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK }
}

const LOOK_MS = 200
/** A base under probes alone uses less than this part of one processor. */
const IDLE_CORES = 0.35
/** A thread that could have used more than this part of the time does not rest, also when a busy machine gave it little. */
const RUNNABLE_MAX = 0.8

/** Waits until the base uses next to no processor time, and wants none. @returns false when it still burns after so long */
export async function settles(root: number, msMax: number): Promise<boolean> {
  const until = performance.now() + msMax
  for (let before = vitalsOfTree(root); performance.now() < until; ) {
    await delay(LOOK_MS)
    const now = vitalsOfTree(root)
    const ms = now.at - before.at
    const wanted = Math.max(0, ...[...now.runnable].map(([thread, value]) => value - (before.runnable.get(thread) ?? value)))
    const isIdle = usedSince(before.cpu, now.cpu) < ms * IDLE_CORES && wanted < ms * RUNNABLE_MAX
    before = now
    if (isIdle) return true
  }
  return false
}

function vitalsOfTree(root: number) {
  const cpu = cpuOfTree(root)
  return { at: performance.now(), cpu, runnable: new Map([...cpu.keys()].flatMap(runnableOf)) }
}

/** For each thread of a process, the milliseconds in which it ran or waited for a processor. */
function runnableOf(pid: number): [number, number][] {
  return readIfThere(() => readdirSync(`/proc/${pid}/task`), []).map(thread => {
    const text = readIfThere(() => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8'), '')
    const [ran = 0, waited = 0] = text.split(' ').map(Number)
    return [Number(thread), (ran + waited) / 1e6]
  })
}

/** @param otherwise what is returned when the process or thread has ended since it was listed */
function readIfThere<T>(read: () => T, otherwise: T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}

/** Milliseconds of processor time that the processes used in between. One that began counts from zero; one that ended does not count. */
export function usedSince(before: ReadonlyMap<number, number>, now: ReadonlyMap<number, number>): number {
  let usedMs = 0
  for (const [pid, cpuMs] of now) usedMs += cpuMs - (before.get(pid) ?? 0)
  return usedMs
}

/** Samples the resident memory of a process. `stop` returns its highest and its last value in MB, zero when it had ended. Idempotent. */
export function watchMemory(pid: number): { stop(): { readonly peak: number; readonly after: number } } {
  const read = () => vitalsOf(pid)?.rssMB ?? 0
  let peakMB = read()
  const sampling = setInterval(() => {
    peakMB = Math.max(peakMB, read())
  }, 25)
  return {
    stop: () => {
      clearInterval(sampling)
      return { peak: peakMB, after: read() }
    },
  }
}
