/** Rows of the audit log about addresses that guess tokens: one for each address and minute, and so few in an hour that they cannot fill the disk. */
import { limits } from '../../kernel/limits.ts'
import type { Logger } from '../../kernel/log.ts'
import type { Book } from '../book/book.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

export class GuessAudit {
  readonly #book: Pick<Book, 'commit'>
  readonly #log: Logger
  readonly #now: () => number
  /** When each address had its last row, in this hour. */
  readonly #rows = new Map<string, number>()
  #hour = { since: Number.NEGATIVE_INFINITY, rows: 0 }

  constructor(book: Pick<Book, 'commit'>, log: Logger, now: () => number = () => performance.now()) {
    this.#book = book
    this.#log = log
    this.#now = now
  }

  /** Notes that the guesses of an address went over the limit. The process that answered them knows the minute, the audit log the time. */
  note(address: string, port: 'scene' | 'control'): void {
    const now = this.#now()
    if (now >= this.#hour.since + HOUR_MS) {
      this.#hour = { since: now, rows: 0 }
      this.#rows.clear()
    }
    const isKnown = now < (this.#rows.get(address) ?? Number.NEGATIVE_INFINITY) + MINUTE_MS
    if (isKnown || this.#hour.rows >= limits.http.tokenGuessRowsPerHourMax) return
    this.#hour.rows++
    this.#rows.set(address, now)
    this.#write({ address, port, isLast: this.#hour.rows === limits.http.tokenGuessRowsPerHourMax })
  }

  /** A row that cannot be kept is no reason to fail: the request is refused whatever becomes of the row. */
  #write(payload: { readonly address: string; readonly port: 'scene' | 'control'; readonly isLast: boolean }): void {
    const change = { kind: 'limit guesses', payload, facts: {}, target: payload.address, before: null, after: null } as const
    this.#log.warn(payload, 'an address guesses tokens: further ones are refused for their rate')
    try {
      this.#book.commit([], { who: 'base' }, change)
    } catch (error) {
      this.#log.error({ err: error, ...payload }, 'a row of the audit log could not be kept')
    }
  }
}
