/** A business caller: has the scene port and its documents, and calls a scene from a terminal, from Node.js and with the client. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from '../../test/support/base.ts'
import type { Ground } from './ground.ts'

export const about = 'calls scenes from a service of their own, and knows nothing of modules'

type Json = { readonly [member: string]: unknown }

const packageJson = JSON.stringify({ name: 'prices', version: '1.0.0', type: 'module', berth: { stages: ['price'] } })
const code = `
export const price = async ({ items }, ctx) => {
  if (items.length > 5) return ctx.reject('TOO_MANY', 'There may be 5 items', { pointer: '/items' })
  if (items[0].id === 'broken') throw new Error('no price list')
  return { unit: ctx.unit ?? null, prices: items.map(({ id }) => id.length) }
}`

const item = { type: 'object', required: ['id'], properties: { id: { type: 'string' } } }
const list = (items: Json) => ({ type: 'array', minItems: 1, items })
const object = (properties: Json) => ({ type: 'object', required: Object.keys(properties), properties })
const scene = (id: string, traffic: Json) => ({
  id,
  group: [{ stage: 'price', modules: ['prices@^1'] }],
  traffic,
  schemas: {
    request: object({ items: list(item) }),
    answer: object({ unit: { type: ['string', 'null'] }, prices: list({ type: 'number' }) }),
  },
})

const program = (input: string) => `
import { createClient, SceneError } from '${join(root, 'sdk/caller/index.ts')}'
import type { Scenes } from '../scenes.d.ts'

const base = createClient<Scenes>({ url: process.env.SCENES ?? '', deadlineMs: 5000 })
const { output, because, attempts } = await base.callWithInfo('shop', ${input}, { unit: '用户42' })
const sum: number = output.prices.reduce((all, one) => all + one, 0)
console.log(output.unit, sum, because, attempts)
const failure = await base.call('shop', { items: [] }).catch((error: unknown) => error)
if (failure instanceof SceneError) console.log(failure.code, failure.blame, failure.faults[0]?.pointer)
`

export async function walk(at: Ground): Promise<void> {
  const base = await at.try('have a base with two scenes, made by somebody else', () => serve(at))
  const call = caller(base.url)
  const good = { items: [{ id: 'hat' }, { id: 'shoe' }] }

  await at.try('ask the port what it is, and read its documents', () => readDocuments(call))
  await at.try('get an answer, with who answered and why', async () => {
    const { status, body, headers } = await call('shop', good, { 'x-unit-id': 'u1' })
    assert.deepEqual([status, body], [200, { unit: 'u1', prices: [3, 4] }])
    assert.deepEqual([headers.get('x-scene-version'), headers.get('x-scene-because')], ['v1', 'baseline'])
    assert.match(headers.get('server-timing') ?? '', /scene;dur=/)
  })
  await at.try('send what is wrong, and learn what to change each time', () => sendWrong(call))
  await at.try('send so much that it is wrong a hundred times, and harm nobody', async () => {
    const refused = await Promise.all(Array.from({ length: 100 }, () => call('shop', { items: [] })))
    assert.deepEqual([...new Set(refused.map(({ status }) => status))], [400])
    assert.equal((await call('shop', good)).status, 200)
  })
  await at.try('send unit ids in any script, with curl and with Node.js', () => sendUnits(base.url, call, good))
  await at.try('be told when to come again where a scene is busy', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => call('narrow', good)))
    const limited = answers.find(({ status }) => status === 429)
    assert.equal(limited?.body.code, 'RATE_LIMITED')
    assert.match(limited?.headers.get('retry-after') ?? '', /^\d+$/)
  })
  await at.try('call with the client and with types that the scene says', () => callWithTypes(at, base.url))
}

async function serve(at: Ground) {
  const base = await at.start('bin/base.cjs start')
  const sdk = at.sdk()
  await mkdir(join(at.folder, 'prices'))
  await writeFile(join(at.folder, 'prices/package.json'), packageJson)
  await writeFile(join(at.folder, 'prices/index.ts'), code)
  await writeFile(join(at.folder, 'shop.json'), JSON.stringify(scene('shop', { deadlineMs: 2000 })))
  await writeFile(join(at.folder, 'narrow.json'), JSON.stringify(scene('narrow', { rateLimit: { rps: 1, burst: 1 } })))
  await sdk('publish prices --no-check', 0)
  await sdk('scene apply shop.json narrow.json', 0, /shop: new/, /narrow: new/)
  return base
}

interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly body: Json
}
type Call = (scene: string, body: unknown, headers?: Readonly<Record<string, string>>) => Promise<Answered>

/** Sends a text as it is, and anything else as JSON. Without a body it reads. */
function caller(url: string): Call {
  return async (path, body, headers = {}) => {
    const sent = typeof body === 'string' ? body : JSON.stringify(body)
    const post = { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: sent ?? null }
    const response = await fetch(path.startsWith('/') ? url + path : `${url}/scenes/${path}`, body === undefined ? { headers } : post)
    return { status: response.status, headers: response.headers, body: (await response.json()) as Json }
  }
}

