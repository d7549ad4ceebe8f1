/** Takes away what gets memory that no limit meters, and what costs every slot memory for the sake of a few modules. */
import { construct, defineProperty, deleteProperty, freeze, getOwnPropertyDescriptor, ownKeys } from '../primordials.ts'

/** Runs before the built-ins are protected. */
export function removeUnmetered(): void {
  for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics']) deleteProperty(globalThis, name)
  // V8 makes all of it when either is so much as looked at. That costs a fifth of a millisecond and 48 KB.
  deleteProperty(globalThis, 'Temporal')
  deleteProperty(Date.prototype, 'toTemporalInstant')
  // A slot has a console of its own, so there is no use in protecting this one.
  deleteProperty(globalThis, 'console')
  boundArrayBuffer()
}

/** Puts a constructor in the place of `ArrayBuffer` that takes no options: `maxByteLength` reserves memory that no limit meters. */
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
  defineProperty(Bound, 'isView', { value: Native.isView, writable: true, configurable: true })
  const species = getOwnPropertyDescriptor(Native, Symbol.species)
  if (species !== undefined) defineProperty(Bound, Symbol.species, species)
  defineProperty(prototype, 'constructor', { value: Bound })
  defineProperty(globalThis, 'ArrayBuffer', { value: Bound })
  freeze(Native)
}
