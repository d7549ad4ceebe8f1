/** Has captured requests answered again, in processes of their own and at a low priority. */
import type { ChildProcess } from 'node:child_process'
import { setPriority } from 'node:os'
import type { Answered, Answering, AnsweringJob } from '../../capsule/answered.ts'
import type { Replayed } from '../../capsule/replayed.ts'
import { BerthError, isErrorCode, messageOf } from '../../kernel/errors.ts'
import { FairQueue } from '../../kernel/fair-queue.ts'
import { limits } from '../../kernel/limits.ts'
import type { TableSource } from '../../kernel/table-facts.ts'
import { endOf } from '../../process/bubblewrap.ts'
import { type RoleCommand, spawnRole } from '../../process/roles.ts'
import { dispatcher } from '../../wire/dispatch.ts'
import {
  type AnswerRequest,
  answeringOrder,
  type FromValidator,
  type SentContender,
  type SentRecording,
  type ToValidator,
} from '../../wire/validator-messages.ts'

/** Where recordings are found. */
export interface RecordingSource {
  find(capsule: string): { readonly recording: string } | undefined
  /** What a capsule takes on disk: its entries and its answer. */
  bytesOf(capsule: string): number
  /** @throws CAPSULE_NOT_FOUND */
  readRecording(id: string): Promise<SentRecording>
}

export interface ValidatorSettings {
  /** The data folder, absolute. */
  readonly data: string
  readonly recordings: RecordingSource
  /** The feature tables that are uploaded at this moment. */
  tables(): readonly TableSource[]
}

/** A job whose contenders may answer with what was recorded, and which need not ask feature tables anew. */
export interface LooseJob extends Omit<AnsweringJob, 'contenders'> {
  readonly contenders: readonly SentContender[]
  /** @default true */
  readonly asksTables?: boolean
}

/** What came of the replay of a recording. */
export interface ReplayedRecording {
  readonly recording: SentRecording
  readonly replayed: Replayed
}

/**
 * What serves goes first: with this priority a process gets a tenth of the time of one that it competes with. With a lower one, whoever publishes while the machine is
 * busy would wait for an answer that does not come in time.
 */
const PRIORITY = 10
/** Milliseconds for which a process waits for another job. A validation has several, one after the other. */
const IDLE_MS = 5000
/** How often a process may end over an answer of a job. */
const DEATHS_MAX = 3

/** Takes one job at a time. Soon after the last, no process is left. */
export class Validators implements Answering {
  readonly #command: RoleCommand
  readonly #settings: ValidatorSettings
  readonly #queue = new FairQueue({ lanes: 1, lanesPerOwner: 1 })
  readonly #live = new Set<Validator>()
  #isClosed = false
  /** A process that has done a job, and waits for the next. */
  #idle: Validator | undefined
  #idleEnds: NodeJS.Timeout | undefined

  constructor(command: RoleCommand, settings: ValidatorSettings) {
    this.#command = command
    this.#settings = settings
  }

