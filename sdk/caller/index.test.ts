import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type Client, type ClientOptions, createClient, SceneError } from './index.ts'

type Behaviour = (req: IncomingMessage, res: ServerResponse) => void

interface Peer {
  readonly url: string
  readonly client: Client
  /** Headers of the requests that arrived. */
  readonly requests: IncomingMessage[]
  /** Connections that were made. */
  connections(): number
}

/** A server that treats the first request by the first behaviour, and so on; the last behaviour is used for all further requests. */
async function peer(t: TestContext, behaviours: readonly Behaviour[], options: Partial<ClientOptions> = {}): Promise<Peer> {
  const requests: IncomingMessage[] = []
  let connections = 0
  const server = createServer((req, res) => {
    const behave = behaviours[Math.min(requests.length, behaviours.length - 1)] ?? assert.fail()
    requests.push(req)
    req.resume().on('end', () => behave(req, res))
  })
  server.on('connection', () => connections++)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, client: createClient({ url, deadlineMs: 60_000, ...options }), requests, connections: () => connections }
}

const answer: Behaviour = (_, res) => res.setHeader('x-scene-version', 'v7').end('{"items":[1]}')
const reset: Behaviour = req => req.socket.resetAndDestroy()
const hang: Behaviour = () => undefined
/** A problem document, with the headers of a base. */
const refuse =
  (status: number, code: string, headers: Readonly<Record<string, string>> = {}): Behaviour =>
  (_, res) => {
    res.writeHead(status, { 'content-type': 'application/problem+json', 'x-request-id': 'of-the-base', ...headers })
    res.end(JSON.stringify({ code, status, blame: 'load', detail: `Cannot: ${code}`, version: 'v7' }))
  }

async function failure(call: Promise<unknown>): Promise<SceneError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert(error instanceof SceneError)
  return error
}

test('a connection that breaks before an answer began is tried again, once', async t => {
  const { client, requests } = await peer(t, [reset, answer])
  const { output, attempts } = await client.callWithInfo('home', {})
  assert.deepEqual([output, attempts, requests.length], [{ items: [1] }, 2, 2])
})

test('both attempts of a call have one request id', async t => {
  const { client, requests } = await peer(t, [reset, answer])
  await client.call('home', {})
  const ids = requests.map(({ headers }) => headers['x-request-id'])
  assert.match(String(ids[0]), /^[0-9a-f]{16}$/)
  assert.equal(ids[0], ids[1])
})

test('a call that breaks twice fails with the number of attempts', async t => {
  const { client, requests } = await peer(t, [reset])
  const error = await failure(client.call('home', {}, { requestId: 'mine' }))
  assert.deepEqual([error.code, error.attempts, error.status, error.requestId], ['CONNECTION_FAILED', 2, undefined, 'mine'])
  assert.match(error.message, /^Cannot call scene "home": http:\/\/127\.0\.0\.1:\d+ cannot be reached: /)
  assert.equal(requests.length, 2)
})

test('a refused connection is reported as one', async () => {
  const error = await failure(createClient({ url: 'http://127.0.0.1:1' }).call('home', {}))
  assert.equal(error.code, 'CONNECTION_FAILED')
  assert.equal(error.blame, undefined)
})

test('an answer that breaks off is not tried again', async t => {
  const breakOff: Behaviour = (req, res) => {
    res.writeHead(200, { 'content-length': 100 }).write('{"items":')
    setImmediate(() => req.socket.destroy())
  }
  const { client, requests } = await peer(t, [breakOff, answer])
  const error = await failure(client.call('home', {}))
  assert.deepEqual([error.code, error.status, error.attempts, requests.length], ['CONNECTION_FAILED', 200, 1, 1])
})

for (const status of [429, 503]) {
  test(`a ${status} that says when to come back is tried again then`, async t => {
    const { client, requests } = await peer(t, [refuse(status, 'SCENE_OVERLOADED', { 'retry-after': '0' }), answer])
    assert.deepEqual(await client.call('home', {}), { items: [1] })
    assert.equal(requests.length, 2)
  })
}

