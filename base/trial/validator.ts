/** A validator answers capsules again, in a process of its own: a candidate may loop or fill memory. */
import { Compile } from 'typebox/compile'
import type { Answered, Freshness } from '../capsule/answered.ts'
import type { KeptCapsule } from '../capsule/capsule.ts'
import type { Replayed } from '../capsule/replayed.ts'
import { readBlob } from '../folder/blob-files.ts'
import { BerthError, messageOf, toBerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { TableSource } from '../kernel/table-facts.ts'
import { Json, type Method } from '../services/contract.ts'
import { FeatureTables, startFeatures } from '../services/features.ts'
import { warmUp } from '../slot/blank.ts'
import { CodeCache } from '../slot/code-cache.ts'
import { endProcess, endWithParent } from '../slot/isolate-process.ts'
import { dispatcher } from '../wire/dispatch.ts'
import {
  type AnswerRequest,
  answeringOrder,
  type FromValidator,
  type PartRequest,
  type ReplayRequest,
  type SentContender,
  type SentRecording,
  type ToValidator,
} from '../wire/validator-messages.ts'
import { type Answerer, type AnsweringParts, AnsweringSlot, type FeatureSource } from './answering.ts'
import { stageOfParting } from './parting.ts'
import { replay } from './replay.ts'
import { failureOf, type TapedParts } from './taped-slot.ts'

/** Bytes of compiled code that are kept for the next slot. */
const CODE_CACHE_BYTES = 64 * 1024 * 1024
/** Of the answers of a shared slot, one in so many is followed by a measurement of its heap. */
const HEAP_EVERY = 16

const codeCache = new CodeCache(CODE_CACHE_BYTES)
const recordings: SentRecording[] = []

/** Says `waiting`, takes recordings and then a job, answers with what comes of it and then `done`, and takes the next. The keeper ends the process. */
export function runValidator(): void {
  endWithParent()
  // The process is started ahead of its use.
  warmUp(codeCache).catch(() => undefined)
  const dispatch = dispatcher<ToValidator>(
    'a validator',
    {
      recording: ({ recording }) => void recordings.push(recording),
      answer: request => run(() => answerAll(request)),
      part: request => run(() => part(request)),
      replay: request => run(() => replayAll(request)),
    },
    message => sendToKeeper({ type: 'failed', code: 'INTERNAL', message }),
  )
  process.on('message', (message: ToValidator) => dispatch(message))
  sendToKeeper({ type: 'waiting' })
}

const sendToKeeper = (message: FromValidator): void => {
  // This fails only when the keeper has ended, and then this process is about to end too.
  process.send?.(message, undefined, undefined, () => undefined)
}

function run(work: () => Promise<void>): void {
  work()
    // The next job comes with its own.
    .finally(() => recordings.splice(0))
    .then(
      () => sendToKeeper({ type: 'done' }),
      (error: unknown) => {
        const { code, message } = toBerthError(error)
        sendToKeeper({ type: 'failed', code, message })
      },
    )
}

function partsFor(data: string): TapedParts {
  const bundles = new Map<string, Promise<string>>()
  const read = (digest: string) => readBlob(data, digest).then(bytes => bytes.toString('utf8'))
  return { codeCache, readBundle: digest => bundles.getOrInsertComputed(digest, read), onLost: endProcess }
}

async function replayAll({ data }: ReplayRequest): Promise<void> {
  for (const { head, entries } of recordings) {
    // What was imported may be of code that cannot be loaded. The others are replayed all the same.
    const replayed = await replay({ head, entries }, partsFor(data)).catch((error: unknown) => notReplayed(error))
    sendToKeeper({ type: 'replayed', recording: head.id, replayed })
  }
}

function notReplayed(error: unknown): Replayed {
  return { same: 0, difference: { entry: 0, kind: 'load', what: `it cannot be replayed: ${messageOf(error)}` }, inexact: [] }
}

async function part({ data, cpuMs }: PartRequest): Promise<void> {
  for (const { head, entries, capsules } of recordings) {
    const [capsule] = capsules
    if (capsule === undefined) continue
    sendToKeeper({ type: 'parted', stage: await stageOfParting({ head, entries, capsule }, cpuMs, partsFor(data)) })
  }
}

async function answerAll({
  data,
  capsules,
  contenders,
  freshness,
  measuresHeap,
  answered,
  tables,
  asksTables,
}: AnswerRequest): Promise<void> {
  const features = await openFeatures(data, tables, asksTables)
  const answering = new Contest(contenders, freshness, measuresHeap, { ...partsFor(data), features })
  const kept = capsules.map(findCapsule)
  for (const { capsule, contender } of answeringOrder(capsules.length, contenders.length).slice(answered)) {
    sendToKeeper({ type: 'answered', answered: await answering.answer(kept[capsule] as KeptCapsule, contender) })
  }
  answering.end()
}

function findCapsule(id: string): KeptCapsule {
  for (const { head, entries, capsules } of recordings) {
    const capsule = capsules.find(one => one.id === id)
    if (capsule !== undefined) return { head, entries: entries.slice(0, capsule.entries[1] + 1), capsule }
  }
  throw new BerthError('CAPSULE_NOT_FOUND', `Cannot answer capsule "${id}": its recording was not sent`)
}

/** Contenders with their slots. */
class Contest {
  readonly #answerers: readonly Answerer[]
  readonly #isShared: boolean
  readonly #measuresHeap: boolean
  readonly #parts: AnsweringParts
  /** Of shared slots, by contender. */
  readonly #slots = new Map<number, AnsweringSlot>()
  readonly #counts = new Map<number, number>()

  constructor(contenders: readonly SentContender[], freshness: Freshness, measuresHeap: boolean, parts: AnsweringParts) {
    this.#answerers = contenders.map(answererOf)
    this.#isShared = freshness === 'shared'
    this.#measuresHeap = measuresHeap
    this.#parts = parts
  }

  async answer(kept: KeptCapsule, contender: number): Promise<Answered> {
    let slot: AnsweringSlot
    try {
      slot = await this.#slotOf(kept, contender)
    } catch (error) {
      return unanswered(kept.capsule.id, error)
    }
    const answered = await slot.answer(kept)
    if (this.#isShared && slot.isAlive) return { ...answered, ...(this.#isMeasured(contender) && { heapBytes: await heapOf(slot) }) }
    slot.end()
    this.#slots.delete(contender)
    return answered
  }

  /** Frees the slots that are left. */
  end(): void {
    for (const slot of this.#slots.values()) slot.end()
  }

  async #slotOf(kept: KeptCapsule, contender: number): Promise<AnsweringSlot> {
    const slot = this.#slots.get(contender) ?? (await AnsweringSlot.open(this.#answerers[contender] as Answerer, kept, this.#parts))
    if (this.#isShared) this.#slots.set(contender, slot)
    return slot
  }

  #isMeasured(contender: number): boolean {
    const count = (this.#counts.get(contender) ?? 0) + 1
    this.#counts.set(contender, count)
    return this.#measuresHeap && count % HEAP_EVERY === 0
  }
}

/** Undefined when the slot runs out of memory over it. */
const heapOf = (slot: AnsweringSlot): Promise<number | undefined> => slot.heapBytes().catch(() => undefined)

function answererOf({ sceneParams, versionParams, ...contender }: SentContender): Answerer {
  return { ...contender, ...(sceneParams !== undefined && { params: { sceneParams, versionParams: versionParams ?? {} } }) }
}

/** The answer of a contender whose slot could not be had. */
function unanswered(capsule: string, error: unknown): Answered {
  const answer = failureOf(error)
  const killed = toBerthError(error).code === 'MODULE_LOAD_KILLED'
  return { capsule, answer, newCalls: [], hosts: [], cpuMs: 0, tookMs: 0, waitedMs: 0, stageMs: [], killed, logs: [] }
}

// ── feature tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Reads all feature tables. They stay as they are while the process runs, so that all contenders find the same. */
async function openFeatures(data: string, sources: readonly TableSource[], anew: boolean): Promise<FeatureSource> {
  const tables = new FeatureTables(
    data,
    () => undefined,
    () => undefined,
  )
  tables.take(sources)
  await tables.settled
  const { methods, stop } = await startFeatures(tables)
  await stop?.()
  const fits = new Map(Object.entries(methods).map(([name, { input }]) => [name, Compile(input)]))
  return {
    methods: Object.keys(methods),
    anew,
    ask: async (name, input) => {
      try {
        const args: unknown = JSON.parse(input)
        if (!fits.get(name)?.Check(args))
          throw new BerthError('SERVICE_INPUT_INVALID', `Cannot call "features.${name}" with these arguments`)
        return [1, await askTable(methods[name] as Method, args)]
      } catch (error) {
        const { code, message } = error instanceof BerthError ? error : { code: 'SERVICE_FAILED', message: messageOf(error) }
        return [0, JSON.stringify({ code, message })]
      }
    },
  }
}

/** A call that is not for any request: methods of feature tables look at nothing but their arguments. */
const noCall = {
  scene: '',
  requestId: '',
  unit: undefined,
  deadlineMs: () => limits.request.deadlineMsMax,
  signal: new AbortController().signal,
}

async function askTable({ handler }: Method, args: unknown): Promise<string> {
  const value = await handler?.(args, noCall)
  return value instanceof Json ? value.text : (JSON.stringify(value) ?? 'null')
}
