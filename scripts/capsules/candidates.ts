/** What is tried in trials of validation: modules, harmless changes of them, and faults. All are simulated. */
import type { Fault } from '../../base/capsule/report.ts'
import { seeded } from '../soak/schedule.ts'
import type { SimulatedModule, World } from './simulated.ts'

interface Item {
  readonly id: string
  readonly score: number
}

const ITEMS = 20

/** The candidates of a request, each with its features. */
const recall = remembered((request: number): readonly (readonly number[])[] => {
  const random = seeded(7, request)
  return Array.from({ length: ITEMS }, () => [random(), random(), random()])
})

/** The last results: the same requests come again and again. */
function remembered<T>(work: (request: number) => T): (request: number) => T {
  const results = new Map<number, T>()
  return request => {
    const known = results.get(request)
    if (known !== undefined) return known
    if (results.size >= 1000) results.clear()
    const result = work(request)
    results.set(request, result)
    return result
  }
}

const weights = [0.6, 0.3, 0.1]
const scoreOf = (features: readonly number[]): number =>
  features.reduce((total, feature, index) => total + feature * (weights[index] ?? 0), 0)
/** The same sum in another order, which may differ in the last digit. */
const scoreBackwards = (features: readonly number[]): number =>
  features.reduceRight((total, feature, index) => total + feature * (weights[index] ?? 0), 0)

function rank(request: number, score: (features: readonly number[]) => number): Item[] {
  const items = recall(request).map((features, index) => ({ id: `item-${(request * ITEMS + index) % 1000}`, score: score(features) }))
  return items.sort((one, other) => other.score - one.score).slice(0, 10)
}

interface Answer {
  readonly items: readonly Item[]
  readonly total: number
  readonly segment: string
  readonly [member: string]: unknown
}

const answerOf = (request: number, score = scoreOf): Answer => {
  const items = rank(request, score)
  return { items, total: items.length, segment: request % 3 === 0 ? 'new' : 'known' }
}

/** A module that depends on nothing but its request. */
const pure: SimulatedModule =
  () =>
  ({ request }) =>
    answerOf(request)

const pureAnd =
  (also: (world: World) => void): SimulatedModule =>
  () =>
  world => {
    also(world)
    return answerOf(world.request)
  }

/** What modules that are not pure add: counters, caches, clocks and chance; some of it shows in one of a hundred requests only. */
function impurely({ random, now }: World, answer: Answer, memory: { count: number; mean: number }, drawsFirst: number): Answer {
  for (let draw = 0; draw < drawsFirst; draw++) random()
  memory.count++
  memory.mean += ((answer.items[0]?.score ?? 0) - memory.mean) / memory.count
  const startedAt = now()
  const explores = random() < 0.1
  const items = explores ? [...answer.items.slice(1), ...answer.items.slice(0, 1)] : answer.items
  return {
    ...answer,
    items,
    session: random().toString(36).slice(2),
    boost: random() * 10,
    ...(random() < 0.01 && { surprise: true }),
    isHoliday: random() < 0.01,
    answeredAt: now(),
    tookMs: now() - startedAt,
    requestsSoFar: memory.count,
    meanScore: memory.mean,
  }
}

const impure =
  (drawsFirst = 0, score = scoreOf): SimulatedModule =>
  () => {
    const memory = { count: 0, mean: 0 }
    return world => impurely(world, answerOf(world.request, score), memory, drawsFirst)
  }

/** Nothing of it is left to chance but whether it shows its items in another order. */
const exploring =
  (drawsFirst = 0): SimulatedModule =>
  () =>
  ({ request, random }) => {
    for (let draw = 0; draw < drawsFirst; draw++) random()
    const { items, ...answer } = answerOf(request)
    return { ...answer, items: random() < 0.1 ? [...items.slice(1), ...items.slice(0, 1)] : items }
  }

/** A harmless change, with what it changes. */
export interface Refactor {
  readonly before: SimulatedModule
  readonly after: SimulatedModule
}

