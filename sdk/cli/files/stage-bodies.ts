/** What the stages of a new module do at first, by what their names say: code to start from, with the tests that it passes. */

/** What a stage does. */
export type Kind = 'recall' | 'filter' | 'rank' | 'diversify' | 'other'

/** In the order in which a request goes through them. */
export const kindsInOrder: readonly Kind[] = ['recall', 'filter', 'rank', 'diversify', 'other']

/** What the name of a stage says that it does. */
export function kindOf(stage: string): Kind {
  if (/recall|retrieve|candidates/i.test(stage)) return 'recall'
  if (/filter|exclude/i.test(stage)) return 'filter'
  // A stage that re-ranks has "rank" in its name too.
  if (/rerank|reRank|divers|spread|mix/.test(stage)) return 'diversify'
  return /rank|score|sort|order/i.test(stage) ? 'rank' : 'other'
}

interface Starter {
  /** What the package.json of the module says. */
  readonly description: string
  /** A member of the interface `Params`, with its comment. */
  readonly param: string
  /** What the stage makes, and the function that makes it of the input and the params. */
  readonly result: string
  readonly maker: string
  /** The code of that function. */
  readonly code: string
  /** The text of the tests of a stage. */
  test(stage: string, input: string): string
}

export const starters: Readonly<Record<Exclude<Kind, 'other'>, Starter>> = {
  recall: {
    description: 'Candidates from a list of items, by category',
    param: '/** How many candidates come back at most. @default 100 */\n  readonly recallMax?: number',
    result: 'found',
    maker: 'itemsFor',
    code: `function itemsFor({ category }: Request, { recallMax = 100 }: Params): Candidate[] {
  return items.filter(item => category === undefined || item.category === category).slice(0, recallMax)
}
`,
    test: (stage, input) => `
test('${stage}: the items of a category come back', async () => {
  const { output } = await slot.run('${stage}', ${input})
  assert.deepEqual(idsOf(output), ['red-shoe', 'black-shoe'])
})

test('${stage}: a scene says how many come back at most', async () => {
  const { output } = await slot.run('${stage}', {}, { params: { recallMax: 1 } })
  assert.deepEqual(idsOf(output), ['blue-shirt'])
})
`,
  },
  filter: {
    description: 'Candidates without those that a scene blocks',
    param: '/** Ids that do not come back. @default none */\n  readonly blocked?: readonly string[]',
    result: 'allowed',
    maker: 'allowedOf',
    code: `function allowedOf(candidates: readonly Candidate[], { blocked = [] }: Params): Candidate[] {
  return candidates.filter(({ id }) => !blocked.includes(id))
}
`,
    test: (stage, input) => `
test('${stage}: what a scene blocks does not come back', async () => {
  const { output } = await slot.run('${stage}', ${input}, { params: { blocked: ['red-shoe'] } })
  assert.equal(output.length, ${input}.length - 1)
  assert(!idsOf(output).includes('red-shoe'))
})
`,
  },
  rank: {
    description: 'Candidates by score, the best first',
    param: '/** How many candidates come back. @default 2 */\n  readonly topK?: number',
    result: 'best',
    maker: 'bestOf',
    code: `function bestOf(candidates: readonly Candidate[], { topK = 2 }: Params): Candidate[] {
  if (!(Number.isInteger(topK) && topK >= 1)) throw new RangeError(\`params.topK must be a whole number from 1, got \${topK}\`)
  return candidates.toSorted((a, b) => b.score - a.score).slice(0, topK)
}
`,
    test: (stage, input) => `
test('${stage}: the best come back, the highest score first', async () => {
  const { output } = await slot.run('${stage}', ${input})
  assert.deepEqual(idsOf(output), ['red-shoe', 'green-hat'])
})

test('a scene says how many come back', async () => {
  const { output } = await slot.run('${stage}', ${input}, { params: { topK: 1 } })
  assert.deepEqual(idsOf(output), ['red-shoe'])
})

test('a topK that is no number of candidates is refused by name', async () => {
  await assert.rejects(slot.run('${stage}', ${input}, { params: { topK: 0 } }), {
    name: 'RangeError',
    message: 'params.topK must be a whole number from 1, got 0',
  })
})
`,
  },
  diversify: {
    description: 'Candidates in their order, only a few of each category',
    param: '/** How many candidates of one category come back. @default 1 */\n  readonly perCategory?: number',
    result: 'spread',
    maker: 'spreadOf',
    code: `function spreadOf(candidates: readonly Candidate[], { perCategory = 1 }: Params): Candidate[] {
  const counts = new Map<string | undefined, number>()
  return candidates.filter(({ category }) => {
    const count = (counts.get(category) ?? 0) + 1
    counts.set(category, count)
    return count <= perCategory
  })
}
`,
    test: (stage, input) => `
test('${stage}: one candidate of each category comes back, unless a scene says otherwise', async () => {
  const { output } = await slot.run('${stage}', ${input})
  assert.deepEqual(idsOf(output), ['blue-shirt', 'red-shoe', 'green-hat'])
  const { output: more } = await slot.run('${stage}', ${input}, { params: { perCategory: 2 } })
  assert.equal(more.length, ${input}.length)
})
`,
  },
}

export const items = [
  { id: 'blue-shirt', score: 0.2, category: 'shirts' },
  { id: 'red-shoe', score: 0.9, category: 'shoes' },
  { id: 'green-hat', score: 0.5, category: 'hats' },
  { id: 'black-shoe', score: 0.1, category: 'shoes' },
]
