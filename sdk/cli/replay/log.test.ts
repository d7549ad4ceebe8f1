import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { idOfNumber } from '../../../base/kernel/exact-json.ts'
import { numbers } from '../../../base/kernel/fixtures/json-numbers.ts'
import { SdkError } from '../../sdk-error.ts'
import { type Entry, readLog } from './log.ts'

const openBandit = fileURLToPath(new URL('../../../fixtures/open-bandit/random_men.csv.gz', import.meta.url))

async function fileWith(t: TestContext, name: string, content: string | Buffer): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-replay-'))
  t.after(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, name), content)
  return join(folder, name)
}

async function read(t: TestContext, name: string, content: string | Buffer, scene?: string): Promise<Entry[]> {
  return readLog([await fileWith(t, name, content)], { scene, limit: 1000 })
}

const full = {
  scene: 'home',
  unit: 'besucher-ä',
  body: { a: 1 },
  headers: { 'X-App': '2.1', Host: 'old', 'Content-Length': '999', 'Accept-Encoding': 'br' },
  shown: { item: 14, position: 3, click: 0, propensity: 0.5 },
  at: '2026-01-01',
}

test('a line of NDJSON becomes a request, without the headers of its old connection', async t => {
  const [entry] = await read(t, 'log.ndjson', `${JSON.stringify(full)}\n`)
  assert.deepEqual(entry, {
    scene: 'home',
    body: '{"a":1}',
    headers: { 'x-app': '2.1', 'x-unit-id': Buffer.from('besucher-ä').toString('latin1') },
    shown: { item: '14', position: 3, clicked: 0, propensity: 0.5 },
  })
})

test('blank lines, gzip, a number as unit and a body of null are read; a given scene goes before that of the line', async t => {
  const text = '\n{"body":null,"unit":7,"scene":"other"}\r\n\n{"body":["\u2028"]}'
  const entries = await read(t, 'log.jsonl.gz', gzipSync(text), 'home')
  assert.deepEqual(
    entries.map(({ scene, body, headers }) => [scene, body, headers]),
    [
      ['home', 'null', { 'x-unit-id': '7' }],
      ['home', '["\u2028"]', {}],
    ],
  )
})

test('whatever numbers are in a log, bodies are sent as they are there, and units and items are the ids of the numbers', async t => {
  const values = fc.sample(fc.tuple(numbers, numbers, numbers), { numRuns: 500 })
  const usable = values.filter(([unit, item]) => idOfNumber(unit) !== undefined && idOfNumber(item) !== undefined)
  const shown = (item: string) => `{"click":0,"item":${item},"position":1,"propensity":1}`
  const lines = usable.map(([unit, item, number]) => `{"body": {"n":[${number} ,7]},"unit":${unit},"shown":${shown(item)}}`)
  const entries = await read(t, 'log.ndjson', lines.join('\n'), 'home')
  assert.deepEqual(
    entries.map(({ body, headers, shown }) => [body, headers['x-unit-id'], shown?.item]),
    usable.map(([unit, item, number]) => [`{"n":[${number} ,7]}`, idOfNumber(unit), idOfNumber(item)]),
  )
})

test('the limit counts over all files, and what is behind it is not looked at', async t => {
  const good = await fileWith(t, 'a.ndjson', '{"body":1}\n{"body":2}\n')
  const broken = await fileWith(t, 'b.ndjson', '{"body":3}\n{')
  const entries = await readLog([good, broken], { scene: 'home', limit: 3 })
  assert.deepEqual(
    entries.map(({ body }) => body),
    ['1', '2', '3'],
  )
})

const header = 'n,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,user_feature_3,user-item_affinity_0'

