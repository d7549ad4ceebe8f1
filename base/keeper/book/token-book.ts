/** The tokens that a base accepts. Only their hashes are kept. */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { TokenRecord } from '../../change/records.ts'
import { BerthError } from '../../kernel/errors.ts'
import type { BaseStore } from '../../store/base-store.ts'

export interface Token extends Omit<TokenRecord, 'hash'> {
  readonly id: string
}

const TOKEN_PREFIX = 'berth_'

/** A token of 256 random bits. By the prefix, scanners for leaked secrets recognise it. */
export const newSecret = (): string => `${TOKEN_PREFIX}${randomBytes(32).toString('base64url')}`

export const newTokenId = (): string => `t-${randomBytes(6).toString('hex')}`

/** sha256, hex: what is kept of a token. */
export const hashOf = (secret: string): string => hash('sha256', secret, 'hex')

export class TokenBook {
  readonly #store: BaseStore

  constructor(store: BaseStore) {
    this.#store = store
  }

  list(): Token[] {
    return this.#store.list('token').map(({ key, value }) => tokenOf(key, value))
  }

  /** @throws TOKEN_NOT_FOUND */
  get(id: string): Token & { readonly revision: number } {
    const found = this.#store.get('token', id)
    if (found !== undefined) return { ...tokenOf(id, found.value), revision: found.revision }
    throw new BerthError('TOKEN_NOT_FOUND', `Cannot revoke token "${id}": there is none with this id`)
  }

  /** The token with this secret. The look-up takes as long for a secret that is nearly right as for any other. */
  find(secret: string): Token | undefined {
    const wanted = Buffer.from(hashOf(secret), 'hex')
    const matches = this.#store.list('token').filter(({ value }) => timingSafeEqual(wanted, Buffer.from(value.hash, 'hex')))
    return matches[0] && tokenOf(matches[0].key, matches[0].value)
  }
}

function tokenOf(id: string, { hash: _, ...rest }: TokenRecord): Token {
  return { id, ...rest }
}
