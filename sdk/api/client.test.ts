import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { tokenPath } from '../../base/folder/paths.ts'
import { startScene } from '../../base/keeper/fixtures/scene.ts'
import { RELEASE_BEFORE_SERVES } from '../../base/kernel/origin.ts'
import manifest from '../package.json' with { type: 'json' }
import { RefusedError, SdkError } from '../sdk-error.ts'
import { type Client, createClient } from './client.ts'
import { caller } from './requests.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** URL of a server that gives every request this answer, and is gone after the test. */
async function fakeBase(t: TestContext, answer: Answer): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const problem = {
  type: 'urn:berth:error:MODULE_EXISTS',
  title: 'This version of the module is published with other bytes',
  status: 409,
  code: 'MODULE_EXISTS',
  detail: 'Cannot publish module "rank-lr" 1.0.0: it is published with other bytes',
  blame: 'caller',
  fix: 'Raise the version.',
  requestId: 'r-1',
  stack: 'Error: no\n    at rank (index.ts:3:9)',
}

async function thrown(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => assert.fail('it succeeded'),
    error => error,
  )
}

test('a problem document becomes an error that keeps every member of it', async t => {
  const base = await fakeBase(t, (_, response) => {
    response.writeHead(409, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem))
  })
  const error = await thrown(createClient({ base }).scenes())
  assert(error instanceof RefusedError)
  assert.deepEqual(error.problem, problem)
  assert.equal(error.code, 'MODULE_EXISTS')
  assert.equal(error.message, problem.detail)
  assert.equal(error.hint, problem.fix)
  assert.equal(error.details, problem.stack)
  assert.equal(error.exit, 1)
})

test('who makes a change that waits for the release before is told so', async t => {
  const change = Promise.withResolvers<ServerResponse>()
  const base = await fakeBase(t, (request, response) => {
    if (request.method !== 'GET') change.resolve(response)
    else response.end(JSON.stringify({ release: { fixed: RELEASE_BEFORE_SERVES } }))
  })
  const said = new Promise<string>(
    onWait =>
      void createClient({ base, onWait })
        .createToken(['call'], 'name')
        .catch(() => undefined),
  )
  assert.match(await said, /^The change waits: the base was upgraded, and the release before has not ended yet$/)
  const response = await change.promise
  response.end('{}')
})

const unknownMember = {
  type: 'urn:berth:error:REQUEST_INVALID',
  title: 'The request does not fit the schema',
  status: 400,
  code: 'REQUEST_INVALID',
  detail: 'Cannot take the body of the request: /manifest has unknown members: origin',
  fix: 'Mend the fields that the message names.',
}
const unknownRoute = { ...unknownMember, status: 404, code: 'ROUTE_NOT_FOUND', detail: 'Cannot GET /api/scenes: there is no such route' }

/** Refuses everything but the question who it is. */
function baseOfVersion(t: TestContext, version: string, refusal: { readonly status: number }): Promise<string> {
  return fakeBase(t, ({ url }, response) => {
    if (url === '/') response.end(JSON.stringify({ name: 'berth', is: 'the control API of a base', version }))
    else response.writeHead(refusal.status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(refusal))
  })
}

test('a refusal by a base of another version says both versions and which sdk fits the base', async t => {
  const older = await thrown(createClient({ base: await baseOfVersion(t, '0.0.1', unknownMember) }).scenes())
  const newer = await thrown(createClient({ base: await baseOfVersion(t, '99.1.0', unknownMember) }).scenes())
  const same = await thrown(createClient({ base: await baseOfVersion(t, manifest.version, unknownMember) }).scenes())
  const withoutRoute = await thrown(createClient({ base: await baseOfVersion(t, '0.0.1', unknownRoute) }).scenes())
  const shown = [older, newer, same, withoutRoute].map(error => error instanceof SdkError && [error.code, error.message, error.hint])
  const { version } = manifest
  const isNewer = `This sdk (${version}) is newer than the base (0.0.1), which may not know yet what it sends: install @berth/sdk@0.0.1, or upgrade the base first.`
  const isOlder = `This sdk (${version}) is older than the base (99.1.0), which may not take any more what it sends: install @berth/sdk@99.1.0.`
  assert.deepEqual(shown, [
    ['REQUEST_INVALID', unknownMember.detail, `${unknownMember.fix} ${isNewer}`],
    ['REQUEST_INVALID', unknownMember.detail, `${unknownMember.fix} ${isOlder}`],
    ['REQUEST_INVALID', unknownMember.detail, unknownMember.fix],
    ['ANSWER_UNEXPECTED', unknownRoute.detail, isNewer],
  ])
})

test('what takes a request and never answers it is not waited for without end', async t => {
  const base = new URL(await fakeBase(t, () => {}))
  const error = await thrown(caller(base, undefined, { answerMsMax: 20 })(base, { method: 'GET' }))
  assert(error instanceof SdkError)
  assert.deepEqual([error.code, error.exit], ['BASE_UNREACHABLE', 3])
  assert.match(error.message, /takes connections there and sends no answer/)
})

test('no base at the URL is an error that says how to start one', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  server.close()
  await once(server, 'close')
  const error = await thrown(createClient({ base }).status())
  assert(error instanceof SdkError)
  assert.equal(error.code, 'BASE_UNREACHABLE')
  assert(error.message.startsWith(`No base answers at ${base}`))
  assert.match(error.hint ?? '', /base start/)
  assert.equal(error.exit, 3)
})

test('an answer that is not of a base is an error that shows it', async t => {
  const pages = [200, 502].map(async status => {
    const base = await fakeBase(t, (_, response) => response.writeHead(status).end('<h1>Welcome to nginx</h1>'))
    const error = await thrown(createClient({ base }).status())
    assert(error instanceof SdkError)
    assert.equal(error.code, 'ANSWER_UNEXPECTED')
    assert.match(error.message, new RegExp(`HTTP ${status}`))
    assert.match(error.details ?? '', /nginx/)
  })
  await Promise.all(pages)
})

