/** How an object becomes unchangeable without breaking the ordinary code that inherits from it. */
import {
  create,
  defineProperties,
  defineProperty,
  freeze,
  getOwnPropertyDescriptor,
  hasOwn,
  isExtensible,
  ownKeys,
  seal,
} from '../primordials.ts'
import { leaveGlobalOpen, leaveOpen, type Members } from './open.ts'
import { refusal } from './refusals.ts'

/** Objects with properties that stand behind accessors or stay open. */
export const guarded = new Set<object>([Error])
/** What is protected and not fast yet; see `makeFast`. */
const slow: object[] = []

/** Makes an object's properties, and its methods, unchangeable. Heirs may still have properties of the same names assigned. */
export function protect(object: object): void {
  let assignable = false
  for (const key of ownKeys(object)) {
    const descriptor = getOwnPropertyDescriptor(object, key) as PropertyDescriptor
    protectValue(key, descriptor)
    if (!isAssignable(descriptor)) continue
    defineProperty(object, key, overridable(object, key, descriptor.value))
    assignable = true
  }
  freeze(object)
  if (assignable) noteGuarded(object)
}

/** The same, but that the properties in `open` stay writable. */
export function protectAround(object: object, open: readonly PropertyKey[]): void {
  const changes = create(null) as Record<PropertyKey, PropertyDescriptor>
  for (const key of ownKeys(object)) {
    const descriptor = getOwnPropertyDescriptor(object, key) as PropertyDescriptor
    protectValue(key, descriptor)
    if (open.includes(key)) leaveOpen(object, key, descriptor)
    else changes[key] = isAssignable(descriptor) ? overridable(object, key, descriptor.value) : locked(descriptor)
  }
  // One call, since V8 lays `Array.prototype` out anew whenever code uses an array after a definition, at a cost in time and garbage.
  defineProperties(object, changes)
  // A definition of an open property would switch off V8's fast paths, as an assignment does. This makes it unconfigurable without.
  seal(object)
  noteGuarded(object)
}

function noteGuarded(object: object): void {
  guarded.add(object)
  slow.push(object)
}

/** What code cannot assign in Node.js either stays as it is. */
const isAssignable = ({ writable, configurable }: PropertyDescriptor): boolean => writable === true && configurable === true

const locked = ({ get, set }: PropertyDescriptor): PropertyDescriptor =>
  get === undefined && set === undefined ? { writable: false, configurable: false } : { configurable: false }

/** Freezes what is behind a property. */
function protectValue(key: PropertyKey, descriptor: PropertyDescriptor): void {
  const { value } = descriptor
  // A class has members of its own to protect.
  if (key === 'constructor' && typeof value === 'function' && value !== Error && isExtensible(value)) protect(value)
  // The prototype of `Function` is a function as well. It has more to protect, like any other prototype.
  if (key !== 'prototype') freezeFunctions(descriptor)
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
function overridable(object: object, key: PropertyKey, value: unknown): PropertyDescriptor {
  const standIn = () => value
  // A method, because other functions have prototypes, which would have to be frozen as well.
  const { set } = {
    set(this: object, own: unknown): void {
      if (this === object) refuseOther(object, key, value, own)
      else if (hasOwn(this, key)) (this as Members)[key] = own
      else defineProperty(this, key, { value: own, writable: true, enumerable: true, configurable: true })
    },
  }
  return { get: freeze(standIn), set: freeze(set), configurable: false }
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
  const descriptor = getOwnPropertyDescriptor(object, key) as PropertyDescriptor
  if (descriptor.configurable) defineProperty(object, key, locked(descriptor))
}

/** Makes every property that the global object has now unchangeable, though V8's own may be assigned for now. */
export function lockGlobals(): void {
  for (const key of ownKeys(globalThis)) {
    const { value, writable, configurable } = getOwnPropertyDescriptor(globalThis, key) as PropertyDescriptor
    if (writable && configurable && value !== globalThis) leaveGlobalOpen(key)
    else lock(globalThis, key)
  }
}
