/**
 * Cuts requests off whose body arrives too slowly. Node has one limit for all requests of a server, which has to be that of uploads; all others get
 * their own here.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { answerClientError, lateRequest } from '../../kernel/client-error.ts'
import { limits } from '../../kernel/limits.ts'

/** Name of the decorator that says that a request may take as long as the server lets it. */
export const MAY_BE_SLOW = 'mayBeSlow'

/** Answers `BODY_TIMEOUT` when the request has not arrived in `limits.http.requestTimeoutMs`, unless it may be slow by then. */
export function boundArrival(request: FastifyRequest, reply: FastifyReply): void {
  const { raw } = request
  if (raw.headers['content-length'] === undefined && raw.headers['transfer-encoding'] === undefined) return
  const timer = setTimeout(() => {
    if (raw.complete || request.getDecorator<boolean>(MAY_BE_SLOW)) return
    // Whoever is answered already, as one without a token is at once, gets no second answer.
    if (reply.raw.headersSent) raw.socket.destroy()
    else answerClientError(lateRequest(), raw.socket)
  }, limits.http.requestTimeoutMs).unref()
  raw.once('close', () => clearTimeout(timer))
}
