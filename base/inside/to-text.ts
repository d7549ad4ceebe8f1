/** Values as text. Whatever a module has thrown or logged may run code of the module when it is looked at, so nothing here throws. */
import { limits } from './host.ts'
import { stringify } from './primordials.ts'

const UNPRINTABLE = '[unprintable]'

/** The value as `console` and logs show it: an error with its stack, an object as JSON. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  try {
    if (value instanceof Error) return String(value.stack ?? value.message)
    return typeof value === 'object' && value !== null ? (stringify(value) ?? String(value)) : String(value)
  } catch {
    // A cycle, or a value whose own conversion throws, still gets a line.
    return UNPRINTABLE
  }
}

/** The message of an error, cut to `limits.logLineChars`. */
export function messageOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown).slice(0, limits.logLineChars)
  } catch {
    return UNPRINTABLE
  }
}

/** The stack of an error, cut to `limits.logLineChars`. A value that is no error has none. */
export function stackOf(thrown: unknown): { stack?: string } {
  try {
    return thrown instanceof Error ? { stack: `${thrown.stack}`.slice(0, limits.logLineChars) } : {}
  } catch {
    return {}
  }
}

/** The name of an error. It is empty for a value that is no error. */
export function nameOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? thrown.name : ''
  } catch {
    return ''
  }
}

/** What kind of value it is, for messages: `null`, `undefined` or `a` with its type. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'undefined'
  return `a ${typeof value}`
}
