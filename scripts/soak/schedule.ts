/**
 * What happens in a run, and in which order: the kind and the dice of the n-th step of a lane are a function of the seed, the lane's name and
 * its kinds alone. How many steps a lane gets, when they come and what they find to hit depends on the run: on its length, its pace and how
 * fast the base recovers.
 */
import murmurhash from 'murmurhash'

/** What goes wrong, or is done to processes. */
export const faults = ['kill cell', 'kill keeper', 'pause cell', 'pause keeper', 'retire cell', 'overload'] as const
export type Fault = (typeof faults)[number]

/** What people do meanwhile. */
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

/** The same numbers for the same names, however much others have drawn. */
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
  /** From 1. */
  readonly no: number
  readonly kind: Kind
  /** Milliseconds of quiet before it. */
  readonly waitMs: number
  /** What else the step leaves to chance. */
  readonly random: Random
}

/**
 * Endless. Every kind comes once in each round, in an order of the round's own, so that a run of one round has had them all.
 * @param everyMs from one step to the next on average, without the time that steps take
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
