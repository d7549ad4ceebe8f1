/** How an object becomes unchangeable without breaking the ordinary code that inherits from it. */
import { defineProperty, freeze, getOwnPropertyDescriptor, hasOwn, ownKeys } from '../primordials.ts'

export type Members = Record<PropertyKey, unknown>

/** Makes an object's properties, and its methods, unchangeable. Heirs may still have the `assignable` ones assigned. */
export function protect(object: object, assignable: readonly PropertyKey[] = []): void {
  for (const key of ownKeys(object)) freezeMember(object, key)
  for (const key of assignable) allowOverride(object, key)
  freeze(object)
}

export function freezeMember(object: object, key: PropertyKey): void {
  const { value, get, set } = getOwnPropertyDescriptor(object, key) as PropertyDescriptor
  if (typeof value === 'function' && value !== Error) freeze(value)
  if (get !== undefined) freeze(get)
  if (set !== undefined) freeze(set)
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

/** Makes one property unchangeable, for objects that cannot be frozen as a whole. */
export function lock(object: object, key: PropertyKey): void {
  const { get, configurable } = getOwnPropertyDescriptor(object, key) as PropertyDescriptor
  if (configurable) defineProperty(object, key, get === undefined ? { writable: false, configurable: false } : { configurable: false })
}

/** Makes every property that the global object has now unchangeable. */
export function lockGlobals(): void {
  for (const key of ownKeys(globalThis)) lock(globalThis, key)
}