  async answer(job: LooseJob, take: (answers: readonly Answered[]) => void, signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<void>()
    signal.addEventListener('abort', () => aborted.resolve(), { once: true })
    // Whoever gives up does not wait for its turn.
    await Promise.race([this.#queue.add(job.scene, false, () => this.#answer(job, take, signal)).done, aborted.promise])
  }

  /**
   * Replays recordings, all in one fresh process.
   * @throws INTERNAL when the process ends over it
   */
  replay(scene: string, recordings: readonly string[], take: (replayed: ReplayedRecording) => void): Promise<void> {
    return this.#queue.add(scene, false, () => this.#replay(recordings, take)).done
  }

  /** The stage from which on a version answers its own capsule otherwise in a fresh slot; undefined when it cannot be found. */
  part(scene: string, capsule: string, cpuMs: number): Promise<string | undefined> {
    return this.#queue.add(scene, false, () => this.#part(capsule, cpuMs)).done
  }

  /** Ends every process. Idempotent. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#idleEnds)
    for (const validator of this.#live) validator.kill()
  }

  async #answer(job: LooseJob, take: (answers: readonly Answered[]) => void, signal: AbortSignal): Promise<void> {
    const wanted = this.#newestThatFit(job.capsules)
    let progress: Progress | undefined
    for (let deaths = 0; progress?.isDone !== true && !signal.aborted; deaths++) {
      if (deaths > DEATHS_MAX)
        throw new BerthError('INTERNAL', `Cannot answer capsules of scene "${job.scene}": the process ended over and over`)
      if (deaths > 0) progress?.noteDeath()
      await this.#run({ isReused: true, signal }, async validator => {
        const sent = await this.#send(validator, wanted)
        progress ??= new Progress({ ...job, capsules: wanted.filter(id => sent.has(id)) }, take)
        return this.#goOn(validator, progress)
      })
    }
  }

  /** @returns whether the process is fit for another job */
  async #goOn(validator: Validator, progress: Progress): Promise<boolean> {
    const { answered, job } = progress
    const { capsules, contenders, freshness, measuresHeap, asksTables = true } = job
    const { data, tables } = this.#settings
    const of = { capsules, contenders, freshness, measuresHeap, answered, asksTables }
    const request: AnswerRequest = { type: 'answer', data, tables: tables(), ...of }
    return validator.run(request, message => message.type === 'answered' && progress.take(message.answered))
  }

  async #replay(ids: readonly string[], take: (replayed: ReplayedRecording) => void): Promise<void> {
    const recordings = await Promise.all(ids.map(id => this.#settings.recordings.readRecording(id).catch(() => undefined)))
    const present = recordings.filter(recording => recording !== undefined)
    let left = present.length
    const onMessage = (message: FromValidator) => {
      if (message.type !== 'replayed') return
      const recording = present.find(({ head }) => head.id === message.recording)
      if (recording !== undefined) take({ recording, replayed: message.replayed })
      left--
    }
    await this.#run({ isReused: false }, async validator => {
      for (const recording of present) await validator.send({ type: 'recording', recording })
      return validator.run({ type: 'replay', data: this.#settings.data }, onMessage)
    })
    if (left > 0) throw new BerthError('INTERNAL', `Cannot replay: the process ended over recording "${present.at(-left)?.head.id}"`)
  }

  async #part(capsule: string, cpuMs: number): Promise<string | undefined> {
    let stage: string | undefined
    const onMessage = (message: FromValidator) => {
      if (message.type === 'parted') stage = message.stage
    }
    await this.#run({ isReused: true }, async validator => {
      await this.#send(validator, [capsule])
      return validator.run({ type: 'part', data: this.#settings.data, cpuMs }, onMessage)
    })
    return stage
  }

  /** The last of them, which a process and this one can hold in memory, with their answers. */
  #newestThatFit(capsules: readonly string[]): readonly string[] {
    let bytes = 0
    const first = capsules.findLastIndex(id => {
      bytes += this.#settings.recordings.bytesOf(id)
      return bytes > limits.capsule.answeredBytesMax
    })
    // One fits always.
    return capsules.slice(Math.min(first + 1, capsules.length - 1))
  }

  /** Sends the recordings of capsules, one after the other, since each may be large. @returns the capsules that are not gone */
  async #send(validator: Validator, capsules: readonly string[]): Promise<ReadonlySet<string>> {
    const { recordings } = this.#settings
    const wanted = new Set(capsules)
    const sent = new Set<string>()
    for (const id of new Set(capsules.flatMap(capsule => recordings.find(capsule)?.recording ?? []))) {
      const recording = await recordings.readRecording(id).catch(() => undefined)
      if (recording === undefined) continue
      const chosen = recording.capsules.filter(capsule => wanted.has(capsule.id))
      const last = Math.max(-1, ...chosen.map(({ entries }) => entries[1]))
      const part = { ...recording, entries: recording.entries.slice(0, last + 1), capsules: chosen }
      await validator.send({ type: 'recording', recording: part })
      for (const capsule of chosen) sent.add(capsule.id)
    }
    return sent
  }

  /**
   * Has a process do a job. It ends when the signal aborts.
   * @param work resolves with whether the process is fit for another job
   */
  async #run(
    { isReused, signal = never }: { readonly isReused: boolean; readonly signal?: AbortSignal },
    work: (validator: Validator) => Promise<boolean>,
  ): Promise<void> {
    if (this.#isClosed) throw draining()
    const validator = (isReused ? this.#takeIdle() : undefined) ?? this.#start()
    const end = () => validator.kill()
    signal.addEventListener('abort', end)
    let isFit = false
    try {
      isFit = await work(validator)
    } finally {
      signal.removeEventListener('abort', end)
      if (isFit && isReused && !signal.aborted && !this.#isClosed) this.#keepIdle(validator)
      else this.#end(validator)
    }
    if (this.#isClosed) throw draining()
  }

  #start(): Validator {
    const validator = new Validator(this.#command)
    this.#live.add(validator)
    return validator
  }

  #end(validator: Validator): void {
    validator.kill()
    this.#live.delete(validator)
  }

  #takeIdle(): Validator | undefined {
    const idle = this.#idle
    clearTimeout(this.#idleEnds)
    this.#idle = undefined
    if (idle === undefined || idle.isAlive) return idle
    this.#end(idle)
    return undefined
  }

  #keepIdle(validator: Validator): void {
    this.#idle = validator
    this.#idleEnds = setTimeout(() => {
      this.#idle = undefined
      this.#end(validator)
    }, IDLE_MS).unref()
  }
}

