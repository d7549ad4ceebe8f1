/** Runs a bundle in a process of its own before it is accepted, so that a bundle that hangs or eats memory takes nothing else with it. */
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setPriority } from 'node:os'
import { BerthError, type ErrorCode, messageOf } from '../../kernel/errors.ts'
import { FairQueue } from '../../kernel/fair-queue.ts'
import { limits } from '../../kernel/limits.ts'
import { type Machine, thisMachine } from '../../kernel/machine.ts'
import { endOf } from '../../process/bubblewrap.ts'
import { type RoleCommand, spawnRole } from '../../process/roles.ts'
import { dispatcher } from '../../wire/dispatch.ts'
import type { TrialReply, TrialRequest } from '../../wire/messages.ts'

/** What a trial has found to be wrong with a bundle. */
export class TrialError extends BerthError {
  /** As V8 made it. */
  readonly rawStack: string | undefined

  constructor(code: ErrorCode, message: string, rawStack: string | undefined) {
    super(code, message)
    this.rawStack = rawStack
  }
}

export interface Trials {
  /**
   * Resolves when the bundle loads and has its stages. Some bundles are tried at once; the others wait, and the publishers take turns.
   * @param publisher who waits for it
   * @throws what the trial says is wrong with it; MODULE_LOAD_KILLED when it ends its process or uses too much CPU; MEMORY_SHORT when the kernel ends it.
   */
  pass(candidate: Omit<TrialRequest, 'type'>, publisher: string): Promise<void>
  /** Kills every trial process; what is under way fails with BASE_DRAINING. Idempotent. */
  close(): void
}

export interface TrialSettings {
  /** Trials at once. @default limits.module.trialsMax */
  readonly atOnce?: number
  /** @default limits.module.trialCpuMsMax */
  readonly cpuMsMax?: number
  /** @default limits.module.trialIdleMsMax */
  readonly idleMsMax?: number
  /** For tests. */
  readonly machine?: Machine
}

/** Milliseconds after a trial before the next process is started: until then the processors are left to what brings the module online. */
const WARM_UP_AFTER_MS = 100
/** Trials leave the processors to what serves: with this priority a process gets a third of the time of one that it competes with. */
const TRIAL_PRIORITY = 5

/** Keeps one process started ahead; each is used once. */
export function startTrials(command: RoleCommand, settings: TrialSettings = {}): Trials {
  const { atOnce = limits.module.trialsMax, machine = thisMachine } = settings
  const { cpuMsMax = limits.module.trialCpuMsMax, idleMsMax = limits.module.trialIdleMsMax } = settings
  const queue = new FairQueue({ lanes: atOnce, lanesPerOwner: Math.max(1, atOnce - 1) })
  const live = new Set<Trial>()
  let closed = false
  let spare: Trial | undefined
  let warming: NodeJS.Timeout | undefined

  function warmUp(): Trial {
    const trial = new Trial(command, machine)
    live.add(trial)
    void trial.ended.then(() => {
      live.delete(trial)
      // A process that ends before its use is not replaced until it is needed. Otherwise a trial that cannot start would be started for
      // ever.
      if (spare === trial) spare = undefined
    })
    return trial
  }

  async function pass(candidate: Omit<TrialRequest, 'type'>): Promise<void> {
    if (closed) throw draining(candidate.name)
    clearTimeout(warming)
    const trial = spare ?? warmUp()
    spare = undefined
    try {
      await trial.run({ type: 'try', ...candidate }, cpuMsMax, idleMsMax)
    } catch (error) {
      throw closed ? draining(candidate.name) : error
    } finally {
      trial.kill()
      clearTimeout(warming)
      if (!closed) warming = setTimeout(warmUpSpare, WARM_UP_AFTER_MS)
    }
  }

  function warmUpSpare(): void {
    spare ??= warmUp()
  }

  warmUpSpare()
  return {
    pass: (candidate, publisher) => queue.add(publisher, false, () => pass(candidate)).done,
    close: () => {
      closed = true
      clearTimeout(warming)
      for (const trial of live) trial.kill()
    },
  }
}

const draining = (name: string): BerthError => new BerthError('BASE_DRAINING', `Cannot try module "${name}": the keeper is stopping`)

type Verdict = Exclude<TrialReply, { readonly type: 'waiting' }>

class Trial {
  /** Resolves with how the process ended. */
  readonly ended: Promise<string>
  readonly #child: ChildProcess
  /** Resolves when `#pid` is the process id of Node.js, which may have been started by another program. */
  readonly #found: Promise<void>
  #pid: number | undefined
  /** Ends the process at once, whatever it does. */
  readonly kill: () => void
  readonly #machine: Machine
  readonly #waiting = Promise.withResolvers<true>()
  readonly #verdict = Promise.withResolvers<Verdict>()

