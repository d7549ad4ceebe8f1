/** What comes of it when a recording is replayed. */
import type { EntryKind, Inexactness } from './capsule.ts'

/** The first entry that has said something else than when it was recorded. */
export interface Difference {
  /** Its place in the recording. */
  readonly entry: number
  readonly kind: EntryKind
  /** In words. */
  readonly what: string
}

export interface Replayed {
  /** How many entries, from the load on, have said the same. */
  readonly same: number
  readonly difference: Difference | undefined
  /** Why the bytes may be others here than where it was recorded. */
  readonly inexact: readonly Inexactness[]
}
