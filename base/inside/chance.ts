/**
 * Where all chance inside comes from: `Math.random`, and the seed of `crypto`. Each has half of the words of a seed to itself, so whoever works out the state of
 * the one from its numbers learns nothing about the other.
 */
import { shownAs } from './built-ins/stand-ins.ts'
import { seed, tape } from './host.ts'
import { defineProperty, imul } from './primordials.ts'
import { SEED_WORDS, TAPE } from './protocol.ts'

const HALF = SEED_WORDS / 2
/** Numbers that are thrown away, after which those of seeds that are alike are not. */
const THROWN_AWAY = 16

/** What `crypto` is seeded from, and how often it has been seeded: code that knows an earlier count starts anew. */
export interface CryptoSeed {
  readonly words: readonly number[]
  readonly seedings: number
}
export const cryptoSeed = { words: [] as readonly number[], seedings: 0 }

/** The state of `Math.random`. */
const state = new Int32Array(HALF)

/** Runs before the built-ins are protected. */
export function replaceRandom(): void {
  seedFrom(i => Number.parseInt(seed.slice(8 * i, 8 * i + 8), 16))
  defineProperty(Math, 'random', { value: shownAs(Math.random, random) })
}

/** Called when a turn begins: seeds chance anew when the cell has said so. */
export function seedIfTold(): void {
  const places = tape
  if (places === undefined || places[TAPE.reseed] !== 1) return
  places[TAPE.reseed] = 0
  seedFrom(i => places[TAPE.seed + i] as number)
}

function seedFrom(wordAt: (i: number) => number): void {
  // Forth and back, so that each word of the state depends on each word of the seed, and no two seeds give the same state.
  let mixed = 0
  for (let i = 0; i < HALF; i++) state[i] = mixed = mix(mixed + wordAt(i))
  for (let i = HALF - 1; i >= 0; i--) state[i] = mixed = mix(mixed + (state[i] as number))
  for (let i = 0; i < THROWN_AWAY; i++) step()
  cryptoSeed.words = [wordAt(HALF), wordAt(HALF + 1), wordAt(HALF + 2), wordAt(HALF + 3)]
  cryptoSeed.seedings++
}

/** The last steps of MurmurHash3 by Austin Appleby, which change about half of the bits when one is changed, and the golden ratio, since 0 would stay 0. */
function mix(word: number): number {
  let mixed = (word + 0x9e3779b9) | 0
  mixed = imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}

/** A step of sfc32 by Chris Doty-Humphrey, which has 128 bits of state and passes PractRand: 32 bits. */
function step(): number {
  const b = state[1] as number
  const c = state[2] as number
  const count = state[3] as number
  const sum = (((state[0] as number) + b) | 0) + count
  state[0] = b ^ (b >>> 9)
  state[1] = c + (c << 3)
  state[2] = ((c << 21) | (c >>> 11)) + sum
  state[3] = count + 1
  return sum
}

/** 53 bits, all that a number from 0 to 1 has. */
function random(): number {
  const high = step() >>> 5
  const low = step() >>> 6
  return (high * 2 ** 26 + low) / 2 ** 53
}
