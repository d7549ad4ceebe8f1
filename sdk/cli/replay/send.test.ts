import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { Entry } from './log.ts'
import { type Plan, startReplay } from './send.ts'

async function serve(t: TestContext, listener: RequestListener): Promise<{ server: Server; url: URL }> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { server, url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`) }
}

const entry: Entry = { scene: 'home', body: '{"ä":1}', headers: { 'x-unit-id': 'u1' }, shown: undefined }

const plan = (more: Partial<Plan> = {}): Plan => ({ entries: [entry], passes: 1, seed: 's', perSecond: undefined, connections: 2, ...more })

const ignore = (): void => undefined

test('in the open loop requests leave when they are due, answered or not', async t => {
  const total = 40
  const held: (() => void)[] = []
  const { url } = await serve(t, (_, res) => {
    held.push(() => res.end('1'))
    // If one request waited for the answer of another, this would never come.
    if (held.length === total) for (const answer of held) answer()
  })
  const { answered, sent } = await startReplay({ url, headers: {} }, plan({ passes: total, perSecond: 1000, connections: 64 }), ignore)
    .finished
  assert.deepEqual([answered, sent], [total, total])
})

test('in the closed loop as many are under way as there are connections', async t => {
  const held: (() => void)[] = []
  let most = 0
  const { url } = await serve(t, (_, res) => {
    held.push(() => res.end('1'))
    most = Math.max(most, held.length)
    // If fewer were under way, the third would never come.
    if (held.length === 3) setImmediate(() => held.splice(0).map(answer => answer()))
  })
  const { answered, latencyUs } = await startReplay({ url, headers: {} }, plan({ passes: 30, connections: 3 }), ignore).finished
  assert.deepEqual([answered, latencyUs.count, most], [30, 30, 3])
})

test('the same seed sends the same request ids, a new one for every request', async t => {
  const requests: IncomingMessage[] = []
  const { url } = await serve(t, (req, res) => {
    requests.push(req)
    res.end('1')
  })
  for (const seed of ['a', 'a', 'b']) {
    await startReplay({ url, headers: { authorization: 'Bearer x' } }, plan({ seed, passes: 2, connections: 1 }), ignore).finished
  }
  assert.deepEqual(
    requests.map(({ headers }) => headers['x-request-id']),
    ['a-0', 'a-1', 'a-0', 'a-1', 'b-0', 'b-1'],
  )
  const { url: path, headers } = requests[0] ?? assert.fail()
  assert.deepEqual([path, headers.authorization, headers['x-unit-id'], headers['content-length']], ['/scenes/home', 'Bearer x', 'u1', '8'])
})

test('failures are counted by code, with the first message, and nothing is sent again', async t => {
  const answers: RequestListener[] = [
    (_, res) => res.writeHead(200, { 'x-scene-version': 'v1' }).end('1'),
    (_, res) => res.writeHead(500).end('{"code":"MODULE_THREW","detail":"first"}'),
    (_, res) => res.writeHead(500).end('{"code":"MODULE_THREW","detail":"second"}'),
    (_, res) => res.writeHead(502).end('<html>'),
    req => req.socket.resetAndDestroy(),
    (req, res) => {
      res.writeHead(200, { 'content-length': 10 }).write('1')
      setImmediate(() => req.socket.destroy())
    },
  ]
  let next = 0
  const { url } = await serve(t, (req, res) => answers[next++]?.(req, res))
  const { answered, sent, failures, versions } = await startReplay({ url, headers: {} }, plan({ passes: 6, connections: 1 }), ignore)
    .finished
  assert.deepEqual([answered, sent, next], [1, 6, 6])
  assert.deepEqual([...versions], [['v1', 1]])
  assert.deepEqual(failures.get('MODULE_THREW'), { count: 2, message: 'first' })
  assert.deepEqual(failures.get('HTTP_502'), { count: 1, message: '<html>' })
  assert.equal(failures.get('ECONNRESET')?.count, 2)
})

test('answers to rows that say what was shown are handed out with the index of the row', async t => {
  const { url } = await serve(t, (req, res) => res.end(JSON.stringify(req.headers['x-unit-id'])))
  const shown = { item: '1', position: 1, clicked: 0, propensity: 1 } as const
  const entries = ['a', 'b', 'c'].map(
    (unit): Entry => ({ ...entry, headers: { 'x-unit-id': unit }, shown: unit === 'b' ? undefined : shown }),
  )
  const answers: [number, string][] = []
  await startReplay({ url, headers: {} }, plan({ entries, passes: 2, connections: 1 }), (...answer) => answers.push(answer)).finished
  const once = [
    [0, '"a"'],
    [2, '"c"'],
  ]
  assert.deepEqual(answers, [...once, ...once])
})

test('a base that is gone ends the replay with what was measured', async t => {
  const { server, url } = await serve(t, (_, res) => {
    res.setHeader('connection', 'close').end('1')
    server.close()
  })
  const { ended, answered, failures } = await startReplay({ url, headers: {} }, plan({ passes: 10_000, connections: 1 }), ignore).finished
  assert.deepEqual([ended, answered], ['gone', 1])
  assert.equal(failures.get('ECONNREFUSED')?.count, 100)
})

test('stopped, it counts what was answered and forgets what was under way', async t => {
  let served = 0
  const { url } = await serve(t, (_, res) => {
    if (++served <= 5) res.end('1')
    else run.stop()
  })
  const run = startReplay({ url, headers: {} }, plan({ passes: 100, connections: 1 }), ignore)
  const { ended, answered, failures } = await run.finished
  assert.deepEqual([ended, answered, failures.size, run.settled()], ['stopped', 5, 0, 5])
})
