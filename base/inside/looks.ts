/**
 * A closer look at some of the values that leave a slot, for faults that nothing else reports. All others cost one subtraction. What is found is
 * logged once per kind of place; in the tests of a module it is an error instead, and every value is looked at.
 */
import { limits } from './host.ts'
import { lossesIn } from './json-losses.ts'
import { keepLine, logLine } from './log-lines.ts'
import type { Request } from './open-request.ts'

/** Values of a kind that are looked at when a slot is new, and after those one in how many. */
const LOOKED_AT_FIRST = 16
const LOOKED_AT_EVERY = 1024
/** Values within a value that one look takes in. */
const INNER_VALUES_MAX = 10_000
/** Findings that a slot warns of. */
const FINDINGS_MAX = 16

/** A fault of a value. */
export interface Finding {
  readonly code: string
  readonly message: string
  /** What tells it from other findings of the version. */
  readonly key: string
}

/** Says what is wrong with a value. `what` names the value, as the beginning of a sentence. */
type Look = (what: string, value: unknown) => Finding[]

const looks: readonly Look[] = [lookForLosses]

function lookForLosses(what: string, value: unknown): Finding[] {
  return lossesIn(value, INNER_VALUES_MAX).map(({ path, text, key }) => {
    const where = path === '' ? 'it' : `"${path}"`
    return { code: 'DATA_LOST', message: `${what} loses data as JSON: ${where} ${text}`, key: `${what} ${key}` }
  })
}

/** Chooses which values of a kind are looked at: the first of a slot, then one in so many. */
export class Sampler {
  #untilNext = 1
  #looked = 0

  next(): boolean {
    if (--this.#untilNext > 0) return false
    this.#untilNext = limits.findingsFail || ++this.#looked < LOOKED_AT_FIRST ? 1 : LOOKED_AT_EVERY
    return true
  }
}

/** Findings of this slot that have been logged. */
const logged = new Set<string>()

/** Looks at a value. Returns a finding when there is one that the request has to fail with. */
export function lookAt(request: Request, module: string | undefined, what: string, value: unknown): Finding | undefined {
  const findings = findingsOf(what, value)
  if (limits.findingsFail) return findings[0]
  for (const { code, message, key } of findings) {
    if (logged.has(key) || logged.size >= FINDINGS_MAX) continue
    const line = logLine('warn', module, message)
    if (line === undefined) continue
    logged.add(key)
    keepLine(request, { ...line, code, once: key })
  }
  return undefined
}

function findingsOf(what: string, value: unknown): Finding[] {
  try {
    return looks.flatMap(look => look(what, value))
  } catch {
    // Code of the module has thrown while it was looked at, such as that of a proxy. The value has become JSON already.
    return []
  }
}