test('a Retry-After that ends after the deadline fails at once, with all that the base said', async t => {
  const { client, requests } = await peer(t, [refuse(503, 'SCENE_OVERLOADED', { 'retry-after': '61' }), answer])
  const error = await failure(client.call('home', {}))
  assert.deepEqual(
    [error.code, error.status, error.blame, error.retryAfterSeconds, error.requestId, error.version, error.attempts],
    ['SCENE_OVERLOADED', 503, 'load', 61, 'of-the-base', 'v7', 1],
  )
  assert.equal(error.problem?.detail, error.message)
  assert.equal(requests.length, 1)
})

test('a Retry-After that is a date counts from the date of the answer, whatever the clock here shows', async t => {
  const now = Date.now() - 86_400_000
  const header = (ms: number) => new Date(now + ms).toUTCString()
  const { client, requests } = await peer(t, [refuse(503, 'BASE_DRAINING', { date: header(0), 'retry-after': header(61_000) }), answer])
  await assert.rejects(client.call('home', {}, { deadlineMs: 5000 }), { retryAfterSeconds: 61 })
  assert.equal(requests.length, 1)
})

test('a Retry-After may be a date', async t => {
  const past = new Date(0).toUTCString()
  const { client } = await peer(t, [refuse(503, 'BASE_DRAINING', { 'retry-after': past }), answer])
  assert.deepEqual(await client.call('home', {}), { items: [1] })
})

for (const [status, code] of [
  [503, 'MODULE_KILLED'],
  [500, 'MODULE_THREW'],
  [404, 'SCENE_NOT_FOUND'],
  [504, 'DEADLINE_EXCEEDED'],
] as const) {
  test(`a ${status} without Retry-After is not tried again`, async t => {
    const { client, requests } = await peer(t, [refuse(status, code), answer])
    assert.equal((await failure(client.call('home', {}))).code, code)
    assert.equal(requests.length, 1)
  })
}

test('nothing is tried again when the call or the client says so', async t => {
  const { client, url, requests } = await peer(t, [reset])
  await failure(client.call('home', {}, { retry: false }))
  await failure(createClient({ url, retry: false }).call('home', {}))
  assert.equal(requests.length, 2)
})

test('a call without an answer ends at its deadline and lets the connection go', async t => {
  const closed = Promise.withResolvers<void>()
  const { client, requests } = await peer(t, [req => req.socket.on('close', () => closed.resolve())])
  const error = await failure(client.call('home', {}, { deadlineMs: 1000 }))
  assert.deepEqual([error.code, error.status, error.attempts, requests.length], ['DEADLINE_EXCEEDED', undefined, 1, 1])
  assert.match(error.message, /no answer within 1000 ms/)
  await closed.promise
})

test('the deadline holds for an answer that trickles', async t => {
  const { client } = await peer(t, [(_, res) => res.writeHead(200).write('{')])
  assert.equal((await failure(client.call('home', {}, { deadlineMs: 30 }))).code, 'DEADLINE_EXCEEDED')
})

test('one deadline covers both attempts, and the error says why there were two', async t => {
  const { client, requests } = await peer(t, [reset, hang])
  const error = await failure(client.call('home', {}, { deadlineMs: 1000 }))
  assert.deepEqual([error.code, error.attempts, requests.length], ['DEADLINE_EXCEEDED', 2, 2])
  assert(error.cause instanceof SceneError && error.cause.code === 'CONNECTION_FAILED')
})

test('a signal ends a call with its own reason, before, during and between attempts', async t => {
  const reason = new Error('the visitor left')
  const { client } = await peer(t, [hang])
  await assert.rejects(client.call('home', {}, { signal: AbortSignal.abort(reason) }), reason)

  const during = new AbortController()
  const hanging = await peer(t, [() => during.abort(reason)])
  await assert.rejects(hanging.client.call('home', {}, { signal: during.signal }), reason)

  const between = new AbortController()
  const busy = await peer(t, [
    (req, res) => {
      refuse(503, 'SCENE_OVERLOADED', { 'retry-after': '30' })(req, res)
      res.on('close', () => between.abort(reason))
    },
    answer,
  ])
  await assert.rejects(busy.client.call('home', {}, { signal: between.signal }), reason)
  assert.equal(busy.requests.length, 1)
})

