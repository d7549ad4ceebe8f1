/**
 * What stays writable, because V8 would become slow otherwise. What modules change there is found after each turn and undone.
 *
 * - `RegExp.prototype`: any change to it, freezing included, switches V8's fast paths off for every regular expression (`split` 19 times slower,
 *   `replace` 12 times).
 * - `constructor` and `Symbol.iterator` of arrays, `next` of their iterators, `constructor` of typed arrays: they must be plain properties, or
 *   `slice` of an array takes 13 times as long and spreading one 14 times. As read-only ones they could not be assigned on heirs, which every old
 *   style subclass does. `length` of `Array.prototype` cannot become an accessor.
 *
 * While modules are loaded, the globals that V8 has as plain properties are open too: polyfills assign them the value that they have, and behind
 * accessors `Math.floor` would take twice as long.
 */
import {
  defineProperty,
  deleteProperty,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  ownKeys,
  set,
  setPrototypeOf,
  tryToDefine,
} from '../primordials.ts'
import { memberName } from './refusals.ts'

export type Members = Record<PropertyKey, unknown>

export interface Mended {
  /** Names such as `RegExp.prototype.exec`. */
  readonly changed: readonly string[]
  /** Whether all is as it was. If not, only a new isolate helps. */
  readonly complete: boolean
}

interface OpenMember {
  readonly object: Members
  readonly key: PropertyKey
  readonly value: unknown
}

const openMembers: OpenMember[] = []
const openKeys = new Map<object, PropertyKey[]>()

/** Lets a global be assigned until `closeGlobals`. */
export function leaveGlobalOpen(key: PropertyKey): void {
  defineProperty(globalThis, key, { configurable: false })
  openMembers.push({ object: globalThis as Members, key, value: (globalThis as Members)[key] })
}

/** Runs once all modules are loaded. Changes must have been undone before. */
export function closeGlobals(): void {
  const others = openMembers.filter(({ object }) => object !== globalThis)
  for (const { object, key } of openMembers) if (object === globalThis) defineProperty(object, key, { writable: false })
  openMembers.splice(0, openMembers.length, ...others)
}

/** Notes a property that can be assigned, though neither deleted nor made an accessor. */
export function leaveOpen(object: object, key: PropertyKey, { value, configurable }: PropertyDescriptor): void {
  // Packages may set `Error.stackTraceLimit` for good.
  if (object !== Error) openMembers.push({ object: object as Members, key, value })
  if (!configurable) return
  const keys = openKeys.get(object)
  if (keys === undefined) openKeys.set(object, [key])
  else keys.push(key)
}

/** Whether a property was left open that code in Node.js can also define anew. */
export const isOpen = (object: object, key: PropertyKey): boolean => openKeys.get(object)?.includes(key) === true

export const regExpPrototype: object = RegExp.prototype
const keys = ownKeys(regExpPrototype)
const parent = getPrototypeOf(regExpPrototype) as object
const descriptors = keys.map(key => getOwnPropertyDescriptor(regExpPrototype, key) as PropertyDescriptor)

/** Undoes changes to what is open. Returns undefined, after about a microsecond, when there were none. */
export function mendOpen(): Mended | undefined {
  // These come first, because the code below uses arrays.
  const members = mendMembers()
  const regExp = mendRegExp()
  if (regExp === undefined || members === undefined) return regExp ?? members
  return { changed: [...members.changed, ...regExp.changed], complete: members.complete && regExp.complete }
}

/** What was put back and has not been returned by `mendMembers`. */
let putBackSoFar: OpenMember[] = []
let complete = true

/** Puts back what was changed, but on `RegExp.prototype`. Code that uses arrays may need that before the turn ends. */
export function putBack(): void {
  for (let i = 0; i < openMembers.length; i++) {
    const member = openMembers[i] as OpenMember
    const { object, key, value } = member
    if (object[key] === value) continue
    putBackSoFar.push(member)
    complete = set(object, key, value) && complete
  }
}

/** The same as `mendOpen`, but for `RegExp.prototype`. */
export function mendMembers(): Mended | undefined {
  putBack()
  if (putBackSoFar.length === 0) return undefined
  const changed = putBackSoFar.map(({ object, key }) => memberName(object, key))
  putBackSoFar = []
  return { changed, complete }
}

function mendRegExp(): Mended | undefined {
  const keysNow = ownKeys(regExpPrototype)
  const moved = getPrototypeOf(regExpPrototype) !== parent
  let changed: PropertyKey[] | undefined
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as PropertyKey
    if (isAsItWas(key, descriptors[i] as PropertyDescriptor)) continue
    changed ??= []
    changed.push(key)
  }
  if (changed === undefined && keysNow.length === keys.length && !moved) return undefined
  const added = keysNow.filter(key => !keys.includes(key))
  let complete = setPrototypeOf(regExpPrototype, parent)
  for (const key of added) complete = deleteProperty(regExpPrototype, key) && complete
  keys.forEach((key, i) => {
    complete = tryToDefine(regExpPrototype, key, descriptors[i] as PropertyDescriptor) && complete
  })
  return { changed: [...(changed ?? []), ...added].map(key => memberName(regExpPrototype, key)), complete }
}

function isAsItWas(key: PropertyKey, { value, get }: PropertyDescriptor): boolean {
  const now = getOwnPropertyDescriptor(regExpPrototype, key)
  return now !== undefined && now.value === value && now.get === get
}
