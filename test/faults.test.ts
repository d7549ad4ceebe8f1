/** Faults of callers, clients and the machine under a base of two cells: what each costs, and whom. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, renameSync } from 'node:fs'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { blobPath } from '../base/folder/blob-files.ts'
import { readSavedTable } from '../base/folder/saved-table.ts'
import { callScene, launchBase, makeScene, type RunningBase, until } from './support/base.ts'

let base: RunningBase

before(async () => {
  base = await launchBase({ cells: 2 })
  await makeScene(base.client, 'echo', { rank: 'x => x' })
})

after(() => base.kill())

/** Writes bytes to a port as they are. Resolves with what came back until it closed. */
async function raw(url: string, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('latin1')
  let received = ''
  socket.on('data', text => {
    received += text
  })
  socket.write(bytes)
  await once(socket, 'close')
  return received
}

test('what a header says twice is never decided by the first alone', { timeout: 120_000 }, async () => {
  const authorization = `Authorization: Bearer ${base.token}`
  const send = async (url: string, line: string, ...headers: string[]) => {
    const head = [line, 'Host: a', 'Connection: close', 'Content-Length: 1', ...headers]
    return Number(/^HTTP\/1\.1 (\d+)/.exec(await raw(url, `${head.join('\r\n')}\r\n\r\n1`))?.[1])
  }
  const type = 'Content-Type: application/json'
  const call = (...headers: string[]) => send(base.url, 'POST /scenes/echo HTTP/1.1', ...headers)
  assert.equal(await call(type), 200)
  assert.equal(await call(type, 'Host: b'), 400)
  assert.equal(await call(type, 'Content-Type: text/plain'), 415)
  assert.equal(await call(type, 'Content-Encoding: identity', 'Content-Encoding: gzip'), 415)
  assert.equal(await call(type, authorization, 'Authorization: Bearer other'), 401)
  const ask = (...headers: string[]) => send(base.controlUrl, 'POST /api/tokens HTTP/1.1', ...headers)
  assert.equal(await ask(type, authorization, 'Host: b'), 400)
  assert.equal(await ask(type, authorization, 'Content-Type: text/plain'), 415)
})

test('separators of lines and paragraphs in texts come through to cells, callers and logs', async () => {
  const text = 'a\u2028b\u2029c\r\nd\u0085'
  const seen = base.log.length
  const stages = { rank: '(x, ctx) => { ctx.log.info(x.text); return [x.text, ctx.params.text] }' }
  await makeScene(base.client, 'lines', stages, { params: { text } })
  assert.deepEqual(await (await callScene(base, 'lines', { text })).json(), [text, text])
  const read = async () => {
    const response = await fetch(`${base.controlUrl}/api/scenes/lines/logs`, { headers: { authorization: `Bearer ${base.token}` } })
    return ((await response.json()) as { message: string }[]).map(({ message }) => message)
  }
  await until(async () => (await read()).length > 0)
  assert.deepEqual(await read(), [text])
  assert.deepEqual(
    base.log.slice(seen).filter(({ msg }) => /keeper is away|cell disconnected/.test(msg)),
    [],
  )
})

test('a base whose log nobody reads serves on, and says later how many lines were dropped', { timeout: 120_000 }, async () => {
  const chatty = '() => { for (let i = 0; i < 200; i++) console.log("x".repeat(8000)); return 1 }'
  await makeScene(base.client, 'chatty', { rank: chatty })
  const seen = base.log.length
  base.process.stdout?.pause()
  // Each request fills the pipe and what a cell keeps beside it.
  const calls = Array.from({ length: 8 }, () => callScene(base, 'chatty', 1))
  for (const response of await Promise.all(calls)) assert.equal(await response.text(), '1')
  await base.client.createVersion('chatty', { as: 'dev' })
  assert.equal((await callScene(base, 'echo', 1)).status, 200)
  base.process.stdout?.resume()
  await base.logged(({ dropped }) => Number(dropped) > 0, seen)
})

/** Asks the control API. Rejects when there is no answer. */
async function ask(method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  const init = { method, headers: { authorization: `Bearer ${base.token}`, 'content-type': 'application/json', ...headers } }
  return fetch(`${base.controlUrl}${path}`, body === undefined ? init : { ...init, body: JSON.stringify(body) })
}

test('of changes made at once on one revision exactly one is kept', async () => {
  const tag = (await ask('GET', '/api/scenes/echo/params')).headers.get('etag') ?? ''
  const change = (k: number) => ask('PUT', '/api/scenes/echo/params', { params: { k } }, { 'if-match': tag })
  const statuses = (await Promise.all(Array.from({ length: 8 }, (_, k) => change(k)))).map(({ status }) => status)
  assert.deepEqual(statuses.sort(), [200, ...Array(7).fill(409)])
})

