/** What scenes and their callers leave to others, at the front door of a base with one cell. */
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { errorTable } from '../base/kernel/errors.ts'
import { limits } from '../base/kernel/limits.ts'
import { callScene, launchBase, makeScene, type RunningBase, until } from './support/base.ts'

const MB = 1024 ** 2
const CELL_MEMORY_MB = 512
/** Bytes that one scene may make the cell keep while no other does. */
const SCENE_BYTES = (CELL_MEMORY_MB * MB * limits.cell.bytesMemoryShare) / 2
const never = 'x => x === "now" ? 1 : new Promise(() => {})'
const sockets: Socket[] = []

let base: RunningBase

before(async () => {
  base = await launchBase({ cells: 1, args: ['--cell-memory-mb', String(CELL_MEMORY_MB)] })
  await makeScene(base.client, 'good', { rank: 'x => x' })
})
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})
after(() => base.kill())

/** Text that Node sends as it is. */
function send(text: string): Socket {
  const socket = connect(Number(new URL(base.url).port), '127.0.0.1').setEncoding('latin1')
  socket.on('error', () => undefined)
  socket.write(text)
  sockets.push(socket)
  return socket
}

const head = (scene: string, length: number) =>
  `POST /scenes/${scene} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
const request = (scene: string, body = '1') => head(scene, body.length) + body

async function codeOf(scene: string, body: unknown, headers: Record<string, string> = {}): Promise<string> {
  const response = await callScene(base, scene, body, headers)
  const text = await response.text()
  return response.status === 200 ? 'OK' : (JSON.parse(text) as { code: string }).code
}

async function count(scene: string, code: string): Promise<number> {
  const lines = (await (await fetch(`${base.controlUrl}/metrics`)).text()).split('\n')
  const counted = lines.filter(
    line => line.startsWith('berth_requests_total{') && line.includes(`scene="${scene}"`) && line.includes(`code="${code}"`),
  )
  return counted.reduce((sum, line) => sum + Number(line.split(' ')[1]), 0)
}

const refused = async (scene: string): Promise<boolean> => (await count(scene, 'SCENE_OVERLOADED')) > 0

test('of the requests that a caller sends ahead on one connection, few run, and all are answered', { timeout: 60_000 }, async () => {
  await makeScene(base.client, 'ahead', { rank: never }, { traffic: { deadlineMs: 300 } })
  const socket = send(request('ahead').repeat(500))
  let received = ''
  socket.on('data', (text: string) => {
    received += text
  })
  const answers = (status: number) => received.split(`HTTP/1.1 ${status} `).length - 1
  await until(() => answers(504) + answers(503) === 500)
  assert.equal(answers(504), limits.http.pipelinedMax)
})

test('bodies that are still on their way are counted: a scene that gets too many is refused, others are not', {
  timeout: 60_000,
}, async () => {
  await makeScene(base.client, 'slow-bodies', { rank: '() => 1' }, { traffic: { maxConcurrency: 1000 } })
  const part = head('slow-bodies', MB) + '1'.repeat(MB - 1)
  for (let i = 0; i < (SCENE_BYTES / MB) * 1.1; i++) send(part).resume()
  await until(() => refused('slow-bodies'))
  const large = JSON.stringify('x'.repeat(MB - 2))
  const more = await Promise.all(Array.from({ length: 4 }, () => codeOf('slow-bodies', large)))
  assert.ok(more.includes('SCENE_OVERLOADED'), String(more))
  assert.equal(await codeOf('good', large), 'OK')
  for (const socket of sockets.splice(0)) socket.destroy()
  await until(async () => (await codeOf('slow-bodies', 1)) === 'OK')
})

test('answers that nobody reads are counted: their scene is refused before it works, others are not, and a reader gets them whole', {
  timeout: 60_000,
}, async () => {
  const chars = 7_000_000
  await makeScene(
    base.client,
    'large',
    { rank: `x => x.small ? 1 : "\u7528" + "x".repeat(${chars})` },
    { traffic: { maxConcurrency: 1000 } },
  )
  const unread: Socket[] = []
  // One after the other: the slot has no memory for many of them at once.
  for (let ran = 0; !(await refused('large')); ran++) {
    unread.push(send(request('large', '{}')).pause())
    await until(async () => (await count('large', 'OK')) > ran || refused('large'))
  }
  const ran = await count('large', 'OK')
  assert.deepEqual([await codeOf('large', { small: true }), await codeOf('good', 1)], ['SCENE_OVERLOADED', 'OK'])
  assert.equal(await count('large', 'OK'), ran)
  const whole = unread.map(async socket => {
    let received = ''
    socket.on('data', (text: string) => {
      received += text
    })
    socket.resume()
    await until(() => received.endsWith('x"') || received.includes('SCENE_OVERLOADED'))
    return received
  })
  const texts = (await Promise.all(whole)).filter(text => text.startsWith('HTTP/1.1 200 '))
  assert.equal(texts.length, ran)
  for (const text of texts) assert.equal(text.slice(text.indexOf('\r\n\r\n') + 4).length, chars + 5)
  await until(async () => (await codeOf('large', { small: true })) === 'OK')
})

test('scenes that flood another with calls leave it room for its own callers, and for scenes that call it little', {
  timeout: 60_000,
}, async () => {
  await makeScene(base.client, 'callee', { rank: never }, { traffic: { maxConcurrency: 64 } })
  const flood = '(x, ctx) => Promise.all(Array.from({ length: 64 }, () => ctx.call("callee", 1).catch(error => error.code)))'
  for (const scene of ['flood-1', 'flood-2', 'flood-3']) {
    await makeScene(base.client, scene, { rank: flood })
    send(request(scene) + request(scene)).resume()
  }
  await makeScene(base.client, 'quiet', { rank: '(x, ctx) => ctx.call("callee", "now")' })
  // Calls from scenes are counted with those of the cell.
  await until(async () => (await codeOf('quiet', 1)) === 'OK')
  for (let i = 0; i < 10; i++) assert.deepEqual([await codeOf('callee', '"now"'), await codeOf('quiet', 1)], ['OK', 'OK'])
  const held = Array.from({ length: 10 }, () => send(request('callee')).resume())
  assert.equal(await codeOf('callee', '"now"'), 'OK')
  assert.equal(held.length, 10)
})

test('a scene for token holders is called by scenes that it lists, and by others for callers who may call it themselves', async () => {
  const { client } = base
  await makeScene(client, 'locked', { rank: '() => "secret"' }, { access: 'token' })
  const calls = { rank: '(x, ctx) => ctx.call("locked", 1)' }
  await makeScene(client, 'open', calls)
  await makeScene(client, 'outer', { rank: '(x, ctx) => ctx.call("open", 1)' })
  const refusal = (await (await callScene(base, 'open', 1)).json()) as {
    code: string
    detail: string
    uncaught?: { code: string; fix: string }
  }
  assert.deepEqual([refusal.code, refusal.uncaught?.code, refusal.uncaught?.fix], ['MODULE_THREW', 'FORBIDDEN', errorTable.FORBIDDEN.fix])
  assert.match(refusal.detail, /Cannot call scene "locked" from scene "open".*list "open" under "callers" of scene "locked"/)
  assert.equal(await codeOf('outer', 1), 'MODULE_THREW')
  const bearer = async (right: 'call' | 'read') => ({ authorization: `Bearer ${(await client.createToken([right], right)).token}` })
  assert.deepEqual([await codeOf('outer', 1, await bearer('call')), await codeOf('outer', 1, await bearer('read'))], ['OK', 'MODULE_THREW'])
  const { definition, revision } = await client.scene('locked')
  await assert.rejects(client.putScene({ ...definition, access: 'public', callers: ['open'] }, revision), /its access is not "token"/)
  await client.putScene({ ...definition, callers: ['open'] }, revision)
  assert.deepEqual([await codeOf('open', 1), await codeOf('outer', 1), await codeOf('locked', 1)], ['OK', 'OK', 'UNAUTHENTICATED'])
})

// The last one, since its requests hold their places up to their deadlines.
test('scenes whose requests never end leave places to others, also to a scene that is new', { timeout: 60_000 }, async () => {
  const bad = ['bad-1', 'bad-2', 'bad-3', 'bad-4', 'bad-5']
  for (const scene of bad) await makeScene(base.client, scene, { rank: never }, { traffic: { maxConcurrency: 100_000 } })
  for (const scene of bad) for (let i = 0; i < 16; i++) send(request(scene).repeat(limits.http.pipelinedMax)).resume()
  for (const scene of bad) await until(() => refused(scene))
  await makeScene(base.client, 'new', { rank: 'x => x' })
  for (let i = 0; i < 20; i++) assert.deepEqual([await codeOf('good', 1), await codeOf('new', 1)], ['OK', 'OK'])
  assert.deepEqual([await count('good', 'SCENE_OVERLOADED'), await count('new', 'SCENE_OVERLOADED')], [0, 0])
})
