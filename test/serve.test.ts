/** The scene port, as its callers meet it. One base for the whole file: nothing here may hurt it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { idOfNumber } from '../base/kernel/exact-json.ts'
import { numbers } from '../base/kernel/fixtures/json-numbers.ts'
import { callScene, launchBase, makeScene, publishStages, type RunningBase, root } from './support/base.ts'

let base: RunningBase

const BODY_LIMIT = 64 * 1024
const NODE_CALLER = `
const headers = { 'content-type': 'application/json', 'x-unit-id': "UTF-8''" + encodeURIComponent('\u7528\u623742') }
fetch(process.argv[1], { method: 'POST', headers, body: '{}' }).then(answer => answer.text()).then(console.log)`

before(async () => {
  base = await launchBase({ args: ['--body-limit-bytes', String(BODY_LIMIT)] })
  const { client } = base
  await makeScene(
    client,
    'echo',
    { rank: '(x, ctx) => ({ x, unit: ctx.unit ?? null, version: ctx.version, params: ctx.params })' },
    { params: { k: 3 } },
  )
  await makeScene(
    client,
    'by-pointer',
    { rank: '(x, ctx) => ctx.unit ?? null' },
    {
      traffic: { unit: { header: 'x-user', pointer: '/user/id~1x' }, spec: { memoryMB: 64 } },
    },
  )
  await makeScene(client, 'by-city', { rank: '(x, ctx) => ctx.unit ?? null' }, { attributes: { city: { header: 'x-city' } } })
  const hostile = { rank: '(x, ctx) => (0, eval)("(" + x + ")")(ctx)' }
  await makeScene(client, 'hostile', hostile, { traffic: { spec: { memoryMB: 256 } } })
  // The slots are killed for their CPU long before the deadline, however many share the processor.
  await makeScene(client, 'endless', hostile, { traffic: { cpuMs: 100 } })
  await makeScene(client, 'hasty', { rank: '() => new Promise(() => {})' }, { traffic: { deadlineMs: 300 } })
  await makeScene(client, 'locked', { rank: 'x => x' }, { access: 'token' })
  await makeScene(client, 'caller', { rank: '(x, ctx) => ctx.call(x.scene, x.input)' })
})
after(() => base.kill())

interface ProblemBody {
  readonly code: string
  readonly status: number
  readonly detail: string
  readonly blame: string
  readonly fix: string
  readonly scene?: string
  readonly version?: string
  readonly requestId?: string
  readonly stack?: string
}

async function assertProblem(response: Response, status: number, code: string, detail?: RegExp): Promise<ProblemBody> {
  const problem = (await response.json()) as ProblemBody
  assert.equal(problem.code, code, JSON.stringify(problem))
  assert.equal(response.status, status)
  assert.equal(problem.status, status)
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  assert.ok(problem.fix.length > 0)
  if (detail !== undefined) assert.match(problem.detail, detail)
  return problem
}

test('a scene answers JSON and says which version it was, why, and how long it took', async () => {
  const response = await callScene(base, 'echo', { a: [1, '中'] }, { 'x-unit-id': 'u1', 'x-request-id': 'my-1' })
  assert.equal(response.status, 200)
  assert.deepEqual(await response.json(), { x: { a: [1, '中'] }, unit: 'u1', version: 'v1', params: { k: 3 } })
  assert.equal(response.headers.get('content-type'), 'application/json; charset=utf-8')
  assert.equal(response.headers.get('x-scene-version'), 'v1')
  assert.equal(response.headers.get('x-scene-because'), 'baseline')
  assert.equal(response.headers.get('x-request-id'), 'my-1')
})

test('server-timing says how long the decision, the queue and each stage took, and all of it', async () => {
  const stages = { recall: '() => [1]', rank: 'x => new Promise(done => setTimeout(done, 20, x))', rerank: 'x => x' }
  await makeScene(base.client, 'timed', stages)
  const response = await callScene(base, 'timed', {})
  const entries = (response.headers.get('server-timing') ?? '').split(', ').map(entry => entry.split(';dur='))
  assert.deepEqual(
    entries.map(([name]) => name),
    ['decide', 'queue', 'recall', 'rank', 'rerank', 'scene'],
  )
  assert.ok(entries.every(([, dur]) => Number(dur) >= 0))
  const ms = (wanted: string) => Number(entries.find(([name]) => name === wanted)?.[1])
  // Stages are timed with a clock of whole milliseconds.
  assert.ok(ms('rank') >= 18)
  assert.ok(ms('scene') + 2 >= ms('rank') + ms('queue'))
})

test('a request id that could not be logged safely is replaced', async () => {
  for (const id of ['a b', 'x'.repeat(129), '"']) {
    const response = await callScene(base, 'echo', 1, { 'x-request-id': id })
    await response.text()
    assert.match(response.headers.get('x-request-id') ?? '', /^[0-9a-f-]{13}-[0-9a-z]+$/)
  }
})

test('the unit id comes from the header, else from the pointer, as UTF-8', async () => {
  const ask = async (body: unknown, headers = {}) => (await callScene(base, 'by-pointer', body, headers)).json()
  assert.equal(await ask({ user: { 'id/x': 'in-body' } }), 'in-body')
  assert.equal(await ask({ user: { 'id/x': 42 } }), '42')
  assert.equal(await ask({ user: { 'id/x': 'in-body' } }, { 'x-user': 'in-header' }), 'in-header')
  assert.equal(await ask({ user: {} }), null)
  assert.equal(await ask({ user: {} }, { 'x-user': Buffer.from('用户').toString('latin1') }), '用户')
})

test('a unit id that is a number beyond 2^53 keeps its digits, however many neighbours it has', async () => {
  const ask = async (source: string) => (await callScene(base, 'by-pointer', `{"user": {"id/x" :${source} }}`)).json()
  const last = 2n ** 53n
  for (const id of [last - 1n, last, last + 1n, last + 2n, -last - 1n, 10n ** 30n + 1n]) assert.equal(await ask(String(id)), String(id))
  assert.deepEqual([await ask('7.0'), await ask('1e3'), await ask('-0'), await ask('1.50')], ['7', '1000', '0', '1.5'])
})

test('whatever number the unit id is, it has the id of that number or is refused', async () => {
  const sources = fc.sample(numbers, { numRuns: 100 })
  const answers = sources.map(async source => {
    const response = await callScene(base, 'by-pointer', `{"a":["id/x",{"id/x":1}],"user":{"b":1e5,"id/x":${source}}}`)
    return response.status === 200 ? response.json() : undefined
  })
  assert.deepEqual(await Promise.all(answers), sources.map(idOfNumber))
})

test('a unit id that is a number which JavaScript cannot hold is refused with its place and what to send', async () => {
  for (const source of ['1e400', '9007199254740993.0', '1e21', '7.00000000000000000001']) {
    const response = await callScene(base, 'by-pointer', `{"user":{"id/x":${source}}}`)
    const detail = `Cannot use the unit id at /user/id~1x: the number ${source} cannot be read exactly; write an id as digits alone or as a string`
    assert.equal((await assertProblem(response, 400, 'UNIT_INVALID')).detail, detail)
  }
})

test('a unit id in a header that is not UTF-8 is refused with its place, because its neighbours would be the same unit', async () => {
  const response = await callScene(base, 'by-pointer', {}, { 'x-user': 'Andr\xe9' })
  await assertProblem(
    response,
    400,
    'UNIT_INVALID',
    /^Cannot use the header "x-user" as a unit id: line 1, byte offset 4: byte 0xe9 is not UTF-8/,
  )
  const replaced = { 'x-user': Buffer.from('\ufffd').toString('latin1') }
  assert.equal(await (await callScene(base, 'by-pointer', {}, replaced)).json(), '\ufffd')
})

/** Sends these bytes as the value of a header. @returns the answer, or the code of the problem and its detail */
async function answerTo(scene: string, header: string, value: Buffer): Promise<unknown> {
  const socket = connect(Number(new URL(base.url).port), '127.0.0.1')
  const head = [`POST /scenes/${scene} HTTP/1.1`, 'host: a', 'connection: close', 'content-type: application/json', 'content-length: 2']
  socket.write(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n${header}: `), value, Buffer.from('\r\n\r\n{}')]))
  const received = Buffer.concat(await socket.toArray()).toString('utf8')
  const body = JSON.parse(received.slice(received.indexOf('\r\n\r\n')))
  return received.startsWith('HTTP/1.1 200') ? body : [body.code, body.detail]
}

test('whatever a client sends for a unit id beyond ASCII, it is read exactly or refused with the header', async () => {
  const unit = '用户42'
  for (const [value, read] of [
    // curl, and Python that is given bytes.
    [Buffer.from(unit), unit],
    // What a client writes that sends ASCII alone.
    [Buffer.from(`UTF-8''${encodeURIComponent(unit)}`), unit],
    [Buffer.from("utf-8'zh'%e7%94%a842"), '用42'],
    [Buffer.from("UTF-8''UTF-8''a"), "UTF-8''a"],
    // What looks much like that and is not.
    [Buffer.from("UTF-8'a%20b"), "UTF-8'a%20b"],
    [Buffer.from('a%20b'), 'a%20b'],
    // Node.js that is given UTF-8 as Latin-1 and encodes it again, as Java does: other text, and valid.
    [Buffer.from(Buffer.from(unit).toString('latin1')), Buffer.from(unit).toString('latin1')],
  ] as const)
    assert.equal(await answerTo('by-city', 'x-unit-id', value), read)
  const refused = async (header: string, value: Buffer) => JSON.stringify(await answerTo('by-city', header, value))
  // Python, Node.js and browsers send café so.
  const latin = Buffer.from('café', 'latin1')
  assert.match(await refused('x-unit-id', latin), /^\["UNIT_INVALID","Cannot use the header \\"x-unit-id\\".*byte 0xe9 is not UTF-8/)
  assert.match(await refused('x-city', latin), /^\["HEADER_INVALID","Cannot read the header \\"x-city\\": line 1, byte offset 3: byte 0xe9/)
  for (const wrong of ['%', '%zz', '%e7%94', '%ff']) {
    assert.match(await refused('x-unit-id', Buffer.from(`UTF-8''${wrong}`)), /^\["UNIT_INVALID",.*is no UTF-8 that is percent-encoded/)
    assert.match(await refused('x-city', Buffer.from(`UTF-8''${wrong}`)), /^\["HEADER_INVALID",/)
  }
})

const callers = join(root, 'test/fixtures/callers')
for (const [what, program, ...args] of [
  ['Python', 'python3', join(callers, 'caller.py')],
  ['Perl', 'perl', join(callers, 'caller.pl')],
  ['Java', 'java', '-XX:TieredStopAtLevel=1', join(callers, 'Caller.java')],
  ['curl', 'curl', '-s', '-H', 'content-type: application/json', '-H', 'x-unit-id: 用户42', '-d', '{}'],
  ['Node.js', process.execPath, '-e', NODE_CALLER],
] as const) {
  test(`a client in ${what} calls a scene as a unit id beyond ASCII`, { concurrency: true }, async t => {
    const run = await promisify(execFile)(program, [...args, `${base.url}/scenes/by-city`]).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      return undefined
    })
    if (run === undefined) return t.skip(`there is no ${program} on this machine`)
    const answers = run.stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    assert.deepEqual(new Set(answers), new Set(['用户42']))
  })
}

test('a unit id over 256 bytes, or one that is no string or number, is refused', async () => {
  await assertProblem(await callScene(base, 'echo', 1, { 'x-unit-id': 'x'.repeat(257) }), 400, 'UNIT_TOO_LONG', /257 bytes/)
  await assertProblem(await callScene(base, 'by-pointer', { user: { 'id/x': '用'.repeat(86) } }), 400, 'UNIT_TOO_LONG', /258 bytes/)
  await assertProblem(await callScene(base, 'by-pointer', { user: { 'id/x': {} } }), 400, 'UNIT_INVALID')
  assert.equal((await callScene(base, 'echo', 1, { 'x-unit-id': 'x'.repeat(256) })).status, 200)
})

test('unknown scenes, versions and routes are 404, each with its code', async () => {
  await assertProblem(await callScene(base, 'nowhere', 1), 404, 'SCENE_NOT_FOUND', /"nowhere"/)
  await assertProblem(await callScene(base, '%2e%2e%2fetc', 1), 404, 'SCENE_NOT_FOUND')
  const pinned = await callScene(base, 'echo', 1, { 'x-scene-version': 'v99', authorization: `Bearer ${base.token}` })
  await assertProblem(pinned, 404, 'VERSION_NOT_FOUND', /"v99" of scene "echo"/)
  await assertProblem(await fetch(`${base.url}/other`), 404, 'ROUTE_NOT_FOUND')
})

const asPage = { headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } }

test('GET / of either port says what it is, and every way that it names leads somewhere', async () => {
  for (const url of [base.url, base.controlUrl]) {
    const response = await fetch(url)
    assert.equal(response.headers.get('content-type')?.split(';')[0], 'application/json')
    const { name, links } = (await response.json()) as { readonly name: string; readonly links: Record<string, string> }
    assert.equal(name, 'berth')
    const page = await fetch(url, asPage)
    assert.match(page.headers.get('content-type') ?? '', /^text\/html/)
    const html = await page.text()
    assert.ok(!html.includes('<script'))
    for (const path of Object.keys(links)) {
      assert.ok(html.includes(`href="${path}"`), path)
      assert.equal((await fetch(`${url}${path}`)).status, 200, path)
    }
    assert.equal(await (await fetch(url, { method: 'HEAD' })).text(), '')
    const refused = await fetch(url, { method: 'DELETE' })
    assert.equal(refused.headers.get('allow'), 'GET, HEAD')
    await assertProblem(refused, 405, 'METHOD_NOT_ALLOWED')
  }
  const [scenes, control] = await Promise.all(
    [base.url, base.controlUrl].map(async url => Object.keys(Object(await (await fetch(url)).json()))),
  )
  assert.deepEqual(scenes, ['name', 'is', 'links'], 'who calls scenes sees no more')
  assert.deepEqual(control, ['name', 'is', 'version', 'mode', 'id', 'links'])
})

test('an error that a browser shows has a way on, also to what its code means', async () => {
  const missing = await (await fetch(`${base.controlUrl}/nowhere`, asPage)).text()
  assert.match(missing, /Cannot GET \/nowhere: there is no such route[\s\S]*<a href="\/errors#ROUTE_NOT_FOUND">[\s\S]*<a href="\/">/)
  assert.match(await (await fetch(`${base.controlUrl}/errors`, asPage)).text(), /<tr id="ROUTE_NOT_FOUND">/)
  assert.match(await (await fetch(`${base.url}/scenes/echo`, asPage)).text(), /Cannot GET here: allowed is POST[\s\S]*<a href="\/">/)
})

test('another method is 405 and says what is allowed', async () => {
  const response = await fetch(`${base.url}/scenes/echo`)
  assert.equal(response.headers.get('allow'), 'POST')
  await assertProblem(response, 405, 'METHOD_NOT_ALLOWED')
})

test('malformed JSON is 400 and names the scene, the version and the request', async () => {
  for (const body of ['', '{"a":', "{'a':1}", '[1,]', '\ufeff1']) {
    const problem = await assertProblem(await callScene(base, 'echo', body, { 'x-request-id': 'r-9' }), 400, 'BODY_MALFORMED')
    assert.deepEqual([problem.scene, problem.version, problem.requestId, problem.blame], ['echo', 'v1', 'r-9', 'caller'])
  }
  const invalid = await fetch(`${base.url}/scenes/echo`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: new Uint8Array([0x22, 0xff, 0x22]),
  })
  await assertProblem(invalid, 400, 'BODY_MALFORMED', /line 1, byte offset 1: byte 0xff is not UTF-8/)
})

test('other content types, charsets and encodings are 415', async () => {
  const send = (headers: Record<string, string>) => fetch(`${base.url}/scenes/echo`, { method: 'POST', headers, body: '1' })
  await assertProblem(await send({ 'content-type': 'text/plain' }), 415, 'CONTENT_TYPE_UNSUPPORTED', /text\/plain/)
  await assertProblem(await send({ 'content-type': 'application/json; charset=latin1' }), 415, 'CONTENT_TYPE_UNSUPPORTED')
  await assertProblem(
    await send({ 'content-type': 'application/json', 'content-encoding': 'gzip' }),
    415,
    'CONTENT_TYPE_UNSUPPORTED',
    /gzip/,
  )
  assert.equal((await send({ 'content-type': 'application/json; charset=UTF-8' })).status, 200)
})

test('a body over the limit is 413, declared or chunked, and the connection still gets its answer', async () => {
  await assertProblem(await callScene(base, 'echo', 'x'.repeat(BODY_LIMIT + 1)), 413, 'BODY_TOO_LARGE', /65537 bytes/)
  const chunked = new ReadableStream({
    start(controller) {
      for (let i = 0; i < 20; i++) controller.enqueue(new Uint8Array(4096).fill(0x20))
      controller.close()
    },
  })
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: chunked, duplex: 'half' as const }
  await assertProblem(await fetch(`${base.url}/scenes/echo`, init), 413, 'BODY_TOO_LARGE', /over 65536 bytes/)
  const largest = JSON.stringify('x'.repeat(BODY_LIMIT - 2))
  assert.equal((await callScene(base, 'echo', largest)).status, 200)
})

test('members such as __proto__ reach the module as plain data and pollute nothing', async () => {
  const response = await callScene(base, 'echo', '{"__proto__":{"polluted":1},"a":1,"a":2}')
  assert.equal(await response.text(), '{"x":{"__proto__":{"polluted":1},"a":2},"unit":null,"version":"v1","params":{"k":3}}')
  assert.deepEqual(await (await callScene(base, 'hostile', '"() => String({}.polluted)"')).json(), 'undefined')
})

for (const [what, body, status, code, scene = 'hostile'] of [
  ['throws', '() => { throw new Error("no items") }', 500, 'MODULE_THREW'],
  ['returns undefined', '() => {}', 500, 'RESULT_UNDEFINED'],
  ['returns a function', '() => () => 1', 500, 'RESULT_NOT_DATA'],
  ['returns a BigInt', '() => 10n', 500, 'RESULT_BIGINT'],
  ['returns a cycle', '() => { const a = {}; a.a = a; return a }', 500, 'RESULT_CYCLE'],
  ['returns 50 MB', '() => "x".repeat(50e6)', 500, 'RESULT_TOO_LARGE'],
  ['never ends', '() => { for (;;); }', 503, 'MODULE_KILLED', 'endless'],
  ['never ends after an await', 'async ctx => { await ctx.call("echo", 1); for (;;); }', 503, 'MODULE_KILLED', 'endless'],
] as const) {
  test(`a module that ${what} is answered ${code}, and the next request is served`, { timeout: 60_000 }, async () => {
    const problem = await assertProblem(await callScene(base, scene, JSON.stringify(body)), status, code)
    assert.deepEqual([problem.scene, problem.version, problem.blame, problem.stack], [scene, 'v1', 'module', undefined])
    // The slot may still be stuck, or be loading again. The next request may come late, but must not fail.
    const next = await callScene(base, scene, '"() => 1"')
    assert.equal(await next.text(), '1')
  })
}

test('a module that never settles is answered DEADLINE_EXCEEDED', async () => {
  const problem = await assertProblem(await callScene(base, 'hasty', 1), 504, 'DEADLINE_EXCEEDED')
  assert.deepEqual([problem.scene, problem.version, problem.blame], ['hasty', 'v1', 'module'])
})

test('a module that fills its memory is answered MODULE_KILLED, and other scenes lose nothing', { timeout: 60_000 }, async () => {
  let probing = true
  const probes: number[] = []
  const probe = (async () => {
    while (probing) probes.push((await callScene(base, 'echo', 1)).status)
  })()
  const response = await callScene(base, 'hostile', '"() => { const all = []; for (;;) all.push(Array(1e5).fill(1.5)) }"')
  probing = false
  await probe
  const { code, detail } = (await response.json()) as ProblemBody
  assert.equal(code, 'MODULE_KILLED')
  assert.match(detail, /memory/)
  assert.deepEqual(new Set(probes), new Set([200]))
})

test('the message of a thrown error reaches the caller, its stack only who holds the right to it', async () => {
  const open = await assertProblem(
    await callScene(base, 'hostile', '"() => { throw new TypeError(\'secret place\') }"'),
    500,
    'MODULE_THREW',
    /^secret place$/,
  )
  assert.equal(open.stack, undefined)
  const engineer = await callScene(base, 'hostile', '"() => { throw new TypeError(\'secret place\') }"', {
    authorization: `Bearer ${base.token}`,
  })
  assert.match((await assertProblem(engineer, 500, 'MODULE_THREW')).stack ?? '', /^TypeError: secret place\n +at /)
})

test('a scene for token holders refuses others with 401 and 403', async () => {
  const { token } = await base.client.createToken(['call'], 'caller')
  const as = (authorization: string) => callScene(base, 'locked', 1, { authorization })
  const anonymous = await callScene(base, 'locked', 1)
  assert.equal(anonymous.headers.get('www-authenticate'), 'Bearer')
  await assertProblem(anonymous, 401, 'UNAUTHENTICATED')
  await assertProblem(await as('Bearer wrong'), 401, 'UNAUTHENTICATED')
  await assertProblem(await as('Basic dTpw'), 401, 'UNAUTHENTICATED')
  assert.equal((await as(`Bearer ${token}`)).status, 200)
  const pinned = await callScene(base, 'echo', 1, { authorization: `Bearer ${token}`, 'x-scene-version': 'v1' })
  await assertProblem(pinned, 403, 'FORBIDDEN', /lacks the right "pin"/)
})

test('a pinned version answers though it is not the baseline', async () => {
  const { client } = base
  await makeScene(client, 'pinned', { rank: '() => 1' })
  await publishStages(client, 'm-pinned', '1.1.0', { rank: '() => 2' })
  await client.createVersion('pinned', { modules: ['m-pinned@1.1.0'] })
  const pin = await callScene(base, 'pinned', 0, { 'x-scene-version': 'v2', authorization: `Bearer ${base.token}` })
  assert.deepEqual([await pin.json(), pin.headers.get('x-scene-version'), pin.headers.get('x-scene-because')], [2, 'v2', 'pin'])
  const plain = await callScene(base, 'pinned', 0)
  assert.deepEqual([await plain.json(), plain.headers.get('x-scene-because')], [1, 'baseline'])
})

test('ctx.call answers from another scene, and a circle of calls ends with CALL_CYCLE', async () => {
  const nested = await callScene(base, 'caller', { scene: 'echo', input: { n: 1 } }, { 'x-unit-id': 'u7' })
  assert.deepEqual(await nested.json(), { x: { n: 1 }, unit: 'u7', version: 'v1', params: { k: 3 } })
  const circle = await callScene(base, 'caller', { scene: 'caller', input: 1 })
  await assertProblem(circle, 500, 'CALL_CYCLE', /"caller": it is under way already in caller → caller/)
  await makeScene(base.client, 'there', { rank: '(x, ctx) => ctx.call("back", x)' })
  await makeScene(base.client, 'back', { rank: '(x, ctx) => ctx.call("there", x)' })
  await assertProblem(await callScene(base, 'there', 1), 500, 'CALL_CYCLE', /there → back → there/)
  await assertProblem(await callScene(base, 'caller', { scene: 'gone', input: 1 }), 500, 'MODULE_THREW', /"gone"/)
})

test('the scene port describes itself in OpenAPI', async () => {
  const answer = await fetch(`${base.url}/openapi.json`)
  assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'application/json'])
  const { paths } = (await answer.json()) as { paths: Record<string, { post?: { responses: object } }> }
  assert.deepEqual(Object.keys(paths), ['/scenes/{id}', '/', '/healthz', '/readyz', '/openapi.json'])
  assert.equal((await fetch(`${base.url}/openapi.json`, { method: 'POST' })).status, 405)
})

test('the base answers probes on the scene port', async () => {
  assert.deepEqual(await (await fetch(`${base.url}/healthz`)).json(), { status: 'ok' })
  assert.deepEqual(await (await fetch(`${base.url}/readyz`)).json(), { status: 'ok' })
})

/** Writes bytes to the scene port as they are. Resolves with what came back until it closed. */
async function raw(bytes: string): Promise<string> {
  const socket = connect(Number(new URL(base.url).port), '127.0.0.1')
  socket.setEncoding('latin1')
  let received = ''
  socket.on('data', text => {
    received += text
  })
  socket.write(bytes)
  await once(socket, 'close')
  return received
}

for (const [what, head] of [
  [
    'both Content-Length and Transfer-Encoding',
    'POST /scenes/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1',
  ],
  ['two lengths', 'POST /scenes/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n1'],
  ['no host', 'POST /scenes/echo HTTP/1.1\r\nContent-Length: 1\r\nConnection: close\r\n\r\n1'],
  ['no HTTP at all', 'hello\r\n\r\n'],
] as const) {
  test(`a request with ${what} is 400 once, and its connection is closed`, { timeout: 60_000 }, async () => {
    const received = await raw(head)
    assert.match(received, /^HTTP\/1\.1 400 /)
    assert.equal(received.split('HTTP/1.1 ').length, 2)
  })
}

test('headers over the limit are 431', { timeout: 60_000 }, async () => {
  const received = await raw(`POST /scenes/echo HTTP/1.1\r\nHost: a\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)
  assert.match(received, /^HTTP\/1\.1 431 HEADERS_TOO_LARGE\r\n/)
})

