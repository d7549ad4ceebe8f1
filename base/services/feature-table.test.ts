import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { idOfNumber } from '../kernel/exact-json.ts'
import { exactValue, numbers } from '../kernel/fixtures/json-numbers.ts'
import { readTable } from './feature-table.ts'

const ROWS = 50_000
const files = {
  ndjson: Array.from({ length: ROWS }, (_, i) => JSON.stringify({ key: `k${i}`, n: i })).join('\n'),
  csv: `id,n\r\n${Array.from({ length: ROWS }, (_, i) => `k${i},"${i}"`).join('\r\n')}`,
}

for (const format of ['ndjson', 'csv'] as const) {
  test(`the event loop turns while a long ${format} file is read`, async () => {
    let turns = 0
    const counting = setInterval(() => turns++, 1)
    const { rows } = await readTable(Buffer.from(files[format]), format)
    clearInterval(counting)
    assert.equal(rows.size, ROWS)
    assert.ok(turns >= 3, `${turns} turns`)
  })
}

test('a row is kept as its line is written', async () => {
  const { rows } = await readTable(Buffer.from('\ufeff{"key":"a","n":1.50}\r\n\n  {"n":1e3, "key":2}'), 'ndjson')
  assert.deepEqual(
    [...rows],
    [
      ['a', '{"key":"a","n":1.50}'],
      ['2', '{"n":1e3, "key":2}'],
    ],
  )
})

test('whatever numbers are keys, each row is found by the id of its own, or the file is refused with its line', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(numbers, { selector: exactValue, minLength: 1 }), async keys => {
      const lines = keys.map(key => `{"key":${key}}`)
      const ids = keys.map(idOfNumber)
      const reading = readTable(Buffer.from(lines.join('\n')), 'ndjson')
      const wrong = ids.indexOf(undefined)
      if (wrong < 0)
        assert.deepEqual(
          [...(await reading).rows],
          ids.map((id, index) => [id, lines[index]]),
        )
      else await assert.rejects(reading, { line: wrong + 1 })
    }),
  )
})

test('the version changes with the bytes and not with the time', async () => {
  const read = async (text: string) => (await readTable(Buffer.from(text), 'ndjson')).version
  assert.equal(await read('{"key":1}'), await read('{"key":1}'))
  assert.notEqual(await read('{"key":1}'), await read('{"key":1} '))
})

test('bytes that are not UTF-8 are refused with their line', async () => {
  await assert.rejects(readTable(Buffer.from([...Buffer.from('{"key":1}\n{"key":"'), 0xff, 0x22, 0x7d]), 'ndjson'), {
    line: 2,
    message: 'line 2: it is not UTF-8',
  })
  await assert.rejects(readTable(Buffer.from([0xff]), 'csv'), { message: 'the file is not UTF-8' })
})

test('an empty file is a table without rows', async () => {
  for (const format of ['ndjson', 'csv'] as const) assert.equal((await readTable(Buffer.from(''), format)).rows.size, 0)
})
