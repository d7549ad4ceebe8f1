/**
 * `RegExp.prototype` cannot be frozen: any change to it, freezing included, switches V8's fast paths off for every regular expression
 * (`split` 19 times slower, `replace` 12 times). Its methods are frozen as objects; what modules put on it is found and undone.
 */
import { deleteProperty, getOwnPropertyDescriptor, getPrototypeOf, ownKeys, setPrototypeOf } from '../primordials.ts'
import { freezeFunctions } from './protect.ts'

export interface Mended {
  readonly changed: readonly string[]
  /** Whether all is as it was. If not, only a new isolate helps. */
  readonly complete: boolean
}

export const regExpPrototype: object = RegExp.prototype
const keys = ownKeys(regExpPrototype)
const parent = getPrototypeOf(regExpPrototype) as object
const descriptors = keys.map(key => getOwnPropertyDescriptor(regExpPrototype, key) as PropertyDescriptor)
const members = keys.map(member)

function member(key: PropertyKey): unknown {
  const { value, get } = getOwnPropertyDescriptor(regExpPrototype, key) ?? {}
  return get ?? value
}

export function protectRegExpMethods(): void {
  for (const descriptor of descriptors) freezeFunctions(descriptor)
}

/** Undoes changes to `RegExp.prototype`. Returns undefined, after about a microsecond, when there were none. */
export function mendRegExp(): Mended | undefined {
  const changed: PropertyKey[] = keys.filter((key, i) => member(key) !== members[i])
  const keysNow = ownKeys(regExpPrototype)
  const moved = getPrototypeOf(regExpPrototype) !== parent
  if (changed.length === 0 && keysNow.length === keys.length && !moved) return undefined
  const added = keysNow.filter(key => !keys.includes(key))
  let complete = setPrototypeOf(regExpPrototype, parent)
  for (const key of added) complete = deleteProperty(regExpPrototype, key) && complete
  keys.forEach((key, i) => {
    complete = Reflect.defineProperty(regExpPrototype, key, descriptors[i] as PropertyDescriptor) && complete
  })
  return { changed: [...changed, ...added].map(String), complete }
}
