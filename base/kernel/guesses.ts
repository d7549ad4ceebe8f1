/**
 * Counts the requests of each address whose token is not known. Over the limit, such a request is refused for its rate. A token that is known is
 * never refused for the guesses of others: behind a load balancer, everybody has the same address. What keeps a token from being guessed is that it has
 * 256 random bits; this keeps guesses cheap for the base, and lets people see them.
 */
import { isIPv6 } from 'node:net'
import { BerthError } from './errors.ts'
import { limits } from './limits.ts'

const MINUTE_MS = 60_000

interface Count {
  readonly since: number
  guesses: number
}

export class Guesses {
  readonly #onLimit: (address: string) => void
  readonly #now: () => number
  /** By address; the one whose last guess is the longest ago comes first. */
  readonly #counts = new Map<string, Count>()
  #total = 0

  /** @param onLimit is called once for each address and minute in which its guesses go over the limit */
  constructor(onLimit: (address: string) => void, now: () => number = () => performance.now()) {
    this.#onLimit = onLimit
    this.#now = now
  }

  /** Guesses since the process started. */
  get total(): number {
    return this.#total
  }

  /** Addresses whose guesses are remembered. */
  get addresses(): number {
    return this.#counts.size
  }

  /**
   * Counts a request whose token is not known.
   * @param message why it is refused while the address is within its limit
   * @returns the error to answer with: UNAUTHENTICATED, or RATE_LIMITED over the limit
   */
  refuse(remote: string, message: string): BerthError {
    const address = networkOf(remote)
    const now = this.#now()
    const count = this.#count(address, now)
    this.#total++
    count.guesses++
    const { tokenGuessesPerMinuteMax } = limits.http
    if (count.guesses <= tokenGuessesPerMinuteMax) return new BerthError('UNAUTHENTICATED', message)
    if (count.guesses === tokenGuessesPerMinuteMax + 1) this.#onLimit(address)
    const why = `over ${tokenGuessesPerMinuteMax} requests from ${address} in a minute had a token that is not known here`
    return new BerthError('RATE_LIMITED', `Cannot accept the Authorization header: ${why}`, {
      retryAfterSeconds: Math.ceil((count.since + MINUTE_MS - now) / 1000),
    })
  }

  #count(address: string, now: number): Count {
    const known = this.#counts.get(address)
    const count = known !== undefined && now < known.since + MINUTE_MS ? known : { since: now, guesses: 0 }
    this.#counts.delete(address)
    this.#counts.set(address, count)
    const [oldest] = this.#counts.keys()
    if (this.#counts.size > limits.http.tokenGuessAddressesMax && oldest !== undefined) this.#counts.delete(oldest)
    return count
  }
}

/** The address that guesses are counted under. Of IPv6 it is the first 64 bits: whoever has one address has all that begin with them. */
export function networkOf(remote: string): string {
  const address = remote.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.split('::')
  const groups = (text: string | undefined): string[] => (text ?? '').split(':').filter(Boolean)
  const [before, after] = [groups(head), groups(tail)]
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  const all = [...before, ...Array<string>(Math.max(0, zeros)).fill('0'), ...after]
  return `${all.slice(0, 4).join(':')}::/64`
}
