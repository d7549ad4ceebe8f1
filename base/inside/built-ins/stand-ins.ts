/** Functions in the place of native ones. */
import { defineProperty, getOwnPropertyDescriptor, ownKeys } from '../primordials.ts'

/**
 * Makes a function look like a native one: it has the same name and length, and a bound function shows no source, as native functions show none. Packages
 * look. It gets no `this`.
 */
export function shownAs<T extends (...values: never[]) => unknown>(native: T, by: (...values: never[]) => unknown): T {
  const bound = by.bind(undefined)
  defineProperty(bound, 'name', { value: native.name })
  defineProperty(bound, 'length', { value: native.length })
  return bound as T
}

/**
 * A class in the place of a native one. It has the same static members and the same prototype, so `instanceof` does not tell their instances apart.
 * @param make is called with `new`, or as a function, in the place of the native one; its `new.target` is itself when there is no subclass
 */
export function classShownAs<T extends DateConstructor | WeakRefConstructor | FinalizationRegistryConstructor>(
  native: T,
  make: (...values: never[]) => unknown,
): T {
  const { prototype } = native
  const standIn = shownAs(native as unknown as () => unknown, make) as unknown as T
  for (const key of ownKeys(native)) {
    const descriptor = getOwnPropertyDescriptor(native, key) as PropertyDescriptor
    if (key !== 'name' && key !== 'length') defineProperty(standIn, key, descriptor)
  }
  defineProperty(make, 'prototype', { value: prototype, writable: false })
  defineProperty(prototype, 'constructor', { value: standIn })
  return standIn
}
