/** Runs a bundle in a process of its own before it is accepted, so that a bundle that hangs or eats memory takes nothing else with it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { BerthError, type ErrorCode, messageOf } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import { type Machine, thisMachine } from '../../kernel/machine.ts'
import type { RoleCommand } from '../../process/roles.ts'
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
   * Resolves when the bundle loads and has its stages. One bundle at a time; the others wait.
   * @throws what the trial says is wrong with it; MODULE_LOAD_KILLED when it ends its process or takes too long; MEMORY_SHORT when the kernel ends it.
   */
  pass(candidate: Omit<TrialRequest, 'type'>): Promise<void>
  /** Kills every trial process; what is under way fails with BASE_DRAINING. Idempotent. */
  close(): void
}

/** Milliseconds after a trial before the next process is started: until then the processors are left to what brings the module online. */
const WARM_UP_AFTER_MS = 100

/**
 * Keeps one process started ahead; each is used once.
 * @param msMax milliseconds a bundle may take, from when its process has it.
 * @param machine for tests
 */
export function startTrials(command: RoleCommand, msMax: number = limits.module.trialMsMax, machine: Machine = thisMachine): Trials {
  const live = new Set<Trial>()
  let closed = false
  let spare: Trial | undefined
  let warming: NodeJS.Timeout | undefined
  let queue: Promise<unknown> = Promise.resolve()

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
      await trial.run({ type: 'try', ...candidate }, msMax)
    } catch (error) {
      throw closed ? draining(candidate.name) : error
    } finally {
      trial.kill()
      if (!closed) warming = setTimeout(warmUpSpare, WARM_UP_AFTER_MS)
    }
  }

  function warmUpSpare(): void {
    spare = warmUp()
  }

  warmUpSpare()
  return {
    pass: candidate => {
      const turn = queue.then(() => pass(candidate))
      queue = turn.catch(() => undefined)
      return turn
    },
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
  readonly #machine: Machine
  readonly #waiting = Promise.withResolvers<true>()
  readonly #verdict = Promise.withResolvers<Verdict>()

  constructor(command: RoleCommand, machine: Machine) {
    this.#machine = machine
    this.#child = spawn(process.execPath, command.args, { env: command.env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
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
      this.#child.on('exit', (code, signal) => resolve(signal ? `signal ${signal}` : `exit code ${code}`))
    })
  }

  async run(request: TrialRequest, msMax: number): Promise<void> {
    const action = `Cannot accept module "${request.name}"`
    const oomKills = this.#machine.oomKills() ?? 0
    const refuseShortage = (outcome: unknown) => {
      if (outcome !== 'signal SIGKILL' || (this.#machine.oomKills() ?? 0) <= oomKills) return
      throw new BerthError('MEMORY_SHORT', `${action}: memory is short, so the kernel ended the process that tried it`)
    }
    const unstarted = await within(limits.process.readyMsMax, Promise.race([this.#waiting.promise, this.ended]))
    refuseShortage(unstarted)
    if (unstarted !== true) throw new BerthError('INTERNAL', `${action}: the trial process did not start (${unstarted ?? 'too slow'})`)
    // Sending fails when the child has ended, which does not matter: `ended` below says so.
    this.#child.send(request, () => undefined)
    const outcome = await within(msMax, Promise.race([this.#verdict.promise, this.ended]))
    refuseShortage(outcome)
    if (outcome === undefined) throw new BerthError('MODULE_LOAD_KILLED', `${action}: it had not finished loading after ${msMax} ms`)
    if (typeof outcome === 'string') throw new BerthError('MODULE_LOAD_KILLED', `${action}: loading it ended its process (${outcome})`)
    if (outcome.type === 'failed') throw new TrialError(outcome.code, outcome.message, outcome.stack)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

/** Resolves with undefined when the work is not done in time. */
async function within<T>(msMax: number, work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>(resolve => {
    timer = setTimeout(resolve, msMax, undefined)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
