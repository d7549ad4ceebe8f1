/** `structuredClone` as in the HTML standard, for the types there are in a slot. */
import { domException } from './tools.ts'

type Brand = (value: object) => void
const { defineProperty, getPrototypeOf, hasOwn, keys } = Object

function getterOf(prototype: object, key: PropertyKey): (this: unknown) => unknown {
  return Object.getOwnPropertyDescriptor(prototype, key)?.get as (this: unknown) => unknown
}

const bufferLength = getterOf(ArrayBuffer.prototype, 'byteLength')
const mapSize = getterOf(Map.prototype, 'size')
const setSize = getterOf(Set.prototype, 'size')
const regExpSource = getterOf(RegExp.prototype, 'source')
const regExpFlags = getterOf(RegExp.prototype, 'flags')
const viewTag = getterOf(getPrototypeOf(Int8Array.prototype), Symbol.toStringTag)
const errorNames = ['EvalError', 'RangeError', 'ReferenceError', 'SyntaxError', 'TypeError', 'URIError']
const globals = globalThis as Record<string, unknown>

/** Each function throws unless the value has the internal slots of that type, whatever its tag and prototype are. */
const brands = {
  Map: value => mapSize.call(value),
  Set: value => setSize.call(value),
  Date: value => Date.prototype.getTime.call(value),
  RegExp: value => value !== RegExp.prototype && regExpSource.call(value),
  ArrayBuffer: value => bufferLength.call(value),
  Boolean: value => Boolean.prototype.valueOf.call(value),
  Number: value => Number.prototype.valueOf.call(value),
  String: value => String.prototype.valueOf.call(value),
  BigInt: value => BigInt.prototype.valueOf.call(value),
  Symbol: value => Symbol.prototype.valueOf.call(value),
  WeakMap: value => WeakMap.prototype.has.call(value, value),
  WeakSet: value => WeakSet.prototype.has.call(value, value),
  WeakRef: value => WeakRef.prototype.deref.call(value),
  Promise: value => {
    // No method of the promise is called: its `then` could be a function of the module.
    if (!(value instanceof Promise)) throw new TypeError('not a promise')
  },
} satisfies Record<string, Brand>
type Kind = keyof typeof brands
const kinds = keys(brands) as Kind[]

function is(kind: Kind, value: object): boolean {
  try {
    brands[kind](value)
    return true
  } catch {
    return false
  }
}

/** The type of a value that is no plain object. Its tag is only a guess, since classes can change it, so its internal slots confirm it. */
function kindOf(value: object): Kind | undefined {
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  if (tag === 'Object') return undefined
  return hasOwn(brands, tag) && is(tag as Kind, value) ? (tag as Kind) : kinds.find(kind => is(kind, value))
}

function refuse(value: unknown): Error {
  const shown = typeof value === 'function' ? (value.name === '' ? '(anonymous)' : value.name) : describe(value)
  return domException(`${shown} could not be cloned.`, 'DataCloneError')
}

function describe(value: unknown): string {
  return typeof value === 'symbol' ? String(value) : `#<${Object.prototype.toString.call(value).slice(8, -1)}>`
}

class Cloner {
  /** Copies by their originals: an object that occurs twice, or within itself, is copied once. */
  readonly #copies = new Map<object, object>()

  seed(original: object, copy: object): void {
    this.#copies.set(original, copy)
  }

  copy(value: unknown): unknown {
    if (typeof value === 'symbol' || typeof value === 'function') throw refuse(value)
    if (typeof value !== 'object' || value === null) return value
    const known = this.#copies.get(value)
    if (known !== undefined) return known
    if (Array.isArray(value)) return this.#members(value, this.#begin(value, new Array(value.length)))
    if (ArrayBuffer.isView(value)) return this.#view(value)
    const kind = kindOf(value)
    if (kind !== undefined) return this.#special(kind, value)
    if (isError(value)) return this.#error(value)
    return this.#members(value, this.#begin(value, {}))
  }

  #begin<T extends object>(original: object, copy: T): T {
    this.#copies.set(original, copy)
    return copy
  }

  #members(value: object, copy: object): object {
    for (const key of keys(value)) {
      // A getter that ran before may have deleted it.
      if (!hasOwn(value, key)) continue
      const member = this.copy((value as Record<string, unknown>)[key])
      defineProperty(copy, key, { value: member, writable: true, enumerable: true, configurable: true })
    }
    return copy
  }

  #view(view: ArrayBufferView): object {
    const buffer = this.copy(view.buffer) as ArrayBuffer
    if (view instanceof DataView) return this.#begin(view, new DataView(buffer, view.byteOffset, view.byteLength))
    const type = globals[viewTag.call(view) as string] as typeof Uint8Array
    return this.#begin(view, new type(buffer, view.byteOffset, (view as Uint8Array).length))
  }

  #special(kind: Kind, value: object): object {
    switch (kind) {
      case 'Map': {
        const copy = this.#begin(value, new Map())
        for (const [key, member] of [...Map.prototype.entries.call(value)]) copy.set(this.copy(key), this.copy(member))
        return copy
      }
      case 'Set': {
        const copy = this.#begin(value, new Set())
        for (const member of [...Set.prototype.values.call(value)]) copy.add(this.copy(member))
        return copy
      }
      case 'Date':
        return this.#begin(value, new Date(Date.prototype.getTime.call(value)))
      case 'RegExp':
        return this.#begin(value, new RegExp(regExpSource.call(value) as string, regExpFlags.call(value) as string))
      case 'ArrayBuffer':
        return this.#begin(value, ArrayBuffer.prototype.slice.call(value, 0))
      case 'Boolean':
      case 'Number':
      case 'String':
      case 'BigInt':
        return this.#begin(value, Object((globals[kind] as typeof Number).prototype.valueOf.call(value)))
      default:
        throw refuse(value)
    }
  }

  #error(error: Error): Error {
    const name = String(error.name)
    const type = (errorNames.includes(name) ? globals[name] : Error) as ErrorConstructor
    const copy = this.#begin(error, new type())
    const hidden = (key: string, value: unknown) =>
      defineProperty(copy, key, { value, writable: true, configurable: true, enumerable: false })
    for (const key of ['stack', 'message'] as const) if (hasOwn(error, key)) hidden(key, String(error[key]))
    if (hasOwn(error, 'cause')) hidden('cause', this.copy(error.cause))
    return copy
  }
}

function isError(value: object): value is Error {
  return Error.isError(value)
}

function structuredClone(...args: [value?: unknown, options?: { readonly transfer?: Iterable<object> } | null]): unknown {
  if (args.length === 0) throw new TypeError('The "value" argument must be specified')
  // A transferred buffer is copied: buffers that move escape the memory limit of the slot.
  for (const object of args[1]?.transfer ?? []) if (!is('ArrayBuffer', object)) throw refuse(object)
  return new Cloner().copy(args[0])
}

export default { structuredClone }
