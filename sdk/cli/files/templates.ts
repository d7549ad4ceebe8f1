/** The files of a module to start from. */

export type File = readonly [path: string, text: string]

/**
 * @param berth path from the module to this project, with `/`; undefined for a module of this repository, which has all it needs around it
 */
export function moduleFiles(name: string, stages: readonly string[], berth: string | undefined): File[] {
  const own: File[] = [
    ['package.json', json(manifest(name, stages, berth))],
    ['index.ts', entry(stages)],
    ['index.test.ts', test(stages)],
    ['samples/request.json', json(sample)],
  ]
  if (berth === undefined) return own
  return [...own, ['tsconfig.json', json(tsconfig)], ['.gitignore', 'node_modules/\n']]
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

function manifest(name: string, stages: readonly string[], berth: string | undefined): object {
  const own = {
    name,
    version: '1.0.0',
    private: true,
    type: 'module',
    main: 'index.ts',
    berth: { stages, description: 'Candidates by score, the best first' },
  }
  if (berth === undefined) return own
  return {
    ...own,
    imports: { '#sdk/*': 'berth/sdk/*.ts' },
    scripts: { test: 'sdk test', dev: 'sdk dev' },
    devDependencies: { berth: `file:${berth}` },
  }
}

/** `berth` is a link, so what it has installed is found behind it. */
const tsconfig = {
  compilerOptions: {
    target: 'esnext',
    lib: ['esnext'],
    module: 'nodenext',
    types: ['node'],
    typeRoots: ['node_modules/@types', 'node_modules/berth/node_modules/@types'],
    noEmit: true,
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
    allowImportingTsExtensions: true,
    resolveJsonModule: true,
    skipLibCheck: true,
  },
  include: ['.'],
}

const sample = [
  { id: 'blue-shirt', score: 0.2 },
  { id: 'red-shoe', score: 0.9 },
  { id: 'green-hat', score: 0.5 },
]

function entry(stages: readonly string[]): string {
  const exports = stages.map(
    stage => `export const ${stage}: Stage<readonly Candidate[], Candidate[], { params: Params }> = (candidates, ctx) => {
  if (!Array.isArray(candidates)) return ctx.reject('NOT_A_LIST', 'The candidates must be a list')
  const best = bestOf(candidates, ctx.params)
  ctx.log.debug('${stage}', { candidates: candidates.length, best: best.length })
  return best
}
`,
  )
  return `import type { Stage } from '#sdk/author'

export interface Candidate {
  readonly id: string
  readonly score: number
}

/** What a scene may set. */
export interface Params {
  /** How many candidates come back. @default 2 */
  readonly topK?: number
}

${exports.join('\n')}
function bestOf(candidates: readonly Candidate[], { topK = 2 }: Params): Candidate[] {
  if (!(Number.isInteger(topK) && topK >= 1)) throw new RangeError(\`params.topK must be a whole number from 1, got \${topK}\`)
  return candidates.toSorted((a, b) => b.score - a.score).slice(0, topK)
}
`
}

function test(stages: readonly string[]): string {
  const [stage = ''] = stages
  return `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openSlot } from '#sdk/testing'
import request from './samples/request.json' with { type: 'json' }

const slot = await openSlot<typeof import('./index.ts')>(import.meta.dirname)
const idsOf = (candidates: readonly { readonly id: string }[]) => candidates.map(({ id }) => id)
${stages
  .map(
    stage => `
test('${stage}: the best come back, the highest score first', async () => {
  const { output } = await slot.run('${stage}', request)
  assert.deepEqual(idsOf(output), ['red-shoe', 'green-hat'])
})
`,
  )
  .join('')}
test('a scene says how many come back', async () => {
  const { output } = await slot.run('${stage}', request, { params: { topK: 1 } })
  assert.deepEqual(idsOf(output), ['red-shoe'])
})

test('a topK that is no number of candidates is refused by name', async () => {
  await assert.rejects(slot.run('${stage}', request, { params: { topK: 0 } }), {
    name: 'RangeError',
    message: 'params.topK must be a whole number from 1, got 0',
  })
})
`
}
