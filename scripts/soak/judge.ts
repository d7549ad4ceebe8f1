/**
 * Judges whether what was seen in a run is what the base promises. It is pure: it takes entries in the order in which they were seen, with the
 * times of the run in them, and uses no clock and no I/O. So the tests can judge made-up records.
 */
import { isDeepStrictEqual } from 'node:util'
import { type Fault, faultsUnder, memberOf } from './answers.ts'
import {
  type Answer,
  type Disturbance,
  type Ending,
  type Entry,
  type Exchange,
  type Gauge,
  type Invariant,
  invariants,
  OWN_END,
  type Subject,
  type Trend,
  type Verdict,
  type Violation,
} from './record.ts'
import { expectedOf, type Routing, unannounced } from './routing.ts'
import { KEPT_MS, Timeline } from './timeline.ts'
import { trendsOf } from './trend.ts'

/** For so long after a disturbance its effects may still be seen: in backlogs, heartbeats and half-closed connections. */
const AFTERMATH_MS = 2000
/** The cause of an observation may be seen later than the observation, by at most this. */
const DOUBT_MS = 3000
const VIOLATIONS_KEPT = 5

const refusals: readonly string[] = ['SCENE_OVERLOADED', 'RATE_LIMITED']
const keeperFaults: readonly string[] = ['BASE_UNREACHABLE', 'CUT_OFF', 'NO_CELLS', 'ANSWER_UNEXPECTED']
const cellFaults: readonly string[] = ['NO_CELLS', 'UPGRADE_FAILED', 'PROFILE_FAILED', 'SLOT_IDLE', 'PROFILE_BUSY']
/** Refusals of operations that are normal: for example, a profile of a version that no cell has loaded at the moment. */
const ordinary: Readonly<Record<string, readonly string[]>> = { profile: ['SLOT_IDLE', 'PROFILE_BUSY', 'PROFILE_FAILED'] }

interface Period {
  readonly by: Disturbance
  readonly from: number
  /** Ports of the connections that it hits; undefined means all. */
  readonly ports: ReadonlySet<number> | undefined
  to: number
}

export class Judge {
  readonly #checks = new Map<Invariant, { checks: number; violations: number }>()
  readonly #violations: Violation[] = []
  readonly #requests = new Map<string, Map<string, number>>()
  readonly #ends: Record<Ending, number> = { injected: 0, retired: 0, outgrown: 0, itself: 0 }
  readonly #periods: Period[] = []
  readonly #periodById = new Map<number, Period>()
  readonly #routing = new Timeline<Routing>()
  readonly #features = new Timeline<number>()
  /** Exchanges that nothing explains yet. */
  #doubtful: Exchange[] = []
  #acknowledged: number[] = []
  #samples: Extract<Entry, { is: 'sample' }>[] = []
  #measuredFrom = Number.POSITIVE_INFINITY
  /** The latest operations. */
  readonly #operations: { readonly from: number; readonly at: number; readonly name: string }[] = []
  readonly #units: readonly string[]

  /** @param units every unit id that requests use */
  constructor(units: readonly string[]) {
    this.#units = units
  }

  take(entry: Entry): void {
    switch (entry.is) {
      case 'exchange':
        this.#exchange(entry)
        break
      case 'disturbed':
        this.#disturbed(entry)
        break
      case 'calm':
        this.#calm(entry)
        break
      case 'recovered':
        this.#hold(
          'recovered',
          entry.at,
          entry.failure && `after "${entry.after}" the base was not whole again in ${entry.at - entry.from} ms: ${entry.failure}`,
        )
        break
      case 'change':
        this.#timeline(entry.of).open(entry.at)
        break
      case 'routing':
        this.#settleRouting(entry)
        break
      case 'features':
        this.#hold('applied', entry.at, undefined)
        this.#features.settle(entry.at, entry.state)
        break
      case 'unsettled':
        this.#hold('applied', entry.at, `a change of ${entry.of} is not in force in every cell after ${entry.waited} ms: ${entry.seen}`)
        break
      case 'explained':
        this.#explained(entry)
        break
      case 'operation':
        this.#operation(entry)
        break
      case 'acknowledged':
        this.#acknowledge(entry)
        break
      case 'restored':
        this.#restored(entry)
        break
      case 'audit':
        this.#audit(entry)
        break
      case 'burst':
        this.#burst(entry)
        break
      case 'cell ended':
        this.#cellEnded(entry)
        break
      case 'sample':
        if (entry.at >= this.#measuredFrom) this.#samples.push(entry)
        break
      case 'measured':
        this.#measuredFrom = entry.at
        break
      case 'ended':
        this.#hold('ended', entry.at, entry.code === 0 ? undefined : `the base ended with exit code ${entry.code} after SIGTERM`)
        this.#hold('ended', entry.at, entry.left.length === 0 ? undefined : `processes ${entry.left.join(', ')} were left`)
    }
  }