export const refactors: Readonly<Record<string, Refactor>> = {
  'pure, the same': { before: pure, after: pure },
  'pure, sums in another order': {
    before: pure,
    after:
      () =>
      ({ request }) =>
        answerOf(request, scoreBackwards),
  },
  'pure, with a cache': {
    before: pure,
    after: () => {
      const answers = new Map<number, Answer>()
      return ({ request }) => answers.get(request) ?? answers.set(request, answerOf(request)).get(request)
    },
  },
  'pure, 20 % slower': { before: pure, after: pureAnd(({ spend }) => spend(0.08)) },
  'impure, the same': { before: impure(), after: impure() },
  'impure, draws once more': { before: impure(), after: impure(1) },
  'explores, draws once more': { before: exploring(), after: exploring(1) },
  'impure, sums in another order': { before: impure(), after: impure(0, scoreBackwards) },
  'impure, reads the clock once more': {
    before: impure(),
    after: () => {
      const memory = { count: 0, mean: 0 }
      return world => {
        world.now()
        return impurely(world, answerOf(world.request), memory, 0)
      }
    },
  },
}

/** Whether a fault that shows in this part of the requests shows in this one. */
const hits = (request: number, share: number): boolean => seeded(13, request)() < share
const WRONG = 0.01

type Mistake = (answer: Answer) => Answer

const mistakes: Readonly<Record<string, Mistake>> = {
  'a score is off by 1 %': ({ items, ...answer }) => ({ ...answer, items: items.map(({ id, score }) => ({ id, score: score * 1.01 })) }),
  'an item is lost': ({ items, ...answer }) => ({ ...answer, items: items.slice(1) }),
  'two items change places': ({ items: [one, other, ...rest], ...answer }) => ({ ...answer, items: [other, one, ...rest] as Item[] }),
  'a text is another': answer => ({ ...answer, segment: 'lost' }),
  'a number is off by one': answer => ({ ...answer, total: answer.total + 1 }),
}

const withMistake =
  (mistake: Mistake): SimulatedModule =>
  () =>
  ({ request }) => {
    const answer = answerOf(request)
    return hits(request, WRONG) ? mistake(answer) : answer
  }

const impureWithMistake =
  (mistake: Mistake): SimulatedModule =>
  () => {
    const memory = { count: 0, mean: 0 }
    return world => {
      const answer = answerOf(world.request)
      return impurely(world, hits(world.request, WRONG) ? mistake(answer) : answer, memory, 0)
    }
  }

/** Candidates that are wrong on 1 % of the requests, in fields that the baseline answers without chance. */
export const wrongs: Readonly<Record<string, Refactor>> = {
  ...Object.fromEntries(
    Object.entries(mistakes).map(([name, mistake]) => [`pure, ${name}`, { before: pure, after: withMistake(mistake) }]),
  ),
  'impure, a score is off by 1 %': { before: impure(), after: impureWithMistake(mistakes['a score is off by 1 %'] as Mistake) },
  'impure, a text is another': { before: impure(), after: impureWithMistake(mistakes['a text is another'] as Mistake) },
}

/** Candidates with one fault each, and what they have to fail by. */
export const faulty: Readonly<Record<string, Refactor & { readonly fault: Fault }>> = {
  'throws on 5 %': {
    fault: 'errors',
    before: pure,
    after:
      () =>
      ({ request }) => {
        if (hits(request, 0.05)) throw new TypeError("Cannot read properties of undefined (reading 'score')")
        return answerOf(request)
      },
  },
  'is 3x slower': { fault: 'cpu', before: pure, after: pureAnd(({ spend }) => spend(0.8)) },
  'waits 20 ms': { fault: 'latency', before: pure, after: pureAnd(({ wait }) => wait(20)) },
  'renames a field': {
    fault: 'shape',
    before: pure,
    after:
      () =>
      ({ request }) => {
        const { total, ...answer } = answerOf(request)
        return { ...answer, count: total }
      },
  },
  'leaks 1 MB a request': { fault: 'heap', before: pure, after: pureAnd(({ keep }) => keep(1024 * 1024)) },
  'blocks the loop': {
    fault: 'killed',
    before: pure,
    after: () => world => (hits(world.request, 0.1) ? world.block() : answerOf(world.request)),
  },
  'asks another host': {
    fault: 'hosts',
    before: pure,
    after: pureAnd(({ fetch }) => fetch('https://elsewhere.example')),
  },
  'impure, throws on 5 %': {
    fault: 'errors',
    before: impure(),
    after: () => {
      const memory = { count: 0, mean: 0 }
      return world => {
        if (hits(world.request, 0.05)) throw new TypeError('undefined is not a function')
        return impurely(world, answerOf(world.request), memory, 0)
      }
    },
  },
}
