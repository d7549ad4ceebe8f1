/** Starts the process that runs a module for its tests, and talks to it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { launcher } from '../../base/kernel/installation.ts'
import { limits } from '../../base/kernel/limits.ts'
import { roleCommand } from '../../base/process/roles.ts'
import { dispatcher } from '../../base/wire/dispatch.ts'
import {
  type FakeRequest,
  type FakeResponse,
  type FromRehearsal,
  type FunctionCount,
  OPENING,
  type RehearsalFailure,
  type RehearsalLine,
  type RehearsalPlan,
  type RehearsalRun,
  type ToRehearsal,
} from '../../base/wire/rehearsal-messages.ts'

/** Environment variable that names a folder. Each slot writes a JSON file to it with the counts of the functions that were run. */
export const COVERAGE_FOLDER = 'BERTH_COVERAGE'

export interface Counted {
  /** Absolute path of the module. */
  readonly folder: string
  /** The bundle. */
  readonly code: string
  readonly sourceMap: string
  readonly functions: readonly FunctionCount[]
}

export interface RehearsalHost {
  /** Answers a call of a service, or of a scene when `service` is empty. Input and answer are JSON. An error that it throws may have a `code`. */
  answer(service: string, method: string, input: string): Promise<string>
  fetch(request: FakeRequest): Promise<FakeResponse>
  onLines(lines: readonly RehearsalLine[]): void
}

/** A rehearsal that gave no answer, with the reason. */
export class RehearsalError extends Error {
  readonly failure: RehearsalFailure

  constructor(failure: RehearsalFailure) {
    super(failure.message)
    this.failure = failure
  }
}

export class Rehearsal {
  readonly #child: ChildProcess
  readonly #open = new Map<number, PromiseWithResolvers<string>>()
  readonly #waiting = Promise.withResolvers<void>()
  #last = OPENING
  #ended = false

  /** Starts the process. While nobody waits for it, it does not keep this process running. */
  constructor(host: RehearsalHost) {
    const { args, env } = roleCommand('rehearsal', '')
    // Tests may be run by any Node.js, but the slot needs the one that comes with the base. Standard output belongs to the test runner.
    this.#child = spawn(launcher().runtime(), args, { env, stdio: ['ignore', 2, 2, 'ipc'] })
    const dispatch = dispatcher<FromRehearsal>(
      'the tests',
      {
        waiting: () => this.#waiting.resolve(),
        done: ({ no, json }) => this.#open.get(no)?.resolve(json),
        failed: ({ no, failure }) => this.#open.get(no)?.reject(new RehearsalError(failure)),
        logged: ({ lines }) => host.onLines(lines),
        fetch: ({ call, request }) => this.#answer(call, async () => JSON.stringify(await host.fetch(request))),
        call: ({ call, service, method, input }) => this.#answer(call, () => host.answer(service, method, input)),
      },
      sentence => this.#end(sentence),
    )
    this.#child.on('message', (message: FromRehearsal) => dispatch(message))
    this.#child.on('error', error => this.#end(`it did not start: ${error.message}`))
    this.#child.on('exit', (code, signal) => this.#end(signal === null ? `exit code ${code}` : `signal ${signal}`))
    this.#hold()
  }

  /** Whether the process is gone, so that another has to be started. */
  get ended(): boolean {
    return this.#ended
  }

  /** Loads the module. @throws RehearsalError with the reason why it cannot be loaded */
  async open(plan: RehearsalPlan): Promise<void> {
    const late = setTimeout(() => this.#end(`it had not started after ${limits.process.readyMsMax} ms`), limits.process.readyMsMax)
    try {
      await this.#ask(OPENING, async () => {
        await this.#waiting.promise
        this.#send({ type: 'open', plan })
      })
    } finally {
      clearTimeout(late)
    }
  }

  /** @returns the answer as JSON @throws RehearsalError */
  run(run: RehearsalRun): Promise<string> {
    const no = ++this.#last
    return this.#ask(no, () => this.#send({ type: 'run', no, ...run }))
  }

  async tick(ms: number): Promise<void> {
    const no = ++this.#last
    await this.#ask(no, () => this.#send({ type: 'tick', no, ms }))
  }

  seed(seed: number): void {
    this.#send({ type: 'seed', seed })
  }

  async takeCoverage(): Promise<readonly FunctionCount[]> {
    const no = ++this.#last
    return JSON.parse(await this.#ask(no, () => this.#send({ type: 'takeCoverage', no }))) as readonly FunctionCount[]
  }

  close(): void {
    this.#end('it was closed')
  }

  async #ask(no: number, send: () => void | Promise<void>): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    if (this.#ended) throw new RehearsalError({ code: 'MODULE_KILLED', message: 'The process of the slot is gone' })
    this.#open.set(no, { promise, resolve, reject })
    this.#hold()
    void send()
    try {
      return await promise
    } finally {
      this.#open.delete(no)
      this.#hold()
    }
  }

  #send(message: ToRehearsal): void {
    // An error is ignored: the process has ended then, and the event `exit` reports that.
    this.#child.send(message, () => undefined)
  }

  /** Keeps this process running only while somebody waits for an answer, so that an idle slot does not keep the tests from ending. */
  #hold(): void {
    const verb = this.#open.size > 0 ? 'ref' : 'unref'
    this.#child[verb]()
    this.#child.channel?.[verb]()
  }

  async #answer(call: number, work: () => Promise<string>): Promise<void> {
    try {
      this.#send({ type: 'answer', call, json: await work() })
    } catch (error) {
      // A fake scene rejects a request by an error as the stage sees it: with the code REQUEST_REJECTED, a reason and details.
      const { code, reason, details }: { code?: unknown; reason?: unknown; details?: unknown } = Object(error)
      const message = error instanceof Error ? error.message : String(error)
      this.#send({ type: 'refuse', call, code: typeof code === 'string' ? code : undefined, message, reason, details })
    }
  }

  #end(why: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#child.kill('SIGKILL')
    for (const { reject } of this.#open.values()) {
      reject(new RehearsalError({ code: 'MODULE_KILLED', message: `The module ended the process of its slot: ${why}` }))
    }
  }
}
