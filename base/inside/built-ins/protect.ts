/** How an object becomes unchangeable without breaking the ordinary code that inherits from it. */
import {
  create,
  defineProperty,
  freeze,
  getOwnPropertyDescriptor,
  hasOwn,
  isExtensible,
  ownKeys,
  preventExtensions,
} from '../primordials.ts'
import { leaveGlobalOpen, leaveOpen, type Members } from './open.ts'
import { refusal } from './refusals.ts'

/** Objects with properties that stand behind accessors or stay open. */
export const guarded = new Set<object>([Error])
/** What is protected and not fast yet; see `makeFast`. */
const slow: object[] = []

/**
 * Makes an object's properties, and its methods, unchangeable. Heirs may still have properties of the same names assigned.
 * @param open the properties that stay writable
 */
export function protect(object: object, open: readonly PropertyKey[] = []): void {
  let assignable = false
  for (const key of ownKeys(object)) assignable = protectMember(object, key, open) || assignable
  close(object, open)
  if (assignable || open.length > 0) guarded.add(object)
  if (!assignable) return
  slow.push(object)
}

function close(object: object, open: readonly PropertyKey[]): void {
  if (open.length === 0) freeze(object)
  else {
    for (const key of ownKeys(object)) if (!open.includes(key)) lock(object, key)
    preventExtensions(object)
  }
}

/** Freezes what is behind a property, and lets heirs have it assigned. Returns whether the property became an accessor for that. */
export function protectMember(object: object, key: PropertyKey, open: readonly PropertyKey[] = []): boolean {
  const descriptor = getOwnPropertyDescriptor(object, key) as PropertyDescriptor
  const { value } = descriptor
  // A class has members of its own to protect.
  if (key === 'constructor' && typeof value === 'function' && value !== Error && isExtensible(value)) protect(value)
  // The prototype of `Function` is a function as well. It has more to protect, like any other prototype.
  if (key !== 'prototype') freezeFunctions(descriptor)
  if (open.includes(key)) {
    leaveOpen(object, key)
    return false
  }
  // What code cannot assign in Node.js either stays as it is.
  if (!descriptor.writable || !descriptor.configurable) return false
  allowOverride(object, key, value)
  return true
}

export function freezeFunctions({ value, get, set }: PropertyDescriptor): void {
  if (typeof value === 'function' && value !== Error) freeze(value)
  if (get !== undefined) freeze(get)
  if (set !== undefined) freeze(set)
}

/**
 * An inherited property that cannot be written forbids assigning one of the same name to an heir: `this.name = ...` in a subclass of Error
 * would throw. Behind an accessor the assignment makes an own property of the heir, as it would have without the freeze.
 */
function allowOverride(object: object, key: PropertyKey, value: unknown): void {
  const standIn = () => value
  // A method, because other functions have prototypes, which would have to be frozen as well.
  const { set } = {
    set(this: object, own: unknown): void {
      if (this === object) refuseOther(object, key, value, own)
      else if (hasOwn(this, key)) (this as Members)[key] = own
      else defineProperty(this, key, { value: own, writable: true, enumerable: true, configurable: true })
    },
  }
  defineProperty(object, key, { get: freeze(standIn), set: freeze(set) })
}

/** Refuses to change a property of a built-in, unless it is to have the value that it has: polyfills assign that. */
export function refuseOther(object: object, key: PropertyKey, value: unknown, own: unknown): void {
  if (own !== value && !isIgnored(object, key)) throw refusal(object, key)
}

/**
 * Assignments that do nothing, and are no error either, because code that makes them needs no effect. A formatter would rewrite the stacks of all
 * modules; core-js replaces `toString` of functions to hide what it has added.
 */
function isIgnored(object: object, key: PropertyKey): boolean {
  return (object === Error && key === 'prepareStackTrace') || (object === Function.prototype && key === 'toString')
}

const touch = (heir: object): unknown => heir.constructor
/** V8 notes what a function reads only after a few calls. */
const TOUCHES = 10

/**
 * V8 keeps an object whose properties were redefined as a hash table, which makes `Math.floor` four times slower. It lays the object out
 * anew once a property is read through an heir.
 */
export function makeFast(): void {
  const heirs = slow.splice(0).map(object => create(object) as object)
  for (let i = 0; i < TOUCHES; i++) for (const heir of heirs) touch(heir)
}

/** Makes one property unchangeable, for objects that cannot be frozen as a whole. */
export function lock(object: object, key: PropertyKey): void {
  const { get, configurable } = getOwnPropertyDescriptor(object, key) as PropertyDescriptor
  if (configurable) defineProperty(object, key, get === undefined ? { writable: false, configurable: false } : { configurable: false })
}

/** Makes every property that the global object has now unchangeable, though V8's own may be assigned for now. */
export function lockGlobals(): void {
  for (const key of ownKeys(globalThis)) {
    const { value, writable, configurable } = getOwnPropertyDescriptor(globalThis, key) as PropertyDescriptor
    if (writable && configurable && value !== globalThis) leaveGlobalOpen(key)
    else lock(globalThis, key)
  }
}