  /** Judges again the exchanges that could not be explained when they were seen. Has to be called now and then. */
  review(now: number): void {
    const waiting = this.#doubtful
    this.#doubtful = []
    for (const exchange of waiting) this.#exchange(exchange, now)
  }

  /** The number of violations so far. */
  get violationCount(): number {
    return [...this.#checks.values()].reduce((sum, { violations }) => sum + violations, 0)
  }

  get requestCount(): number {
    return [...this.#requests.values()].flatMap(outcomes => [...outcomes.values()]).reduce((sum, count) => sum + count, 0)
  }

  /** The verdict on the whole run, with the checks that are possible only at its end. */
  end(at: number): Verdict {
    this.review(Number.POSITIVE_INFINITY)
    const trends = trendsOf(this.#samples)
    for (const trend of trends) this.#judgeTrend(trend, at)
    const names = Object.keys(invariants) as Invariant[]
    const checked = names.map(name => [name, this.#checks.get(name) ?? { checks: 0, violations: 0 }] as const)
    return {
      checked: Object.fromEntries(checked) as Verdict['checked'],
      violations: this.#violations,
      requests: Object.fromEntries([...this.#requests].map(([name, outcomes]) => [name, Object.fromEntries(outcomes)])),
      ends: this.#ends,
      trends,
    }
  }

  #timeline(subject: Subject): Timeline<Routing> | Timeline<number> {
    return subject === 'routing' ? this.#routing : this.#features
  }

  /** Counts a check. @param what what is wrong, in words; undefined when the promise was kept */
  #hold(invariant: Invariant, at: number, what: string | undefined): void {
    const count = this.#checks.get(invariant) ?? { checks: 0, violations: 0 }
    this.#checks.set(invariant, count)
    count.checks++
    if (what === undefined) return
    count.violations++
    if (count.violations <= VIOLATIONS_KEPT) this.#violations.push({ invariant, at, what, during: this.#goingOn(at) })
  }

  #goingOn(at: number): string[] {
    const periods = this.#periods.filter(period => period.from <= at && period.to + AFTERMATH_MS >= at).map(({ by }) => by)
    const operations = this.#operations.filter(operation => operation.from <= at)
    const under = operations.filter(operation => operation.at >= at).map(({ name }) => `operation ${name}`)
    const last = operations.findLast(operation => operation.at < at)
    return [...new Set(periods), ...under, ...(last === undefined ? [] : [`after operation ${last.name}`])]
  }

  // Requests

  /** @param now undefined when the exchange has just been seen */
  #exchange(exchange: Exchange, now?: number): void {
    const faults = this.#faultsOf(exchange)
    const isFinal = now !== undefined && now - exchange.at > DOUBT_MS && !this.#isUndecided(exchange, now)
    if (faults.length > 0 && !isFinal) {
      this.#doubtful.push(exchange)
      return
    }
    this.#count(exchange.ask.name, outcomeOf(exchange))
    for (const invariant of this.#invariantsOf(exchange)) {
      const found = faults.filter(fault => fault.invariant === invariant)
      this.#hold(
        invariant,
        exchange.at,
        found.length === 0 ? undefined : `${describe(exchange)}: ${found.map(({ what }) => what).join('; ')}`,
      )
    }
  }

  #count(name: string, outcome: string, by = 1): void {
    const outcomes = this.#requests.get(name) ?? new Map<string, number>()
    this.#requests.set(name, outcomes)
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + by)
  }

