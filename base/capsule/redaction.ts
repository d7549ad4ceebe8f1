/**
 * Takes personal data out of what was captured, before it leaves the cell. A scene names it by JSON pointers, which hold in every JSON of the request: body,
 * parameters, calls, replies, answer, fields of log lines. What was taken out goes wherever else it stands: as a value, and within texts, such as a URL. A body
 * that is no JSON goes as a whole, since nobody can say what stands where in it.
 */
import { isUtf8 } from 'node:buffer'
import { CALL_STRIDE, REQUEST_STRIDE, SETTLED_STRIDE } from '../inside/protocol.ts'
import { pointerPath } from '../traffic/pointer.ts'
import type { Params } from '../traffic/schema.ts'
import type { Capsule, Captured, CapturedAnswer, Entry } from './capsule.ts'

/** What stands in the place of a text. Values of other types become the empty value of their type, so that modules still find what they expect. */
export const REDACTED = '[redacted]'

/** Shorter values are everywhere: to take them out would make nonsense of what is left. */
const TELLING_CHARS_MIN = 4
/**
 * When more values were taken out, free texts are taken out as a whole, and within a JSON only whole values go: to search each text for so many would hold up
 * the cell.
 */
const SOUGHT_MAX = 64

/** What bytes have before them in entries. */
const BYTES = 'base64:'

export interface Pointer {
  readonly text: string
  readonly path: readonly string[]
}

/** @param pointers as in the settings of the scene */
export const compilePointers = (pointers: readonly string[]): Pointer[] =>
  pointers.map(pointer => ({ text: pointer, path: pointerPath(pointer) }))

/** The same without what the pointers name. When they name nothing in it, it is the very same object. */
export function redact(captured: Captured, pointers: readonly Pointer[]): Captured {
  if (pointers.length === 0) return captured
  const redaction = new Redaction(pointers)
  const found = redaction.overCaptured(captured)
  if (redaction.used.size === 0) return captured
  redaction.isSeeking = true
  const { entries, capsule } = redaction.overCaptured(found)
  return {
    ...captured,
    // Short texts could be guessed from the digest of what was said.
    entries: entries.map(entry => ({ ...entry, said: '' })),
    capsule: { ...capsule, redacted: [...redaction.used] },
  }
}

/** Goes over what was captured twice: first it takes out what the pointers name, then what was taken out wherever else it stands. */
class Redaction {
  readonly used = new Set<string>()
  isSeeking = false
  readonly #pointers: readonly Pointer[]
  /** Whether a body was taken out as a whole. Messages may quote parts of it. */
  #isBodyGone = false
  /** The texts and numbers that were taken out, as texts. */
  readonly #taken = new Set<string>()

  constructor(pointers: readonly Pointer[]) {
    this.#pointers = pointers
  }

