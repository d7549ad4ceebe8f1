/**
 * Protects some built-ins just before they are handed out for the first time, because protecting them costs time or memory and few modules use
 * them. Nothing but their globals leads to them.
 */
import { defineProperty, freeze, getPrototypeOf, ownKeys } from '../primordials.ts'
import { protectChain, protectClass } from './classes.ts'
import { dateOf, replaceFormats } from './dates.ts'
import { type Members, putBack } from './open.ts'
import { makeFast, protect, protectAround, refuseOther } from './protect.ts'
import { madeGlobals } from './refusals.ts'
import { watched } from './weak.ts'

const typedArrays = [
  ...(['Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array'] as const),
  ...(['BigInt64Array', 'BigUint64Array', 'Float16Array', 'Float32Array', 'Float64Array'] as const),
]
const classes = ['AsyncDisposableStack', 'DataView', 'DisposableStack', 'WeakMap', 'WeakSet'] as const
export const protectedOnUse: readonly string[] = ['Intl', 'Date', 'FinalizationRegistry', 'WeakRef', ...classes, ...typedArrays]

export function protectOnUse(): void {
  protectLater('Intl', Intl, protectIntl)
  protectLater('Date', Date, protectClass, dateOf)
  protectLater('FinalizationRegistry', FinalizationRegistry, protectClass, watched)
  protectLater('WeakRef', WeakRef, protectClass, watched)
  for (const name of classes) protectLater(name, globalThis[name], protectClass)
  for (const name of typedArrays) protectLater(name, globalThis[name], protectTypedArray)
}

/** @param replace gives what is handed out in the place of the native value */
function protectLater<T extends object>(name: string, native: T, protectValue: (value: T) => void, replace = (value: T) => value): void {
  defineGlobal(name, () => {
    putBack()
    const value = replace(native)
    protectValue(value)
    makeFast()
    return value
  })
}

/** Makes a global whose value is made when it is first read. It may be assigned the value that it has, as polyfills do, and no other. */
export function defineGlobal(name: string, make: () => unknown): void {
  let value: unknown
  const standIn = () => {
    if (value === undefined) {
      value = make()
      madeGlobals.set(standIn, value)
    }
    return value
  }
  const set = (own: unknown) => refuseOther(globalThis, name, standIn(), own)
  defineProperty(globalThis, name, { get: freeze(standIn), set: freeze(set), enumerable: false, configurable: false })
}

/** Any of them leads to what all of them inherit from. */
function protectTypedArray(type: { readonly prototype: object }): void {
  protectAround(type.prototype, ['constructor'])
  protect(type)
  protectChain(getPrototypeOf(type))
}

function protectIntl(namespace: typeof Intl): void {
  replaceFormats(namespace)
  for (const key of ownKeys(namespace)) {
    const member = (namespace as Members)[key]
    if (typeof member === 'function' && 'prototype' in member) protectClass(member as { prototype?: object })
  }
  protect(namespace)
  const segments = new namespace.Segmenter().segment('')
  for (const unnamed of [segments, segments[Symbol.iterator]()]) protectChain(getPrototypeOf(unnamed))
}
