/**
 * What the bundler puts in the place of a built-in module of Node.js that a dependency imports. It becomes part of the bundle and runs in slots.
 *
 * Packages import built-ins at their top level for functions that they may never call, and take members out of them at once. So everything may be
 * read from a stand-in, taken apart and inherited from; to call, to construct or to convert anything of it throws an error that explains itself.
 */

type Members = Readonly<Record<string, unknown>>

/** The symbol under which a function has what `promisify` makes of it. */
const CUSTOM = Symbol.for('nodejs.util.promisify.custom')

/** What packages use while they are loaded, and what a slot has under another name. */
const members: Readonly<Record<string, () => Members>> = {
  buffer: () => ({ atob: globalThis.atob, btoa: globalThis.btoa }),
  console: () => ({ ...globalThis.console }),
  crypto: () => ({ webcrypto: globalThis.crypto }),
  process: () => ({
    env: environment(),
    argv: [],
    versions: {},
    browser: true,
    nextTick: (work: (...args: unknown[]) => void, ...args: unknown[]) => queueMicrotask(() => work(...args)),
  }),
  perf_hooks: () => ({ performance: globalThis.performance }),
  timers: () => {
    const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis
    return { setTimeout, clearTimeout, setInterval, clearInterval }
  },
  url: () => ({ URL: globalThis.URL, URLSearchParams: globalThis.URLSearchParams }),
  util: () => ({
    TextDecoder: globalThis.TextDecoder,
    TextEncoder: globalThis.TextEncoder,
    debuglog: () => Object.assign(() => undefined, { enabled: false }),
    deprecate: (deprecated: unknown) => deprecated,
    inherits: (child: { prototype: object }, parent: { prototype: object }) => {
      Object.defineProperty(child, 'super_', { value: parent, writable: true, configurable: true })
      Object.setPrototypeOf(child.prototype, parent.prototype)
    },
    promisify: Object.assign(promisify, { custom: CUSTOM }),
  }),
}

/** Names of the symbols that Node.js and packages agree on. They are used as keys of methods while classes are defined. */
const symbols: Members = {
  'util.inspect.custom': Symbol.for('nodejs.util.inspect.custom'),
  'events.errorMonitor': Symbol.for('events.errorMonitor'),
}

/** What `define` gives to `process.env`: esbuild replaces these expressions here as well. */
function environment(): unknown {
  const env = { NODE_ENV: process.env.NODE_ENV }
  try {
    return { ...env, ...process.env }
  } catch {
    return env
  }
}

type Callback = (error: unknown, value: unknown) => void

const waitFor = (delay: number, value: unknown) => new Promise(resolve => setTimeout(resolve, delay, value))
const yieldOnce = (value: unknown) => new Promise(resolve => setImmediate(resolve, value))
/** What `promisify` makes of functions whose callback does not come last. */
const promising = new Map<unknown, unknown>([
  [globalThis.setTimeout, waitFor],
  [globalThis.setImmediate, yieldOnce],
])

function promisify(original: (...args: unknown[]) => unknown): unknown {
  if (standIns.has(original)) return original
  const custom: unknown = Reflect.get(original, CUSTOM) ?? promising.get(original)
  if (custom !== undefined) return custom
  return function promisified(this: unknown, ...args: unknown[]) {
    return new Promise((resolve, reject) => {
      const settle: Callback = (error, value) => (error ? reject(error) : resolve(value))
      original.call(this, ...args, settle)
    })
  }
}

type Refuse = (use: string, path: string, caller: () => unknown) => never

const standIns = new WeakSet<object>()

/**
 * @param name the built-in, without `node:`
 * @param who the package that imports it
 * @param advice what the author of the module can do, a sentence
 */
export function standInFor(name: string, who: string, advice: string): unknown {
  const refuse: Refuse = (use, path, caller) => {
    const error = new Error(`The package "${who}" ${use} "${path}" of Node.js, which does not exist where modules run. ${advice}`)
    // The stack begins at the place in the package.
    Error.captureStackTrace(error, caller)
    throw error
  }
  return makeStandIn(name, members[name]?.() ?? {}, refuse)
}

function makeStandIn(path: string, known: Members, refuse: Refuse): unknown {
  const made = new Map<string, unknown>()
  const member = (key: string): unknown => {
    const full = `${path}.${key}`
    if (!made.has(key)) made.set(key, known[key] ?? symbols[full] ?? makeStandIn(full, {}, refuse))
    return made.get(key)
  }
  function standIn(): never {
    return refuse(new.target === undefined ? 'calls' : 'makes a new', path, standIn)
  }
  const call = (): never => refuse('calls', path, call)
  const toPrimitive = (): never => refuse('reads the value of', path, toPrimitive)
  const own: Readonly<Record<PropertyKey, unknown>> = {
    call,
    apply: call,
    bind: () => standIn,
    [Symbol.toPrimitive]: toPrimitive,
    // A promise that resolves with a stand-in would wait for it, JSON would ask for its text, and an importer would take a CommonJS module for a
    // translated one.
    // biome-ignore lint/suspicious/noThenProperty: it says that there is none
    then: undefined,
    toJSON: undefined,
    __esModule: undefined,
  }
  // The members are inherited, because esbuild copies only own members into the object of an ES module import, and keeps the prototype.
  const inherited = new Proxy(Object.create(Object.prototype) as Record<PropertyKey, unknown>, {
    get(_, key) {
      if (Object.hasOwn(own, key)) return own[key]
      if (typeof key === 'symbol' || key in Object.prototype) return Reflect.get(Object.prototype, key)
      return member(key)
    },
  })
  standIns.add(standIn)
  return Object.setPrototypeOf(standIn, inherited)
}