  /** Whether a change that may have affected the exchange is still under way. */
  #isUndecided({ at, ask }: Exchange, now: number): boolean {
    return now !== Number.POSITIVE_INFINITY && ask.checks !== 'plain' && this.#timeline(ask.checks).isOpenAt(at)
  }

  #invariantsOf({ ask, got }: Exchange): Invariant[] {
    if ('broken' in got) return ['connected']
    const sound = ask.codes.includes('OK')
    if (!sound || got.code !== 'OK') return ['connected', sound ? 'answered' : 'refused', 'whole']
    return ['connected', 'answered', 'whole', ...(ask.checks === 'routing' ? (['routed'] as const) : [])]
  }

  #faultsOf(exchange: Exchange): Fault[] {
    const { ask, got } = exchange
    if ('broken' in got) return this.#mayBreak(exchange) ? [] : [{ invariant: 'connected', what: `its connection broke: ${got.broken}` }]
    const mixed: Fault[] =
      got.requestId === ask.requestId ? [] : [{ invariant: 'whole', what: `it was answered as request ${got.requestId}` }]
    if (!ask.codes.includes(got.code) && !this.#mayBeRefused(exchange, got.code)) {
      return [...mixed, { invariant: ask.codes.includes('OK') ? 'answered' : 'refused', what: `it was answered ${got.status} ${got.code}` }]
    }
    if (got.code !== 'OK') return mixed
    if (ask.checks === 'routing') return [...mixed, ...this.#routingFaults(exchange, got)]
    if (ask.checks === 'features') return [...mixed, ...this.#featuresFaults(exchange, got)]
    return mixed
  }

  #mayBreak({ from, at, port }: Pick<Exchange, 'from' | 'at' | 'port'>): boolean {
    return this.#periods.some(({ by, ports, from: began, to }) => {
      // The process ends first, then its sockets, and this side notices that last.
      if (by !== 'killed cell' || from > to + AFTERMATH_MS || at < began) return false
      return ports === undefined || (port !== undefined && ports.has(port))
    })
  }

  #mayBeRefused({ from, at, port }: Exchange, code: string): boolean {
    return this.#periods.some(period => {
      if (period.from > at || period.to + AFTERMATH_MS < from) return false
      if (period.by === 'overload') return refusals.includes(code)
      const hit = port !== undefined && period.ports?.has(port)
      return period.by === 'paused cell' && hit && [...refusals, 'DEADLINE_EXCEEDED'].includes(code)
    })
  }

  /** The faults under the state that explains the answer best, of all states that may have been in force; empty when one explains all of it. */
  #routingFaults({ from, at, ask }: Exchange, got: Answer): Fault[] {
    const each = this.#routing.between(from, at).map(routing => faultsUnder(routing, ask, got))
    if (each.length === 0) return [{ invariant: 'routed', what: 'it was answered before anything was in force' }]
    return each.toSorted((a, b) => a.length - b.length)[0] ?? []
  }

  #featuresFaults({ from, at }: Exchange, { body }: Answer): Fault[] {
    const read = memberOf(body, 'generations')
    const [first, ...others] = Array.isArray(read) ? (read as unknown[]) : []
    const wrong = (what: string): Fault[] => [{ invariant: 'whole', what }]
    if (typeof first !== 'number') return wrong(`it answered ${JSON.stringify(body)}`)
    if (others.some(other => other !== first)) return wrong(`it read from several tables: ${JSON.stringify(read)}`)
    const states = this.#features.between(from, at)
    return states.includes(first) ? [] : wrong(`it read table ${first}, and ${states.join(' or ')} was in force`)
  }

  // Changes

  #settleRouting({ at, state, scope }: Extract<Entry, { is: 'routing' }>): void {
    this.#hold('applied', at, undefined)
    const before = this.#routing.latest
    if (before !== undefined) {
      const found = unannounced(before, state, scope, this.#units)
      this.#hold('stable', at, found.length === 0 ? undefined : found.slice(0, 3).join('; '))
    }
    this.#routing.settle(at, state)
  }

  #explained({ at, unit, said }: Extract<Entry, { is: 'explained' }>): void {
    const routing = this.#routing.latest
    if (routing === undefined) return
    const { version, because, bucket = null } = expectedOf(routing, { unit })
    const agrees = said.version === version && said.because === because && said.bucket === bucket
    const answer = `${said.version} (${said.because}, bucket ${said.bucket})`
    this.#hold(
      'explained',
      at,
      agrees ? undefined : `unit "${unit}" is explained as ${answer}, and the rules say ${version} (${because}, bucket ${bucket})`,
    )
  }

  #operation({ at, from, no, kind, failure }: Extract<Entry, { is: 'operation' }>): void {
    this.#operations.push({ from, at, name: `${no} ${kind}` })
    while ((this.#operations[0]?.at ?? at) < at - KEPT_MS) this.#operations.shift()
    const excused = failure === undefined || (ordinary[kind] ?? []).includes(failure.code) || this.#mayFail(from, at, failure.code)
    this.#hold('operated', at, excused ? undefined : `operation ${no} (${kind}) failed with ${failure.code}: ${failure.message}`)
  }

  #mayFail(from: number, at: number, code: string): boolean {
    const near = this.#periods.filter(period => period.from <= at && period.to + AFTERMATH_MS >= from)
    return near.some(({ by }) => (by === 'keeper away' ? [...keeperFaults, ...cellFaults] : cellFaults).includes(code))
  }

  #acknowledge({ at, no, applied, connected }: Extract<Entry, { is: 'acknowledged' }>): void {
    this.#acknowledged.push(no)
    const disturbed = this.#periods.some(period => period.from <= at && period.to + AFTERMATH_MS >= at)
    const what = `operation ${no} was answered when ${applied} of ${connected} cells had it in force`
    this.#hold('applied', at, applied === connected || disturbed ? undefined : what)
  }

  #restored({ at, state }: Extract<Entry, { is: 'restored' }>): void {
    const same = isDeepStrictEqual(state, this.#routing.latest)
    this.#hold(
      'restored',
      at,
      same ? undefined : `the backup has ${JSON.stringify(state)} instead of ${JSON.stringify(this.#routing.latest)}`,
    )
  }

  #audit({ at, since, found }: Extract<Entry, { is: 'audit' }>): void {
    const there = new Set(found)
    const missing = this.#acknowledged.filter(no => no >= since && !there.has(no))
    this.#hold(
      'kept',
      at,
      missing.length === 0 ? undefined : `operations ${missing.join(', ')} were acknowledged and are not in the audit log`,
    )
  }

  // Processes

  #disturbed({ at, id, by, ports = [] }: Extract<Entry, { is: 'disturbed' }>): void {
    const period = { by, from: at, to: Number.POSITIVE_INFINITY, ports: new Set(ports) }
    this.#periods.push(period)
    this.#periodById.set(id, period)
    while ((this.#periods[0]?.to ?? at) < at - KEPT_MS) this.#periods.shift()
  }

  #calm({ at, id }: Extract<Entry, { is: 'calm' }>): void {
    const period = this.#periodById.get(id)
    if (period !== undefined) period.to = at
    this.#periodById.delete(id)
  }

  /** A cell that a broken module ended may break any request that it had under way. When a cell ends by itself otherwise, no request may break. */
  #cellEnded({ at, pid, how, because, suspects }: Extract<Entry, { is: 'cell ended' }>): void {
    this.#ends[because]++
    const isClean = how === OWN_END
    const isBroken = suspects.some(scene => scene.startsWith('hostile'))
    const excused = because === 'injected' || (because !== 'itself' && isClean) || isBroken
    this.#hold('cells', at, excused ? undefined : `cell ${pid} (${because}) ended with ${how}; suspects: ${suspects.join(', ') || 'none'}`)
    const mayCost = isBroken && !isClean && because !== 'injected'
    if (mayCost) this.#periods.push({ by: 'killed cell', from: at - AFTERMATH_MS, to: at, ports: undefined })
  }

  #burst({ at, from, statuses }: Extract<Entry, { is: 'burst' }>): void {
    const allowed = ['200', '429', '503', '504']
    for (const [status, count] of Object.entries(statuses)) this.#count('burst', status, count)
    const { 0: broken = 0, ...answers } = statuses
    const excused = broken === 0 || this.#mayBreak({ at, from, port: undefined })
    this.#hold('connected', at, excused ? undefined : `${broken} connections of a burst broke`)
    const wrong = Object.keys(answers).filter(status => !allowed.includes(status))
    const counts = wrong.map(status => `${answers[status]} × ${status}`).join(', ')
    this.#hold('answered', at, wrong.length === 0 ? undefined : `a burst came to ${counts}`)
  }

  #judgeTrend({ role, pid, minutes, growth }: Trend, at: number): void {
    for (const gauge of Object.keys(growth) as Gauge[]) {
      const { perHour, bound } = growth[gauge]
      const grown = `${gauge} of ${role} (${pid}) grew by ${perHour.toFixed(1)} an hour over ${minutes.toFixed(1)} minutes; the bound is ${bound.toFixed(1)}`
      this.#hold(gauge, at, perHour <= bound ? undefined : grown)
    }
  }
}

/** @returns the verdict on a whole record */
export function judge(entries: readonly Entry[], units: readonly string[] = []): Verdict {
  const one = new Judge(units)
  for (const entry of entries) one.take(entry)
  return one.end(entries.at(-1)?.at ?? 0)
}

const outcomeOf = ({ got }: Exchange): string => ('broken' in got ? `broken: ${got.broken}` : got.code)

const describe = ({ ask, from, at, port }: Exchange): string =>
  `request ${ask.requestId} (${ask.name}, unit ${ask.unit ?? '–'}${ask.pin === undefined ? '' : `, pinned to ${ask.pin}`}) from port ${port}, under way from ${Math.round(from)} to ${Math.round(at)} ms`