test('whatever a keeper had acknowledged when it was killed among many changes is there, once', { timeout: 120_000 }, async () => {
  await makeScene(base.client, 'busy', { rank: 'x => x' })
  const { keeper } = await base.client.status()
  const acknowledged: string[] = []
  const create = async () => {
    for (;;) {
      const response = await ask('POST', '/api/scenes/busy/versions', { modules: ['m-busy@1.0.0'] })
      acknowledged.push(((await response.json()) as { version: { id: string } }).version.id)
      if (acknowledged.length === 5) process.kill(keeper.pid, 'SIGKILL')
    }
  }
  const back = base.logged(({ msg, pid }) => msg === 'keeper ready' && pid !== keeper.pid, base.log.length)
  const ends = await Promise.allSettled(Array.from({ length: 4 }, create))
  assert.ok(ends.every(({ status }) => status === 'rejected'))
  await back
  const kept = (await (await ask('GET', '/api/scenes/busy/versions')).json()) as { id: string }[]
  const ids = kept.map(({ id }) => id)
  assert.deepEqual(
    acknowledged.filter(id => !ids.includes(id)),
    [],
  )
  assert.equal(new Set(acknowledged).size, acknowledged.length)
  const audit = (await (await ask('GET', '/api/audit?limit=1000')).json()) as { revision: number; action: string; target: string }[]
  assert.equal(audit.filter(({ action, target }) => action === 'create version' && target === 'busy').length, ids.length - 1)
  assert.deepEqual(
    audit.map(({ revision }) => revision),
    Array.from(audit, (_, i) => audit.length - i),
  )
})

test('a cell that could not read a bundle and a whitelist looks again by itself, and says until then what it cannot answer', {
  timeout: 120_000,
}, async () => {
  await makeScene(base.client, 'listed', { rank: '() => "for who is listed"' })
  await ask('POST', '/api/scenes/listed/versions', { modules: ['m-listed@1.0.0'], whitelist: ['u1'] })
  const scene = (await readSavedTable(base.data))?.scenes.find(({ definition }) => definition.id === 'listed')
  const blobs = [scene?.whitelist?.digest, scene?.versions[0]?.lock[0]?.modules[0]?.bundle].map(digest => blobPath(base.data, `${digest}`))
  const { cells } = await base.client.status()
  const seen = base.log.length
  for (const path of blobs) renameSync(path, `${path}.away`)
  for (const { pid } of cells) process.kill(pid, 'SIGKILL')
  await Promise.all(cells.map(({ cell }) => base.logged(line => line.msg === 'cell ready' && line.cell === cell, seen)))
  const names = async (url: string) => /"failures":.*"scene":"listed"/.test(await (await fetch(`${url}/readyz`)).text())
  for (const url of [base.url, base.controlUrl]) await until(() => names(url))
  for (const path of blobs) renameSync(`${path}.away`, path)
  for (const url of [base.url, base.controlUrl]) await until(async () => !(await names(url)))
  const answer = await callScene(base, 'listed', 1, { 'x-unit-id': 'u1' })
  assert.deepEqual([await answer.json(), answer.headers.get('x-scene-because')], ['for who is listed', 'whitelist'])
})

/** Makes a running process fail as soon as it opens so many more descriptors than it has. */
function limitDescriptors(pid: number, more: number): void {
  const most = readdirSync(`/proc/${pid}/fd`).length + more
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${most}:`])
}

test('connections that take every descriptor of a cell are refused, and end nothing', {
  timeout: 120_000,
  skip: process.platform !== 'linux' && 'it needs /proc and prlimit',
}, async () => {
  const { cells } = await base.client.status()
  for (const { pid } of cells) limitDescriptors(pid, 20)
  const seen = base.log.length
  const flood = Array.from({ length: 200 }, () =>
    connect(Number(new URL(base.url).port), '127.0.0.1')
      .on('error', () => undefined)
      .resume(),
  )
  await Promise.all(flood.map(socket => once(socket, 'connect')))
  // In the time of two heartbeats, each cell reads facts about itself, which takes a descriptor that it does not have.
  await delay(1100)
  for (const socket of flood) socket.destroy()
  await until(async () => (await callScene(base, 'echo', 1).catch(() => undefined))?.status === 200)
  assert.deepEqual(
    base.log.slice(seen).filter(({ msg }) => msg === 'cell ended'),
    [],
  )
})
