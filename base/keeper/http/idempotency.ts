/**
 * Answers a write that was sent with an `Idempotency-Key` once. For a day, the same request with the same key gets the first answer again,
 * and nothing is done again, even when the keeper was killed in between. A refused request has changed nothing, so it is carried out again.
 */
import { hash } from 'node:crypto'
import { BerthError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/log.ts'
import type { Actor, Book } from '../book/book.ts'
import type { Answer } from './route.ts'

/** A write as it came. */
export interface KeyedWrite {
  readonly who: string
  readonly key: string
  readonly method: string
  readonly url: string
  /** JSON or bytes, as they came; undefined when there was no body. */
  readonly body: unknown
  /** Whether the answer holds a secret, and so is not kept on disk. */
  readonly secret: boolean
}

interface UnderWay {
  readonly digest: string
  readonly answer: Promise<Answer>
}

/** How many answers with secrets are kept in memory. The oldest is dropped first. */
const SECRET_ANSWERS_MAX = 1000

export class Idempotency {
  readonly #book: Book
  /** Requests that are being carried out, and answers with secrets, by token and key. */
  readonly #underWay = new Map<string, UnderWay>()
  readonly #secret = new Map<string, UnderWay>()

  readonly #log: Logger

  constructor(book: Book, log: Logger) {
    this.#book = book
    this.#log = log
  }

  /**
   * @param run carries the request out; what it commits says by `keyed` which request this was
   * @throws IDEMPOTENCY_KEY_REUSED; as `run`
   */
  answer(write: KeyedWrite, run: (keyed: NonNullable<Actor['keyed']>) => Promise<Answer>): Promise<Answer> {
    const { who, key } = write
    const name = JSON.stringify([who, key])
    const digest = digestOf(write)
    const known = this.#underWay.get(name) ?? this.#secret.get(name) ?? this.#kept(who, key)
    if (known !== undefined && known.digest !== digest) throw reused(key)
    if (known?.answer !== undefined) return known.answer
    const answer = this.#run(write, digest, run)
    const underWay = { digest, answer }
    this.#underWay.set(name, underWay)
    const over = () => this.#underWay.delete(name)
    answer.then(() => {
      over()
      if (write.secret) this.#keepSecret(name, underWay)
    }, over)
    return answer
  }

  #kept(who: string, key: string): { readonly digest: string; readonly answer?: Promise<Answer> } | undefined {
    const kept = this.#book.keyed({ who, keyed: { key, digest: '' } })
    if (kept?.answer === undefined) return kept && { digest: kept.digest }
    // Only this class writes answers.
    return { digest: kept.digest, answer: Promise.resolve(kept.answer as Answer) }
  }

  async #run(
    { who, key, secret }: KeyedWrite,
    digest: string,
    run: (keyed: NonNullable<Actor['keyed']>) => Promise<Answer>,
  ): Promise<Answer> {
    const keyed = { key, digest }
    const answer = await run(keyed)
    if (!secret) this.#keep({ who, keyed }, answer)
    return answer
  }

  /**
   * Keeps the answer. A failure here is no reason to fail the request: the write is committed with its result, from which it can be
   * answered again.
   */
  #keep(actor: Actor, answer: Answer): void {
    try {
      this.#book.keepAnswer(actor, answer)
    } catch (error) {
      this.#log.warn({ err: error }, 'the answer to a request with a key could not be kept')
    }
  }

  #keepSecret(name: string, answer: UnderWay): void {
    this.#secret.set(name, answer)
    const [oldest] = this.#secret.keys()
    if (this.#secret.size > SECRET_ANSWERS_MAX && oldest !== undefined) this.#secret.delete(oldest)
  }
}

function digestOf({ method, url, body }: KeyedWrite): string {
  const content = body === undefined ? '' : Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body)
  return hash('sha256', Buffer.concat([Buffer.from(`${method} ${url}\n`), Buffer.from(content)]), 'hex')
}

function reused(key: string): BerthError {
  return new BerthError('IDEMPOTENCY_KEY_REUSED', `Cannot take the request: the key "${key}" was sent with another one`)
}
