/**
 * Makes the built-ins of an isolate unchangeable, so that one module cannot alter what another, or another request, finds there. The cell
 * takes the text of `harden` (types are stripped to blanks) and compiles it in the isolate, so it may use nothing from outside its own body.
 *
 * What it takes away: `WebAssembly`, `SharedArrayBuffer`, `Atomics`, growing and moving of buffers (memory that no limit meters), and
 * `Temporal`, which would cost every slot 48 KB and a fifth of a millisecond just to protect.
 *
 * What it leaves alone, and why:
 * - `RegExp.prototype`: any change to it, freezing included, switches V8's fast paths off for every regular expression (`split` 19 times
 *   slower, `replace` 12 times). Its methods are frozen as objects; `mendRegExp` finds and undoes what was put on it.
 * - `Error.stackTraceLimit`: V8 reads it as a plain property, and packages set it.
 * - `eval` and `Function`: template and schema compilers need them, and code made by them reaches no more than the code that called them.
 * - `Intl`: its objects take memory that no heap limit sees (3 GB in seconds); the watchdog's CPU limit and the cell's memory watch bound it.
 */

export interface Hardened {
  /** Makes an object's properties, and its methods, unchangeable. Heirs may still have the `assignable` ones assigned. */
  protect(object: object, assignable?: readonly PropertyKey[]): void
  /** Makes every property that the global object has now unchangeable. */
  protectGlobals(): void
  /** Undoes changes to `RegExp.prototype`. Undefined, after about a microsecond, when there were none. */
  mendRegExp(): Mended | undefined
}

export interface Mended {
  readonly changed: readonly string[]
  /** Whether all is as it was; if not, only a new isolate helps. */
  readonly complete: boolean
}

