/** The record of a run: everything that was seen, as data, and the promises of the base about it. */
import type { Asked, Expected, Routing, Scope } from './routing.ts'

export const invariants = {
  answered: 'a good request to a sound scene is answered 200, unless a fault is documented to cost it',
  connected: 'connections break only with the cell that held them',
  whole: 'an answer is that of its request, from one version with one state of parameters and tables',
  routed: 'the version that answers is the one that the rules in force say, and for their reason',
  explained: 'the explain API says what the rules say',
  stable: 'units move by announced changes only, and no salt changes',
  refused: 'bad requests are refused, and broken modules fail, with their documented codes',
  applied: 'every commit is in force in every cell within its bound',
  kept: 'what was acknowledged is in the audit log, also after the keeper was killed',
  restored: 'a base that starts from a backup has what was in force when it was made',
  operated: 'operations fail only through a fault',
  recovered: 'after a fault the base is whole again within its bound',
  cells: 'cells end only by faults, broken modules, or cleanly when they are replaced',
  memory: 'no process grows in memory',
  handles: 'no process grows in open handles',
  threads: 'no process grows in threads',
  ended: 'SIGTERM ends the base with exit code 0, and no process of it is left',
} as const
export type Invariant = keyof typeof invariants

/** A request, with what is expected of its answer. */
export interface Ask extends Asked {
  /** The name under which its outcomes are counted. */
  readonly name: string
  /** What its answer is checked for; with `plain`, only the code is checked. */
  readonly checks: 'routing' | 'features' | 'plain'
  /** The codes that it may be answered with: `OK`, or error codes. */
  readonly codes: readonly string[]
  readonly requestId: string
}

export interface Answer {
  /** `OK` for status 200, else the code of the problem document. */
  readonly code: string
  readonly status: number
  readonly requestId: string | undefined
  readonly version: string | undefined
  readonly because: string | undefined
  readonly bucket: number | undefined
  readonly body: unknown
}

export interface Exchange {
  readonly is: 'exchange'
  /** When it was sent, and when its answer was whole or its connection broke. */
  readonly from: number
  readonly at: number
  /** The local port of the connection. */
  readonly port: number | undefined
  readonly ask: Ask
  readonly got: Answer | { readonly broken: string }
}

/** What may make requests fail. An entry lists the ports of the connections that it hits. */
export type Disturbance = 'killed cell' | 'paused cell' | 'overload' | 'keeper away' | 'retirement'

/** How a cell ends that has done all that it had to do. */
export const OWN_END = 'its own end'

/**
 * Why a cell ended. `injected`: this run killed it. `retired`: this run asked for it. `outgrown`: the base replaced it because of its memory.
 * `itself`: any other reason.
 */
export type Ending = 'injected' | 'retired' | 'outgrown' | 'itself'

export type Entry =
  | Exchange
  | { readonly is: 'disturbed'; readonly at: number; readonly id: number; readonly by: Disturbance; readonly ports?: readonly number[] }
  | { readonly is: 'calm'; readonly at: number; readonly id: number }
  | { readonly is: 'recovered'; readonly at: number; readonly from: number; readonly after: string; readonly failure?: string }
  /** A change was sent to the base: either state may answer from now on. */
  | { readonly is: 'change'; readonly at: number; readonly of: Subject }
  /** The change is in force in every cell, or was refused: from now on only this state may answer new requests. */
  | { readonly is: 'routing'; readonly at: number; readonly state: Routing; readonly scope: Scope }
  | { readonly is: 'features'; readonly at: number; readonly state: number }
  | { readonly is: 'unsettled'; readonly at: number; readonly of: Subject; readonly waited: number; readonly seen: string }
  | {
      readonly is: 'explained'
      readonly at: number
      readonly unit: string
      readonly said: Pick<Expected, 'version' | 'because'> & { bucket: number | null }
    }
  | {
      readonly is: 'operation'
      readonly at: number
      readonly from: number
      readonly no: number
      readonly kind: string
      readonly failure?: Failure
    }
  /** The operation with this number was acknowledged, so the audit log must have it. `applied` of the `connected` cells had it in force by then. */
  | { readonly is: 'acknowledged'; readonly at: number; readonly no: number; readonly applied: number; readonly connected: number }
  /** A base was started from a backup, which was made while nothing changed, and has this state. */
  | { readonly is: 'restored'; readonly at: number; readonly state: Routing }
  /** The audit log was read from operation `since` on, and has the operations with these numbers. */
  | { readonly is: 'audit'; readonly at: number; readonly since: number; readonly found: readonly number[] }
  /** Requests of an overload by status. `0`: the connection broke. `unanswered`: there was no answer until long after the deadline. */
  | { readonly is: 'burst'; readonly at: number; readonly from: number; readonly statuses: Readonly<Record<string, number>> }
  | {
      readonly is: 'cell ended'
      readonly at: number
      readonly pid: number
      readonly how: string
      readonly because: Ending
      /** Scenes whose code was running when it ended, and those whose slots made it unable to go on. */
      readonly suspects: readonly string[]
    }
  | {
      readonly is: 'sample'
      readonly at: number
      readonly role: string
      readonly pid: number
      readonly rssMB: number
      readonly handles: number
      readonly threads: number
    }
  /** From here on the keeper and the last cell are left alive, so that growth can be measured. */
  | { readonly is: 'measured'; readonly at: number }
  | { readonly is: 'ended'; readonly at: number; readonly code: number | null; readonly left: readonly number[] }

export type Gauge = 'memory' | 'handles' | 'threads'

export type Subject = 'routing' | 'features'
export interface Failure {
  readonly code: string
  readonly message: string
}

export interface Violation {
  readonly invariant: Invariant
  readonly at: number
  readonly what: string
  /** Faults and operations that were going on. */
  readonly during: readonly string[]
}

export interface Trend {
  readonly role: string
  readonly pid: number
  readonly minutes: number
  readonly samples: number
  readonly rssMB: number
  readonly growth: Readonly<Record<Gauge, { readonly perHour: number; readonly bound: number }>>
}

export interface Verdict {
  readonly checked: Readonly<Record<Invariant, { readonly checks: number; readonly violations: number }>>
  /** The first few violations of each invariant. */
  readonly violations: readonly Violation[]
  /** By name of the request, then by outcome. */
  readonly requests: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** Cells that ended, by what ended them. */
  readonly ends: Readonly<Record<Ending, number>>
  readonly trends: readonly Trend[]
}
