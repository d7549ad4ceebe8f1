/**
 * A rehearsal runs one module in a slot like any other, in a process of its own, for the tests of the module. The tests answer in the place
 * of services and scenes, and may stop the clock and fix chance.
 */
import { createHash } from 'node:crypto'
import ivm from 'isolated-vm'
import { type InputModule, type LogLine, type Post, SEED_WORDS } from '../inside/protocol.ts'
import { BerthError, isErrorCode, toBerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Located, Stacks } from '../kernel/stacks.ts'
import { type Blank, makeBlank } from '../slot/blank.ts'
import { CodeCache } from '../slot/code-cache.ts'
import type { Incoming, Outgoing } from '../slot/fetcher.ts'
import { insideScript } from '../slot/inside-script.ts'
import { endProcess, endWithParent } from '../slot/isolate-process.ts'
import { IsolatedStacks } from '../slot/isolated-stacks.ts'
import { SlotKilled } from '../slot/kill.ts'
import { ModuleError } from '../slot/module-error.ts'
import { Slot, type SlotHost } from '../slot/slot.ts'
import type { Pending } from '../slot/slot-call.ts'
import { SlotClock } from '../slot/slot-clock.ts'
import { Tape } from '../slot/tape.ts'
import { faultInSchema } from '../traffic/json-schema.ts'
import type { Lock, LockedModule, SceneSchemas } from '../traffic/schema.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { dispatcher } from '../wire/dispatch.ts'
import {
  type FakeBody,
  type FakeResponse,
  type FromRehearsal,
  OPENING,
  type RehearsalFailure,
  type RehearsalPlan,
  type RehearsalRun,
  type ToRehearsal,
} from '../wire/rehearsal-messages.ts'
import { Counter } from './function-counter.ts'
import type { Stops } from './stops.ts'

/** Says `waiting`, takes one `open`, then runs what it is sent. Ends when the process that started it is gone. */
export function runRehearsal(): void {
  endWithParent()
  process.once('message', (message: ToRehearsal) => {
    if (message.type !== 'open') throw new Error(`A rehearsal starts with "open", not "${message.type}"`)
    const rehearsal = new Rehearsal(message.plan, sendToTests)
    rehearsal.open()
    process.on('message', rehearsal.take)
  })
  sendToTests({ type: 'waiting' })
}

const sendToTests = (message: FromRehearsal): void => {
  // This fails only when the tests have ended, and then this process is about to end too.
  process.send?.(message, undefined, undefined, () => undefined)
}

const BUNDLE = 'bundle'
const SOURCE_MAP = 'map'
/** A module that runs before the stage when the stage is to get something else than the request. */
const inputModule: LockedModule = { name: 'berth-input', version: '0.0.0', bundle: '' }
const keyOf = ({ name, version }: LockedModule): string => `${name}@${version}`

/** The slot that requests run in now. A slot that is killed is followed by another. */
interface StagedSlot {
  readonly slot: Slot
  readonly blank: Blank
  readonly input: ivm.Reference<InputModule>
  readonly counter: Counter | undefined
  /** Names of the stages that requests run now, with a space between them. */
  aim: string
}

export class Rehearsal {
  readonly #plan: RehearsalPlan
  readonly #send: (message: FromRehearsal) => void
  /** Only where a debugger may stop the code. */
  readonly #stops: Stops | undefined
  /** For how long the process had been stopped when the slot had no request. */
  #stopsBeforeMs = 0
  readonly #watching: NodeJS.Timeout
  readonly #modules: LockedModule[]
  readonly #lock: Lock
  readonly #stacks: Stacks
  /** Says what time it is in the isolate when the clock stands still, and starts chance anew when it has a seed. */
  readonly #tape: Tape | undefined
  /** The clock of the isolate, when it stands still. */
  readonly #clock: SlotClock | undefined
  /** Of chance, in a slot that is made now. */
  #seed: number | undefined
  readonly #timers: { readonly at: number; readonly fire: () => void }[] = []
  readonly #calls = new Map<number, PromiseWithResolvers<string>>()
  #lastCall = 0
  #staged: Promise<StagedSlot>
  /** Requests enter the slot one after the other: each may need the slot to run other stages. */
  #entering: Promise<unknown> = Promise.resolve()
  /** Log lines leave in the order they came, before the answer that follows them. */
  #logging: Promise<unknown> = Promise.resolve()

