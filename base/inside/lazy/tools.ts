/**
 * What the code that loads a lazy part hands to it. The bundle of a part is the body of a function that is called once per isolate, when
 * one of the part's globals is first looked at; `given` are the arguments of that call.
 */
import type { Sent } from '../calls/fetch-calls.ts'
import type { CryptoSeed } from '../chance.ts'
import type { LazyPart } from '../protocol.ts'

export interface PartTools {
  /** A global by name, whichever part defines it. */
  readonly use: (name: string) => unknown
  /** What another part defines. */
  readonly load: (part: LazyPart) => Readonly<Record<string, unknown>>
  /** What `crypto` is seeded from. */
  readonly cryptoSeed: CryptoSeed
  readonly fetch: (owner: unknown, method: string, head: string, body: string | ArrayBuffer | undefined) => Sent
  /** What `performance.now` is. */
  readonly sinceStart: () => number
  readonly setTimeout: (run: () => void, delayMs: number) => number
  /** Reports an error that nobody can catch. */
  readonly report: (what: string, error: unknown) => void
}

declare const given: readonly [tools: PartTools]

export const [tools] = given

export const domException = (message: string, name: string): Error =>
  new (tools.use('DOMException') as new (message: string, name: string) => Error)(message, name)
