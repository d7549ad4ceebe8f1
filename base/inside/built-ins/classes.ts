/** Protects the built-ins, named and unnamed. */
import { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, isExtensible, ownKeys } from '../primordials.ts'
import { type Members, regExpPrototype } from './open.ts'
import { freezeFunctions, protect, protectAround } from './protect.ts'

/** What stays writable; `open.ts` says why. */
const open = new Map<unknown, readonly PropertyKey[]>([
  [Array.prototype, ['length', 'constructor', Symbol.iterator]],
  [getPrototypeOf([].values()), ['next']],
])

/** @param later names of globals that are left alone, and not even looked at */
export function protectAll(later: readonly PropertyKey[]): void {
  for (const key of ownKeys(globalThis)) {
    if (key === 'globalThis' || later.includes(key)) continue
    const value = (globalThis as Members)[key]
    if (typeof value === 'function') protectClass(value)
    else if (typeof value === 'object' && value !== null) protect(value)
  }
  protect(Array.prototype[Symbol.unscopables])
  protectError()
  protectUnnamed()
}

/** A constructor with its prototype. */
export function protectClass(type: { readonly prototype?: object }): void {
  const { prototype } = type
  if (prototype === regExpPrototype) freezeMethods(prototype)
  else if (prototype !== undefined) protectPrototype(prototype)
  if (type !== Error) protect(type)
}

function protectPrototype(prototype: object): void {
  const keys = open.get(prototype)
  if (keys === undefined) protect(prototype)
  else protectAround(prototype, keys)
}

/** For a prototype that stays open itself. Its class has members of its own to protect. */
function freezeMethods(prototype: object): void {
  for (const key of ownKeys(prototype)) {
    if (key !== 'constructor') freezeFunctions(getOwnPropertyDescriptor(prototype, key) as PropertyDescriptor)
  }
}

/**
 * Protects all of `Error` but `stackTraceLimit`, which V8 reads as a plain property. `prepareStackTrace` would rewrite the stacks of all modules,
 * so setting it does nothing.
 */
function protectError(): void {
  defineProperty(Error, 'prepareStackTrace', { value: undefined, writable: true, configurable: true })
  protectAround(Error, ['stackTraceLimit'])
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
    globalThis,
  ]
  for (const instance of instances) protectChain(getPrototypeOf(instance))
}

/** A prototype and those that it inherits from, each with its constructor. */
export function protectChain(prototype: object | null): void {
  for (let object = prototype; object !== null && isExtensible(object); object = getPrototypeOf(object)) {
    protectPrototype(object)
    for (const key of ['constructor', 'prototype']) {
      const related = (object as Members)[key]
      if ((typeof related === 'function' || typeof related === 'object') && related !== null && related !== Error) protect(related)
    }
  }
}
