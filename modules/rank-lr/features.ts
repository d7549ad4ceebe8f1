/** The features of a user and an item. The trainer and the module both import this file, so the module serves what was trained. */

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

/** A feature. A number is multiplied by the weight of its field; a string is a class of its field and has a weight of its own. */
export type Feature = readonly [field: string, value: number | string]

/** Features that are equal for every candidate of a request. They change how likely a click is, but not the order of the items. */
export function userFeatures(user: User): Feature[] {
  const clicks = Object.values(user.affinity ?? {}).reduce((sum, count) => sum + count, 0)
  const classes = (user.features ?? []).map((value, index): Feature => [`user${index}`, value])
  return [...classes, ['affinityAny', Math.log1p(clicks)]]
}

/** Features of an item for a user. The position is not one of them, because before ranking there is none. */
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
  /** Weights by field. */
  readonly numbers: Readonly<Record<string, number>>
  /** Weights by field and class. */
  readonly classes: Readonly<Record<string, Readonly<Record<string, number>>>>
}

/** Computes the log-odds that the features add. A field or class that training never saw adds nothing. */
export type Scorer = (features: readonly Feature[]) => number

/** Makes a scorer. It uses maps, because callers choose the names of classes, and in a plain object "constructor" would be found. */
export function scorer(weights: Weights): Scorer {
  const numbers = new Map(Object.entries(weights.numbers))
  const classes = new Map(Object.entries(weights.classes).map(([field, byClass]) => [field, new Map(Object.entries(byClass))]))
  const weigh = ([field, value]: Feature): number =>
    typeof value === 'number' ? value * (numbers.get(field) ?? 0) : (classes.get(field)?.get(value) ?? 0)
  return features => features.reduce((sum, feature) => sum + weigh(feature), 0)
}

export const sigmoid = (logOdds: number): number => 1 / (1 + Math.exp(-logOdds))