  overCaptured(captured: Captured): Captured {
    return { ...captured, entries: captured.entries.map(entry => this.#entry(entry)), capsule: this.#capsule(captured.capsule) }
  }

  #capsule(capsule: Capsule): Capsule {
    return {
      ...capsule,
      requestId: this.#name(capsule.requestId),
      unit: this.#name(capsule.unit),
      arms: capsule.arms.map(arm => ({ ...arm, values: this.#value(arm.values) as Params })),
      answer: this.#answer(capsule.answer),
      logs: capsule.logs.map(({ message, fields, ...line }) => ({
        ...line,
        message: this.#freeText(message),
        ...(fields !== undefined && { fields: String(this.#json(fields)) }),
      })),
    }
  }

  #answer(answer: CapturedAnswer): CapturedAnswer {
    if ('json' in answer) return { ...answer, json: String(this.#json(answer.json)) }
    return { failure: { ...answer.failure, message: this.#freeText(answer.failure.message) } }
  }

  #entry(entry: Entry): Entry {
    return { ...entry, values: this.#entered(entry), asked: entry.asked.map(post => this.#post(post)) }
  }

  #entered({ kind, values }: Entry): readonly unknown[] {
    if (kind === 'turn') return [values[0], this.#requests(values[1])]
    if (kind === 'settleCalls') return [everyNth(values[0], SETTLED_STRIDE, { 2: json => this.#json(json) })]
    if (kind !== 'settleFetch') return values
    const [callNo, head, body] = values
    return [callNo, this.#json(head), this.#json(body)]
  }

  #requests(values: unknown): readonly unknown[] {
    const changes = {
      0: (id: unknown) => this.#name(id),
      1: (body: unknown) => this.#body(body),
      2: (unit: unknown) => this.#name(unit),
      4: (params: unknown) => this.#json(params),
    }
    return everyNth(values, REQUEST_STRIDE, changes)
  }

  #post([kind, ...values]: readonly unknown[]): readonly unknown[] {
    if (kind === 'calls') return [kind, ...everyNth(values, CALL_STRIDE, { 4: input => this.#input(input) })]
    if (kind !== 'fetch') return [kind, ...values]
    const [callNo, requestNo, sure, method, head, body] = values
    return [kind, callNo, requestNo, sure, method, this.#json(head), ...(body === undefined ? [] : [this.#json(body)])]
  }

  /** The unit of a request may have been read from a place in its body that is taken out, with all its digits; and its id may be that unit. */
  #name<Name>(name: Name): Name | typeof REDACTED {
    if (!this.isSeeking || typeof name !== 'string' || name === '') return name
    return this.#taken.has(name) || this.#taken.has(String(Number(name))) ? REDACTED : name
  }

  #body(text: unknown): unknown {
    if (this.isSeeking || typeof text !== 'string' || isJson(text)) return this.#json(text)
    this.#isBodyGone = true
    for (const pointer of this.#pointers) this.used.add(pointer.text)
    return REDACTED
  }

  #json(text: unknown): unknown {
    return typeof text === 'string' && text.startsWith(BYTES) ? this.#bytes(text) : this.#text(text, value => this.#value(value))
  }

  /** Bytes as entries have them. They may be a text. */
  #bytes(base64: string): string {
    const bytes = Buffer.from(base64.slice(BYTES.length), 'base64')
    if (!isUtf8(bytes)) return base64
    const text = bytes.toString()
    const left = String(this.#text(text, value => this.#value(value)))
    return left === text ? base64 : BYTES + Buffer.from(left).toString('base64')
  }

  /** The input of a call. That of a service is the list of its arguments, in each of which the pointers hold as well. */
  #input(text: unknown): unknown {
    return this.#text(text, value => this.#value(Array.isArray(value) ? mapped(value, argument => this.#value(argument)) : value))
  }

  #text(text: unknown, change: (value: unknown) => unknown): unknown {
    if (typeof text !== 'string' || text === '') return text
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return this.#freeText(text)
    }
    const left = change(value)
    return left === value ? text : JSON.stringify(left)
  }

  #value(value: unknown): unknown {
    if (this.isSeeking) return this.#withoutTaken(value)
    let left = value
    for (const { text, path } of this.#pointers) {
      const before = left
      left = this.#without(left, path)
      if (left !== before) this.used.add(text)
    }
    return left
  }

  /** @returns the very same value when there is nothing at the path */
  #without(value: unknown, path: readonly string[], depth = 0): unknown {
    const member = path[depth]
    if (member === undefined) return this.#emptied(value)
    if (typeof value !== 'object' || value === null) return value
    return mapped(value, (inner, key) => (member === '*' || member === key ? this.#without(inner, path, depth + 1) : inner))
  }

  #emptied(value: unknown): unknown {
    if (typeof value === 'object' && value !== null) {
      for (const inner of Object.values(value)) this.#emptied(inner)
      return Array.isArray(value) ? [] : {}
    }
    if (typeof value === 'boolean') return false
    if (typeof value !== 'string' && typeof value !== 'number') return value
    for (const form of formsOf(String(value))) this.#taken.add(form)
    return typeof value === 'string' ? REDACTED : 0
  }

  #withoutTaken(value: unknown): unknown {
    if (typeof value === 'object' && value !== null)
      return mapped(
        value,
        inner => this.#withoutTaken(inner),
        key => this.#withoutParts(key),
      )
    if (typeof value === 'string') return this.#withoutParts(value)
    return typeof value === 'number' && this.#isTaken(String(value)) ? 0 : value
  }

  #isTaken(text: string): boolean {
    return text.length >= TELLING_CHARS_MIN && this.#taken.has(text)
  }

  #freeText(text: string): string {
    if (!this.isSeeking) return text
    return this.#isBodyGone || this.#taken.size > SOUGHT_MAX ? REDACTED : this.#withoutParts(text)
  }

  #withoutParts(text: string): string {
    if (this.#isTaken(text)) return REDACTED
    if (this.#taken.size > SOUGHT_MAX) return text
    let left = text
    for (const taken of this.#taken) if (taken.length >= TELLING_CHARS_MIN) left = left.replaceAll(taken, REDACTED)
    return left
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** A text as it stands by itself, in a URL, and in a JSON that is a text in another one. */
function formsOf(text: string): Set<string> {
  return new Set([text, JSON.stringify(text).slice(1, -1), ...(text.isWellFormed() ? [encodeURIComponent(text)] : [])])
}

/** A list of groups of so many values, with those at some places in each group changed. */
function everyNth(values: unknown, stride: number, changes: Readonly<Record<number, (value: unknown) => unknown>>): unknown[] {
  return (values as readonly unknown[]).map((value, i) => changes[i % stride]?.(value) ?? value)
}

/** A list or an object with other values, and other keys; the very same one when none of them is another. */
function mapped(value: object, change: (inner: unknown, key: string) => unknown, rename = (key: string) => key): object {
  const entries = Object.entries(value)
  const changed = entries.map(([key, inner]) => [Array.isArray(value) ? key : rename(key), change(inner, key)] as const)
  if (changed.every(([key, inner], i) => key === entries[i]?.[0] && inner === entries[i]?.[1])) return value
  return Array.isArray(value) ? changed.map(([, inner]) => inner) : Object.fromEntries(changed)
}