for (const [what, name, content, says] of [
  ['text', 'x.ndjson', '{"body":1}\nhello', /"[^"]*x\.ndjson" line 2: it is not JSON: hello/],
  ['a list', 'x.ndjson', '[1]', /line 1: it must be an object such as \{"body":\{…\}\}, got \[1\]/],
  ['no body', 'x.ndjson', '{"unit":"u"}', /line 1: it has no "body"/],
  ['a unit that is no id', 'x.ndjson', '{"body":1,"unit":{}}', /"unit" must be a string or a number, got \{\}/],
  ['a unit that would be rounded', 'x.ndjson', '{"body":1,"unit":1e21}', /"unit" cannot be used: the number 1e21 cannot be read exactly/],
  ['a scene that is no name', 'x.ndjson', '{"body":1,"scene":5}', /"scene" must be a string, got 5/],
  ['a header that cannot be sent', 'x.ndjson', '{"body":1,"headers":{"a b":"c"}}', /header "a b" cannot be sent/],
  ['a unit that cannot be sent', 'x.ndjson', '{"body":1,"unit":"a\\nb"}', /header "x-unit-id" cannot be sent/],
  ['a header that is no text', 'x.ndjson', '{"body":1,"headers":{"a":5}}', /header "a" must be a string, got 5/],
  [
    'a propensity of 0',
    'x.ndjson',
    JSON.stringify({ ...full, shown: { ...full.shown, propensity: 0 } }),
    /"shown.propensity" must be above 0 and at/,
  ],
  ['a click of 2', 'x.ndjson', JSON.stringify({ ...full, shown: { ...full.shown, click: 2 } }), /"shown.click" must be 0 or 1, got 2/],
  [
    'a position of 0',
    'x.ndjson',
    JSON.stringify({ ...full, shown: { ...full.shown, position: 0 } }),
    /"shown.position" must be a whole number from 1/,
  ],
  ['no item', 'x.ndjson', JSON.stringify({ ...full, shown: { ...full.shown, item: null } }), /"shown.item" must be an item id, got null/],
  ['an empty file', 'x.ndjson', '\n', /nothing is in there/],
  [
    'a CSV of something else',
    'x.csv',
    'a,b\n1,2\n',
    /line 1: it is no log of the Open Bandit Dataset, which has the columns item_id, position/,
  ],
  [
    'a CSV quote that is never closed',
    'x.csv',
    `${header}\n0,14,3,0,0.1,"a\n,b,c,d,0.0\n\n`,
    /line 2: the quote that opens here is never closed/,
  ],
  ['a CSV row cut short', 'x.csv', `${header}\n0,14,3\n`, /line 2: Invalid Record Length/],
  ['a CSV click that is no number', 'x.csv', `${header}\n0,14,3,yes,0.1,a,b,c,d,0.0\n`, /line 2: "click" must be 0 or 1/],
  [
    'a CSV row without propensity',
    'x.csv',
    `${header}\n0,14,3,1,,a,b,c,d,0.0\n`,
    /line 2: "propensity_score" must be above 0 and at most 1, got nothing/,
  ],
] as const) {
  test(`${what} is refused with file, line and fault`, async t => {
    await assert.rejects(read(t, name, content, 'home'), (error: unknown) => {
      assert(error instanceof SdkError)
      assert.match(error.message, says)
      assert.deepEqual([error.code, error.exit], ['LOG_INVALID', 1])
      return true
    })
  })
}

test('a log without a scene is wrong usage unless one is given', async t => {
  for (const file of [await fileWith(t, 'x.ndjson', '{"body":1}'), openBandit]) {
    const expected = { code: 'USAGE', exit: 2, message: /it names no scene/, hint: 'Name the scene with --scene.' }
    await assert.rejects(readLog([file], { limit: 1 }), expected)
  }
})

test('a file that is not there, a folder, and one that is not gzip are reported as unreadable', async t => {
  const files = [
    '/nowhere/x.ndjson',
    '/nowhere/x.csv',
    tmpdir(),
    await fileWith(t, 'x.csv.gz', 'text'),
    await fileWith(t, 'x.ndjson.gz', 'text'),
  ]
  for (const file of files) {
    await assert.rejects(readLog([file], { scene: 'home', limit: 1 }), { code: 'FILE_UNREADABLE', exit: 1 }, file)
  }
})

test('a row of the Open Bandit log becomes a request for its visitor, with what was shown', async () => {
  const entries = await readLog([openBandit], { scene: 'home', limit: 10_000 })
  assert.equal(entries.length, 10_000)
  assert.equal(
    entries.reduce((sum, { shown }) => sum + (shown?.clicked ?? 0), 0),
    46,
  )
  assert.deepEqual(entries[0]?.shown, { item: '14', position: 3, clicked: 0, propensity: 1 / 34 })
  assert.deepEqual(entries[1]?.headers, { 'x-unit-id': 'random_men-1' })
  assert.deepEqual(JSON.parse(entries[0]?.body ?? ''), {
    user: {
      features: [
        'cef3390ed299c09874189c387777674a',
        '03a5648a76832f83c859d46bc06cb64a',
        '7bc94a2da491829b777c49c4b5e480f2',
        '9bde591ffaab8d54c457448e4dca6f53',
      ],
      affinity: {},
    },
  })
})

test('whatever bytes a log has, it is read without U+FFFD or refused with a code and a place', async t => {
  const file = await fileWith(t, 'x.ndjson', '')
  const csv = join(file, '..', 'x.csv')
  const valid = Buffer.from('{"body":{"a":"Zoë"},"unit":"中"}\n{"body":1}\n')
  const mutated = fc
    .array(fc.tuple(fc.nat(valid.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 3 })
    .map(changes => changes.reduce((bytes, [at, byte]) => bytes.fill(byte, at, at + 1), Buffer.from(valid)))
  const bytes = fc.oneof(
    mutated,
    fc.uint8Array({ maxLength: 30 }).map(array => Buffer.from(array)),
  )
  const property = fc.asyncProperty(bytes, fc.constantFrom(file, csv), async (given, path) => {
    await writeFile(path, given)
    try {
      const entries = await readLog([path], { scene: 'home', limit: 10 })
      assert.ok(given.includes('\ufffd') || !JSON.stringify(entries).includes('\ufffd'))
    } catch (error) {
      assert.ok(error instanceof SdkError && /FILE_NOT_TEXT|LOG_INVALID/.test(error.code), String(error))
      assert.match(error.message, /line \d|nothing is in there|it is (UTF-16|compressed)/)
    }
  })
  await fc.assert(property, { numRuns: 150 })
})
