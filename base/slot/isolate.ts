/**
 * Isolates before they serve: made and set up ahead of need, kept in a buffer, then specialised to a version by loading its modules.
 */
import { hash, randomBytes } from 'node:crypto'
import ivm from 'isolated-vm'
import { installCalls } from '../inside/calls.ts'
import { globalsExpression } from '../inside/globals.ts'
import { lazyParts } from '../inside/lazy/parts.ts'
import type { Failure, Inside, InsideLimits, Post, ServiceNames, StagePlan } from '../inside/protocol.ts'
import { install } from '../inside/runtime.ts'
import { messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { DEFAULT_MEMORY_MB } from '../traffic/names.ts'
import type { LockedModule, LockedStage } from '../traffic/schema.ts'
import { type SlotPlan, stageModules } from '../traffic/table.ts'
import { ModuleError } from './module-error.ts'

type Remote<K extends keyof Inside> = ivm.Reference<Inside[K]>
/** `install` as the cell calls it: what crosses has other types on this side. */
type SetUp = (...values: ivm.Transferable[]) => Inside
export type Remotes = { readonly [K in keyof Inside]: Remote<K> }

/** An isolate that is set up and runs no module yet. */
export interface Blank {
  readonly isolate: ivm.Isolate
  readonly context: ivm.Context
  readonly inside: Remotes
  /** Written inside, readable here while the isolate runs and after its end. */
  readonly cursor: Float64Array
  readonly memoryMB: number
  /** Whoever gets what the isolate posts; until there is one, it waits. */
  readonly mail: { take: Post; readonly waiting: Parameters<Post>[] }
  /** Whoever hears that V8 is in a state that only the end of the process mends. */
  readonly fate: { doom: (reason: string) => void }
}

export interface SpecialiseParts {
  /** Text of a bundle. */
  readBundle(digest: string): Promise<string>
  /** What the modules of a version may use. @throws BerthError when there is no such service */
  servicesOf(plan: SlotPlan): ServiceNames
  readonly codeCache: CodeCache
}

/** All of the cell's own code in one script: each script costs a blank two trips to the isolate's thread. */
const insideText = `'use strict';((...values) => (${install})(${globalsExpression}, ${installCalls}, ...values))`
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
}
const partNames = Object.keys(lazyParts)
/** Strings outside the heaps, shared by all isolates of the process. */
const partTexts = Object.values(lazyParts).map(text => new ivm.ExternalCopy(text))
const byReference = { result: { reference: true } } as const
const TIMED_OUT = 'Script execution timed out.'

/** The name a module's script has in stack traces. */
const scriptName = (module: LockedModule): string => `berth:///${module.name}@${module.version}.js`
const moduleKey = (module: LockedModule): string => `${module.name}@${module.version}`

/** What a rehearsal changes about a blank. */
export interface Staging {
  /** 64 hexadecimal digits in the place of fresh randomness. */
  readonly seed: string | undefined
  /** Called before any other code runs in the isolate: the cell's own takes hold of the built-ins as it finds them. */
  prepare(isolate: ivm.Isolate, context: ivm.Context): Promise<void>
}

/** Makes an isolate and sets it up: about 3 ms, most of it on this thread. */
export async function makeBlank(memoryMB: number, codeCache: CodeCache, staging?: Staging): Promise<Blank> {
  const waiting: Parameters<Post>[] = []
  const mail: Blank['mail'] = { waiting, take: (...posted) => void waiting.push(posted) }
  const fate: Blank['fate'] = { doom: () => undefined }
  // Lets a slot be profiled that serves. Costs no request anything while no session is open, and a blank a third of a millisecond.
  const inspector = true
  const isolate = new ivm.Isolate({ memoryLimit: memoryMB, inspector, onCatastrophicError: message => fate.doom(message) })
  try {
    const context = await isolate.createContext()
    await staging?.prepare(isolate, context)
    const script = await codeCache.compile(isolate, insideText, INSIDE)
    const setUp = (await script.run(context, { reference: true })) as ivm.Reference<SetUp>
    const post = new ivm.Callback<Post>((kind, ...values) => mail.take(kind, ...values), { ignored: true })
    const cursor = new Float64Array(new SharedArrayBuffer(16))
    const memory = new ivm.ExternalCopy(cursor.buffer).copyInto()
    const bounds = new ivm.ExternalCopy(insideLimits).copyInto()
    const seed = staging?.seed ?? randomBytes(32).toString('hex')
    const parts = partTexts.map(text => text.copyInto())
    const values = [post, memory, bounds, seed, new ivm.ExternalCopy(partNames).copyInto(), ...parts]
    const inside = await remotesOf((await setUp.apply(undefined, values, byReference)) as ivm.Reference<Inside>)
    return { isolate, context, inside, cursor, memoryMB, mail, fate }
  } catch (error) {
    if (!isolate.isDisposed) isolate.dispose()
    throw error
  }
}

