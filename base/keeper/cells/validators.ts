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
const SPARE_MS = 5000
/** How often a process may end over an answer of a job. */
const DEATHS_MAX = 3

/** Takes one job at a time, each with a process of its own. Soon after the last, no process is left. */
export class Validators implements Answering {
  readonly #command: RoleCommand
  readonly #settings: ValidatorSettings
  readonly #queue = new FairQueue({ lanes: 1, lanesPerOwner: 1 })
  readonly #live = new Set<Validator>()
  #isClosed = false
  /** A process that was started ahead of the next job. */
  #spare: Validator | undefined
  #spareEnds: NodeJS.Timeout | undefined

  constructor(command: RoleCommand, settings: ValidatorSettings) {
    this.#command = command
    this.#settings = settings
  }

  answer(job: LooseJob, take: (answers: readonly Answered[]) => void, signal: AbortSignal): Promise<void> {
    return this.#queue.add(job.scene, false, () => this.#answer(job, take, signal)).done
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
    clearTimeout(this.#spareEnds)
    for (const validator of this.#live) validator.kill()
  }

  async #answer(job: LooseJob, take: (answers: readonly Answered[]) => void, signal: AbortSignal): Promise<void> {
    const recordings = await this.#recordingsOf(job.capsules)
    const present = new Set(recordings.flatMap(({ capsules }) => capsules.map(({ id }) => id)))
    const progress = new Progress({ ...job, capsules: job.capsules.filter(id => present.has(id)) }, take)
    const { data, tables } = this.#settings
    const { capsules, contenders, freshness, measuresHeap, asksTables = true } = progress.job
    for (let deaths = 0; !progress.isDone && !signal.aborted; deaths++) {
      if (deaths > DEATHS_MAX)
        throw new BerthError('INTERNAL', `Cannot answer capsules of scene "${job.scene}": the process ended over and over`)
      if (deaths > 0) progress.noteDeath()
      const { answered } = progress
      const request: AnswerRequest = {
        type: 'answer',
        data,
        capsules,
        contenders,
        freshness,
        measuresHeap,
        answered,
        tables: tables(),
        asksTables,
      }
      await this.#run(recordings, request, message => message.type === 'answered' && progress.take(message.answered), signal)
    }
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
    await this.#run(present, { type: 'replay', data: this.#settings.data }, onMessage, new AbortController().signal)
    if (left > 0) throw new BerthError('INTERNAL', `Cannot replay: the process ended over recording "${present.at(-left)?.head.id}"`)
  }

  async #part(capsule: string, cpuMs: number): Promise<string | undefined> {
    let stage: string | undefined
    const onMessage = (message: FromValidator) => {
      if (message.type === 'parted') stage = message.stage
    }
    const request = { type: 'part', data: this.#settings.data, cpuMs } as const
    await this.#run(await this.#recordingsOf([capsule]), request, onMessage, new AbortController().signal)
    return stage
  }

  async #recordingsOf(capsules: readonly string[]): Promise<SentRecording[]> {
    const wanted = new Set(capsules)
    const ids = new Set(capsules.flatMap(id => this.#settings.recordings.find(id)?.recording ?? []))
    const read = await Promise.all([...ids].map(id => this.#settings.recordings.readRecording(id).catch(() => undefined)))
    return read.flatMap(recording => {
      if (recording === undefined) return []
      const chosen = recording.capsules.filter(({ id }) => wanted.has(id))
      const last = Math.max(-1, ...chosen.map(({ entries }) => entries[1]))
      return [{ ...recording, entries: recording.entries.slice(0, last + 1), capsules: chosen }]
    })
  }

  /** Resolves when the process has done the job, or has ended. */
  async #run(
    recordings: readonly SentRecording[],
    request: Exclude<ToValidator, { readonly type: 'recording' }>,
    onMessage: (message: FromValidator) => void,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.#isClosed) throw new BerthError('BASE_DRAINING', 'Cannot answer capsules: the keeper is stopping')
    const validator = this.#takeSpare() ?? this.#start()
    const end = () => validator.kill()
    signal.addEventListener('abort', end)
    try {
      for (const recording of recordings) validator.send({ type: 'recording', recording })
      validator.send(request)
      const done = validator.done(onMessage)
      this.#startSpare()
      await done
    } finally {
      signal.removeEventListener('abort', end)
      validator.kill()
      this.#live.delete(validator)
      this.#endSpareLater()
    }
  }

  #start(): Validator {
    const validator = new Validator(this.#command)
    this.#live.add(validator)
    return validator
  }

  #takeSpare(): Validator | undefined {
    const spare = this.#spare
    clearTimeout(this.#spareEnds)
    this.#spare = undefined
    return spare?.isAlive ? spare : undefined
  }

  /** Starts the process of the next job. */
  #startSpare(): void {
    this.#spare = this.#start()
  }

  /** Ends the process that waits for a job, unless one comes soon. */
  #endSpareLater(): void {
    this.#spareEnds = setTimeout(() => {
      const spare = this.#takeSpare()
      spare?.kill()
      if (spare !== undefined) this.#live.delete(spare)
    }, SPARE_MS).unref()
  }
}

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

  send(message: ToValidator): void {
    // Sending fails when the process has ended, which `done` finds out.
    this.#child.send(message, () => undefined)
  }

  /**
   * Resolves when the process is done, has ended, or has said nothing for too long.
   * @throws what the process says is wrong
   */
  async done(onMessage: (message: FromValidator) => void): Promise<void> {
    const over = Promise.withResolvers<void>()
    let silence: NodeJS.Timeout | undefined
    const listen = () => {
      clearTimeout(silence)
      silence = setTimeout(() => over.resolve(), limits.capsule.silentMsMax)
    }
    const dispatch = dispatcher<FromValidator>(
      'the keeper',
      {
        waiting: () => undefined,
        answered: onMessage,
        replayed: onMessage,
        parted: onMessage,
        done: () => over.resolve(),
        failed: ({ code, message }) => over.reject(new BerthError(isErrorCode(code) ? code : 'INTERNAL', message)),
      },
      sentence => over.reject(new BerthError('INTERNAL', sentence)),
    )
    this.#child.on('message', (message: FromValidator) => {
      listen()
      dispatch(message)
    })
    listen()
    void this.#ended.then(how => {
      if (this.#hasStarted || how === KILLED) over.resolve()
      else over.reject(new BerthError('INTERNAL', `Cannot answer capsules: the process did not start (${how})`))
    })
    try {
      await over.promise
    } finally {
      clearTimeout(silence)
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
