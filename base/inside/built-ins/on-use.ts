/**
 * Protects some built-ins just before they are handed out for the first time, because protecting them costs time or memory and few modules use
 * them. Nothing but their globals leads to them.
 */
import { defineProperty, freeze, getPrototypeOf, ownKeys } from '../primordials.ts'
import { protectChain, protectClass } from './classes.ts'
import { type Members, putBack } from './open.ts'
import { makeFast, protect, protectAround, refuseOther } from './protect.ts'
import { madeGlobals } from './refusals.ts'

const typedArrays = [
  ...(['Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array'] as const),
  ...(['BigInt64Array', 'BigUint64Array', 'Float16Array', 'Float32Array', 'Float64Array'] as const),
]
const classes = [
  'AsyncDisposableStack',
  'DataView',
  'Date',
  'DisposableStack',
  'FinalizationRegistry',
  'WeakMap',
  'WeakRef',
  'WeakSet',
] as const
export const protectedOnUse: readonly string[] = ['Intl', ...classes, ...typedArrays]

export function protectOnUse(): void {
  protectLater('Intl', Intl, protectIntl)
  for (const name of classes) protectLater(name, globalThis[name], protectClass)
  for (const name of typedArrays) protectLater(name, globalThis[name], protectTypedArray)
}

function protectLater<T extends object>(name: string, value: T, protectValue: (value: T) => void): void {
  defineGlobal(name, () => {
    putBack()
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
  for (const key of ownKeys(namespace)) {
    const member = (namespace as Members)[key]
    if (typeof member === 'function' && 'prototype' in member) protectClass(member as { prototype?: object })
  }
  protect(namespace)
  const segments = new namespace.Segmenter().segment('')
  for (const unnamed of [segments, segments[Symbol.iterator]()]) protectChain(getPrototypeOf(unnamed))
}