/** Runs once per isolate, before any module and before other globals are set up. */
export function harden(): Hardened {
  type Members = Record<PropertyKey, unknown>

  const { ownKeys, deleteProperty, construct, setPrototypeOf } = Reflect
  const { defineProperty, freeze, preventExtensions, getPrototypeOf, getOwnPropertyDescriptor, hasOwn, isExtensible } = Object

  function freezeMember(object: object, key: PropertyKey): void {
    const { value, get, set } = getOwnPropertyDescriptor(object, key) as PropertyDescriptor
    if (typeof value === 'function' && value !== Error) freeze(value)
    if (get !== undefined) freeze(get)
    if (set !== undefined) freeze(set)
  }

  function protect(object: object, assignable: readonly PropertyKey[] = []): void {
    for (const key of ownKeys(object)) freezeMember(object, key)
    for (const key of assignable) allowOverride(object, key)
    freeze(object)
  }

  /**
   * An inherited property that cannot be written forbids assigning one of the same name to an heir: `this.name = ...` in a subclass of Error
   * would throw. Behind an accessor the assignment makes an own property of the heir, as it would have without the freeze.
   */
  function allowOverride(object: object, key: PropertyKey): void {
    const { value, configurable } = getOwnPropertyDescriptor(object, key) ?? {}
    if (!configurable || value === undefined) return
    const accessor = {
      get: () => value as unknown,
      set(this: object, own: unknown) {
        if (this === object) throw new TypeError(`Cannot assign to "${String(key)}" of a built-in: built-ins are frozen`)
        if (hasOwn(this, key)) (this as Members)[key] = own
        else defineProperty(this, key, { value: own, writable: true, enumerable: true, configurable: true })
      },
    }
    freeze(accessor.get)
    freeze(accessor.set)
    defineProperty(object, key, accessor)
  }

  // memory that no limit meters

  /** Without the options, of which `maxByteLength` reserves memory that no limit meters. */
  function boundArrayBuffer(): void {
    const Native = ArrayBuffer
    const prototype: object = Native.prototype
    // Growth and moves of buffers escape the limit as well.
    for (const key of ownKeys(prototype)) {
      if (typeof key === 'string' && (key === 'resize' || key.startsWith('transfer'))) deleteProperty(prototype, key)
    }
    function Bound(length: number) {
      if (new.target === undefined) throw new TypeError("Constructor ArrayBuffer requires 'new'")
      return construct(Native, [length], new.target)
    }
    defineProperty(Bound, 'name', { value: 'ArrayBuffer' })
    defineProperty(Bound, 'prototype', { value: prototype, writable: false })
    defineProperty(Bound, 'isView', { value: Native.isView })
    const species = getOwnPropertyDescriptor(Native, Symbol.species)
    if (species !== undefined) defineProperty(Bound, Symbol.species, species)
    defineProperty(prototype, 'constructor', { value: Bound })
    defineProperty(globalThis, 'ArrayBuffer', { value: Bound })
    freeze(Native)
  }

  for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics']) deleteProperty(globalThis, name)
  // V8 makes all of it when either is so much as looked at, for a fifth of a millisecond and 48 KB.
  deleteProperty(globalThis, 'Temporal')
  deleteProperty(Date.prototype, 'toTemporalInstant')
  boundArrayBuffer()

  // the built-ins

  const regExpPrototype: object = RegExp.prototype
  const errorKeys = ['constructor', 'name', 'message', 'toString']
  /**
   * What ordinary code assigns on heirs, or on functions and arrays. Each costs 4 us per isolate, and some would slow V8 down for good:
   * `constructor` of arrays and promises, `Symbol.iterator` of what can be iterated.
   */
  const assigned = new Map<unknown, readonly string[]>([
    [Object.prototype, ownKeys(Object.prototype).filter(key => typeof key === 'string' && key !== '__proto__') as string[]],
    [Function.prototype, ['constructor', 'bind', 'call', 'apply', 'toString']],
    [Array.prototype, ['concat', 'push', 'toString']],
    [Map.prototype, ['constructor', 'get', 'set', 'has', 'delete', 'clear', 'forEach', 'keys', 'values', 'entries']],
    [Set.prototype, ['constructor', 'add', 'has', 'delete', 'clear', 'forEach', 'keys', 'values', 'entries']],
    [WeakMap.prototype, ['constructor', 'get', 'set', 'has', 'delete']],
    [WeakSet.prototype, ['constructor', 'add', 'has', 'delete']],
  ])

  /** A constructor with its prototype. */
  function protectClass(type: { readonly prototype?: object }): void {
    const { prototype } = type
    if (prototype !== undefined && prototype !== regExpPrototype) {
      protect(prototype, assigned.get(prototype) ?? (hasOwn(prototype, 'message') ? errorKeys : []))
    }
    if (type !== Error) protect(type)
  }

  /** All of it but `stackTraceLimit`; `prepareStackTrace` rewrites the stacks of all modules, so setting it does nothing. */
  function protectError(): void {
    defineProperty(Error, 'prepareStackTrace', { get: () => undefined, set: () => {} })
    for (const key of ownKeys(Error)) {
      if (key === 'stackTraceLimit') continue
      freezeMember(Error, key)
      lock(Error, key)
    }
    defineProperty(Error, 'stackTraceLimit', { configurable: false })
    preventExtensions(Error)
  }

  function lock(object: object, key: PropertyKey): void {
    const { get, configurable } = getOwnPropertyDescriptor(object, key) as PropertyDescriptor
    if (configurable) defineProperty(object, key, get === undefined ? { writable: false, configurable: false } : { configurable: false })
  }

  /** Built-ins that no global names; `Iterator.prototype` and such are reached from them. */
  function protectUnnamed(): void {
    const instances: object[] = [
      (function* () {})(),
      (async function* () {})(),
      [].values(),
      new Map().values(),
      new Set().values(),
      ''[Symbol.iterator](),
      ''.matchAll(/./g),
      [].values().map(String),
      Iterator.from({ next: () => ({ done: true, value: undefined }) }),
      async () => {},
      function* () {},
      async function* () {},
      Int8Array,
      globalThis,
    ]
    for (const instance of instances) protectChain(getPrototypeOf(instance))
  }

  function protectChain(prototype: object | null): void {
    for (let object = prototype; object !== null && isExtensible(object); object = getPrototypeOf(object)) {
      protect(object)
      for (const key of ['constructor', 'prototype']) {
        const related = (object as Members)[key]
        if ((typeof related === 'function' || typeof related === 'object') && related !== null && related !== Error) protect(related)
      }
    }
  }

  function protectAll(): void {
    for (const key of ownKeys(globalThis)) {
      if (key === 'Intl' || key === 'globalThis') continue
      const value = (globalThis as Members)[key]
      if (typeof value === 'function') protectClass(value)
      else if (typeof value === 'object' && value !== null) protect(value)
    }
    freeze(Array.prototype[Symbol.unscopables])
    protectError()
    protectUnnamed()
  }

  /** Few modules use it, and it is large: it is protected just before it is handed out for the first time. */
  function protectIntlOnUse(): void {
    const namespace = Intl
    let ready = false
    const get = freeze(() => {
      if (!ready) protectIntl(namespace)
      ready = true
      return namespace
    })
    defineProperty(globalThis, 'Intl', { get, enumerable: false, configurable: false })
  }

  function protectIntl(namespace: typeof Intl): void {
    for (const key of ownKeys(namespace)) {
      const member = (namespace as Members)[key]
      if (typeof member === 'function' && 'prototype' in member) protectClass(member as { prototype?: object })
    }
    protect(namespace)
    const segments = new namespace.Segmenter().segment('')
    for (const unnamed of [segments, segments[Symbol.iterator]()]) protectChain(getPrototypeOf(unnamed))
  }

  function protectGlobals(): void {
    for (const key of ownKeys(globalThis)) lock(globalThis, key)
  }

  protectAll()
  protectIntlOnUse()

  // the one prototype that stays as it is

  const regExpKeys = ownKeys(regExpPrototype)
  const regExpParent = getPrototypeOf(regExpPrototype) as object
  const regExpDescriptors = regExpKeys.map(key => getOwnPropertyDescriptor(regExpPrototype, key) as PropertyDescriptor)
  const regExpMembers = regExpKeys.map(regExpMember)
  for (const key of regExpKeys) freezeMember(regExpPrototype, key)

  function regExpMember(key: PropertyKey): unknown {
    const { value, get } = getOwnPropertyDescriptor(regExpPrototype, key) ?? {}
    return get ?? value
  }

  function mendRegExp(): Mended | undefined {
    const changed: PropertyKey[] = regExpKeys.filter((key, i) => regExpMember(key) !== regExpMembers[i])
    const keys = ownKeys(regExpPrototype)
    const moved = getPrototypeOf(regExpPrototype) !== regExpParent
    if (changed.length === 0 && keys.length === regExpKeys.length && !moved) return undefined
    const added = keys.filter(key => !regExpKeys.includes(key))
    let complete = setPrototypeOf(regExpPrototype, regExpParent)
    for (const key of added) complete = deleteProperty(regExpPrototype, key) && complete
    regExpKeys.forEach((key, i) => {
      complete = Reflect.defineProperty(regExpPrototype, key, regExpDescriptors[i] as PropertyDescriptor) && complete
    })
    return { changed: [...changed, ...added].map(String), complete }
  }

  return freeze({ protect, protectGlobals, mendRegExp })
}
