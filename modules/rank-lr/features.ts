/**
 * What the model sees of a user and an item. The trainer and the module both import this file, so what is served is what was trained.
 */

export interface Item {
  readonly itemId: number
  readonly numeric: number
  readonly hashed: readonly string[]
}

export interface User {
  readonly features?: readonly string[]
  /** Past clicks by item id. */
  readonly affinity?: Readonly<Record<string, number>>
}

/** A number counts by its size, a string as one class among those of its field. */
export type Feature = readonly [field: string, value: number | string]

/** Equal for every candidate of one request: they set how likely a click is at all, not which item is ahead. */
export function userFeatures(user: User): Feature[] {
  const clicks = Object.values(user.affinity ?? {}).reduce((sum, count) => sum + count, 0)
  const classes = (user.features ?? []).map((value, index): Feature => [`user${index}`, value])
  return [...classes, ['affinityAny', Math.log1p(clicks)]]
}

/** Where the item was shown is left out: before ranking there is no position. */
export function itemFeatures(item: Item, user: User): Feature[] {
  const [first = '', second = '', third = ''] = item.hashed
  return [
    ['itemId', String(item.itemId)],
    ['item0', item.numeric],
    ['item1', first],
    ['item2', second],
    ['item3', third],
    ['affinityOwn', Math.log1p(user.affinity?.[item.itemId] ?? 0)],
  ]
}

export interface Weights {
  readonly intercept: number
  /** By field. */
  readonly numbers: Readonly<Record<string, number>>
  /** By field, then by class. */
  readonly classes: Readonly<Record<string, Readonly<Record<string, number>>>>
}

/** Log-odds that `features` add. A field or class that training never saw adds nothing. */
export type Scorer = (features: readonly Feature[]) => number

/** Maps instead of the plain objects of the JSON: callers choose the classes, and "constructor" must not find anything. */
export function scorer(weights: Weights): Scorer {
  const numbers = new Map(Object.entries(weights.numbers))
  const classes = new Map(Object.entries(weights.classes).map(([field, byClass]) => [field, new Map(Object.entries(byClass))]))
  const weigh = ([field, value]: Feature): number =>
    typeof value === 'number' ? value * (numbers.get(field) ?? 0) : (classes.get(field)?.get(value) ?? 0)
  return features => features.reduce((sum, feature) => sum + weigh(feature), 0)
}

export const sigmoid = (logOdds: number): number => 1 / (1 + Math.exp(-logOdds))
