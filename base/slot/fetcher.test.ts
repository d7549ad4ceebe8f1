/** What a cell allows all fetches together. What one fetch does is tested in test/fetch.test.ts, at the front door. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { Fetcher } from './fetcher.ts'

/** The plan of a version whose module lists one host. */
const planFor = (origin: string, scene = 's'): SlotPlan => {
  const module = { name: 'm', version: '1.0.0', bundle: 'b', fetch: [origin] }
  return { key: 'k', scene, version: 'v1', memoryMB: 64, lock: [{ stage: 'rank', modules: [module] }] }
}

test('bodies of fetches of a scene hold no more of a cell than they leave for other scenes, and nothing when they are over', {
  timeout: 60_000,
}, async t => {
  const sockets = new Set<Socket>()
  let answers = false
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    if (answers) socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const fetcher = new Fetcher({ privateNetworks: ['127.0.0.0/8'], count: () => undefined })
  t.after(() => {
    fetcher.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const plan = planFor(origin)
  const body = new ArrayBuffer(limits.fetch.requestBytesMax)
  const gone = new AbortController()
  const head = JSON.stringify({ url: `${origin}/`, redirect: 'follow', headers: [] })
  const post = (of: SlotPlan) =>
    fetcher.fetch(of, { method: 'POST', head, body }, { deadlineAt: performance.now() + 10_000, trace: undefined }, gone.signal)

  const held = Array.from({ length: limits.fetch.bytesPerCellMax / 2 / limits.fetch.requestBytesMax }, () => post(plan))
  const settled = Promise.allSettled(held)
  await assert.rejects(post(plan), error => error instanceof BerthError && error.code === 'FETCH_OVERLOADED')
  const other = assert.rejects(post(planFor(origin, 'other')), error => error instanceof BerthError && error.code === 'FETCH_FAILED')
  gone.abort()
  await other
  await settled

  answers = true
  const { body: text } = await fetcher.fetch(
    plan,
    { method: 'POST', head, body: 'x' },
    { deadlineAt: performance.now() + 10_000, trace: undefined },
    new AbortController().signal,
  )
  assert.equal(text, 'ok')
})

test('a name is looked up once for all who wait for it, and anew for each connection after that', async t => {
  const server = createServer(socket => {
    socket.on('error', () => undefined)
    socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok'))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => void server.close())
  const origin = `http://a.example:${(server.address() as AddressInfo).port}`
  let asked = 0
  let addresses = ['10.0.0.1', '127.0.0.1']
  const resolve = async () => {
    asked++
    return addresses.map(address => ({ address, family: 4 }))
  }
  const fetcher = new Fetcher({ privateNetworks: ['127.0.0.1'], count: () => undefined, resolve })
  t.after(() => fetcher.close())
  const get = async () => {
    const request = { method: 'GET', head: JSON.stringify({ url: origin, redirect: 'follow', headers: [] }), body: undefined }
    const caller = { deadlineAt: performance.now() + 10_000, trace: undefined }
    return (await fetcher.fetch(planFor(origin), request, caller, new AbortController().signal)).body
  }
  assert.deepEqual(new Set(await Promise.all(Array.from({ length: 20 }, get))), new Set(['ok']))
  assert.equal(asked, 1)
  // The addresses that the name resolves to may change at any time.
  addresses = ['10.0.0.1', '::ffff:10.0.0.1', '169.254.169.254']
  await assert.rejects(get(), error => error instanceof BerthError && error.code === 'FETCH_FORBIDDEN')
  assert.equal(asked, 2)
})
