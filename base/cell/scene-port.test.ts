import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { answerPlainly } from '../../test/support/answers.ts'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { Connections } from './connections.ts'
import { createSceneServer, type SceneHandlers } from './scene-port.ts'

const LIMIT = 1024

const handlers: SceneHandlers = {
  enter: ({ sceneAsked }) => sceneAsked,
  exit: () => undefined,
  hold: () => undefined,
  serve: request => answerPlainly(request, '1'),
  logFailure: async () => ({}),
  count: () => undefined,
  checkReady: () => [],
  shouldClose: () => false,
}

interface Opened {
  readonly socket: Socket
  readonly connections: Connections
  received(): string
}

/** A connection to a scene port whose scenes answer as `more` says. */
async function open(t: TestContext, more: Partial<SceneHandlers> = {}): Promise<Opened> {
  const connections = new Connections(100)
  const server = createSceneServer(LIMIT, { ...handlers, ...more }, connections)
  connections.listen(server, 0, () => undefined)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  // Data may still be on its way when the server closes.
  socket.on('error', () => undefined)
  t.after(() => {
    socket.destroy()
    server.close()
  })
  let text = ''
  socket.on('data', (chunk: string) => {
    text += chunk
  })
  return { socket, connections, received: () => text }
}

const head = (length: number, more = '') =>
  `POST /scenes/home HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n${more}\r\n`

test('a caller that is refused before it sends its body loses its connection, so that nothing it sends is taken for one', async t => {
  const { socket, received } = await open(t)
  socket.write(head(LIMIT + 1, 'Expect: 100-continue\r\n'))
  await once(socket, 'close')
  assert.match(received(), /^HTTP\/1\.1 413 .*\r\nconnection: close\r\n/s)
})

test('of a body that declares itself too large no more is read than of one that turns out to be', { timeout: 60_000 }, async t => {
  const { socket, received } = await open(t)
  socket.write(head(1e9))
  await once(socket, 'data')
  assert.match(received(), /^HTTP\/1\.1 413 /)
  socket.write(Buffer.alloc(LIMIT * 5, 0x20))
  await once(socket, 'close')
})

test('the last answer on a connection says so, and has its own headers too', async t => {
  const { socket, received } = await open(t, { shouldClose: () => true })
  socket.write(`${head(1)}1`)
  await once(socket, 'close')
  assert.match(received(), /^HTTP\/1\.1 200 OK\r\nconnection: close\r\n.*x-scene-version: v1\r\n.*\r\n\r\n1$/s)
})

const bodies = (...texts: readonly string[]) => texts.map(text => `${head(text.length)}${text}`).join('')
/** Of each answer, whether it ends the connection, and the body. */
const answersIn = (text: string) => text.match(/^connection: close|(?<=\r\n\r\n)\d/gim)

test('requests that were sent ahead are all answered, and the last answer ends the connection', async t => {
  const { socket, received } = await open(t, { shouldClose: () => true, serve: request => answerPlainly(request, request.body) })
  socket.write(bodies('1', '2', '3'))
  await once(socket, 'close')
  assert.deepEqual(answersIn(received()), ['1', '2', 'connection: close', '3'])
})

test('a request that comes after the answer which ends its connection was made is not executed', async t => {
  let asked = 0
  const served: string[] = []
  const slow = Promise.withResolvers<void>()
  const ending = Promise.withResolvers<void>()
  const { socket, received } = await open(t, {
    shouldClose: () => {
      // It is asked for the answer to the second request, and then for the probe behind the third.
      if (++asked === 2) slow.resolve()
      ending.resolve()
      return true
    },
    serve: async request => {
      served.push(request.body)
      if (request.body === '1') await slow.promise
      answerPlainly(request, request.body)
    },
  })
  socket.write(bodies('1', '2'))
  await ending.promise
  socket.write(`${bodies('3')}GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n`)
  await once(socket, 'close')
  assert.deepEqual(
    [served, answersIn(received())],
    [
      ['1', '2'],
      ['1', 'connection: close', '2'],
    ],
  )
})

test('a failure counts from the last byte of its request, not from the first', async t => {
  let clockMs = 0
  t.mock.method(performance, 'now', () => clockMs)
  const seconds: number[] = []
  const arrived = Promise.withResolvers<void>()
  const { socket } = await open(t, {
    enter: ({ sceneAsked }) => {
      arrived.resolve()
      return sceneAsked
    },
    serve: request => {
      clockMs += 20
      request.fail(new BerthError('SCENE_NOT_FOUND', 'none here'))
    },
    count: (_request, _code, took) => seconds.push(took),
  })
  socket.write(head(2))
  await arrived.promise
  clockMs += 5000
  socket.write('11')
  await once(socket, 'data')
  assert.deepEqual(seconds, [0.02])
})

test('a caller that does not read its answer loses its connection, and its place is free again', { timeout: 60_000 }, async t => {
  let clockMs = 0
  t.mock.method(performance, 'now', () => clockMs)
  const freed = Promise.withResolvers<readonly [string, number]>()
  const counted = Promise.withResolvers<void>()
  const chars = 50_000_000
  const { socket } = await open(t, {
    serve: request => answerPlainly(request, `"${'x'.repeat(chars)}"`),
    exit: (name, bytes) => freed.resolve([name, bytes]),
    count: () => counted.resolve(),
  })
  socket.pause()
  socket.write(`${head(1)}1`)
  await counted.promise
  // For a while the system takes pieces in the place of the caller, and each of them gives it more time.
  const clock = setInterval(() => {
    clockMs += limits.http.readerStallMsMax + 1
  }, 500)
  t.after(() => clearInterval(clock))
  assert.deepEqual(await freed.promise, ['home', chars + 2])
})

test('a request whose caller has gone holds its place and its body until the cell has done with it', { timeout: 60_000 }, async t => {
  const [begun, release, freed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let exits = 0
  const { socket, connections } = await open(t, {
    serve: async request => {
      begun.resolve()
      await release.promise
      answerPlainly(request, '1')
    },
    exit: () => {
      exits++
      freed.resolve()
    },
  })
  socket.write(`${head(1)}1`)
  await begun.promise
  socket.destroy()
  while (connections.count > 0) await nextTurn()
  assert.equal(exits, 0)
  release.resolve()
  await freed.promise
  assert.equal(exits, 1)
})

test('of more connections than there may be, those are closed that have been idle the longest, and none with a request', async t => {
  const release = Promise.withResolvers<void>()
  const connections = new Connections(2)
  const serve: SceneHandlers['serve'] = request => void release.promise.then(() => answerPlainly(request, '1'))
  const server = createSceneServer(LIMIT, { ...handlers, serve }, connections)
  connections.listen(server, 0, () => undefined)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const connected = async () => {
    const opened = once(server, 'connection')
    const socket = connect(port, '127.0.0.1').setEncoding('latin1')
    socket.on('error', () => undefined)
    t.after(() => socket.destroy())
    await opened
    return socket
  }
  t.after(() => server.close())
  const busy = await connected()
  const asked = once(server, 'request')
  busy.write(`${head(1)}1`)
  await asked
  const idle = await connected()
  const closed = once(idle, 'close')
  const next = await connected()
  await closed
  next.write(`${head(1)}1`)
  await once(server, 'request')
  // Both have a request now, so there is no room.
  await once(await connected(), 'close')
  release.resolve()
  for (const socket of [busy, next]) assert.match(String(await once(socket, 'data')), /^HTTP\/1\.1 200 /)
})
