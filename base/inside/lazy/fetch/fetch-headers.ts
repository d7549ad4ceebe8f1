/** `Headers` of the Fetch standard. */
import { isObject, TOKEN } from './values.ts'

export type Entries = [name: string, value: string][]

const { stringify } = JSON
const NO_VALUE = /[\0\n\r]|[^\0-\xff]/

function nameOf(name: unknown): string {
  const text = String(name)
  if (!TOKEN.test(text)) throw new TypeError(`Headers: ${stringify(text)} is not the name of a header`)
  return text.toLowerCase()
}

function cleaned(value: unknown): string {
  const text = String(value).replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, '')
  if (NO_VALUE.test(text)) throw new TypeError('Headers: a value may hold no line end, no NUL, and no character above U+00FF')
  return text
}

/** Makes headers that nobody can change. */
export let seal: (headers: Headers) => Headers

export class Headers {
  /** Values by lower-case name. Values of the same name are combined. */
  readonly #values = new Map<string, string>()
  /** Values of `set-cookie`. They are not combined, since a comma may be part of one. */
  readonly #cookies: string[] = []
  #sorted: Entries | undefined
  #sealed = false

  static {
    seal = headers => {
      headers.#sealed = true
      return headers
    }
  }

  constructor(init?: unknown) {
    if (init === undefined) return
    if (!isObject(init)) throw new TypeError('Headers: takes a record, or a list of pairs')
    for (const [name, value] of Symbol.iterator in init ? pairsIn(init as Iterable<unknown>) : Object.entries(init))
      this.append(name, value)
  }

  append(name: unknown, value: unknown): void {
    const [key, text] = [nameOf(name), cleaned(value)]
    this.#change()
    if (key === 'set-cookie') this.#cookies.push(text)
    else {
      const before = this.#values.get(key)
      this.#values.set(key, before === undefined ? text : `${before}, ${text}`)
    }
  }

  set(name: unknown, value: unknown): void {
    const [key, text] = [nameOf(name), cleaned(value)]
    this.#change()
    if (key === 'set-cookie') this.#cookies.splice(0, this.#cookies.length, text)
    else this.#values.set(key, text)
  }

  delete(name: unknown): void {
    const key = nameOf(name)
    this.#change()
    if (key === 'set-cookie') this.#cookies.length = 0
    else this.#values.delete(key)
  }

  get(name: unknown): string | null {
    const key = nameOf(name)
    if (key === 'set-cookie') return this.#cookies.length > 0 ? this.#cookies.join(', ') : null
    return this.#values.get(key) ?? null
  }

  getSetCookie(): string[] {
    return [...this.#cookies]
  }

  has(name: unknown): boolean {
    const key = nameOf(name)
    return key === 'set-cookie' ? this.#cookies.length > 0 : this.#values.has(key)
  }

  forEach(run: (value: string, name: string, headers: Headers) => unknown, self?: unknown): void {
    if (typeof run !== 'function') throw new TypeError('Headers.forEach takes a function')
    for (const [name, value] of this) run.call(self, value, name, this)
  }

  *entries(): Generator<[string, string]> {
    // The list is asked for anew each time: headers that are added meanwhile are part of the iteration, as the standard has it.
    for (let i = 0, pair = this.#list()[0]; pair !== undefined; pair = this.#list()[++i]) yield [...pair]
  }

  *keys(): Generator<string> {
    for (const [name] of this) yield name
  }

  *values(): Generator<string> {
    for (const [, value] of this) yield value
  }

  [Symbol.iterator](): Generator<[string, string]> {
    return this.entries()
  }

  get [Symbol.toStringTag](): string {
    return 'Headers'
  }

  #change(): void {
    if (this.#sealed) throw new TypeError('Headers: those of a response that was fetched cannot be changed')
    this.#sorted = undefined
  }

  #list(): Entries {
    this.#sorted ??= [...this.#values, ...this.#cookies.map((cookie): [string, string] => ['set-cookie', cookie])].sort(
      ([a], [b]) => Number(a > b) - Number(a < b),
    )
    return this.#sorted
  }
}

// The prototypes of generators are no members of the class, so they are not frozen with it.
for (const { prototype } of [Headers.prototype.entries, Headers.prototype.keys, Headers.prototype.values]) Object.freeze(prototype)

function* pairsIn(list: Iterable<unknown>): Generator<[unknown, unknown]> {
  for (const item of list) {
    const pair = isObject(item) && Symbol.iterator in item ? [...(item as Iterable<unknown>)] : []
    if (pair.length !== 2) throw new TypeError('Headers: each item of the list must be a pair of a name and a value')
    yield [pair[0], pair[1]]
  }
}
