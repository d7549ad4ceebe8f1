import { defineProperty, freeze, getPrototypeOf, ownKeys } from '../primordials.ts'
import { protectChain, protectClass } from './classes.ts'
import { type Members, protect } from './protect.ts'

/** `Intl` is protected just before it is handed out for the first time, because it is large and few modules use it. */
export function protectIntlOnUse(): void {
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