test('a caller that goes away half way through its body harms nothing', { timeout: 60_000 }, async () => {
  const request = httpRequest(`${base.url}/scenes/echo`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': 100 },
  })
  const failed = once(request, 'error')
  request.write('{"a":')
  await delay(20)
  request.destroy(new Error('gone'))
  await failed
  assert.equal((await callScene(base, 'echo', 1)).status, 200)
})

test('a caller that asks before it sends its body hears that it may continue, or why not', { timeout: 60_000 }, async () => {
  const ask = async (length: number) => {
    const headers = { 'content-type': 'application/json', 'content-length': length, expect: '100-continue' }
    const request = httpRequest(`${base.url}/scenes/echo`, { method: 'POST', headers })
    request.flushHeaders()
    const outcome = await Promise.race([
      once(request, 'continue').then(() => 'continue'),
      once(request, 'response').then(([{ statusCode }]) => statusCode),
    ])
    request.destroy()
    return outcome
  }
  assert.equal(await ask(1), 'continue')
  assert.equal(await ask(BODY_LIMIT + 1), 413)
})

test('metrics count requests, latencies and errors by scene and version', async () => {
  await (await callScene(base, 'echo', 1)).text()
  const response = await fetch(`${base.controlUrl}/metrics`)
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  const text = await response.text()
  const value = (pattern: RegExp) => Number(pattern.exec(text)?.[1])
  assert.ok(value(/^berth_requests_total\{scene="echo",version="v1",code="OK",cell="1"\} (\d+)$/m) > 0)
  assert.ok(value(/^berth_requests_total\{scene="hostile",version="v1",code="MODULE_THREW",cell="1"\} (\d+)$/m) > 0)
  assert.ok(value(/^berth_requests_total\{scene="",version="",code="SCENE_NOT_FOUND",cell="1"\} (\d+)$/m) > 0)
  assert.ok(value(/^berth_request_duration_seconds_bucket\{le="\+Inf",scene="echo",version="v1",cell="1"\} (\d+)$/m) > 0)
  assert.ok(value(/^berth_slots\{cell="1"\} (\d+)$/m) >= 5)
  assert.ok(value(/^nodejs_eventloop_lag_p99_seconds\{cell="1"\} ([\d.e-]+)$/m) > 0)
  assert.ok(value(/^process_resident_memory_bytes\{cell="1"\} (\d+)$/m) > 0)
  assert.ok(value(/^berth_memory_limit_bytes\{process="keeper"\} (\d+)$/m) > 0)
  assert.ok(value(/^berth_cells\{state="ready",process="keeper"\} (\d+)$/m) === 1)
})
