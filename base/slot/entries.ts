/**
 * What enters an isolate, and what it says meanwhile, as a recording keeps both. The recorder writes entries down and the replay puts them in again: both do it
 * here, so that they cannot differ.
 */
import { createHash, type Hash } from 'node:crypto'
import type ivm from 'isolated-vm'
import type { Entry, EntryKind } from '../capsule/capsule.ts'
import { ANSWER_STRIDE, AnswerKind, type LogLine, type Post } from '../inside/protocol.ts'
import { byCopy, type Remotes } from './blank.ts'
import { handedOver } from './entrance.ts'

/** How a call into the isolate ended. */
export interface Outcome {
  /** Of a turn that has failed: what it would have returned. */
  readonly returned: unknown
  /**
   * The error, when it has failed. V8 fails a call when a promise rejects meanwhile that a module has forgotten to handle, unless it has collected that promise
   * by then. So whether there is one depends on when garbage is collected, and is no part of what was said.
   */
  readonly threw?: unknown
}

/** What is asked of the outside. */
const askingKinds: ReadonlySet<string> = new Set<Parameters<Post>[0]>(['calls', 'fetch', 'unfetch', 'timer'])

/** What an isolate says while one entry runs. */
export class Spoken {
  readonly #asked: (readonly unknown[])[] = []
  readonly #hash: Hash = createHash('sha256')

  /** Takes a post, in the order in which they come. */
  post(...posted: Parameters<Post>): void {
    const [kind, ...values] = posted
    if (kind === 'answers') this.#addAnswers(values)
    else if (kind === 'log') this.#add([kind, inJson(values[0]), linesOfModules(values[1])])
    // Which answers are checked against the schema depends on the time that the checks take.
    else if (kind !== 'misfit') this.#addAsItIs(kind, values)
  }

  /** To be called once, when the entry is over. */
  end({ returned }: Outcome): Pick<Entry, 'asked' | 'said'> {
    if (Array.isArray(returned)) this.#addAnswers(returned)
    return { asked: this.#asked, said: this.#hash.digest('hex') }
  }

  #addAsItIs(kind: string, values: readonly unknown[]): void {
    const said = [kind, ...values].map(inJson)
    if (askingKinds.has(kind)) this.#asked.push(said)
    this.#add(said)
  }

  /** An answer has notes when any stage took a millisecond, or had no part in it. How long stages take is measured by a clock that is not recorded. */
  #addAnswers(values: readonly unknown[]): void {
    for (let i = 0; i < values.length; i += ANSWER_STRIDE) {
      const [no, kind, text] = [inJson(values[i]), inJson(values[i + 1]), String(values[i + 2])]
      if (kind !== AnswerKind.noted) this.#add(['answer', no, kind, '', text])
      else this.#add(['answer', no, AnswerKind.ok, text.slice(0, text.search(/[ \n]/)), text.slice(text.indexOf('\n') + 1)])
    }
  }

  #add(said: readonly unknown[]): void {
    this.#hash.update(JSON.stringify(said)).update('\n')
  }
}

/** The lines without those that have a code: these are of the code inside, which does not look at every value equally closely. */
function linesOfModules(json: unknown): unknown {
  try {
    const lines: unknown = JSON.parse(String(json))
    return Array.isArray(lines) ? lines.filter((line: Partial<LogLine> | null) => line?.code === undefined) : lines
  } catch {
    // A module has broken the code that posts them.
    return inJson(json)
  }
}

const BASE64 = 'base64:'
const TEXT = 'text:'

/** A value of an entry in a form that JSON can hold: bytes in base64, and a text that would be taken for that, marked as a text. */
function inJson(value: unknown): unknown {
  if (value instanceof ArrayBuffer) return BASE64 + Buffer.from(value).toString('base64')
  // Only a module that has broken the code that posts can have one come.
  if (typeof value === 'bigint') return String(value)
  return typeof value === 'string' && (value.startsWith(BASE64) || value.startsWith(TEXT)) ? TEXT + value : value
}

function fromJson(value: unknown): unknown {
  if (typeof value !== 'string') return value
  if (value.startsWith(BASE64)) return Uint8Array.from(Buffer.from(value.slice(BASE64.length), 'base64')).buffer
  return value.startsWith(TEXT) ? value.slice(TEXT.length) : value
}

/** The arguments of a call into the isolate as an entry keeps them. What is within a list is text and numbers, and stays as it is. */
export const valuesOf = (args: readonly unknown[]): readonly unknown[] => args.map(inJson)
/** The way back. */
export const argumentsOf = (values: readonly unknown[]): readonly unknown[] => values.map(fromJson)

export type EntryAfterLoad = Exclude<EntryKind, 'load'>

/** Calls the function of the code inside that an entry names, with its values. */
export const putIn = (inside: Remotes, kind: EntryAfterLoad, values: readonly unknown[]): Promise<Outcome> =>
  enter(inside, kind, argumentsOf(values))

/**
 * Calls a function of the code inside. An `ArrayBuffer` among the arguments is handed over, and empty afterwards.
 * @returns how the call ended, when all promise reactions that were due have run
 */
export async function enter(inside: Remotes, kind: EntryAfterLoad, args: readonly unknown[]): Promise<Outcome> {
  const handed = args.map(value => (value instanceof ArrayBuffer ? handedOver(value) : value)) as ivm.Transferable[]
  const remote = inside[kind] as ivm.Reference<(...args: ivm.Transferable[]) => unknown>
  try {
    return { returned: await remote.apply(undefined, handed, byCopy) }
  } catch (error) {
    return { returned: kind === 'turn' ? await reportOf(inside, args[0] as number) : undefined, threw: error }
  }
}

/** How often the report of a turn is asked for whose call has failed. Asking may fail for the same reason. */
const REPORT_ASKED_MAX = 5

async function reportOf(inside: Remotes, firstNo: number): Promise<unknown> {
  for (let asked = 0; asked < REPORT_ASKED_MAX; asked++) {
    try {
      return await inside.reportOf.apply(undefined, [firstNo], byCopy)
    } catch {
      // Asked again, unless the isolate has ended: then this fails each time.
    }
  }
  return undefined
}