async function readDocuments(call: Call): Promise<void> {
  const { body } = await call('/', undefined)
  assert.match(String(body.is), /POST \/scenes\/ID with a JSON body/)
  for (const path of Object.keys(body.links as Json)) assert.equal((await call(path, undefined)).status, 200, path)
  const { paths } = (await call('/openapi.json', undefined)).body as { paths: Record<string, { post?: { responses: Json } }> }
  const said = Object.keys(paths['/scenes/{id}']?.post?.responses ?? {})
  for (const status of ['200', '400', '404', '413', '415', '422', '429', '503', '504']) assert.ok(said.includes(status), status)
}

async function sendWrong(call: Call): Promise<void> {
  const six = { items: Array.from({ length: 6 }, () => ({ id: 'hat' })) }
  const wrong: [what: Parameters<Call>, status: number, code: string, says: RegExp][] = [
    [['shop', 'items=hat'], 400, 'BODY_MALFORMED', /not valid JSON/],
    [['shop', {}, { 'content-type': 'text/plain' }], 415, 'CONTENT_TYPE_UNSUPPORTED', /"text\/plain", not application\/json/],
    [['shop', { items: [] }], 400, 'REQUEST_INVALID', /\/items must have at least 1 item/],
    [
      ['shop', { items: [{ id: 'hat' }, { id: 7 }, {}] }],
      400,
      'REQUEST_INVALID',
      /\/items\/1\/id must be a string; \/items\/2 must have "id"/,
    ],
    [['shop', six], 422, 'REQUEST_REJECTED', /There may be 5 items/],
    [['shop', `{"items":[{"id":"${'x'.repeat(1 << 20)}"}]}`], 413, 'BODY_TOO_LARGE', /the limit is 1048576 bytes/],
    [['shop', {}, { 'x-scene-version': 'v1' }], 401, 'UNAUTHENTICATED', /without a token with the right "pin"/],
    [['shpo', {}], 404, 'SCENE_NOT_FOUND', /"shpo": no such scene/],
    [['/scenes/shop', undefined], 405, 'METHOD_NOT_ALLOWED', /allowed is POST/],
    [['/shop', {}], 404, 'ROUTE_NOT_FOUND', /\/shop/],
  ]
  for (const [sent, status, code, says] of wrong) {
    const { body, headers, ...answer } = await call(...sent)
    assert.deepEqual([answer.status, body.code, body.blame], [status, code, 'caller'], JSON.stringify(body))
    assert.match(String(body.detail), says)
    assert.ok(String(body.fix).length > 0)
    assert.match(headers.get('content-type') ?? '', /^application\/problem\+json/)
  }
  const rejected = (await call('shop', six)).body
  assert.deepEqual([rejected.reason, rejected.details], ['TOO_MANY', { pointer: '/items' }])
  const broken = (await call('shop', { items: [{ id: 'broken' }] })).body
  assert.deepEqual([broken.code, broken.blame, broken.stack], ['MODULE_THREW', 'module', undefined])
}

async function sendUnits(url: string, call: Call, body: Json): Promise<void> {
  for (const unit of ['用户42', 'café', "O'Neil, Ann", '😀']) {
    const byCurl = [
      '-s',
      `${url}/scenes/shop`,
      '-H',
      'content-type: application/json',
      '-H',
      `x-unit-id: ${unit}`,
      '-d',
      JSON.stringify(body),
    ]
    const { stdout } = await promisify(execFile)('curl', byCurl)
    assert.equal(JSON.parse(stdout).unit, unit)
    const encoded = await call('shop', body, { 'x-unit-id': `UTF-8''${encodeURIComponent(unit)}` })
    assert.equal(encoded.body.unit, unit)
  }
  for (const unit of ['caf\u00e9', "UTF-8''caf%E9"]) {
    const { status, body: problem } = await call('shop', body, { 'x-unit-id': unit })
    assert.deepEqual([status, problem.code], [400, 'UNIT_INVALID'], 'what is no UTF-8 is not guessed')
    assert.match(String(problem.detail), /header "x-unit-id"/)
  }
}

async function callWithTypes(at: Ground, url: string): Promise<void> {
  await at.sdk()('types shop.json narrow.json --out scenes.d.ts', 0)
  await at.sdk()('types shop.json narrow.json --out scenes.d.ts --check', 0)
  const folder = join(at.folder, 'service')
  await mkdir(folder)
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  await writeFile(join(folder, 'good.ts'), program(`{ items: [{ id: 'hat' }, { id: 'shoe' }] }`))
  await writeFile(join(folder, 'wrong.ts'), program(`{ items: [{ name: 'hat' }] }`))
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, args, { cwd: folder, env: { ...process.env, SCENES: url } }).catch(error => error)
  const { stdout } = await run('--disable-warning=ExperimentalWarning', 'good.ts')
  assert.equal(stdout, '用户42 7 baseline 1\nREQUEST_INVALID caller /items\n')
  const types = join(root, 'node_modules/@types')
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'esnext', '--allowImportingTsExtensions', '--skipLibCheck']
  const check = (file: string) =>
    run(join(root, 'node_modules/typescript/bin/tsc'), ...options, '--typeRoots', types, '--types', 'node', file)
  assert.equal((await check('good.ts')).stdout, '')
  assert.match((await check('wrong.ts')).stdout, /wrong\.ts.*error TS2\d+: .*'name' does not exist/)
}
