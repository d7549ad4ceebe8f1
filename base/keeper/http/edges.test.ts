/** Requests that no client of ours sends: parameters that are nearly what they should be, and paths that lead out. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { digestOf } from '../../folder/blob-files.ts'
import { tokenPath } from '../../folder/paths.ts'
import { limits } from '../../kernel/limits.ts'
import { createLog } from '../../kernel/log.ts'
import { GuessAudit } from '../driver/guess-audit.ts'
import { startTestKeeper } from '../fixtures/keeper.ts'

interface Parameter {
  readonly in: string
  readonly name: string
  readonly schema: { readonly type?: string; readonly pattern?: string }
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly parameters?: readonly Parameter[] }>>>>
}

/** Texts that a lenient reader takes for a number or a boolean. */
const nearly = [
  'true',
  'false',
  '',
  ' 1',
  '1 ',
  '+1',
  '01',
  '00',
  '-0',
  '1.0',
  '1e0',
  '1E0',
  '0x1',
  '0b1',
  '0o1',
  '1n',
  '1_0',
  '\uff11',
  'Infinity',
  'null',
]
const nearlyBooleans = ['1', '0', 'True', 'TRUE', ' true', 'true ', 'yes', 'on', '', 'null']

test('every number and every boolean of every route is taken in one form only', async t => {
  const { ask, sent } = await startTestKeeper(t)
  const { paths } = (await ask('GET', '/docs/json')).read<Document>()
  const typed = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { parameters = [] }]) =>
      parameters
        .filter(({ schema: { type } }) => type === 'integer' || type === 'number' || type === 'boolean')
        .map(parameter => ({ method: method.toUpperCase() as 'GET' | 'POST', path, parameter })),
    ),
  )
  const places = typed.map(({ path, parameter: { in: where, name } }) => `${path} ${where} ${name}`)
  for (const known of ['/api/cells/{cell}/retire path cell', '/api/audit query limit', '/api/scenes/{id}/logs query follow']) {
    assert(places.includes(known), `${known} of ${places}`)
  }
  const outcome = async ({ method, path, parameter }: (typeof typed)[number], text: string) => {
    const value = encodeURIComponent(text)
    const filled = path.replaceAll(/\{(\w+)\}/g, (_, name) => (name === parameter.name ? value : 'home'))
    const { status, body } = await ask(method, parameter.in === 'query' ? `${filled}?${parameter.name}=${value}` : filled)
    return [status, body.code]
  }
  const isCanonical = (type: string | undefined, text: string) => (type === 'boolean' ? /^(true|false)$/ : /^(0|-?[1-9][0-9]*)$/).test(text)
  for (const row of typed) {
    const { type } = row.parameter.schema
    for (const text of type === 'boolean' ? nearlyBooleans : nearly) {
      // An empty part of a path is another path.
      if (text === '' && row.parameter.in === 'path') continue
      assert.deepEqual(await outcome(row, text), [400, 'REQUEST_INVALID'], `${row.path} ${row.parameter.name}="${text}"`)
    }
  }
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...typed), fc.stringMatching(/^[ +\-.0-9xXeEtrufalsn_]{1,6}$/), async (row, text) => {
      fc.pre(!isCanonical(row.parameter.schema.type, text) && !/^\.{1,2}$/.test(text))
      assert.deepEqual(await outcome(row, text), [400, 'REQUEST_INVALID'])
    }),
    { numRuns: 100 },
  )
  assert.deepEqual(sent, [], 'no cell was asked to retire')
})

/** The status and the body that come back for a request line, sent as it is. */
async function send(port: number, target: string, method = 'GET'): Promise<{ status: number; code: unknown }> {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  let received = ''
  socket.on('data', text => {
    received += text
  })
  socket.on('error', () => undefined)
  socket.write(Buffer.from(`${method} ${target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`, 'latin1'))
  await once(socket, 'close')
  const [head = '', ...rest] = received.split('\r\n\r\n')
  const isProblem = /application\/problem\+json/i.test(head)
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]),
    code: isProblem ? JSON.parse(/\{.*\}/s.exec(rest.join(''))?.[0] ?? '{}').code : undefined,
  }
}

const steps = [
  '..',
  '.',
  '%2e%2e',
  '%2E.',
  '..%2f',
  '%2f',
  '%5c',
  '\\',
  '',
  '%00',
  '%',
  '%zz',
  '%ff',
  '%c0%ae',
  'x',
  ';',
  '*',
  '\u00e9',
  'a'.repeat(400),
  '?',
  '#',
  '__proto__',
  ':id',
]
const bases = [
  '',
  '/',
  '/docs',
  '/docs/static',
  '/docs/static/..',
  '/api',
  '/api/scenes',
  '/api/blobs',
  '//',
  'http://a',
  'http://',
  'https://a/docs/static',
  'http:',
  '*',
  'file:///etc',
]

