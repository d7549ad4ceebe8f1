/** Decides which requests are accepted: those that are well-formed, and carry a token with the right that their route needs. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { BerthError } from '../../kernel/errors.ts'
import { bearerToken, hasOneHost } from '../../kernel/headers.ts'
import { holds } from '../../traffic/scene.ts'
import type { Right } from '../../traffic/schema.ts'
import type { Token } from '../book/token-book.ts'
import type { RouteParts } from './route.ts'

/** Checks the head of every request, before its token and its body are looked at. @throws REQUEST_MALFORMED, CONTENT_TYPE_UNSUPPORTED */
export function checkHead(request: FastifyRequest, reply: FastifyReply): void {
  reply.header('x-request-id', request.id)
  if (!hasOneHost(request.headers.host)) {
    throw new BerthError('REQUEST_MALFORMED', 'Cannot tell for which host the request is: it has more than one Host header')
  }
  const encoding = request.headers['content-encoding'] ?? 'identity'
  if (encoding === 'identity') return
  throw new BerthError('CONTENT_TYPE_UNSUPPORTED', `Cannot read the body: its Content-Encoding is "${encoding.slice(0, 100)}"`)
}

/**
 * The token that a request carries.
 * @throws REQUEST_MALFORMED, UNAUTHENTICATED, RATE_LIMITED; FORBIDDEN when it lacks the right
 */
export function authorize({ raw, ip }: FastifyRequest, { book, guesses }: Pick<RouteParts, 'book' | 'guesses'>, right: Right): Token {
  const headers = raw.headersDistinct.authorization ?? []
  if (headers.length > 1) throw new BerthError('REQUEST_MALFORMED', 'Cannot tell who asks: there is more than one Authorization header')
  const secret = bearerToken(headers[0] ?? '')
  if (secret === undefined)
    throw new BerthError('UNAUTHENTICATED', 'Cannot tell who asks: there is no "Authorization: Bearer TOKEN" header')
  const token = book.tokens.find(secret)
  if (token === undefined) throw guesses.refuse(ip, 'Cannot tell who asks: the token is not known here, or was revoked')
  if (holds(token, right)) return token
  throw new BerthError('FORBIDDEN', `Cannot allow this with token "${token.id}": it lacks the right "${right}"`)
}
