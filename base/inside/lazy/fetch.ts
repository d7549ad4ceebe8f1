/**
 * `Headers`, `Request`, `Response` and what `fetch` does of the Fetch standard. Bodies are whole, text or bytes. There are no streams,
 * blobs or forms, so `body`, `blob` and `formData` are missing. The cell decides which hosts may be reached, and what of a request leaves.
 */
import { bytesOf, contentIn, Raw } from './fetch/fetch-body.ts'
import { type Entries, Headers } from './fetch/fetch-headers.ts'
import { Request, requestSignal } from './fetch/fetch-request.ts'
import { NULL_BODY, Response, setOrigin } from './fetch/response.ts'
import { tools } from './tools.ts'

const { parse, stringify } = JSON

interface Received {
  readonly status: number
  readonly statusText: string
  readonly headers: Entries
  readonly url: string
  readonly redirected: boolean
}

function received(head: string, body: string | ArrayBuffer): Response {
  const { url, redirected, ...init } = parse(head) as Received
  const content = NULL_BODY.includes(init.status) ? null : typeof body === 'string' ? body : new Uint8Array(body)
  return setOrigin(new Response(new Raw(content), init), { type: 'basic', url, redirected })
}

/**
 * Sends before it returns: which request of the slot fetches is known only while its synchronous code runs.
 * @param owner the request of the slot that fetches; undefined when the code that fetches did not say
 */
async function fetchFor(owner: unknown, input: unknown, init: unknown): Promise<Response> {
  const request = new Request(input, init)
  const signal = requestSignal(request)
  signal?.throwIfAborted()
  const { url, method, redirect } = request
  const content = contentIn(request)
  const { answer, abort } = tools.fetch(
    owner,
    method,
    stringify({ url, redirect, headers: [...request.headers] }),
    content === null || typeof content === 'string' ? (content ?? undefined) : bytesOf(content).buffer,
  )
  if (signal === undefined) return answer.then(({ head, body }) => received(head, body))
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      abort()
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    const done = () => signal.removeEventListener('abort', onAbort)
    answer
      .then(({ head, body }) => received(head, body))
      .finally(done)
      .then(resolve, reject)
  })
}

export default { Headers, Request, Response, fetchFor }