/**
 * Loads the modules of a version into a blank.
 * @throws ModuleError saying which module cannot be loaded and why; the isolate is gone then.
 */
export async function specialise(blank: Blank, plan: SlotPlan, parts: SpecialiseParts): Promise<Remotes> {
  const { isolate, fate } = blank
  const late = Promise.withResolvers<never>()
  let doom: NodeJS.Timeout | undefined
  const timer = setTimeout(() => {
    if (!isolate.isDisposed) isolate.dispose()
    const message = `Cannot load version "${plan.version}" of scene "${plan.scene}": it took over ${limits.slot.loadMsMax} ms`
    // Not waited for: loops inside V8's builtins outlive a disposal, and then only the end of the process gets the thread back.
    late.reject(new ModuleError({ code: 'MODULE_LOAD_KILLED', message }))
    doom = setTimeout(() => fate.doom(`${message}, and cannot be stopped`), limits.slot.stopMsMax)
  }, limits.slot.loadMsMax)
  const loading = load(blank, plan, parts)
  loading.catch(() => undefined).finally(() => clearTimeout(doom))
  try {
    return await Promise.race([loading, late.promise])
  } catch (error) {
    if (!isolate.isDisposed) isolate.dispose()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

async function load(blank: Blank, plan: SlotPlan, parts: SpecialiseParts): Promise<Remotes> {
  const { inside } = blank
  for (const [module, stages] of modulesOf(plan)) await loadModule(blank, inside.define, module, stages, parts)
  await link(inside, plan, parts.servicesOf(plan))
  return inside
}

/** Gives an isolate whose modules are defined its stages. It takes others only while no request is under way. */
export async function link(inside: Remotes, plan: SlotPlan, offered: ServiceNames): Promise<void> {
  const [stages, services] = [plan.lock.map(stagePlan), offered].map(value => new ivm.ExternalCopy(value).copyInto())
  await inside.link.apply(undefined, [plan.scene, plan.version, stages as ivm.Copy<StagePlan[]>, services as ivm.Copy<ServiceNames>])
}

async function loadModule(
  { isolate, context, memoryMB }: Blank,
  define: Remote<'define'>,
  module: LockedModule,
  stages: readonly string[],
  { readBundle, codeCache }: SpecialiseParts,
): Promise<void> {
  const key = moduleKey(module)
  const code = await readBundle(module.bundle)
  let script: ivm.Script
  try {
    script = await codeCache.compile(isolate, code, scriptName(module))
  } catch (error) {
    throw compileFailure(key, messageOf(error))
  }
  const bounded = { timeout: limits.module.loadMsMax }
  let failure: Failure | undefined
  try {
    const exports = (await script.run(context, { reference: true, ...bounded })) as ivm.Reference<unknown>
    const stageNames = new ivm.ExternalCopy([...stages]).copyInto()
    // Looking at the exports runs their getters: the module's code again.
    const found = await define.apply(undefined, [key, stageNames, exports.derefInto()], { result: { copy: true }, ...bounded })
    failure = found as Failure | undefined
    exports.release()
  } catch (error) {
    throw loadFailure(key, error, isolate.isDisposed ? memoryMB : undefined)
  }
  if (failure !== undefined) throw new ModuleError(failure)
}

/** @param memoryMB the limit it was over, when the isolate is gone */
function loadFailure(module: string, error: unknown, memoryMB: number | undefined): ModuleError {
  const message = messageOf(error)
  if (memoryMB !== undefined || message === TIMED_OUT) {
    const why = memoryMB === undefined ? `still running after ${limits.module.loadMsMax} ms` : `over its memory limit of ${memoryMB} MB`
    return new ModuleError({ code: 'MODULE_LOAD_KILLED', message: `Cannot load module "${module}": its top level was ${why}`, module })
  }
  const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}
  return new ModuleError({ code: 'MODULE_LOAD_THREW', message: `Cannot load module "${module}": it threw: ${message}`, module, ...stack })
}

function compileFailure(module: string, message: string): ModuleError {
  const awaits = /\bawait\b/.test(message)
  const code = awaits ? 'MODULE_LOAD_AWAITS' : 'BUNDLE_INVALID'
  const why = awaits ? 'it awaits at its top level' : `it is not a classic script: ${message}`
  return new ModuleError({ code, message: `Cannot load module "${module}": ${why}`, module })
}

/** Asked for together: then they are one trip to the isolate's thread, not one each. */
async function remotesOf(inside: ivm.Reference<Inside>): Promise<Remotes> {
  const remote = async <K extends keyof Inside>(name: K) => (await inside.get(name, { reference: true })) as Remote<K>
  const [define, link, turn, abandon, settleCalls, settleFetch, fireTimer, probe] = await Promise.all([
    remote('define'),
    remote('link'),
    remote('turn'),
    remote('abandon'),
    remote('settleCalls'),
    remote('settleFetch'),
    remote('fireTimer'),
    remote('probe'),
  ])
  return { define, link, turn, abandon, settleCalls, settleFetch, fireTimer, probe }
}

/** Each module of a plan once, with every stage it is bound to. */
function modulesOf(plan: SlotPlan): Map<LockedModule, string[]> {
  const byKey = new Map<string, LockedModule>()
  const found = new Map<LockedModule, string[]>()
  for (const stage of plan.lock) {
    for (const module of stageModules(stage)) {
      const first = byKey.get(moduleKey(module)) ?? module
      byKey.set(moduleKey(module), first)
      found.set(first, [...(found.get(first) ?? []), stage.stage])
    }
  }
  return found
}

function stagePlan({ stage, modules, parallel = false, merge, deadlineMs, onFailure = 'fail', fallback }: LockedStage): StagePlan {
  return {
    stage,
    modules: modules.map(moduleKey),
    parallel,
    merge: typeof merge === 'object' ? moduleKey(merge) : undefined,
    deadlineMs,
    onFailure,
    fallbackModule: fallback !== undefined && 'module' in fallback ? moduleKey(fallback.module) : undefined,
    fallbackValue: fallback !== undefined && 'value' in fallback ? JSON.stringify(fallback.value) : undefined,
  }
}

interface CachedCode {
  readonly bytes: Buffer
  /** V8 checks a cache for its flags and version, not for damage: a flipped bit would be run. */
  readonly digest: string
}

/** What V8 made of each script, kept in memory for the next isolate: compiling 500 KB falls from 9 to 1 ms. */
export class CodeCache {
  readonly #kept = new Map<string, CachedCode>()
  /** Of scripts that every isolate runs: never dropped for want of room. */
  readonly #own = new Map<string, CachedCode>()
  readonly #bytesMax: number
  #bytes = 0

  /** @param bytesMax of all that is kept; the oldest goes first */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  async compile(isolate: ivm.Isolate, code: string, filename: string): Promise<ivm.Script> {
    const key = keyOf(code, filename)
    const cached = this.#get(key)
    if (cached !== undefined) {
      const cachedData = new ivm.ExternalCopy(toArrayBuffer(cached))
      const script = (await isolate.compileScript(code, { filename, cachedData })) as ivm.Script & { cachedDataRejected?: boolean }
      if (script.cachedDataRejected !== true) return script
      this.#forget(key)
    }
    const script = (await isolate.compileScript(code, { filename, produceCachedData: true })) as ivm.Script & ivm.ScriptInfo
    if (script.cachedData !== undefined) this.#put(key, Buffer.from(script.cachedData.copy() as ArrayBuffer))
    return script
  }

  /**
   * Keeps what V8 has compiled of a script by now. Functions compile when they are first called, so a cache that was made with the script
   * knows none of those that it goes on to run. V8 hands the same script out again for the same text, and isolated-vm makes its cache then.
   * @param isolate has run that script, and nothing that the cell does not trust: what it keeps is run in every isolate
   */
  async keepWarm(isolate: ivm.Isolate, code: string, filename: string): Promise<void> {
    const script = (await isolate.compileScript(code, { filename, produceCachedData: true })) as ivm.Script & ivm.ScriptInfo
    if (script.cachedData === undefined) return
    const key = keyOf(code, filename)
    this.#forget(key)
    this.#own.set(key, sealed(Buffer.from(script.cachedData.copy() as ArrayBuffer)))
  }

  #get(key: string): Buffer | undefined {
    const cached = this.#own.get(key) ?? this.#kept.get(key)
    if (cached === undefined) return undefined
    if (hash('sha256', cached.bytes, 'hex') === cached.digest) return cached.bytes
    this.#forget(key)
    return undefined
  }

  #put(key: string, bytes: Buffer): void {
    this.#forget(key)
    this.#kept.set(key, sealed(bytes))
    this.#bytes += bytes.length
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#bytesMax) return
      this.#forget(oldest)
    }
  }

  #forget(key: string): void {
    this.#own.delete(key)
    this.#bytes -= this.#kept.get(key)?.bytes.length ?? 0
    this.#kept.delete(key)
  }
}