  /** @param stops of this process, which do not count for deadlines, where a debugger may stop it */
  constructor(plan: RehearsalPlan, send: (message: FromRehearsal) => void, stops?: Stops) {
    this.#plan = plan
    this.#send = send
    this.#stops = stops
    const { name, version, stages } = plan
    const module = { name, version, bundle: BUNDLE, sourceMap: SOURCE_MAP }
    this.#modules = [module]
    this.#lock = stages.map(stage => ({ stage, modules: this.#modules }))
    this.#stacks = new IsolatedStacks(() => Promise.resolve(Buffer.from(plan.sourceMap)))
    this.#seed = plan.seed
    this.#tape = plan.now === undefined && plan.seed === undefined ? undefined : new Tape()
    if (plan.now !== undefined) this.#tape?.play([], plan.now)
    this.#clock = plan.now === undefined ? undefined : new SlotClock({ monotonic: this.#now, wall: this.#now })
    this.#staged = this.#open()
    this.#watching = setInterval(() => this.#watch(), limits.slot.watchdogTickMs)
  }

  /** Says when the slot is there, or why there can be none. */
  open(): void {
    this.#settle(OPENING, async () => {
      await this.#staged
      return 'null'
    })
  }

  /** Keeps this process running, or lets it end. */
  hold(isNeeded: boolean): void {
    if (isNeeded) this.#watching.ref()
    else this.#watching.unref()
  }

  close(): void {
    clearInterval(this.#watching)
    this.#staged.then(
      ({ slot }) => slot.dispose(),
      // Whoever asked for the slot has got the reason.
      () => undefined,
    )
  }

  /** Takes what the tests send once the rehearsal is open. */
  readonly take = dispatcher<Exclude<ToRehearsal, { readonly type: 'open' }>>(
    'a rehearsal',
    {
      run: message => this.#settle(message.no, () => this.#run(message)),
      answer: ({ call, json }) => this.#take(call)?.resolve(json),
      refuse: ({ call, code, message, reason, details }) => {
        const extra = { reason, details }
        this.#take(call)?.reject(new BerthError(isErrorCode(code) ? code : 'SERVICE_FAILED', message, { extra }))
      },
      tick: ({ no, ms }) => this.#settle(no, () => this.#tick(ms)),
      seed: ({ seed }) => {
        this.#seed = seed
        this.#tape?.reseed(wordsOf(hashOf(seed)))
      },
      takeCoverage: ({ no }) => this.#settle(no, () => this.#takeCoverage()),
    },
    sentence => {
      throw new Error(sentence)
    },
  )

  /** Sends how a piece of work ended; `work` gives JSON. */
  #settle(no: number, work: () => Promise<string>): void {
    work().then(
      json => this.#send({ type: 'done', no, json }),
      async (error: unknown) => this.#send({ type: 'failed', no, failure: await this.#failureOf(error) }),
    )
  }

  // ── the slot ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #open(): Promise<StagedSlot> {
    const { coverage, memoryMB, name, version, schemas } = this.#plan
    for (const [part, schema] of Object.entries(schemas)) {
      const fault = faultInSchema(schema)
      if (fault !== undefined) throw new BerthError('SCENE_INVALID', `Cannot use the schema of the ${part}: ${fault}`)
    }
    const codeCache = new CodeCache(0)
    let counter: Counter | undefined
    const made = await makeBlank(memoryMB, codeCache, {
      clock: this.#clock,
      findingsFail: true,
      tape: this.#tape,
      seed: this.#seed === undefined ? undefined : hashOf(this.#seed),
      prepare: async (isolate, context) => {
        if (coverage) counter = await Counter.start(isolate, context)
      },
    })
    const blank = counter === undefined ? made : { ...made, isolate: counter.guard(made.isolate) }
    if (this.#plan.now !== undefined) this.#keepTimers(blank)
    const plan: SlotPlan = {
      key: `${name}@${version}`,
      scene: this.#plan.scene,
      version: this.#plan.sceneVersion,
      memoryMB,
      lock: this.#lock,
    }
    const slot = await Slot.load(plan, blank, this.#host(codeCache))
    const input = await addInputModule(blank)
    const inputExports = (await input.get('module', { reference: true })) as ivm.Reference<unknown>
    const stages = new ivm.ExternalCopy(['input']).copyInto()
    await blank.inside.define.apply(undefined, [keyOf(inputModule), stages, inputExports.derefInto()], { result: { copy: true } })
    return { slot, blank, input, counter, aim: '' }
  }

  #host(codeCache: CodeCache): SlotHost {
    return {
      codeCache,
      explain: (error, plan) => error.inSources(this.#stacks, plan),
      readBundle: () => Promise.resolve(this.#plan.bundle),
      servicesOf: () => this.#plan.services,
      callScene: (scene, input) => this.#ask('', scene, input),
      callService: (service, method, input) => this.#ask(service, method, input),
      fetch: (_, request, __, signal) => this.#fetch(request, signal),
      onLog: (_, requestId, lines) => this.#log(requestId, lines),
      onKilled: (_, __, survivors) => this.#replace(survivors),
      // The process is for this module alone, and ends with it.
      lookoutUntil: () => (this.#stops === undefined ? Infinity : 0),
      // The tests see by themselves that the process has ended.
      onLost: this.#stops === undefined ? endProcess : () => undefined,
      onRunning: () => undefined,
    }
  }

  /** As in a cell, requests that may run again do so in the next slot. */
  #replace(survivors: readonly Pending[]): void {
    const before = this.#staged
    this.#timers.length = 0
    this.#staged = before.then(async ({ aim }) => {
      const staged = await this.#open()
      await this.#aim(staged, aim)
      for (const pending of survivors) staged.slot.adopt(pending)
      return staged
    })
    this.#staged.catch((error: unknown) => {
      for (const pending of survivors) pending.reject(toBerthError(error))
    })
  }

  #watch(): void {
    this.#stops?.look()
    this.#staged.then(
      ({ slot }) => slot.watch(this.#timeFor(slot)),
      // Whoever asked for the slot has got the reason.
      () => undefined,
    )
  }

  /** By `performance.now()`, less what the process was stopped for since the oldest request came. */
  #timeFor(slot: Slot): number {
    if (this.#stops === undefined) return performance.now()
    if (slot.pending === 0) this.#stopsBeforeMs = this.#stops.ms
    return performance.now() - (this.#stops.ms - this.#stopsBeforeMs)
  }

  // ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #run(run: RehearsalRun): Promise<string> {
    const entering = this.#entering.then(() => this.#enter(run))
    this.#entering = entering.catch(() => undefined)
    try {
      const { answer } = await entering
      return (await answer).json
    } finally {
      await this.#logging
    }
  }

  /** The answer is a member of what this returns: the next request waits for this, and must not wait for the answer. */
  async #enter({ requestId, stage, body, input, unit, params, deadlineMs, cpuMs, cpuScene }: RehearsalRun) {
    const staged = await this.#staged
    await this.#aim(staged, input === undefined ? stage : `input ${stage}`)
    if (input !== undefined) {
      const putInput = await staged.input.get('putInput', { reference: true })
      await putInput.apply(undefined, [requestId, input])
    }
    const chain = [cpuScene ?? this.#plan.scene]
    const deadlineAt = performance.now() + deadlineMs
    return { answer: staged.slot.call({ requestId, body, unit, params, deadlineAt, deadlineMs, cpuMs, chain }) }
  }

  async #aim(staged: StagedSlot, aim: string): Promise<void> {
    if (staged.aim === aim) return
    await staged.slot.drain()
    const stages = aim.split(' ').map(name => this.#lock.find(({ stage }) => stage === name) ?? { stage: name, modules: [inputModule] })
    const schemas = this.#schemasOf(aim.split(' '))
    await staged.slot.runStages({ lock: stages, schemas })
    staged.aim = aim
  }

  #schemasOf(names: readonly string[]): SceneSchemas {
    const { stages, schemas } = this.#plan
    const { request, answer } = schemas
    const takesRequest = names.length > 1 || names[0] === stages[0]
    return {
      ...(takesRequest && request !== undefined && { request }),
      ...(names.at(-1) === stages.at(-1) && answer !== undefined && { answer }),
    }
  }

  #ask(service: string, method: string, input: string): Promise<string> {
    return this.#askFake(call => ({ type: 'call', call, service, method, input }))
  }

  async #fetch({ method, head, body }: Outgoing, signal: AbortSignal): Promise<Incoming> {
    const request = { method, head, body: body === undefined ? undefined : toFakeBody(body) }
    const json = await this.#askFake(call => {
      signal.addEventListener('abort', () =>
        this.#take(call)?.reject(new BerthError('DEADLINE_EXCEEDED', 'Nobody waits for the fetch any more')),
      )
      return { type: 'fetch', call, request }
    })
    const answer = JSON.parse(json) as FakeResponse
    return { head: answer.head, body: fromFakeBody(answer.body) }
  }

  #askFake(messageOf: (call: number) => FromRehearsal): Promise<string> {
    const call = ++this.#lastCall
    const asked = Promise.withResolvers<string>()
    this.#calls.set(call, asked)
    this.#send(messageOf(call))
    return asked.promise
  }

  #take(call: number): PromiseWithResolvers<string> | undefined {
    const asked = this.#calls.get(call)
    this.#calls.delete(call)
    return asked
  }

  #log(requestId: string | undefined, lines: readonly LogLine[]): void {
    this.#logging = this.#logging.then(async () => {
      const mapped = []
      for (const { level, message, fields, stack } of lines) {
        mapped.push({
          requestId,
          level,
          message: await this.#mapped(message),
          ...(fields !== undefined && { fields }),
          ...(stack !== undefined && { stack: await this.#mapped(stack) }),
        })
      }
      this.#send({ type: 'logged', lines: mapped })
    })
  }

  async #mapped(stack: string): Promise<string> {
    return (await this.#stacks.locate(stack, this.#modules)).stack
  }

  async #failureOf(error: unknown): Promise<RehearsalFailure> {
    const { code, message } = toBerthError(error)
    if (error instanceof SlotKilled) return { code, message, ...(await this.#seenOf(error)) }
    if (!(error instanceof ModuleError)) return { code, message }
    const { stage, rawStack, advice, extra } = error
    const { reason, details, faults } = extra ?? {}
    const { stack, frame }: Partial<Located> = rawStack === undefined ? {} : await this.#stacks.locate(rawStack, this.#modules)
    const known = Object.entries({ stage, reason, details, faults, stack, frame, advice }).filter(([, value]) => value !== undefined)
    return { code, message, ...Object.fromEntries(known) }
  }

  /** Where the code was when the slot was killed. */
  async #seenOf({ message, sight, where }: SlotKilled): Promise<Omit<RehearsalFailure, 'code' | 'message'>> {
    const stage = where.stage === undefined ? {} : { stage: where.stage }
    const seen = await sight
    if (seen === undefined) return stage
    if ('unseen' in seen) return { ...stage, advice: `The line is not known: ${seen.unseen}.` }
    const { stack, frame } = await this.#stacks.locate(`${message}\n${seen.stack}`, this.#modules)
    return { ...stage, stack, ...(frame !== undefined && { frame }) }
  }

  // ── fakes ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Keeps the timers that modules start: when the clock stands still, `tick` fires them. */
  #keepTimers({ listener }: Blank): void {
    let take: Post = listener.onPost
    const keep: Post = (kind, ...values) => {
      if (kind !== 'timer') {
        take(kind, ...values)
        return
      }
      const [no = 0, delayMs = 0] = values
      this.#timers.push({ at: this.#now() + Number(delayMs), fire: () => take('timer', no, 0) })
    }
    Object.defineProperty(listener, 'onPost', { get: () => keep, set: (slot: Post) => (take = slot) })
  }

  /** Moves the clock. Each timer that is due on the way finds the clock at its own time, and all that it sets off has run before the next one fires. */
  async #tick(ms: number): Promise<string> {
    const { blank } = await this.#staged
    await this.#entering
    await settled(blank)
    const until = this.#now() + ms
    for (;;) {
      this.#timers.sort((a, b) => a.at - b.at)
      const [next] = this.#timers
      if (next === undefined || next.at > until) break
      this.#timers.shift()
      this.#setClock(Math.max(next.at, this.#now()))
      next.fire()
      await settled(blank)
    }
    this.#setClock(until)
    return 'null'
  }

  readonly #now = (): number => this.#tape?.beyond ?? 0

  #setClock(time: number): void {
    if (this.#tape !== undefined) this.#tape.beyond = time
    this.#clock?.write()
  }

  async #takeCoverage(): Promise<string> {
    const { counter } = await this.#staged
    const { name, version } = this.#plan
    return JSON.stringify((await counter?.take(`berth:///${name}@${version}.js`)) ?? [])
  }
}

