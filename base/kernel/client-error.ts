/** Answers bytes on an HTTP port that Node could not parse as a request. */
import type { Socket } from 'node:net'
import { BerthError, type ErrorCode, toProblem } from './errors.ts'

const codes: Readonly<Record<string, ErrorCode>> = {
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  ERR_HTTP_REQUEST_TIMEOUT: 'BODY_TIMEOUT',
}

/** Milliseconds for which a peer that was answered may leave its end of the connection open. */
const LINGER_MS = 2000

/** What Node reports when a request has not arrived in time. */
export const lateRequest = (): Error & { code: string } =>
  Object.assign(new Error('it did not arrive in time'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })

/**
 * A handler for the event `clientError` of an HTTP server. It writes a problem document straight to the socket, because there is no response
 * object for a request that could not be parsed.
 */
export function answerClientError(thrown: Error & { code?: string }, socket: Socket): void {
  if (thrown.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const error = new BerthError(codes[thrown.code ?? ''] ?? 'REQUEST_MALFORMED', `Cannot read the request: ${thrown.message}`)
  const json = JSON.stringify(toProblem(error))
  const head = [
    `HTTP/1.1 ${error.status} ${error.code}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(json)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${json}`)
  // At once it would take the answer from a peer that still sends; never, and a peer that does not close would keep the socket.
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}
