/**
 * Answers a write that was sent with an `Idempotency-Key` once. For a day, the same request with the same key gets the first answer again,
 * and nothing is done again, even when the keeper was killed in between. A refused request has changed nothing, so it is carried out again.
 */
import { hash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { type Report, withoutContents } from '../../capsule/report.ts'
import { BerthError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/log.ts'
import type { Actor, Book } from '../book/book.ts'
import type { Answer } from './route.ts'

/** A write that was sent with a key. */
export interface KeyedWrite {
  /** Id of the token that sent it. */
  readonly who: string
  readonly key: string
  /** The digest of all that makes it this request; see `digestOf`. */
  readonly digest: string
  /** Whether its answer holds a secret, and so is never kept on disk. */
  readonly secret: boolean
}

interface UnderWay {
  readonly digest: string
  readonly answer: Promise<Answer>
}

/** Milliseconds that an answer with a secret is kept in memory, long enough to be sent again, and how many are: the oldest is dropped first. */
const SECRET_MS_MAX = 600_000
const SECRET_ANSWERS_MAX = 1000

export class Idempotency {
  readonly #book: Book
  readonly #log: Logger
  /** Requests that are being carried out, by token and key. */
  readonly #underWay = new Map<string, UnderWay>()
  /** Answers with secrets, by token and key. */
  readonly #secret = new Map<string, UnderWay>()

  constructor(book: Book, log: Logger) {
    this.#book = book
    this.#log = log
  }

  /**
   * @param run carries the request out; what it commits says by `keyed` which request this was
   * @throws IDEMPOTENCY_KEY_REUSED; as `run`
   */
  answer(write: KeyedWrite, run: (keyed: NonNullable<Actor['keyed']>) => Promise<Answer>): Promise<Answer> {
    const { who, key, digest } = write
    const name = JSON.stringify([who, key])
    const known = this.#underWay.get(name) ?? this.#secret.get(name) ?? this.#kept(write)
    if (known !== undefined && known.digest !== digest) {
      throw new BerthError('IDEMPOTENCY_KEY_REUSED', `Cannot take the request: the key "${key}" was sent with another one`)
    }
    if (known?.answer !== undefined) return known.answer
    const answer = this.#run(write, run)
    const underWay = { digest, answer }
    this.#underWay.set(name, underWay)
    const over = () => this.#underWay.delete(name)
    answer.then(() => {
      over()
      if (write.secret) this.#keepSecret(name, underWay)
    }, over)
    return answer
  }

  #kept({ who, key, digest }: KeyedWrite): { readonly digest: string; readonly answer?: Promise<Answer> } | undefined {
    const kept = this.#book.keyed({ who, keyed: { key, digest } })
    if (kept?.answer === undefined) return kept && { digest: kept.digest }
    // Only this class writes answers.
    return { digest: kept.digest, answer: Promise.resolve(kept.answer as Answer) }
  }

  async #run({ who, key, digest, secret }: KeyedWrite, run: (keyed: NonNullable<Actor['keyed']>) => Promise<Answer>): Promise<Answer> {
    const keyed = { key, digest }
    const answer = await run(keyed)
    if (!secret) this.#keep({ who, keyed }, answer)
    return answer
  }

  /**
   * Keeps the answer. That there is no room for it is no reason to fail the request: the write is committed with its result, from which it
   * can be answered again.
   * @throws STORE_FAILED: what is on the disk is then unknown
   */
  #keep(actor: Actor, answer: Answer): void {
    try {
      this.#book.keepAnswer(actor, forDisk(answer))
    } catch (error) {
      if (!(error instanceof BerthError) || error.code === 'STORE_FAILED') throw error
      this.#log.warn({ err: error }, 'the answer to a request with a key could not be kept')
    }
  }

  #keepSecret(name: string, answer: UnderWay): void {
    this.#secret.set(name, answer)
    setTimeout(() => this.#secret.delete(name), SECRET_MS_MAX).unref()
    const [oldest] = this.#secret.keys()
    if (this.#secret.size > SECRET_ANSWERS_MAX && oldest !== undefined) this.#secret.delete(oldest)
  }
}

/** An answer without what it says of capsules, which can be deleted. */
function forDisk(answer: Answer): Answer {
  const { validation, ...others } = Object(answer.body) as { readonly validation?: Report | undefined }
  return validation === undefined ? answer : { ...answer, body: { ...others, validation: withoutContents(validation) } }
}

/** The headers that make another request of the same method, path and body. */
const headersThatCount = ['content-type', 'if-match', 'if-none-match'] as const

/**
 * The digest of a request, by its bytes: what a schema fills in may change with a release.
 * @param bodyDigest of the bytes of the body; empty without one
 */
export function digestOf(method: string, url: string, headers: IncomingHttpHeaders, bodyDigest: string): string {
  return hash('sha256', JSON.stringify([method, url, ...headersThatCount.map(name => headers[name] ?? null), bodyDigest]), 'hex')
}