test('calls one after the other keep their connection, also after a refusal', async t => {
  const { client, connections } = await peer(t, [refuse(500, 'MODULE_THREW'), answer])
  await failure(client.call('home', {}))
  for (let call = 0; call < 9; call++) await client.call('home', {})
  // The platform may open a second connection before the first is free again.
  assert(connections() <= 2, `${connections()} connections for 10 calls`)
})

test('how an answer came about is read from its headers', async t => {
  const headers = {
    'x-scene-version': 'v8',
    'x-scene-because': 'experiment',
    'x-scene-bucket': 'b',
    'x-scene-degraded': 'recall, rerank',
    'x-request-id': 'r1',
    'server-timing': 'scene;dur=1.5, rank;desc="a, b";dur=0.9, cache',
  }
  const { client } = await peer(t, [(_, res) => res.writeHead(200, headers).end('null')])
  const { durationMs, ...info } = await client.callWithInfo('home', {})
  assert(durationMs > 0)
  assert.deepEqual(info, {
    output: null,
    version: 'v8',
    because: 'experiment',
    bucket: 'b',
    degraded: ['recall', 'rerank'],
    requestId: 'r1',
    timings: { scene: 1.5, rank: 0.9 },
    attempts: 1,
  })
})

test('a call sends its unit in UTF-8, its version, the token, and headers that go before those of the client', async t => {
  const { client, requests } = await peer(t, [answer], { token: 'secret', headers: { 'X-App': 'old', 'x-shop': 's1' } })
  await client.call('men/shoes', {}, { unit: 'besucher-ä', version: 'v3', headers: { 'x-app': 'new' } })
  const { url, method, headers } = requests[0] ?? assert.fail()
  assert.deepEqual([method, url], ['POST', '/scenes/men%2Fshoes'])
  assert.equal(Buffer.from(String(headers['x-unit-id']), 'latin1').toString(), 'besucher-ä')
  assert.deepEqual(
    [headers['x-scene-version'], headers.authorization, headers['x-app'], headers['x-shop'], headers['content-type']],
    ['v3', 'Bearer secret', 'new', 's1', 'application/json'],
  )
})

test('a unit that HTTP would change on its way is percent-encoded, so that no two units become one', async t => {
  const units = [' u1', 'u1\t', 'u1\n', "utf-8''u1"]
  const { client, requests } = await peer(
    t,
    units.map(() => answer),
  )
  for (const unit of units) await client.call('home', {}, { unit })
  assert.deepEqual(
    requests.map(({ headers }) => headers['x-unit-id']),
    units.map(unit => `UTF-8''${encodeURIComponent(unit)}`),
  )
})

test('a base behind a gateway is called under the path of the gateway', async t => {
  const { url, requests } = await peer(t, [answer])
  await createClient({ url: `${url}/berth` }).call('home', {})
  assert.equal(requests[0]?.url, '/berth/scenes/home')
})

for (const [what, behave] of [
  ['a page of a proxy', (_, res) => res.writeHead(502).end('<html>')],
  ['a 200 that is no JSON', (_, res) => res.end('hello')],
  ['an error that is no problem document', (_, res) => res.writeHead(500).end('{"error":"x"}')],
] as const satisfies readonly (readonly [string, Behaviour])[]) {
  test(`${what} is reported as no base`, async t => {
    const { client, requests } = await peer(t, [behave])
    assert.equal((await failure(client.call('home', {}))).code, 'ANSWER_UNEXPECTED')
    assert.equal(requests.length, 1)
  })
}

test('what cannot be sent is a TypeError and no request', async t => {
  const { client, url, requests } = await peer(t, [answer])
  await assert.rejects(client.call('home', undefined), new TypeError('Cannot call scene "home": the input has no JSON'))
  await assert.rejects(client.call('home', {}, { headers: { 'bad name': 'x' } }), TypeError)
  await assert.rejects(client.call('home', {}, { deadlineMs: 0 }), TypeError)
  assert.throws(() => createClient({ url: 'localhost:8080' }), TypeError)
  assert.throws(() => createClient({ url, deadlineMs: Number.NaN }), TypeError)
  assert.equal(requests.length, 0)
})
