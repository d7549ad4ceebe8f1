import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { Flood, type FloodRun } from '../bench/flood.ts'

/** The result of a short flood on a server that treats each request like this. */
async function flood(t: TestContext, answer: (socket: Socket) => void): Promise<FloodRun> {
  const server = createServer(socket => socket.on('error', () => undefined).on('data', () => answer(socket)))
  t.after(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  return new Flood(`http://127.0.0.1:${port}`, 'burst', '{}').open(200, 100, 5, 500)
}

test('a request whose connection is closed without an answer counts as broken', async t => {
  const { sent, samples, unanswered } = await flood(t, socket => socket.end())
  assert.ok(sent > 0)
  assert.deepEqual([samples.length, unanswered, samples.every(({ status }) => status === 0)], [sent, 0, true])
})

test('a request that has no answer when the flood ends counts as unanswered', async t => {
  const { sent, samples, unanswered } = await flood(t, () => undefined)
  assert.ok(sent > 0)
  assert.deepEqual([samples, unanswered], [[], sent])
})
