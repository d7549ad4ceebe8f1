/** Requests to other hosts, on their way to the cell. */
import { noteEntry } from '../clock.ts'
import { cursor, limits, post } from '../host.ts'
import { closeLeftover, openRequests, type Request, running } from '../open-request.ts'
import { CURSOR } from '../protocol.ts'
import { fetchError } from './failures.ts'
import { admit, admitWithoutCaller, enter, leave } from './open-calls.ts'

/** `head` is JSON of `{ status, statusText, headers, url, redirected }`. A body that is UTF-8 comes as text, any other as bytes. */
export interface FetchAnswer {
  readonly head: string
  readonly body: string | ArrayBuffer
}

export interface Sent {
  readonly answer: Promise<FetchAnswer>
  /** Takes the request back when nobody waits for the answer any more. */
  abort(): void
}

/**
 * Sends a request of `fetch`; called in the synchronous part of the code that fetches. Throws, or the answer rejects, with the error that
 * the module is to get. After an `await` it is not known which request code belongs to, unless the code says so. Then the open request with
 * the latest deadline stands for it, so that no fetch is cut short by the deadline of another request, and the cell hears that this is a
 * guess.
 * @param owner a `Request`, or undefined when the code that fetches did not say
 * @param head JSON of `{ url, redirect, headers }`
 */
export function send(owner: unknown, method: string, head: string, body: string | ArrayBuffer | undefined): Sent {
  const caller = (owner as Request | undefined) ?? running.request
  const stands = caller ?? latest()
  if (caller !== undefined) admit(caller, 'fetch')
  else admitWithoutCaller()
  if (stands === undefined) throw new Error('fetch: no request is under way; fetch in a stage')
  const size = body === undefined ? 0 : typeof body === 'string' ? body.length : body.byteLength
  if (head.length + size > limits.fetchBytes) {
    const message = `Cannot fetch: the request has ${head.length + size} bytes, the limit is ${limits.fetchBytes}`
    throw fetchError({ code: 'FETCH_TOO_LARGE', message })
  }
  let callNo = 0
  const answer = new Promise<FetchAnswer>((resolve, reject) => {
    callNo = enter({ caller, resolve, reject, kind: 'fetch' })
  })
  post('fetch', callNo, stands.no, caller === undefined ? 0 : 1, method, head, ...(body === undefined ? [] : [body]))
  return { answer, abort: () => leave(callNo) !== undefined && post('unfetch', callNo) }
}

/** The request under way that has the most time left. */
function latest(): Request | undefined {
  let found: Request | undefined
  for (const request of openRequests.values()) if (found === undefined || request.deadlineAt > found.deadlineAt) found = request
  return found
}

export function settleFetch(callNo: number, head: string, body: string | ArrayBuffer): void {
  closeLeftover()
  noteEntry()
  const call = leave(callNo)
  if (call?.caller !== undefined) cursor[CURSOR.step] = call.caller.step
  call?.resolve({ head, body } as never)
}
