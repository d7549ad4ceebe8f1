/** `crypto`: ChaCha20 with a key of 128 bits from the cell's randomness, twice. It erases its key as it goes, so what it gave out cannot be computed afterwards. */
import { domException, tools } from './tools.ts'

const BLOCKS = 16
const KEY_BYTES = 32
const QUOTA_BYTES = 65_536

const { cryptoSeed } = tools
/** What a block begins with: four words that are the same for all, the key, a count, and three words that stay 0. */
const start = new Uint32Array(16)
start.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574])
const key = start.subarray(4, 12)
const words = new Uint32Array(16)
const pool = new Uint32Array(16 * BLOCKS)
const bytes = new Uint8Array(pool.buffer)
let handedOut = bytes.length
/** The seeding that the key is of. */
let keyedFor = 0

/** Nothing that has to do with the key iterates over a list, or takes one apart: a module may put another `next` in the place of that of all iterators for a while. */
function quarter(a: number, b: number, c: number, d: number): void {
  let wa = words[a] as number
  let wb = words[b] as number
  let wc = words[c] as number
  let wd = words[d] as number
  wa = (wa + wb) | 0
  wd = turn(wd ^ wa, 16)
  wc = (wc + wd) | 0
  wb = turn(wb ^ wc, 12)
  wa = (wa + wb) | 0
  wd = turn(wd ^ wa, 8)
  wc = (wc + wd) | 0
  wb = turn(wb ^ wc, 7)
  words[a] = wa
  words[b] = wb
  words[c] = wc
  words[d] = wd
}

const turn = (word: number, by: number): number => (word << by) | (word >>> (32 - by))

function block(counter: number): void {
  start[12] = counter
  words.set(start)
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarter(i, i + 4, i + 8, i + 12)
    for (let i = 0; i < 4; i++) quarter(i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4))
  }
  for (let i = 0; i < 16; i++) pool[16 * counter + i] = (words[i] as number) + (start[i] as number)
}

function refill(): void {
  for (let counter = 0; counter < BLOCKS; counter++) block(counter)
  key.set(pool.subarray(0, 8))
  pool.fill(0, 0, 8)
  handedOut = KEY_BYTES
}

function keyAnew(): void {
  const { words, seedings } = cryptoSeed
  key.set(words)
  key.set(words, words.length)
  keyedFor = seedings
  bytes.fill(0)
  handedOut = bytes.length
}

function fill(target: Uint8Array): void {
  if (keyedFor !== cryptoSeed.seedings) keyAnew()
  for (let at = 0; at < target.length; ) {
    if (handedOut === bytes.length) refill()
    const end = Math.min(bytes.length, handedOut + target.length - at)
    target.set(bytes.subarray(handedOut, end), at)
    bytes.fill(0, handedOut, end)
    at += end - handedOut
    handedOut = end
  }
}

const integers = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array]

const crypto = {
  getRandomValues<T extends ArrayBufferView>(array: T): T {
    if (!integers.some(type => array instanceof type)) {
      throw domException('getRandomValues takes an array of integers', 'TypeMismatchError')
    }
    if (array.byteLength > QUOTA_BYTES) throw domException(`getRandomValues fills at most ${QUOTA_BYTES} bytes`, 'QuotaExceededError')
    fill(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    return array
  },
  randomUUID(): string {
    const id = new Uint8Array(16)
    fill(id)
    id[6] = ((id[6] as number) & 0x0f) | 0x40
    id[8] = ((id[8] as number) & 0x3f) | 0x80
    const hex = Array.from(id, byte => byte.toString(16).padStart(2, '0')).join('')
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
  },
}

export default { crypto }
