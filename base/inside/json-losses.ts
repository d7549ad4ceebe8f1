/** What a value silently loses when it becomes JSON: JSON has no promises, maps, `undefined` or `NaN`, and says nothing about them. */
import { getPrototypeOf, keys, ownKeys } from './primordials.ts'

export interface Loss {
  /** JSON pointer to the value, such as `/rows/0/score`; empty for the whole. */
  readonly path: string
  /** What the value was, what became of it, and what to do: the end of a sentence that begins with the path. */
  readonly text: string
  /** The same for what all items of a list lose alike. */
  readonly key: string
}

/** Levels that are looked at. What is deeper is rare, and a walk without a bound could exceed the stack. */
const DEPTH_MAX = 64

/**
 * What `root` loses, each kind of place once. Nothing is changed, but getters of the value may run.
 * @param valuesMax how many values are looked at; those after them are not
 */
export function lossesIn(root: unknown, valuesMax: number): Loss[] {
  const found: Loss[] = []
  const path: (string | number)[] = []
  let left = valuesMax
  const enter = (key: string | number, value: unknown) => {
    path.push(key)
    visit(value, typeof key === 'number')
    path.pop()
  }
  const visit = (value: unknown, inList: boolean): void => {
    if (--left < 0) return
    const text = lossOf(value, inList)
    if (text !== undefined) {
      const key = `${pointer(path, step => (typeof step === 'number' ? '*' : step))} ${text}`
      if (!found.some(loss => loss.key === key)) found.push({ path: pointer(path, String), text, key })
    } else if (typeof value === 'object' && value !== null && path.length < DEPTH_MAX && !hasToJson(value)) {
      if (Array.isArray(value)) for (let i = 0; i < value.length && left > 0; i++) enter(i, value[i])
      else for (const key of keys(value)) if (left > 0) enter(key, (value as Record<string, unknown>)[key])
    }
  }
  visit(root, false)
  return found
}

function pointer(path: readonly (string | number)[], shown: (key: string | number) => string): string {
  return path.map(key => `/${shown(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

function lossOf(value: unknown, inList: boolean): string | undefined {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? undefined : `is ${value}, which became null: check how it is computed, or use null`
    case 'undefined':
      return inList
        ? 'is undefined, which became null: filter it out, or use null'
        : 'is undefined and was left out: leave it out, or use null'
    case 'function':
    case 'symbol':
      return `is a ${typeof value}, which ${inList ? 'became null' : 'was left out'}: return data`
    default:
      return typeof value === 'object' && value !== null ? lossOfObject(value) : undefined
  }
}

/** What to do with instances of classes that JSON does not know. */
const instead: Readonly<Record<string, string>> = {
  Promise: 'await it',
  Map: 'use Object.fromEntries(map) or [...map]',
  Set: 'use [...set]',
  RegExp: 'use its source',
}

function lossOfObject(value: object): string | undefined {
  if (value instanceof Date)
    return Number.isNaN(value.getTime()) ? 'is an invalid date, which became null: check what it is made from' : undefined
  if (Array.isArray(value) || hasToJson(value)) return undefined
  const name = classOf(value)
  if (ArrayBuffer.isView(value)) return `is a ${name}, which became an object, not a list: use Array.from(array)`
  if (value instanceof Error) return `is an error (${name}), which lost its message: use error.message`
  return isHollow(value) ? `is a ${name}, which became {}: ${instead[name] ?? 'return a plain object'}` : undefined
}

/** Whether an object has state or methods of a class, and no member that JSON would keep. */
function isHollow(value: object): boolean {
  const prototype = getPrototypeOf(value)
  if (prototype === null || prototype === Object.prototype || keys(value).length > 0) return false
  const isBoxed = value instanceof Number || value instanceof String || value instanceof Boolean
  // A class without methods and members has nothing to lose.
  return !isBoxed && ownKeys(prototype).length > 1
}

const hasToJson = (value: object): boolean => 'toJSON' in value && typeof value.toJSON === 'function'

function classOf(value: object): string {
  const { constructor: maker } = value
  return typeof maker === 'function' && maker.name !== '' ? maker.name : 'object of a class'
}
