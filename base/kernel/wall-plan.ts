/** What confines the processes that run module code from outside, as far as this machine can do it. Plain data, which goes from process to process. */

export const wallModes = ['auto', 'off', 'require'] as const
export type WallMode = (typeof wallModes)[number]

export interface WallLayer {
  readonly layer: 'privileges' | 'namespaces' | 'system calls'
  readonly state: 'on' | 'off'
  /** By what it is in force, or why it is not and what to do. */
  readonly detail: string
}

/** The program that takes privileges away and then becomes another program. */
export interface Setpriv {
  /** Its path and arguments. */
  readonly command: readonly string[]
  /** Whether it can filter system calls too, which it does from util-linux 2.41 on. */
  readonly filters: boolean
}

export interface WallPlan {
  readonly mode: WallMode
  /** Path of bubblewrap, when it works here. */
  readonly bubblewrap?: string | undefined
  /** Present when it works here. Bubblewrap does what it does, and more. */
  readonly setpriv?: Setpriv | undefined
  readonly layers: readonly WallLayer[]
}
