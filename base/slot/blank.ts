/** Isolates before they serve: set up with the code that runs around the modules, and made ahead of need. */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import ivm from 'isolated-vm'
import {
  CURSOR,
  type Inside,
  type InsideLimits,
  LAZY_PARTS,
  type Post,
  type SchemaTexts,
  type ServiceNames,
  type StagePlan,
} from '../inside/protocol.ts'
import { limits } from '../kernel/limits.ts'
import { DEFAULT_MEMORY_MB } from '../traffic/names.ts'
import type { CodeCache } from './code-cache.ts'
import { insideScript } from './inside-script.ts'
import { machineClock, type SlotClock } from './slot-clock.ts'
import type { Tape } from './tape.ts'

export type Remote<K extends keyof Inside> = ivm.Reference<Inside[K]>
export type Remotes = { readonly [K in keyof Inside]: Remote<K> }
/** The code inside as the cell calls it, with the values of `Given`. On this side they have other types. */
type SetUp = (...given: ivm.Transferable[]) => Inside

/** Functions that hear from an isolate. Whoever takes a blank puts its own here. */
export interface BlankListener {
  onPost: Post
  /**
   * Called when only the end of the process helps: V8 is in a bad state, or the thread of the isolate is in a loop that cannot be ended. May be
   * called more than once. `module` is the one whose code runs, when that is known.
   */
  onLost: (reason: string, module?: string) => void
}

/** An isolate that is set up and runs no module yet. */
export interface Blank {
  readonly isolate: ivm.Isolate
  readonly context: ivm.Context
  readonly inside: Remotes
  /** Written inside, readable here while the isolate runs and after its end; see `CURSOR`. */
  readonly cursor: Float64Array
  /** To be written before code runs in the isolate. */
  readonly clock: SlotClock
  readonly memoryMB: number
  readonly listener: BlankListener
  /** Posts that came before anybody had put an `onPost` there. */
  readonly earlyPosts: Parameters<Post>[]
}

/** All of the cell's own code is in one script, because each script costs a blank two trips to the isolate's thread. */
const insideText = insideScript('inside')
const INSIDE = 'berth:///inside.js'
const insideLimits: InsideLimits = {
  resultChars: limits.request.resultBytesMax,
  requestCalls: limits.calls.perRequestMax,
  callChars: limits.calls.charsMax,
  fetchBytes: limits.fetch.requestBytesMax,
  slotTimers: limits.slot.timersMax,
  logLinesPerSecond: limits.slot.logLinesPerSecondMax,
  logLineChars: limits.log.lineCharsMax,
  paramsKept: limits.slot.paramsKept,
  rejectionChars: limits.request.rejectionCharsMax,
  misfits: limits.request.misfitsMax,
}
/** Strings outside the heaps, shared by all isolates of the process. */
const partTexts = LAZY_PARTS.map(part => new ivm.ExternalCopy(insideScript(part)))
const CURSOR_BYTES = Object.keys(CURSOR).length * Float64Array.BYTES_PER_ELEMENT
/** Milliseconds that it takes to free the isolate of a killed slot, with some to spare for a busy machine. */
const FREED_MS = 1000
const byReference = { result: { reference: true } } as const
/**
 * How what is long crosses. A text of a kilobyte or more that crosses by itself is kept outside of the heap, and V8 frees it only when it collects all of its heap: the
 * bodies of requests would fill all memory that a slot may have. One that is within an array is an ordinary text.
 */
export const byCopy = { arguments: { copy: true }, result: { copy: true } } as const

/** What is unlike other blanks about one that is rehearsed, recorded or replayed. */
export interface Staging {
  /** 64 hexadecimal digits in the place of fresh randomness. */
  readonly seed?: string | undefined
  /** A clock in the place of that of the machine. */
  readonly clock?: SlotClock | undefined
  /** What the clocks inside are to show, or have shown. The isolate reads it from when it is set up. */
  readonly tape?: Tape | undefined
  /** Whether a request fails when a closer look finds a fault in what leaves the slot. @default false */
  readonly findingsFail?: boolean
  /** Called before any other code runs in the isolate, because the cell's own code takes hold of the built-ins as it finds them. */
  prepare?(isolate: ivm.Isolate, context: ivm.Context): Promise<void>
}

// This process may have been started with a bound for its own young generation. Without it, each isolate gets one that fits its memory limit.
setFlagsFromString('--max-semi-space-size=0')

/** Contexts and code that are being made. */
let making = 0

/** Makes a context or compiles code. No garbage is collected meanwhile: see `collectGarbage`. */
export async function withoutCollection<T>(make: () => Promise<T>): Promise<T> {
  making++
  try {
    return await make()
  } finally {
    making--
  }
}

/** When an isolate was last ended in the middle of its code, by `performance.now()`. */
let killedAt = -Infinity

/** To be called when an isolate is ended in the middle of its code: V8 frees it on another thread then. */
export function noteKill(): void {
  killedAt = performance.now()
}

/**
 * Resolves when no isolate has been killed for a while. V8 makes none while it frees another: this thread would wait for it, for 200 ms when a
 * slot has made many objects of `Intl`. So isolates that are not needed yet are made later. Nothing says when one has been freed.
 */
export async function untilFreed(): Promise<void> {
  const waitMs = () => killedAt + FREED_MS - performance.now()
  while (waitMs() > 0) await delay(waitMs())
}

/** Makes an isolate and sets it up: about 5 ms of CPU, most of it on this thread. */
export function makeBlank(memoryMB: number, codeCache: CodeCache, staging?: Staging): Promise<Blank> {
  return withoutCollection(() => setUpBlank(memoryMB, codeCache, staging))
}

