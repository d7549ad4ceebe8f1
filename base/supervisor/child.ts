/** A process of the base that the supervisor started, and what it costs. */
import { type ChildProcess, execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { messageOf } from '../kernel/errors.ts'
import { endOf, type StartedProcess } from '../process/bubblewrap.ts'
import { type RoleCommand, spawnRole } from '../process/roles.ts'
import type { Start } from '../wire/messages.ts'
import type { ListenHandle } from './handle.ts'

export interface Child<Out> {
  /** 0 when the process could not be made. Until Node.js runs behind the wall, this is the id of what starts it there. */
  readonly pid: number
  /** Sends a message, which is dropped when the child has ended. */
  send(message: Out): void
  /** Ends it at once, whatever it does. */
  kill(): void
}

export interface ChildEvents<In> {
  onMessage(message: In): void
  /** Called once, at a later turn than the start. `how` reads like "exit code 1" or "signal SIGKILL"; `signal` is null without one. */
  onEnd(how: string, signal: NodeJS.Signals | null): void
}

/** Node can send native handles, but its types do not say so. */
interface HandleSender {
  send(message: unknown, handle: ListenHandle | undefined, done: (error: Error | null) => void): boolean
}

/**
 * Starts the process and sends it `start` with its id, and with the listening handle when there is one. Never throws: a process that cannot be made ends at once.
 * @param blackBox of a cell: the descriptor of its black box, or `ignore` when there is none
 */
export function startChild<In, Out>(
  command: RoleCommand,
  start: Omit<Start, 'pid'>,
  handle: ListenHandle | undefined,
  events: ChildEvents<In>,
  blackBox?: number | 'ignore',
): Child<Out> {
  const end = once(events.onEnd)
  const started = spawnChild(command, blackBox, error => end(messageOf(error), null))
  const child = started?.child as (ChildProcess & HandleSender) | undefined
  if (started === undefined || child?.pid === undefined) return { pid: 0, send: () => undefined, kill: () => undefined }
  let pid = child.pid
  child.on('message', (message: unknown) => events.onMessage(message as In))
  child.on('exit', (code, signal) => {
    const ended = endOf(code, signal)
    end(ended.how, ended.signal)
  })
  // A message to a child that has ended fails, which does not matter: `exit` says that it has ended.
  const send = (message: Start | Out, withHandle?: ListenHandle) => child.connected && child.send(message, withHandle, () => undefined)
  const begun = started.pid.then(found => {
    pid = found ?? pid
    send({ ...start, pid }, handle)
  })
  return {
    get pid() {
      return pid
    },
    send: message => void begun.then(() => send(message)),
    kill: () => started.kill(),
  }
}

/** @param onFailure is called, at a later turn, when the process cannot be made: some failures come as an event, some are thrown */
function spawnChild(
  command: RoleCommand,
  blackBox: number | 'ignore' | undefined,
  onFailure: (error: unknown) => void,
): StartedProcess | undefined {
  try {
    const started = spawnRole(command, ['ignore', 'inherit', 'inherit', 'ipc', ...(blackBox === undefined ? [] : [blackBox])])
    started.child.on('error', error => started.child.pid === undefined && onFailure(error))
    return started
  } catch (error) {
    setImmediate(onFailure, error)
    return undefined
  }
}

function once(call: ChildEvents<unknown>['onEnd']): ChildEvents<unknown>['onEnd'] {
  let called = false
  return (how, signal) => {
    if (!called) call(how, signal)
    called = true
  }
}

/**
 * Resident MB by process id, read from outside, since a process in trouble may not answer. A process that cannot be read is left out. Where
 * there is no `ps` (Windows) the result is empty.
 */
export async function residentMB(pids: readonly number[]): Promise<Map<number, number>> {
  const readings = process.platform === 'linux' ? pids.map(readProc) : await readPs(pids)
  return new Map(readings.filter(reading => reading !== undefined))
}

function readProc(pid: number): [number, number] | undefined {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kilobytes === undefined ? undefined : [pid, megabytes(kilobytes)]
  } catch {
    // The process has ended meanwhile.
    return undefined
  }
}

async function readPs(pids: readonly number[]): Promise<[number, number][]> {
  if (process.platform === 'win32' || pids.length === 0) return []
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'pid=,rss=', '-p', pids.join(',')])
    return [...stdout.matchAll(/(\d+)\s+(\d+)/g)].map(([, pid, kilobytes]) => [Number(pid), megabytes(kilobytes ?? '0')])
  } catch {
    // `ps` fails when none of the processes is left.
    return []
  }
}

const megabytes = (kilobytes: string): number => Math.round(Number(kilobytes) / 1024)
