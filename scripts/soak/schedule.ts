/**
 * The schedule of a run. It has lanes of steps: one of faults for each half, and one of operations. The kind of the n-th step of a lane, and the
 * random numbers that it draws, depend only on the seed, the lane's name and its kinds. How many steps a lane gets, when they come, and which
 * processes and versions they find depends on the length and pace of the run, and on how fast the base recovers.
 */
import murmurhash from 'murmurhash'

/** What is done to processes. */
export const faults = ['kill cell', 'kill keeper', 'pause cell', 'pause keeper', 'retire cell', 'overload'] as const
export type Fault = (typeof faults)[number]

/** What people do in the meantime. */
export const operations = [
  'publish',
  'cutover',
  'promote',
  'rollback',
  'flip',
  'whitelist',
  'params',
  'features',
  'profile',
  'follow logs',
  'backup',
] as const
export type Operation = (typeof operations)[number]

/** Uniform in [0, 1). */
export type Random = () => number

/** Gives the same numbers for the same seed and names, however many numbers others have drawn. */
export function seeded(seed: number, ...names: readonly (string | number)[]): Random {
  const name = names.join('/')
  let drawn = 0
  return () => murmurhash.v3(`${name}/${drawn++}`, seed) / 2 ** 32
}

export function pick<T>(random: Random, values: readonly T[]): T | undefined {
  return values[Math.floor(random() * values.length)]
}

/** An integer in [from, to]. */
export const between = (random: Random, from: number, to: number): number => from + Math.floor(random() * (to - from + 1))

export interface Step<Kind extends string> {
  /** Number of the step in its lane, from 1. */
  readonly no: number
  readonly kind: Kind
  /** Milliseconds to wait before the step. */
  readonly waitMs: number
  /** Random numbers for everything else that the step leaves to chance. */
  readonly random: Random
}

/**
 * Generates steps without end. Every kind comes once in each round, and each round has another order, so that after one round every kind has come.
 * @param everyMs average time between two steps, not counting the time that the steps take
 */
export function* stepsOf<Kind extends string>(seed: number, name: string, kinds: readonly Kind[], everyMs: number): Generator<Step<Kind>> {
  let no = 0
  for (let round = 1; ; round++) {
    for (const kind of shuffled(seeded(seed, name, 'round', round), kinds)) {
      const random = seeded(seed, name, 'step', ++no)
      yield { no, kind, waitMs: random() * 2 * everyMs, random }
    }
  }
}

function shuffled<T>(random: Random, values: readonly T[]): T[] {
  const keyed = values.map(value => ({ value, key: random() }))
  return keyed.sort((a, b) => a.key - b.key).map(({ value }) => value)
}
