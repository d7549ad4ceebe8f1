import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'

import { idOfNumber } from '../kernel/exact-json.ts'
import { exactValue, numbers } from '../kernel/fixtures/json-numbers.ts'
import type { TableFormat } from '../kernel/table-facts.ts'
import { readTable, TableError } from './feature-table.ts'

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
  for (const [text, format] of [
    ['{"key":1}\n{"key":"\xe9"}', 'ndjson'],
    ['key,name\na,"Andr\xe9"', 'csv'],
  ] as const) {
    await assert.rejects(readTable(Buffer.from(text, 'latin1'), format), (error: TableError) => {
      assert.equal(error.line, 2)
      const place = `line 2, byte offset ${text.indexOf('\xe9')}: byte 0xe9 is not UTF-8; it looks like Latin-1`
      assert.ok(error.message.startsWith(place), error.message)
      return true
    })
  }
})

for (const [what, text, line, message] of [
  ['a quote that is never closed', 'id,name\n1,"Ann\n2,Bo\n3,Cy\n', 2, /the quote that opens here is never closed/],
  ['more after a closing quote', 'id,name\n1,"x\n\ny"z\n', 2, /after the quote that closes the field/],
  ['a quote within a field', 'id,name\n1,"a\r\nb"\n2,x"y\n', 4, /a quote within a field/],
  ['an empty key', 'id,name\n1,"a\n"\n,x\n', 4, /its key is empty/],
  ['too many fields', 'id\tname\n1\tx\n2\ty\tz', 3, /Invalid Record Length: expect 2, got 3$/],
  ['two delimiters in its header', 'id;name,city\n1', 1, /both commas and semicolons/],
  ['fields between vertical bars', 'id|name\n1|Ann\n', 1, /header has "\|", which separates no fields: use commas/],
  ['a first line for Excel', 'sep=;\nid;name\n1;Ann\n', 1, /its first line says "sep="/],
] as const) {
  test(`a CSV file with ${what} is refused with the line where that begins`, async () => {
    await assert.rejects(readTable(Buffer.from(text), 'csv'), (error: TableError) => {
      assert.deepEqual([error.line, message.test(error.message)], [line, true], error.message)
      return true
    })
  })
}

test('the header says what separates the fields, in quotes or not, and whatever ends the lines', async () => {
  const row = '{"id":"1","full name":"Ann; A, B"}'
  for (const [delimiter, format] of [
    [',', 'csv'],
    [';', 'csv'],
    ['\t', 'csv'],
    ['\t', 'tsv'],
  ] as const) {
    for (const end of ['\n', '\r\n', '\r']) {
      const text = `\ufeff"id"${delimiter}full name${end}${end}1${delimiter}"Ann; A, B"${end}`
      assert.deepEqual([...(await readTable(Buffer.from(text), format)).rows], [['1', row]], JSON.stringify(text))
    }
  }
})

test('a vertical bar in the name of a column is a part of it, in quotes or beside a delimiter', async () => {
  for (const text of ['"a|b"\n1\n', 'id,a|b\n1,2\n']) assert.equal((await readTable(Buffer.from(text), 'csv')).rows.size, 1)
})

const written = (fields: readonly string[], delimiter: string) =>
  fields.map(field => (/^[\w ]+$/.test(field) ? field : `"${field.replaceAll('"', '""')}"`)).join(delimiter)

test('what a plain writer has written is read back as it was', async () => {
  const field = fc.string({ unit: fc.constantFrom('a', ' ', ',', ';', '\t', '"', '\n', '\r', '中', '😀') })
  const shapes = fc.record({
    rows: fc.uniqueArray(fc.tuple(fc.string({ minLength: 1, unit: 'grapheme' }), field, field), { selector: ([key]) => key, maxLength: 8 }),
    delimiter: fc.constantFrom(',', ';', '\t'),
    end: fc.constantFrom('\n', '\r\n'),
    bom: fc.constantFrom('', '\ufeff'),
  })
  const property = fc.asyncProperty(shapes, async ({ rows, delimiter, end, bom }) => {
    const kept = rows.filter(([key]) => !key.includes('\0'))
    const csv = bom + [['id', 'x', 'y'], ...kept].map(fields => written(fields, delimiter)).join(end)
    const objects = kept.map(([id, x, y]) => ({ key: id, x, y }))
    const ndjson = bom + objects.map(row => JSON.stringify(row)).join(end)
    const fromCsv = [...(await readTable(Buffer.from(csv), 'csv')).rows]
    const fromNdjson = [...(await readTable(Buffer.from(ndjson), 'ndjson')).rows]
    assert.deepEqual(
      fromCsv.map(([key, text]) => [key, JSON.parse(text)]),
      kept.map(([id, x, y]) => [id, { id, x, y }]),
    )
    assert.deepEqual(
      fromNdjson.map(([key, text]) => [key, JSON.parse(text)]),
      objects.map(row => [row.key, row]),
    )
  })
  await fc.assert(property, { numRuns: 60 })
})

test('whatever bytes a file has, it is a table without U+FFFD or refused in words', async () => {
  const valid = Buffer.from('id,name\n1,"Zoë ""Z"""\n2,中😀\n{"key":"1"}\n')
  const mutated = fc
    .array(fc.tuple(fc.nat(valid.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 3 })
    .map(changes => changes.reduce((bytes, [at, byte]) => bytes.fill(byte, at, at + 1), Buffer.from(valid)))
  const bytes = fc.oneof(
    mutated,
    fc.uint8Array({ maxLength: 40 }).map(array => Buffer.from(array)),
  )
  const property = fc.asyncProperty(bytes, fc.constantFrom<TableFormat>('csv', 'tsv', 'ndjson'), async (given, format) => {
    const had = given.includes('\ufffd')
    try {
      for (const [key, row] of (await readTable(given, format)).rows) assert.ok(had || !`${key}${row}`.includes('\ufffd'))
    } catch (error) {
      assert.ok(error instanceof TableError && error.line !== undefined && error.message.length > 10, String(error))
    }
  })
  await fc.assert(property, { numRuns: 150 })
})

test('the event loop turns while the fault is looked for in a long file that is no text', async () => {
  let turns = 0
  const counting = setInterval(() => turns++, 1)
  const bytes = Buffer.concat([Buffer.from('{"key":"a"}\n'.repeat(2_000_000)), Buffer.from([0xe9, 10])])
  await assert.rejects(readTable(bytes, 'ndjson'), {
    line: 2_000_001,
    message: /line 2000001, byte offset 24000000: byte 0xe9 is not UTF-8/,
  })
  clearInterval(counting)
  assert.ok(turns >= 3, `${turns} turns`)
})

test('an empty file is a table without rows', async () => {
  for (const format of ['ndjson', 'csv'] as const) assert.equal((await readTable(Buffer.from(''), format)).rows.size, 0)
})
