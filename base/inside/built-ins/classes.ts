/** Protects the built-ins, named and unnamed, but for `Intl`. */
import { defineProperty, freeze, getPrototypeOf, hasOwn, isExtensible, ownKeys, preventExtensions } from '../primordials.ts'
import { freezeMember, lock, type Members, protect } from './protect.ts'
import { regExpPrototype } from './regexp.ts'

const errorKeys = ['constructor', 'name', 'message', 'toString']
/**
 * What ordinary code assigns on heirs, or on functions and arrays. Each entry costs 4 us per isolate, and some would slow V8 down for good:
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

/** `Intl` is left to `protectIntlOnUse`, because even to look at it costs memory. */
export function protectAll(): void {
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

/** A constructor with its prototype. */
export function protectClass(type: { readonly prototype?: object }): void {
  const { prototype } = type
  if (prototype !== undefined && prototype !== regExpPrototype) {
    protect(prototype, assigned.get(prototype) ?? (hasOwn(prototype, 'message') ? errorKeys : []))
  }
  if (type !== Error) protect(type)
}

/**
 * Protects all of `Error` but `stackTraceLimit`. `prepareStackTrace` would rewrite the stacks of all modules, so setting it does nothing.
 */
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

/** A prototype and those that it inherits from, each with its constructor. */
export function protectChain(prototype: object | null): void {
  for (let object = prototype; object !== null && isExtensible(object); object = getPrototypeOf(object)) {
    protect(object)
    for (const key of ['constructor', 'prototype']) {
      const related = (object as Members)[key]
      if ((typeof related === 'function' || typeof related === 'object') && related !== null && related !== Error) protect(related)
    }
  }
}
