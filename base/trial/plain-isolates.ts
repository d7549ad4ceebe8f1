/**
 * Stands in for isolated-vm where a debugger is to stop the code of modules: each isolate is a context of this process, on its main thread, so whatever
 * debugger has this process has the modules too. It has the part of the interface that a slot uses. Nothing is confined or limited here, and nothing can be
 * ended: it is for the tests of an engineer's own module, on the engineer's own machine.
 */
import { registerHooks } from 'node:module'
import { constants, createContext, Script } from 'node:vm'
import type ivm from 'isolated-vm'

type Realm = ReturnType<typeof createContext>
type Result = { readonly result?: { readonly reference?: boolean; readonly copy?: boolean } }

const NAME = 'isolated-vm'
const STAND_IN = 'berth:plain-isolates'
const KEY = Symbol.for(STAND_IN)

let isProvided = false
const listeners: ((exports: object) => void)[] = []

/** Calls `listen` with what each module exports, once it has been loaded into a plain isolate and before anybody calls it. */
export function onExports(listen: (exports: object) => void): void {
  listeners.push(listen)
}

/** From now on whoever imports isolated-vm in this process gets what stands in for it. Idempotent. */
export function providePlainIsolates(): void {
  if (isProvided) return
  isProvided = true
  Object.defineProperty(globalThis, KEY, { value: { Isolate, Callback, ExternalCopy } })
  registerHooks({
    resolve: (specifier, context, next) => (specifier === NAME ? { url: STAND_IN, shortCircuit: true } : next(specifier, context)),
    load: (url, context, next) =>
      url === STAND_IN
        ? { format: 'module', source: `export default globalThis[Symbol.for('${STAND_IN}')]`, shortCircuit: true }
        : next(url, context),
  })
}

/** What an isolate does is seen here in a later turn of the event loop, and in the order in which it was done, as if it had a thread of its own. */
const later = <T>(work: () => T): Promise<T> =>
  new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(work())
      } catch (error) {
        reject(error)
      }
    })
  })

/** A function of this side that an isolate calls. It gets no answer. */
class Callback {
  readonly call: (...values: unknown[]) => void

  constructor(call: (...values: unknown[]) => void) {
    this.call = (...values) => void setImmediate(() => call(...values))
  }
}

class ExternalCopy {
  readonly #value: unknown

  constructor(value: unknown) {
    this.#value = value
  }

  copyInto(): Copied {
    return new Copied(this.#value)
  }

  copy(): unknown {
    return structuredClone(this.#value)
  }
}

/** A value of which an isolate gets a copy when it is called with it. */
class Copied {
  readonly value: unknown

  constructor(value: unknown) {
    this.value = value
  }
}

/** A value of an isolate on its way back into it. */
class Own {
  readonly value: unknown

  constructor(value: unknown) {
    this.value = value
  }
}

class Reference {
  readonly #context: Context
  readonly #value: unknown

  constructor(context: Context, value: unknown) {
    this.#context = context
    this.#value = value
  }

  /** Resolves when the function has returned, and all the promise reactions have run that it has set off. */
  async apply(self: unknown, values: readonly unknown[] = [], { result = {} }: Result = {}): Promise<unknown> {
    const returned = await later(() => this.#call(self, values))
    // All promise reactions have run in the next turn of the event loop, and what they have posted has come in the one after it.
    await later(() => undefined)
    await later(() => undefined)
    if (result.reference) return new Reference(this.#context, returned)
    return structuredClone(returned)
  }

  applyIgnored(self: unknown, values: readonly unknown[] = []): void {
    setImmediate(() => void this.#call(self, values))
  }

  get(name: string, options: { readonly reference?: boolean }): Promise<unknown> {
    return later(() => this.getSync(name, options))
  }

  getSync(name: string, { reference = false }: { readonly reference?: boolean } = {}): unknown {
    const value: unknown = Reflect.get(Object(this.#value), name)
    return reference ? new Reference(this.#context, value) : structuredClone(value)
  }

  derefInto(): Own {
    return new Own(this.#value)
  }

  release(): void {
    // The garbage collector of this process takes it.
  }

  #call(self: unknown, values: readonly unknown[]): unknown {
    const given = values.map(value => this.#context.take(value))
    return Reflect.apply(this.#value as (...given: unknown[]) => unknown, self, given)
  }
}

/** The global object and the built-ins of an isolate. */
class Context {
  readonly realm: Realm = createContext(constants.DONT_CONTEXTIFY)
  readonly #parse = new Script('JSON.parse').runInContext(this.realm) as (json: string) => unknown
  readonly #toBuffer = new Script('bytes => Uint8Array.from(bytes).buffer').runInContext(this.realm) as (bytes: Uint8Array) => unknown

  /** The value as code of the isolate is to find it: one of its own kind of objects. */
  take(value: unknown): unknown {
    if (value instanceof Callback) return value.call
    if (value instanceof Own) return value.value
    if (value instanceof Copied) return this.take(value.value)
    if (value instanceof ArrayBuffer) return this.#toBuffer(new Uint8Array(value))
    // Memory that is shared is the same for all.
    if (typeof value !== 'object' || value === null || value instanceof SharedArrayBuffer) return value
    return this.#parse(JSON.stringify(value))
  }

  release(): void {
    // As of a reference.
  }
}

/** The names of the scripts of modules. Code of the base has no version in its names. */
const MODULE = /^berth:\/\/\/[^/]*@/

class Compiled {
  readonly #script: Script
  readonly #filename: string

  constructor(code: string, filename: string) {
    this.#script = new Script(code, { filename })
    this.#filename = filename
  }

  run(context: Context, _: { readonly reference: true }): Promise<Reference> {
    return later(() => {
      const made: unknown = this.#script.runInContext(context.realm)
      if (MODULE.test(this.#filename)) for (const listen of listeners) listen(Object(made))
      return new Reference(context, made)
    })
  }
}

class Isolate implements Pick<ivm.Isolate, 'cpuTime' | 'isDisposed' | 'dispose'> {
  /** Nobody is charged for the time in which a debugger looks around. */
  readonly cpuTime = 0n
  isDisposed = false

  async createContext(): Promise<Context> {
    return new Context()
  }

  async compileScript(code: string, { filename }: { readonly filename: string }): Promise<Compiled> {
    return new Compiled(code, filename)
  }

  dispose(): void {
    this.isDisposed = true
  }
}
