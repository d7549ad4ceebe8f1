import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeText, readTextFile, readTextFileSync, TextDecoding, TextError } from './text-file.ts'

const BOM = '\ufeff'
/** Pieces of which faults are likely: characters of every length, their beginnings, surrogates, marks and line ends. */
const pieces = ['a', '\n', '\r\n', '\r', 'é', '中', '😀', BOM, '\ufffd'].map(text => Buffer.from(text))
const faults = [[0xe9], [0xc0, 0x80], [0xe4, 0xb8], [0xed, 0xa0, 0x80], [0xf0, 0x9f], [0xf5], [0xff], [0xfe], [0x80], [0]].map(bytes =>
  Buffer.from(bytes),
)
const piece = fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...pieces) }, { weight: 1, arbitrary: fc.constantFrom(...faults) })
const bytesOf = fc.oneof(
  fc.array(piece, { maxLength: 12 }).map(parts => Buffer.concat(parts)),
  fc.uint8Array({ maxLength: 24 }).map(array => Buffer.from(array)),
)

const outcomeOf = (
  read: () => string,
): { readonly text?: string; readonly line?: number | undefined; readonly byte?: number | undefined } => {
  try {
    return { text: read() }
  } catch (error) {
    assert.ok(error instanceof TextError && error.reason === 'content', String(error))
    return { line: error.line, byte: error.byte }
  }
}

test('whatever bytes are read, the text encodes to the same bytes, or the first byte that is wrong is named', () => {
  fc.assert(
    fc.property(bytesOf, bytes => {
      const { text, byte } = outcomeOf(() => decodeText(bytes))
      const mark = bytes.indexOf(BOM) === 0 ? 3 : 0
      if (text !== undefined) {
        assert.deepEqual(Buffer.from(text), bytes.subarray(mark))
        return
      }
      assert.ok(byte !== undefined && byte < bytes.length, String(byte))
      // All before the fault is valid, and with its byte it is no text.
      assert.equal(outcomeOf(() => decodeText(bytes.subarray(0, byte))).byte, undefined)
      assert.equal(outcomeOf(() => decodeText(Buffer.concat([bytes.subarray(0, byte + 1), Buffer.from('abc')]))).text, undefined)
    }),
    { numRuns: 500 },
  )
})

test('of a long file, the first byte that is wrong is named, wherever its blocks end', () => {
  for (let pad = 0; pad < 4; pad++) {
    const before = Buffer.from(`${'a'.repeat(pad)}${'中'.repeat(30_000)}\n${'😀'.repeat(30_000)}`)
    for (const fault of faults.filter(bytes => bytes[0] !== 0)) {
      const { line, byte } = outcomeOf(() => decodeText(Buffer.concat([before, fault, Buffer.from('a')])))
      assert.deepEqual([line, byte], [2, before.length])
    }
  }
})

test('a file that comes in parts is read as one that comes whole, wherever the parts begin', () => {
  fc.assert(
    fc.property(bytesOf, fc.array(fc.nat(24), { maxLength: 6 }), (bytes, cuts) => {
      const whole = outcomeOf(() => decodeText(bytes))
      const ends = [...cuts.filter(cut => cut < bytes.length).sort((a, b) => a - b), bytes.length]
      const parts = outcomeOf(() => {
        const decoding = new TextDecoding()
        return ends.map((end, i) => decoding.write(bytes.subarray(ends[i - 1] ?? 0, end))).join('') + decoding.end()
      })
      // What an encoding is recognised by may come in two parts, and a NUL may come before a later fault.
      if (whole.text === undefined) assert.equal(parts.text, undefined)
      else assert.equal(parts.text, whole.text)
    }),
    { numRuns: 500 },
  )
})

for (const [what, bytes, message] of [
  [
    'Latin-1',
    Buffer.from('id\nAndr\xe9\n', 'latin1'),
    'line 2, byte offset 7: byte 0xe9 is not UTF-8; it looks like Latin-1 or Windows-1252',
  ],
  ['UTF-16 with a mark', Buffer.from('\ufeffid\n', 'utf16le'), 'it is UTF-16 (little-endian), not UTF-8'],
  [
    'UTF-16 without a mark',
    Buffer.from('id\nAnn', 'utf16le'),
    'line 1, byte offset 1: byte 0x00 is a NUL, which no text has; it looks like UTF-16',
  ],
  ['gzip', Buffer.from([0x1f, 0x8b, 8, 0]), 'it is compressed with gzip'],
  [
    'a file that was cut off',
    Buffer.from('a\r\rb中').subarray(0, 6),
    'line 3, byte offset 4: byte 0xe4 is not UTF-8; it ends within a character, or is Latin-1 or Windows-1252',
  ],
] as const) {
  test(`${what} is refused by its name`, () => assert.throws(() => decodeText(bytes), { reason: 'content', message }))
}

test('what is no file is refused at once, each with what it is', { timeout: 30_000 }, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-text-'))
  t.after(() => rm(folder, { recursive: true }))
  const at = (name: string) => join(folder, name)
  execFileSync('mkfifo', [at('pipe')])
  await symlink('circle', at('circle'))
  await writeFile(at('large'), '12345')
  await writeFile(at('marked'), `${BOM}text`)
  for (const [path, reason, message] of [
    [at('none'), 'missing', /^there is no such file$/],
    [folder, 'unreadable', /^it is a folder$/],
    [at('pipe'), 'unreadable', /^it is a pipe, not a file$/],
    [at('circle'), 'unreadable', /^it is a link that leads back to itself$/],
    [at('large/file'), 'unreadable', /^its path leads through something that is not a folder$/],
    [at('large'), 'unreadable', /^it has 5 bytes, the limit is 4$/],
  ] as const) {
    await assert.rejects(readTextFile(path, 4), { reason, message })
    assert.throws(() => readTextFileSync(path, 4), { reason, message })
  }
  assert.deepEqual([await readTextFile(at('marked')), readTextFileSync(at('marked'))], ['text', 'text'])
})
