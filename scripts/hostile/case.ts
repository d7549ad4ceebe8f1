/** A hostile module with one fault, as data: its code, what its caller may see, and what it may cost. */
import { createHash } from 'node:crypto'
import type { ErrorCode } from '../../base/kernel/errors.ts'

/** What came of a request: an error code of the base, `OK`, or `BROKEN` when the connection ended without an answer. */
export type Code = ErrorCode | 'OK' | 'BROKEN'

export interface Case {
  /** The stage. It gets `{ "n": … }`, a number for each request of the case, and what it returns or throws is the fault. */
  readonly stage: string
  /** Statements that the module runs while it loads. The time at which a module `turnsBad` is in the constant `badAt`. */
  readonly top?: string
  /** What the caller may see: the best outcome first. */
  readonly sees: readonly Code[]
  /** The answer that the caller must get when it sees `OK`. */
  readonly answer?: unknown
  /** How many of its requests must be answered `OK`, where others may fail. */
  readonly okMin?: number
  /** Whether the cell of the module may have to be replaced. */
  readonly mayCostCell?: boolean
  /** Requests that are sent at once, from connections to any cell. @default 1, on a connection to the first cell */
  readonly together?: number
  /** Requests that are sent one after the other, each to the first cell. @default 1 */
  readonly inTurn?: number
  /** Its scene gets no request after the answer until the base has come to rest, since a request would stop what it has left behind. */
  readonly isLeftAlone?: boolean
  /** What the module lists in its package.json. `fetch` gives it the host of `fetchPrelude`. */
  readonly uses?: readonly ('features' | 'fetch')[]
  readonly limits?: Partial<CaseLimits>
  /** The module is published as a successor of a sound one, and refused with one of the codes that are listed under `sees`. */
  readonly isRefused?: boolean
  /** The module is sound when it is published, and bad when it is loaded later. */
  readonly turnsBad?: boolean
  /** Before it turns bad, a sound version takes its place, so that it is the previous baseline. */
  readonly isReplaced?: boolean
}

export interface CaseLimits {
  readonly deadlineMs: number
  readonly cpuMs: number
  readonly memoryMB: number
}

export interface Family {
  readonly name: string
  /** Of every case that does not have its own. */
  readonly limits: CaseLimits
  /** Statements in front of every module of the family. */
  readonly prelude?: string
  readonly cases: Readonly<Record<string, Case>>
}

/** A case with all that it takes from its family. */
export interface NamedCase extends Omit<Case, 'limits'> {
  readonly name: string
  readonly family: string
  readonly prelude: string
  readonly limits: CaseLimits
}

export function casesOf({ name: family, limits, prelude = '', cases }: Family): NamedCase[] {
  return Object.entries(cases).map(([name, each]) => ({ ...each, name, family, prelude, limits: { ...limits, ...each.limits } }))
}

/** The input that every module answers as it should, and the answer. */
export const BENIGN = '{"benign":true}'

/** The number of a request to the case. */
export const inputOf = (n: number): string => JSON.stringify({ n })

/** The name of the stage of a case. */
export const stageOf = ({ name }: Pick<NamedCase, 'name'>): string => name.replaceAll(/-(.)/g, (_, first: string) => first.toUpperCase())

/**
 * A bundle with a stage for each of these cases, which are of one family. Each is sound for the benign input.
 * @param host URL of a host that answers fetches
 * @param badAt milliseconds since 1970
 */
export function bundleOf(cases: readonly NamedCase[], host: string, badAt: number): string {
  const stages = cases.map(each => `${stageOf(each)}: sound(${each.stage})`)
  return `(() => {
const host = ${JSON.stringify(host)}, badAt = ${badAt}
${cases[0]?.prelude ?? ''}
${cases.map(({ top = '' }) => top).join('\n')}
const sound = hostile => (x, ctx) => x.benign ? { benign: true } : hostile(x, ctx)
return { ${stages.join(',\n')} }
})()`
}

/** Changes when what a case does or expects changes, so that a saved outcome is not compared with that of another case. */
export function digestOf(each: NamedCase): string {
  return createHash('sha256').update(JSON.stringify(each)).digest('hex').slice(0, 8)
}

/** A module that is stuck is answered at its deadline or when it is killed for its CPU, whichever comes first. */
export const stuck: readonly Code[] = ['DEADLINE_EXCEEDED', 'MODULE_KILLED']
/** The deadline comes first. */
export const short: CaseLimits = { deadlineMs: 400, cpuMs: 2000, memoryMB: 64 }
/** The bound of the processor time comes first, also on a busy machine. */
export const brief: CaseLimits = { deadlineMs: 3000, cpuMs: 200, memoryMB: 64 }
/** Code that fills memory has time to do so, also on a busy machine. */
export const long: CaseLimits = { deadlineMs: 10_000, cpuMs: 3000, memoryMB: 64 }
