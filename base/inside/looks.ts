/**
 * A closer look at some of the values that leave a slot, for faults that nothing else reports. All others cost two comparisons. What is found is
 * logged once per kind of place; in the tests of a module it is an error instead, and every value is looked at.
 */
import { monotonicTime, recentTime } from './clock.ts'
import { limits } from './host.ts'
import { lossesIn } from './json-losses.ts'
import { keepLine, logLine } from './log-lines.ts'
import type { Request } from './open-request.ts'
import { max } from './primordials.ts'
import { hasTape } from './readings.ts'

/** Values of a kind that are looked at when a slot is new, and milliseconds that pass after each look before another value is looked at. */
const LOOKED_AT_FIRST = 16
const PAUSE_MS = 1000
/** How many times as long as a look took the pause after it is at least: so looks take a hundredth of the slot's time at most. */
const PAUSE_FACTOR = 100
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

/** Chooses which values of a kind are looked at: the first of a slot, then one whenever it is time. In the tests of a module all are. */
export class Sampler {
  #firstLeft = LOOKED_AT_FIRST
  #nextAt = 0

  /** Whether a value is to be looked at. If so, call `noteLook` afterwards. */
  isDue(): boolean {
    return this.#firstLeft > 0 || recentTime() >= this.#nextAt || limits.findingsFail === true
  }

  /** @param beganAt when the look began, by `monotonicTime()` */
  noteLook(beganAt: number): void {
    if (this.#firstLeft > 0) this.#firstLeft--
    // How long it took is not on the tape, and a look may run code of a module.
    const tookMs = hasTape ? 0 : monotonicTime() - beganAt
    this.#nextAt = recentTime() + max(PAUSE_MS, PAUSE_FACTOR * tookMs)
  }
}

/** Findings of this slot that have been logged. */
const logged = new Set<string>()

/** Looks at a value. Returns a finding when there is one that the request has to fail with. */
export function lookAt(request: Request, module: string | undefined, what: string, value: unknown): Finding | undefined {
  const findings = findingsOf(what, value)
  if (limits.findingsFail) return findings[0]
  // The module may have broken the iteration of arrays until the turn is over, so there is no `for … of`.
  findings.forEach(finding => {
    warnOnce(request, module, finding)
  })
  return undefined
}

function warnOnce(request: Request, module: string | undefined, { code, message, key }: Finding): void {
  if (logged.has(key) || logged.size >= FINDINGS_MAX) return
  const line = logLine('warn', module, message)
  if (line === undefined) return
  logged.add(key)
  keepLine(request, { ...line, code, once: key })
}

function findingsOf(what: string, value: unknown): Finding[] {
  try {
    return looks.flatMap(look => look(what, value))
  } catch {
    // Code of the module has thrown while it was looked at, such as that of a proxy. The value has become JSON already.
    return []
  }
}