  constructor(command: RoleCommand, machine: Machine) {
    this.#machine = machine
    const { child, pid, kill } = spawnRole(command, ['ignore', 'inherit', 'inherit', 'ipc'])
    this.#child = child
    this.kill = kill
    this.#pid = child.pid
    // What the process starts gets the priority too.
    lowerPriority(child.pid)
    this.#found = pid.then(found => {
      this.#pid = found ?? this.#pid
    })
    const judge = (verdict: Verdict) => this.#verdict.resolve(verdict)
    const dispatch = dispatcher<TrialReply>(
      'the keeper',
      { waiting: () => this.#waiting.resolve(true), passed: judge, failed: judge },
      sentence => judge({ type: 'failed', code: 'INTERNAL', message: sentence }),
    )
    this.#child.on('message', (reply: TrialReply) => dispatch(reply))
    this.ended = new Promise(resolve => {
      // When no process could be made, there is no `exit` event.
      this.#child.on('error', error => resolve(messageOf(error)))
      this.#child.on('exit', (code, signal) => resolve(endOf(code, signal).how))
    })
  }

  async run(request: TrialRequest, cpuMsMax: number, idleMsMax: number): Promise<void> {
    const action = `Cannot accept module "${request.name}"`
    const oomKills = this.#machine.oomKills() ?? 0
    const refuseShortage = (outcome: unknown) => {
      if (outcome !== 'signal SIGKILL' || (this.#machine.oomKills() ?? 0) <= oomKills) return
      throw new BerthError('MEMORY_SHORT', `${action}: memory is short, so the kernel ended the process that tried it`)
    }
    const start = await this.#withinBudget(Promise.race([this.#waiting.promise, this.ended]), limits.module.trialCpuMsMax, idleMsMax)
    refuseShortage(start)
    if (start instanceof Overrun) throw new BerthError('INTERNAL', `${action}: the trial process did not start: it ${start.why}`)
    if (start !== true) throw new BerthError('INTERNAL', `${action}: the trial process did not start (${start})`)
    await this.#found
    // Sending fails when the child has ended, which does not matter: `ended` below says so.
    this.#child.send(request, () => undefined)
    const outcome = await this.#withinBudget(Promise.race([this.#verdict.promise, this.ended]), cpuMsMax, idleMsMax)
    refuseShortage(outcome)
    if (outcome instanceof Overrun) throw new BerthError('MODULE_LOAD_KILLED', `${action}: loading it ${outcome.why}`)
    if (typeof outcome === 'string') throw new BerthError('MODULE_LOAD_KILLED', `${action}: loading it ended its process (${outcome})`)
    if (outcome.type === 'failed') throw new TrialError(outcome.code, outcome.message, outcome.stack)
  }

  /**
   * Watches the process from outside, whatever it does. It may take its time on a busy machine, but has to use some CPU every now and then. Where the CPU of
   * other processes cannot be read, only their time counts.
   */
  async #withinBudget<T>(work: Promise<T>, cpuMsMax: number, idleMsMax: number): Promise<T | Overrun> {
    const overrun = Promise.withResolvers<Overrun>()
    const startMs = cpuMsOf(this.#pid) ?? 0
    let [usedMs, usedAt] = [0, performance.now()]
    const look = setInterval(() => {
      const nowMs = (cpuMsOf(this.#pid) ?? startMs) - startMs
      if (nowMs > usedMs) usedAt = performance.now()
      usedMs = Math.max(usedMs, nowMs)
      if (usedMs > cpuMsMax) overrun.resolve(new Overrun(`used more than ${cpuMsMax} ms of CPU`))
      if (performance.now() - usedAt > idleMsMax) overrun.resolve(new Overrun(`got no further for ${idleMsMax} ms`))
    }, LOOK_MS)
    try {
      return await Promise.race([work, overrun.promise])
    } finally {
      clearInterval(look)
    }
  }
}

/** Why a trial was not waited for any longer. */
class Overrun {
  readonly why: string

  constructor(why: string) {
    this.why = why
  }
}

/** Milliseconds between two looks at the CPU of a trial. */
const LOOK_MS = 100

function lowerPriority(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    setPriority(pid, TRIAL_PRIORITY)
  } catch {
    // It has ended already, or the system forbids it. A trial is no less of a trial for that.
  }
}

/** Milliseconds of CPU that a process has used; undefined when it has ended, and where there is no `/proc`. */
function cpuMsOf(pid: number | undefined): number | undefined {
  try {
    // The name of the program, in parentheses, may have spaces in it. Linux counts in hundredths of a second.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return undefined
  }
}