const never = new AbortController().signal
const draining = () => new BerthError('BASE_DRAINING', 'Cannot answer capsules: the keeper is stopping')

/** How far a job has got. */
class Progress {
  readonly job: LooseJob
  readonly #order: ReturnType<typeof answeringOrder>
  readonly #take: (answers: readonly Answered[]) => void
  #answers: Answered[] = []
  answered = 0

  constructor(job: LooseJob, take: (answers: readonly Answered[]) => void) {
    this.job = job
    this.#order = answeringOrder(job.capsules.length, job.contenders.length)
    this.#take = take
  }

  get isDone(): boolean {
    return this.answered >= this.#order.length
  }

  take(answered: Answered): void {
    const step = this.#order[this.answered++]
    if (step === undefined) return
    this.#answers[step.contender] = answered
    if (this.answered % this.job.contenders.length > 0) return
    this.#take(this.#answers)
    this.#answers = []
  }

  /** The process has ended over the answer that is due. */
  noteDeath(): void {
    const capsule = this.job.capsules[this.#order[this.answered]?.capsule ?? 0] ?? ''
    const message = 'The slot was killed: it ended its process'
    const answer = { failure: { code: 'MODULE_KILLED', message } }
    this.take({ capsule, answer, newCalls: [], hosts: [], cpuMs: 0, tookMs: 0, waitedMs: 0, stageMs: [], killed: true, logs: [] })
  }
}

/** How a process ends that is killed from here. */
const KILLED = 'signal SIGKILL'

class Validator {
  readonly #child: ChildProcess
  /** Ends the process at once, whatever it does. */
  readonly kill: () => void
  /** How the process has ended. */
  readonly #ended: Promise<string>
  #hasStarted = false
  #hasEnded = false

  constructor(command: RoleCommand) {
    const { child, kill } = spawnRole(command, ['ignore', 'inherit', 'inherit', 'ipc'])
    this.#child = child
    this.kill = kill
    lowerPriority(child.pid)
    // The first message says that it waits for a job.
    child.once('message', () => {
      this.#hasStarted = true
    })
    const end = Promise.withResolvers<string>()
    this.#ended = end.promise
    const onEnd = (how: string) => {
      this.#hasEnded = true
      end.resolve(how)
    }
    // When no process could be made, there is no `exit` event.
    child.on('error', error => onEnd(messageOf(error)))
    child.on('exit', (code, signal) => onEnd(endOf(code, signal).how))
  }

  get isAlive(): boolean {
    return !this.#hasEnded
  }

  /** Resolves when the process can take more, or has ended, which `run` finds out. */
  send(message: ToValidator): Promise<void> {
    return new Promise(resolve => this.#child.send(message, () => resolve()))
  }

  /**
   * Sends a job, and resolves when the process is done, has ended, or has said nothing for too long.
   * @returns whether it is done, and so is fit for another
   * @throws what the process says is wrong
   */
  async run(job: Exclude<ToValidator, { readonly type: 'recording' }>, onMessage: (message: FromValidator) => void): Promise<boolean> {
    const over = Promise.withResolvers<boolean>()
    let silence: NodeJS.Timeout | undefined
    const listen = () => {
      clearTimeout(silence)
      silence = setTimeout(() => over.resolve(false), limits.capsule.silentMsMax)
    }
    const dispatch = dispatcher<FromValidator>(
      'the keeper',
      {
        waiting: () => undefined,
        answered: onMessage,
        replayed: onMessage,
        parted: onMessage,
        done: () => over.resolve(true),
        failed: ({ code, message }) => over.reject(new BerthError(isErrorCode(code) ? code : 'INTERNAL', message)),
      },
      sentence => over.reject(new BerthError('INTERNAL', sentence)),
    )
    const take = (message: FromValidator) => {
      listen()
      dispatch(message)
    }
    this.#child.on('message', take)
    listen()
    void this.#ended.then(how => {
      if (this.#hasStarted || how === KILLED) over.resolve(false)
      else over.reject(new BerthError('INTERNAL', `Cannot answer capsules: the process did not start (${how})`))
    })
    try {
      void this.send(job)
      return await over.promise
    } finally {
      clearTimeout(silence)
      this.#child.off('message', take)
    }
  }
}

function lowerPriority(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    setPriority(pid, PRIORITY)
  } catch {
    // It has ended already, or the system forbids it.
  }
}