/** 64 hexadecimal digits. */
const hashOf = (seed: number): string => createHash('sha256').update(String(seed)).digest('hex')

const wordsOf = (hash: string): number[] => Array.from({ length: SEED_WORDS }, (_, i) => Number.parseInt(hash.slice(8 * i, 8 * i + 8), 16))

async function addInputModule({ isolate, context }: Blank): Promise<ivm.Reference<InputModule>> {
  const script = await isolate.compileScript(insideScript('input-module'), { filename: 'berth:///input-module.js' })
  const make = (await script.run(context, { reference: true })) as ivm.Reference<() => InputModule>
  return (await make.apply(undefined, [], { result: { reference: true } })) as ivm.Reference<InputModule>
}

/** Resolves when a timer that was fired just now has run in the isolate, and the posts that it made have arrived here. */
async function settled({ inside }: Blank): Promise<void> {
  // Timers of Node with equal delays fire in the order they were started: this one fires after that of the slot.
  await new Promise(resolve => setTimeout(resolve, 0))
  // Rejects when the slot has been killed meanwhile: whoever waits for an answer of it gets the reason.
  await inside.probe.apply(undefined, []).catch(() => undefined)
}

const toFakeBody = (body: string | ArrayBuffer): FakeBody =>
  typeof body === 'string' ? { text: body } : { base64: Buffer.from(body).toString('base64') }

const fromFakeBody = (body: FakeBody): string | ArrayBuffer =>
  'text' in body ? body.text : Uint8Array.from(Buffer.from(body.base64, 'base64')).buffer