test('whatever a path is made of, the answer is one of the caller with a code, and never a stack', async t => {
  const { keeper } = await startTestKeeper(t)
  const { controlPort } = keeper.vitals
  const check = async (target: string) => {
    const { status, code } = await send(controlPort, target)
    const isServed = status === 200 || status === 302 || status === 304
    assert(isServed || (status >= 400 && status < 500 && typeof code === 'string'), `GET ${target}: ${status} ${code}`)
  }
  for (const target of [
    '/docs/static/../x',
    '/docs/static/%2e%2e/x',
    '/docs/static/%00',
    '/docs/static/..%2f..%2fpackage.json',
    `/${'a'.repeat(8000)}`,
  ]) {
    await check(target)
  }
  const target = fc
    .tuple(fc.constantFrom(...bases), fc.array(fc.constantFrom(...steps), { maxLength: 4 }))
    .map(parts => parts.flat().join('/'))
  await fc.assert(fc.asyncProperty(target, check), { numRuns: 300 })
})

test('guessing tokens is refused for its rate and leaves one row in the audit log, and a valid token is never refused for it', async t => {
  const { ask } = await startTestKeeper(t)
  const guess = (i: number) => ask('GET', '/api/scenes', { headers: { authorization: `Bearer berth_guess${i}` } })
  const answers: Awaited<ReturnType<typeof guess>>[] = []
  const most = limits.http.tokenGuessesPerMinuteMax
  for (let i = 0; i < most + 20; i++) {
    answers.push(await guess(i))
    assert.equal((await ask('GET', '/api/scenes')).status, 200)
  }
  const codes = answers.map(({ body }) => body.code)
  assert.deepEqual(codes, [...Array(most).fill('UNAUTHENTICATED'), ...Array(20).fill('RATE_LIMITED')])
  const last = answers.at(-1)
  assert.equal(last?.status, 429)
  assert(Number(last?.headers.get('retry-after')) > 0)
  const rows = (await ask('GET', '/api/audit')).read<{ action: string; target: string; who: string }[]>()
  assert.deepEqual(
    rows.filter(({ action }) => action === 'limit guesses').map(({ target, who }) => [target, who]),
    [['127.0.0.1', 'base']],
  )
  assert.match((await ask('GET', '/metrics')).text, new RegExp(`^berth_token_guesses_total\\{process="keeper"\\} ${most + 20}$`, 'm'))
})

test('however many addresses guess, the audit log gets a bounded number of rows, and the last one says so', () => {
  const rows: { target: string; payload: unknown }[] = []
  let now = 0
  const book = { commit: (_writes: unknown, _actor: unknown, row: { target: string; payload: unknown }) => void rows.push(row) }
  const audit = new GuessAudit(book, createLog('keeper', 'silent'), () => now)
  for (let i = 0; i < 1000; i++) audit.note(`10.0.${i >> 8}.${i & 255}`, 'scene')
  assert.equal(rows.length, limits.http.tokenGuessRowsPerHourMax)
  assert.deepEqual(rows.at(-1)?.payload, { address: rows.at(-1)?.target, port: 'scene', isLast: true })
  now = 3_600_000
  audit.note('10.0.0.1', 'scene')
  audit.note('10.0.0.1', 'control')
  assert.equal(rows.length, limits.http.tokenGuessRowsPerHourMax + 1)
})

test('a module whose source map is made to grow is refused, with what is wrong with the map', async t => {
  const { ask } = await startTestKeeper(t)
  const put = async (text: string) => {
    const digest = await digestOf(Buffer.from(text))
    await ask('PUT', `/api/blobs/${digest}`, { headers: { 'content-type': 'application/octet-stream' }, payload: text })
    return digest
  }
  const mappings = ';'.repeat(limits.module.sourceMapBytesMax - 100)
  const sourceMap = await put(JSON.stringify({ version: 3, sources: ['index.ts'], names: [], mappings }))
  const manifest = { name: 'rank-lr', version: '1.0.0', stages: ['rank'], bundle: await put('rank-lr 1.0.0'), sourceMap }
  const { status, body } = await ask('POST', '/api/modules', { payload: { manifest } })
  assert.deepEqual([status, body.code], [422, 'SOURCE_MAP_INVALID'])
  assert.equal(body.detail, 'Cannot publish module "rank-lr": of its source map, it maps over 1000000 places')
})

test('a body that does not arrive in time is cut off, and only an upload of bytes may take longer', async t => {
  const { keeper, data } = await startTestKeeper(t)
  const bytes = 'ab'
  const digest = await digestOf(Buffer.from(bytes))
  const authorization = `authorization: Bearer ${readFileSync(tokenPath(data), 'utf8').trim()}`
  t.mock.timers.enable({ apis: ['setTimeout'] })
  /** Sends all but the last byte of a request. The base says that it has the head. */
  const begin = async (head: string, type: string) => {
    const socket = connect(keeper.vitals.controlPort, '127.0.0.1').setEncoding('utf8')
    t.after(() => socket.destroy())
    socket.write(
      `${head} HTTP/1.1\r\nhost: a\r\n${authorization}\r\ncontent-type: ${type}\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\na`,
    )
    assert.match(String(await once(socket, 'data')), /^HTTP\/1\.1 100 /)
    return socket
  }
  const slow = await begin('PUT /api/scenes/home', 'application/json')
  const upload = await begin(`PUT /api/blobs/${digest}`, 'application/octet-stream')
  t.mock.timers.tick(limits.http.requestTimeoutMs)
  assert.match(String(await once(slow, 'data')), /^HTTP\/1\.1 408 BODY_TIMEOUT[\s\S]*did not arrive in time/)
  upload.write('b')
  assert.match(String(await once(upload, 'data')), /^HTTP\/1\.1 201 /)
})
