/** What the outside had to say to a capsule when it was recorded: replies to calls and fetches, and when timers fired. */
import type { Entry, KeptCapsule } from '../capsule/capsule.ts'
import { CALL_STRIDE, SETTLED_STRIDE } from '../inside/protocol.ts'

/** What came in reply to something that was asked. */
export interface Reply {
  /** The values that follow the number of the call in the entry. */
  readonly values: readonly unknown[]
  readonly kind: 'settleCalls' | 'settleFetch'
  /** Places in the recording: of the entry that asked, and of the one that it came with. */
  readonly askedIn: number
  readonly cameWith: number
}

/** Something that was asked while the capsule was answered. Without a reply, the answer was there before one came. */
interface Asked {
  readonly askedIn: number
  reply: Reply | undefined
}

/** What tells one thing that is asked from another. */
export const keyOfCall = (service: unknown, method: unknown, input: unknown): string => JSON.stringify(['call', service, method, input])
export const keyOfFetch = (method: unknown, head: unknown, body: unknown): string => JSON.stringify(['fetch', method, head, body])

export class RecordedOutside {
  readonly #entries: readonly Entry[]
  readonly #first: number
  /** What the capsule asked, by key, in order; those that are taken are taken out. */
  readonly #own = new Map<string, Asked[]>()
  /** The last reply that earlier requests of the recording got, by key: a module may keep such replies. */
  readonly #earlier = new Map<string, Reply>()
  /** Timers of the capsule by their delay, in order. */
  readonly #timers = new Map<number, { readonly no: unknown; readonly askedIn: number }[]>()
  /** Places of the entries with which timers fired, by number. */
  readonly #fired = new Map<unknown, number>()
  readonly #open = new Map<unknown, { readonly key: string; readonly asked: Asked }>()

  constructor({ entries, capsule }: KeptCapsule) {
    this.#entries = entries
    this.#first = capsule.entries[0]
    for (const [i, entry] of entries.entries()) {
      this.#takeReplies(entry, i)
      for (const asked of entry.asked) this.#takeAsked(asked, i)
    }
  }

  /** The reply to this question, asked as often as it was asked by now; undefined when the recording has none. Without a `reply`, none ever came. */
  take(key: string): { readonly reply: Reply | undefined } | undefined {
    const own = this.#own.get(key)?.shift()
    if (own !== undefined) return { reply: own.reply }
    const reply = this.#earlier.get(key)
    return reply === undefined ? undefined : { reply }
  }

  /** Where in the recording a timer with this delay was started, and where it fired; undefined when there is none, or the answer was there before it fired. */
  takeTimer(delayMs: number): { readonly askedIn: number; readonly firedIn: number } | undefined {
    const timer = this.#timers.get(delayMs)?.shift()
    const firedIn = timer && this.#fired.get(timer.no)
    return timer === undefined || firedIn === undefined ? undefined : { askedIn: timer.askedIn, firedIn }
  }

  /** Where in the recording the request was abandoned, if it was. */
  abandonedIn(no: number): number | undefined {
    const at = this.#entries.findIndex(({ kind, values }, i) => i >= this.#first && kind === 'abandon' && values[0] === no)
    return at < 0 ? undefined : at
  }

  #takeAsked([kind, ...values]: readonly unknown[], i: number): void {
    if (kind === 'calls') {
      for (let at = 0; at < values.length; at += CALL_STRIDE) {
        const [no, , service, method, input] = values.slice(at, at + CALL_STRIDE)
        this.#ask(no, keyOfCall(service, method, input), i)
      }
    } else if (kind === 'fetch') {
      const [no, , , method, head, body] = values
      this.#ask(no, keyOfFetch(method, head, body), i)
    } else if (kind === 'timer' && i >= this.#first) {
      const [no, delayMs] = values
      push(this.#timers, Number(delayMs), { no, askedIn: i })
    }
  }

  #ask(no: unknown, key: string, askedIn: number): void {
    const asked: Asked = { askedIn, reply: undefined }
    this.#open.set(no, { key, asked })
    if (askedIn >= this.#first) push(this.#own, key, asked)
  }

  #takeReplies({ kind, values }: Entry, i: number): void {
    if (kind === 'fireTimer' && i >= this.#first) this.#fired.set(values[0], i)
    else if (kind === 'settleFetch') this.#settle(values[0], kind, values.slice(1), i)
    else if (kind === 'settleCalls') {
      const settled = values[0] as readonly unknown[]
      for (let at = 0; at < settled.length; at += SETTLED_STRIDE) {
        this.#settle(settled[at], kind, settled.slice(at + 1, at + SETTLED_STRIDE), i)
      }
    }
  }

  #settle(no: unknown, kind: Reply['kind'], values: readonly unknown[], cameWith: number): void {
    const open = this.#open.get(no)
    if (open === undefined) return
    this.#open.delete(no)
    const { key, asked } = open
    asked.reply = { values, kind, askedIn: asked.askedIn, cameWith }
    if (asked.askedIn < this.#first) this.#earlier.set(key, asked.reply)
  }
}

function push<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}