/** The name is part of what is cached: stack traces show it. */
const keyOf = (code: string, filename: string): string => `${filename}\n${hash('sha256', code, 'hex')}`

const sealed = (bytes: Buffer): CachedCode => ({ bytes, digest: hash('sha256', bytes, 'hex') })

/**
 * Makes the cell's own code load faster into every isolate to come: runs it once, with a request, in an isolate that nothing else enters.
 * For processes that make many isolates; it takes a few milliseconds.
 */
export async function warmUp(codeCache: CodeCache): Promise<void> {
  const { isolate, context, inside } = await makeBlank(DEFAULT_MEMORY_MB, codeCache)
  try {
    const exports = await context.eval('({ stage: async value => value })', { reference: true })
    await inside.define.apply(undefined, ['warm-up', new ivm.ExternalCopy(['stage']).copyInto(), exports.derefInto()])
    const step = { modules: ['warm-up'], parallel: false, onFailure: 'fail' } as const
    const plan: StagePlan = {
      stage: 'stage',
      ...step,
      merge: undefined,
      deadlineMs: undefined,
      fallbackModule: undefined,
      fallbackValue: undefined,
    }
    await inside.link.apply(undefined, ['warm-up', 'v1', new ivm.ExternalCopy([plan]).copyInto(), new ivm.ExternalCopy({}).copyInto()])
    await inside.turn.apply(undefined, [1, 'warm-up', '{}', '', Date.now() + limits.slot.loadMsMax, '{}', -1])
    await codeCache.keepWarm(isolate, insideText, INSIDE)
  } finally {
    isolate.dispose()
  }
}