async function setUpBlank(memoryMB: number, codeCache: CodeCache, staging?: Staging): Promise<Blank> {
  const earlyPosts: Parameters<Post>[] = []
  const listener: BlankListener = { onPost: (...posted) => void earlyPosts.push(posted), onLost: () => undefined }
  // With this, a slot can be profiled while it serves. It costs a blank a third of a millisecond, and requests nothing while no session is
  // open.
  const inspector = true
  const isolate = new ivm.Isolate({ memoryLimit: memoryMB, inspector, onCatastrophicError: message => listener.onLost(message) })
  try {
    const context = await isolate.createContext({ inspector })
    await staging?.prepare?.(isolate, context)
    const script = await codeCache.compile(isolate, insideText, INSIDE)
    const setUp = (await script.run(context, { reference: true })) as ivm.Reference<SetUp>
    const cursor = new Float64Array(new SharedArrayBuffer(CURSOR_BYTES))
    const clock = staging?.clock ?? machineClock()
    clock.write()
    const given = givenTo(listener, cursor, clock, staging)
    const inside = remotesOf((await setUp.apply(undefined, given, byReference)) as ivm.Reference<Inside>)
    return { isolate, context, inside, cursor, clock, memoryMB, listener, earlyPosts }
  } catch (error) {
    if (!isolate.isDisposed) isolate.dispose()
    throw error
  }
}

/** V8's function that collects garbage. */
type CollectGarbage = (options: { readonly type: 'major'; readonly flavor: 'last-resort' }) => void

/**
 * Makes V8 collect all garbage of an isolate, and give back the pages that its heap does not need. No code may run in it: this thread would wait for it.
 * @returns undefined, having done nothing, while a blank is being made or code is compiled
 */
export function collectGarbage(isolate: ivm.Isolate): Promise<void> | undefined {
  // While the flag is set, each context that is made has the function. One that modules run in must not, and code that was compiled without the flag is not used with it.
  if (making > 0) return undefined
  setFlagsFromString('--expose-gc')
  try {
    const context = isolate.createContextSync()
    const collect = context.global.getSync('gc', { reference: true }) as ivm.Reference<CollectGarbage>
    context.release()
    return collect.apply(undefined, [{ type: 'major', flavor: 'last-resort' }], byCopy).finally(() => collect.release())
  } finally {
    setFlagsFromString('--no-expose-gc')
  }
}

/** The values of `Given`. */
function givenTo(
  listener: BlankListener,
  cursor: Float64Array,
  clock: SlotClock,
  { seed = randomBytes(32).toString('hex'), tape, findingsFail = false }: Staging = {},
): ivm.Transferable[] {
  const post = new ivm.Callback<Post>((kind, ...values) => listener.onPost(kind, ...values), { ignored: true })
  const [cursorMemory, clockMemory] = [cursor.buffer, clock.memory].map(memory => new ivm.ExternalCopy(memory).copyInto())
  const bounds = new ivm.ExternalCopy({ ...insideLimits, findingsFail }).copyInto()
  const tapeMemory = tape === undefined ? undefined : new ivm.ExternalCopy(tape.memory).copyInto()
  return [post, cursorMemory, clockMemory, bounds, seed, tapeMemory, ...partTexts.map(text => text.copyInto())]
}

/** The isolate is idle, so this thread may enter it. Eight trips to the isolate's own thread would take four times as long. */
function remotesOf(inside: ivm.Reference<Inside>): Remotes {
  const remote = <K extends keyof Inside>(name: K) => inside.getSync(name, { reference: true }) as Remote<K>
  return {
    define: remote('define'),
    link: remote('link'),
    turn: remote('turn'),
    reportOf: remote('reportOf'),
    abandon: remote('abandon'),
    settleCalls: remote('settleCalls'),
    settleFetch: remote('settleFetch'),
    fireTimer: remote('fireTimer'),
    probe: remote('probe'),
  }
}

const warmUpPlan: StagePlan = {
  stage: 'stage',
  modules: ['warm-up'],
  parallel: false,
  merge: undefined,
  deadlineMs: undefined,
  onFailure: 'fail',
  fallbackModule: undefined,
  fallbackValue: undefined,
}

/**
 * Makes the cell's own code load faster into every isolate to come, by running it once, with a request, in an isolate that nothing else
 * enters. This is for processes that make many isolates, and takes a few milliseconds.
 */
export async function warmUp(codeCache: CodeCache): Promise<void> {
  const { isolate, context, inside, clock } = await makeBlank(DEFAULT_MEMORY_MB, codeCache)
  try {
    const exports = await context.eval('({ stage: async value => value })', { reference: true })
    await inside.define.apply(undefined, ['warm-up', new ivm.ExternalCopy(['stage']).copyInto(), exports.derefInto()])
    const values = [[warmUpPlan], {}, { request: '', answer: '' }].map(value => new ivm.ExternalCopy(value).copyInto())
    const [stages, services, schemas] = values as [ivm.Copy<StagePlan[]>, ivm.Copy<ServiceNames>, ivm.Copy<SchemaTexts>]
    await inside.link.apply(undefined, ['warm-up', 'v1', stages, services, schemas])
    await inside.turn.apply(undefined, [1, ['warm-up', '{}', '', clock.write() + limits.request.deadlineMsMax, '{}', -1]], byCopy)
    await codeCache.keepWarm(isolate, insideText, INSIDE)
  } finally {
    isolate.dispose()
  }
}
