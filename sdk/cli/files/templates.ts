/** The files of a module to start from. */
import { launchConfigurations } from './editor.ts'
import { items, type Kind, kindOf, kindsInOrder, starters } from './stage-bodies.ts'

export type File = readonly [path: string, text: string]

/** What the stages of a module need together. */
interface Plan {
  readonly stages: readonly { readonly name: string; readonly kind: Kind }[]
  /** Each kind of the stages once. */
  readonly kinds: readonly Exclude<Kind, 'other'>[]
  /** Whether the body of a request asks for candidates; else it has them. */
  readonly asks: boolean
  readonly hasCategories: boolean
}

/** The packages that a module is written and tested with, and their versions. */
export type Tools = Readonly<Record<string, string>>

/** @param tools undefined for a module of a project that has all it needs around it */
export function moduleFiles(name: string, stages: readonly string[], tools: Tools | undefined): File[] {
  const plan = planOf(stages)
  const own: File[] = [
    ['package.json', json(manifest(name, plan, tools))],
    ['index.ts', entry(plan)],
    ['index.test.ts', test(plan)],
    ...(plan.kinds.includes('recall') ? [['items.json', json(items)] as const] : []),
    ['samples/request.json', json(plan.asks ? { category: 'shoes' } : candidatesOf(plan))],
  ]
  if (tools === undefined) return own
  return [
    ...own,
    ['tsconfig.json', json(tsconfig)],
    ['tsconfig.module.json', json(tsconfigOfModule)],
    ['tsconfig.test.json', json(tsconfigOfTests)],
    ['.gitignore', 'node_modules/\n.berth/\n'],
    ['.vscode/launch.json', json(launchConfigurations)],
  ]
}

function planOf(names: readonly string[]): Plan {
  const stages = names.map(name => ({ name, kind: kindOf(name) }))
  const kinds = kindsInOrder.flatMap(kind => (kind !== 'other' && stages.some(stage => stage.kind === kind) ? kind : []))
  const hasCategories = kinds.includes('recall') || kinds.includes('diversify')
  return { stages, kinds, asks: stages[0]?.kind === 'recall', hasCategories }
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

function manifest(name: string, { stages, kinds }: Plan, tools: Tools | undefined): object {
  const description = kinds.length === 0 ? 'Candidates as they come' : kinds.map(kind => starters[kind].description).join('; ')
  const own = {
    name,
    version: '1.0.0',
    private: true,
    type: 'module',
    main: 'index.ts',
    berth: { stages: stages.map(stage => stage.name), description },
  }
  if (tools === undefined) return own
  return {
    ...own,
    scripts: { test: 'sdk test', dev: 'sdk dev' },
    devDependencies: tools,
  }
}

/** Editors find in it which of the two others is for a file: code of the module knows the globals of slots, its tests those of Node.js. */
const tsconfig = {
  compilerOptions: {
    target: 'esnext',
    lib: ['esnext'],
    module: 'nodenext',
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
  files: [],
  references: [{ path: './tsconfig.module.json' }, { path: './tsconfig.test.json' }],
}

const infoFile = (name: string): string => `node_modules/.cache/berth/${name}.tsbuildinfo`

const tsconfigOfModule = {
  extends: './tsconfig.json',
  compilerOptions: { types: ['@berth/sdk/globals'], tsBuildInfoFile: infoFile('module') },
  include: ['**/*.ts'],
  exclude: ['node_modules', '**/*.test.ts'],
}

const tsconfigOfTests = {
  extends: './tsconfig.json',
  compilerOptions: { types: ['node'], tsBuildInfoFile: infoFile('test') },
  include: ['**/*.test.ts'],
  exclude: ['node_modules'],
}

function candidatesOf({ hasCategories }: Plan): object[] {
  return hasCategories ? items : items.slice(0, 3).map(({ id, score }) => ({ id, score }))
}

// The code

function entry(plan: Plan): string {
  const { stages, kinds, hasCategories } = plan
  const parts = [
    `import type { Stage } from '@berth/sdk'\n${kinds.includes('recall') ? "import items from './items.json' with { type: 'json' }\n" : ''}`,
    kinds.includes('recall')
      ? members('/** What a caller sends. */\n', 'Request', ['/** @default all */\n  readonly category?: string'])
      : '',
    members('', 'Candidate', ['readonly id: string', 'readonly score: number', ...(hasCategories ? ['readonly category?: string'] : [])]),
    kinds.length === 0
      ? ''
      : members(
          '/** What a scene may set. */\n',
          'Params',
          kinds.map(kind => starters[kind].param),
        ),
    ...stages.map(({ name, kind }) => exported(name, kind)),
    ...kinds.map(kind => starters[kind].code),
  ]
  return parts.filter(part => part !== '').join('\n')
}

const members = (comment: string, name: string, lines: readonly string[]): string =>
  `${comment}export interface ${name} {\n${lines.map(line => `  ${line}\n`).join('')}}\n`

function exported(stage: string, kind: Kind): string {
  if (kind === 'other') return `export const ${stage}: Stage<readonly Candidate[], readonly Candidate[]> = candidates => candidates\n`
  const { result, maker } = starters[kind]
  const [input, type] = kind === 'recall' ? ['request', 'Request'] : ['candidates', 'readonly Candidate[]']
  const counted = kind === 'recall' ? '' : 'candidates: candidates.length, '
  return `export const ${stage}: Stage<${type}, Candidate[], { params: Params }> = (${input}, ctx) => {
${kind === 'recall' ? '' : "  if (!Array.isArray(candidates)) return ctx.reject('NOT_A_LIST', 'The candidates must be a list')\n"}  const ${result} = ${maker}(${input}, ctx.params)
  ctx.log.debug('${stage}', { ${counted}${result}: ${result}.length })
  return ${result}
}
`
}

// The tests

function test(plan: Plan): string {
  const { stages, asks } = plan
  const input = asks ? 'candidates' : 'request'
  const needsCandidates = asks && stages.some(({ kind }) => kind !== 'recall')
  return `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openSlot } from '@berth/sdk/testing'
${needsCandidates ? "import candidates from './items.json' with { type: 'json' }\n" : ''}import request from './samples/request.json' with { type: 'json' }

const slot = await openSlot<typeof import('./index.ts')>(import.meta.dirname)
const idsOf = (candidates: readonly { readonly id: string }[]) => candidates.map(({ id }) => id)
${stages.map(({ name, kind }) => testOf(name, kind, kind === 'recall' ? (asks ? 'request' : "{ category: 'shoes' }") : input)).join('')}`
}

function testOf(stage: string, kind: Kind, input: string): string {
  if (kind !== 'other') return starters[kind].test(stage, input)
  return `
test('${stage}: candidates come back as they are', async () => {
  const { output } = await slot.run('${stage}', ${input})
  assert.deepEqual(output, ${input})
})
`
}
