/**
 * What the supervisors of two releases say to each other while one takes over a base from the other. Each side may be older than the other, so members are only
 * added, and each side ignores what it does not know. When that is not enough, `HANDOVER_PROTOCOL` is raised, and the old release refuses.
 */

import type { CellLoss, Unkept } from './messages.ts'

/** The number of this protocol. */
export const HANDOVER_PROTOCOL = 1

/** What has to be known of a base to take it over. */
export interface Offer {
  /** The id of this run of the base, which goes on. */
  readonly base: string
  /** Absolute path of the data folder. */
  readonly data: string
  readonly host: string
  readonly port: number
  readonly controlHost: string
  readonly controlPort: number
  /** Which of the two sockets the old keeper and its cells use. */
  readonly generation: 0 | 1
  /** MB that the processes of the base hold now. */
  readonly usedMB: number
  /** Baselines that some cell cannot answer now, as `scene/version`: they need not be able to afterwards. */
  readonly failing: readonly string[]
}

export type ToHeir =
  /** Comes with the listening handle of the scene port. */
  | ({ readonly type: 'offer' } & Offer)
  /** Comes with the listening handle of the control port. */
  | { readonly type: 'control' }
  /** The old keeper has stopped, and the lock of the data folder is free. */
  | { readonly type: 'give' }
  /** The base is the heir's. The old supervisor starts nothing any more. */
  | { readonly type: 'yours' }
  /** A cell of the old supervisor has ended, and there was no keeper any more that would have taken this. Comes after `yours`. */
  | ({ readonly type: 'unkept' } & Unkept)
  /** Cells of the old supervisor that were lost to the code that they ran, and that no keeper has judged. Comes after `yours`. */
  | { readonly type: 'losses'; readonly losses: readonly CellLoss[] }
  /** The base stays with the old supervisor: end every process, and then yourself. */
  | { readonly type: 'end' }

export type FromHeir =
  /** The first message. */
  | { readonly type: 'hello'; readonly protocol: number }
  /** It can read the data folder, has found what it needs, and waits for the lock. */
  | { readonly type: 'proved'; readonly about: string; readonly keeperPid: number }
  /** Its keeper runs. */
  | { readonly type: 'keeping' }
  /** Its cells have loaded every scene, and accept connections once the base is the heir's. */
  | { readonly type: 'ready'; readonly about: string }
  /** It cannot take over. */
  | { readonly type: 'refused'; readonly code: string; readonly message: string }