test('a base named by something else than an http URL is refused before any request', () => {
  for (const base of ['localhost', 'ftp://x', '']) assert.throws(() => createClient({ base }), { code: 'USAGE', exit: 2 })
})

test('the token goes with every request, and a unit id of any script as UTF-8', async t => {
  const seen: IncomingMessage[] = []
  const base = await fakeBase(t, (request, response) => {
    seen.push(request)
    response.writeHead(200, { 'x-scene-version': 'v2', 'x-scene-because': 'pin', 'x-request-id': 'r-9' }).end('[1]')
  })
  const answer = await createClient({ base, token: 'secret' }).invoke('home', { body: '{}', unit: '用户', version: 'v2', url: base })
  assert.deepEqual({ ...answer, durationMs: 0 }, { status: 200, version: 'v2', because: 'pin', requestId: 'r-9', durationMs: 0, body: [1] })
  const [request] = seen
  assert.equal(request?.url, '/scenes/home')
  assert.equal(request?.headers.authorization, 'Bearer secret')
  assert.equal(Buffer.from(String(request?.headers['x-unit-id']), 'latin1').toString(), '用户')
})

/** URL of a server that breaks its first connection in the middle of a request, and the requests that it got. */
async function breakingBase(t: TestContext): Promise<{ base: string; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = []
  const base = await fakeBase(t, (request, response) => {
    if (seen.push(request) === 1) request.socket.resetAndDestroy()
    else response.end('{}')
  })
  return { base, seen }
}

test('a write whose connection breaks before its answer is sent again with the same key', async t => {
  const { base, seen } = await breakingBase(t)
  const client = createClient({ base })
  await client.rollback('home', { from: 'v2', reason: 'slow' })
  const [first, again] = seen.map(({ method, url, headers }) => [method, url, headers['idempotency-key']])
  assert.deepEqual(first, again)
  assert.match(String(first?.[2]), /^[\da-f-]{36}$/)
  await client.rollback('home', { from: 'v2', reason: 'slow' })
  assert.equal(seen.length, 3)
  assert.notEqual(seen[2]?.headers['idempotency-key'], first?.[2], 'another write has another key')
})

test('what may be repeated freely is, without a key, and a call of a scene is not repeated', async t => {
  for (const ask of [
    (client: Client) => client.status(),
    (client: Client) => client.putBlob('0'.repeat(64), 'bytes'),
    (client: Client) => client.explain('home', { unit: 'u1' }),
  ]) {
    const { base, seen } = await breakingBase(t)
    await ask(createClient({ base }))
    assert.deepEqual(
      seen.map(({ headers }) => headers['idempotency-key']),
      [undefined, undefined],
    )
  }
  const { base, seen } = await breakingBase(t)
  const error = await thrown(createClient({ base }).invoke('home', { body: '{}', url: base }))
  assert(error instanceof SdkError)
  assert.deepEqual([error.code, seen.length], ['BASE_UNREACHABLE', 1])
})

test('nothing is sent again after an answer, whatever it says', async t => {
  let count = 0
  const base = await fakeBase(t, (_, response) => {
    count++
    response.writeHead(500, { 'content-type': 'application/problem+json' }).end(JSON.stringify({ ...problem, status: 500 }))
  })
  await thrown(createClient({ base }).rollback('home', { from: 'v2' }))
  assert.equal(count, 1)
})

test('a write of which a base whose disk failed does not know whether it is kept is sent again with the same key', async t => {
  const keys: unknown[] = []
  const failed = JSON.stringify({ ...problem, status: 500, code: 'STORE_FAILED' })
  const base = await fakeBase(t, ({ headers }, response) => {
    if (keys.push(headers['idempotency-key']) < 3) response.writeHead(500, { 'content-type': 'application/problem+json' }).end(failed)
    else response.end('{}')
  })
  await createClient({ base }).rollback('home', { from: 'v2' })
  assert.equal(keys.length, 3)
  assert.equal(new Set(keys).size, 1)
})

test('a base that is being started again is waited for, one that was never there is not', async t => {
  const server = createServer((_, response) => response.end('{}')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = createClient({ base: `http://127.0.0.1:${port}` })
  await client.status()
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
  const asked = client.status()
  const next = createServer((_, response) => response.end('{"port":1}'))
  setTimeout(() => next.listen(port, '127.0.0.1'), 200)
  t.after(() => next.close().closeAllConnections())
  assert.deepEqual(await asked, { port: 1 })
})

test('a rollback whose answer is lost on the way goes back once', async t => {
  const scene = await startScene(t, 2)
  await scene.home('POST', 'versions/v2/promote', { to: 'baseline' })
  const target = `http://127.0.0.1:${scene.keeper.vitals.controlPort}`
  let lost = false
  const base = await fakeBase(t, async (request, response) => {
    const headers = Object.entries(request.headers).map(([name, value]): [string, string] => [name, String(value)])
    const answer = await fetch(`${target}${request.url}`, { method: 'POST', headers, body: await text(request) })
    if (lost) response.writeHead(answer.status).end(await answer.text())
    else request.socket.resetAndDestroy()
    lost = true
  })
  const token = readFileSync(tokenPath(scene.data), 'utf8').trim()
  const { baseline } = await createClient({ base, token }).rollback('home', { from: 'v2', reason: 'slow' })
  assert.equal(baseline, 'v1')
  const rows = (await scene.ask('GET', '/api/audit?scene=home')).read<{ action: string }[]>()
  assert.equal(rows.filter(({ action }) => action === 'roll back').length, 1)
})
