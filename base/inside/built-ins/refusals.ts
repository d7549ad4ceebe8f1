/** The error for code that tries to change a built-in, and the names in it. */
import { getOwnPropertyDescriptor, hasOwn, ownKeys } from '../primordials.ts'

/** The values of the globals that are made when they are first read, by their getters, once they are made. */
export const madeGlobals = new Map<unknown, unknown>()

/** The error for a change of a property of a built-in. */
export function refusal(object: object, key: PropertyKey): TypeError {
  // What to do instead is in base/kernel/missing-globals.ts, beside the advice on what V8 refuses by itself.
  return new TypeError(`Cannot change ${memberName(object, key)}: the modules of a version share the built-ins, so none may change them`)
}

/** For example `Array.prototype.map`, or `the global fetch`. */
export function memberName(object: object, key: PropertyKey): string {
  const owner = nameOf(object) ?? ownNameOf(object)
  if (typeof key === 'symbol') return `${owner}[${key.description ?? ''}]`
  return owner === 'globalThis' ? `the global ${String(key)}` : `${owner}.${String(key)}`
}

/** What a built-in without a global calls itself. */
function ownNameOf(object: object): string {
  if (typeof object === 'function') return object.name
  if (hasOwn(object, Symbol.toStringTag)) return String((object as { readonly [Symbol.toStringTag]: unknown })[Symbol.toStringTag])
  return hasOwn(object, 'constructor') ? `${object.constructor.name}.prototype` : 'a built-in'
}

/** The name by which code reaches a built-in; undefined when no global leads to it. It is searched for, since hardly any slot needs a name. */
export function nameOf(object: object): string | undefined {
  if (object === globalThis) return 'globalThis'
  for (const key of ownKeys(globalThis)) {
    const { value, get, configurable } = getOwnPropertyDescriptor(globalThis, key) as PropertyDescriptor
    // It is a global of a module, since those that a slot has are locked.
    if (configurable) continue
    const known = get === undefined ? value : madeGlobals.get(get)
    if (known === object) return String(key)
    if (typeof known === 'function' && known.prototype === object) return `${String(key)}.prototype`
  }
  return undefined
}