function toArrayBuffer({ buffer, byteOffset, byteLength }: Buffer): ArrayBuffer {
  return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer
}

/** Blanks waiting to be specialised, of the memory that most scenes have. */
export class SlotBuffer {
  readonly #size: number
  readonly #memoryMB: number
  readonly #codeCache: CodeCache
  readonly #onFailed: (error: unknown) => void
  readonly #blanks: Blank[] = []
  #warmedUp = false
  #specialising = 0
  #refilling = false
  #closed = false

  /** @param size blanks to keep ready */
  constructor(size: number, memoryMB: number, codeCache: CodeCache, onFailed: (error: unknown) => void) {
    this.#size = size
    this.#memoryMB = memoryMB
    this.#codeCache = codeCache
    this.#onFailed = onFailed
    this.#refill()
  }

  get count(): number {
    return this.#blanks.length
  }

  /** Runs `work` with a blank; none is made for the buffer meanwhile, since that would hold up the work. */
  async use<T>(memoryMB: number, work: (blank: Blank) => Promise<T>): Promise<T> {
    this.#specialising++
    try {
      const ready = memoryMB === this.#memoryMB ? this.#blanks.pop() : undefined
      return await work(ready ?? (await makeBlank(memoryMB, this.#codeCache)))
    } finally {
      this.#specialising--
      this.#refill()
    }
  }

  close(): void {
    this.#closed = true
    for (const { isolate } of this.#blanks.splice(0)) isolate.dispose()
  }

  async #make(): Promise<Blank> {
    if (!this.#warmedUp) await warmUp(this.#codeCache)
    this.#warmedUp = true
    return makeBlank(this.#memoryMB, this.#codeCache)
  }

  #refill(): void {
    if (this.#refilling || this.#closed || this.#specialising > 0 || this.#blanks.length >= this.#size) return
    this.#refilling = true
    // One per tick: each takes this thread for milliseconds, and requests come in between.
    setImmediate(() => {
      this.#make()
        .then(blank => {
          this.#refilling = false
          if (this.#closed) blank.isolate.dispose()
          else this.#blanks.push(blank)
          this.#refill()
        })
        // Tried again after the next load, not at once: what is missing is missing for a while.
        .catch((error: unknown) => {
          this.#refilling = false
          this.#onFailed(error)
        })
    })
  }
}
