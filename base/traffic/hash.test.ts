import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import fc from 'fast-check'
import murmurhash from 'murmurhash'
import { BUCKETS, HashedId, seedOf } from './hash.ts'

const independent = createRequire(import.meta.url)('murmurhash3js-revisited') as {
  readonly x86: { hash32(bytes: Uint8Array, seed: number): number }
}
const encoder = new TextEncoder()
const id = new HashedId()

function hash(text: string, seed: number): number {
  id.set(text)
  return id.hash(seed)
}

test('hashes are the published ones of murmur3, whatever the script', () => {
  const vectors: readonly (readonly [text: string, seed: number, hash: number])[] = [
    ['', 0, 0],
    ['', 1, 0x514e28b7],
    ['', 0xffffffff, 0x81f16f39],
    ['test', 0x9747b28c, 0x704b81dc],
    ['Hello, world!', 0x9747b28c, 0x24884cba],
    ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
    ['ππππππππ', 0x9747b28c, 0xd58063c1],
    ['中文', 5, 527_074_743],
  ]
  for (const [text, seed, expected] of vectors) assert.equal(hash(text, seed), expected, text)
})

test('two other implementations hash every text to the same number under every seed', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc.string({ unit: 'grapheme', maxLength: 100 }),
    fc.string({ maxLength: 12 }),
  )
  const seed = fc.integer({ min: 0, max: 0xffffffff })
  fc.assert(
    fc.property(text, seed, (text, seed) => {
      const found = hash(text, seed)
      assert.equal(found, independent.x86.hash32(encoder.encode(text), seed))
      assert.equal(found, murmurhash.v3(text, seed))
    }),
    { numRuns: 500 },
  )
})

/** Chi-square of counts against equal shares. */
function chiSquare(counts: Uint32Array | readonly number[], expected: number): number {
  let sum = 0
  for (const count of counts) sum += (count - expected) ** 2 / expected
  return sum
}

const COUNT = 1_000_000
/** Five standard deviations above the mean of chi-square with this many degrees of freedom: one in a few million by chance. */
const critical = (freedom: number): number => freedom + 5 * Math.sqrt(2 * freedom)

// Reproducible, so that the test says the same every time.
function* randoms(): Generator<number> {
  let state = 0x2545f491
  while (true) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    yield state >>> 0
  }
}
const random = randoms()
const next = (): number => random.next().value ?? 0
const EMOJI = ['😀', '🎁', '🚀', '🌟', '🐼', '🔥', '🍜', '🎈', '👍', '🏮']
const HAN = '的一是在不了有和人这中大为上个国我以要他'

const kinds: Readonly<Record<string, (i: number) => string>> = {
  sequential: i => String(i),
  random: () => next().toString(36) + next().toString(36),
  Chinese: i => `用户${[...String(i)].map(digit => HAN[Number(digit)]).join('')}`,
  emoji: i => [...String(i)].map(digit => EMOJI[Number(digit)]).join(''),
}

for (const [kind, make] of Object.entries(kinds)) {
  test(`a million ${kind} ids split within sampling error, and independently under two salts`, () => {
    const [one, other] = [seedOf('exp-1/1'), seedOf('exp-2/1')]
    const buckets = new Uint32Array(BUCKETS)
    const together = new Uint32Array(100)
    for (let i = 0; i < COUNT; i++) {
      id.set(make(i))
      const bucket = id.bucket(one)
      buckets[bucket] = (buckets[bucket] ?? 0) + 1
      const cell = Math.floor(bucket / 1000) * 10 + Math.floor(id.bucket(other) / 1000)
      together[cell] = (together[cell] ?? 0) + 1
    }
    const found = chiSquare(buckets, COUNT / BUCKETS)
    assert.ok(found < critical(BUCKETS - 1), `chi-square of the buckets ${found}`)
    const first5 = buckets.subarray(0, 500).reduce((sum, count) => sum + count, 0)
    assert.ok(Math.abs(first5 - COUNT * 0.05) < 5 * Math.sqrt(COUNT * 0.05 * 0.95), `an arm of 5% has ${first5}`)
    const joint = chiSquare(together, COUNT / 100)
    assert.ok(joint < critical(99), `chi-square of both together ${joint}`)
  })
}

test('any two salts are independent of each other, those of a segment and of an experiment too', () => {
  const ids = Array.from({ length: 20_000 }, (_, i) => `user-${i}`)
  const salt = fc.stringMatching(/^[a-z0-9/-]{1,24}$/)
  fc.assert(
    fc.property(salt, salt, (one, other) => {
      fc.pre(one !== other)
      const [a, b] = [seedOf(one), seedOf(other)]
      const cells = new Array<number>(16).fill(0)
      for (const each of ids) {
        id.set(each)
        const cell = Math.floor(id.bucket(a) / 2500) * 4 + Math.floor(id.bucket(b) / 2500)
        cells[cell] = (cells[cell] ?? 0) + 1
      }
      assert.ok(chiSquare(cells, ids.length / 16) < critical(15) + 25)
    }),
    { numRuns: 60 },
  )
})
