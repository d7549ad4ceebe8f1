/** `sdk types` on a base with services, feature tables, parameters and an experiment, and what a module's types are checked against then. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { launchBase, makeScene, type RunningBase, root, tempFolder } from './support/base.ts'
import { ended, type Run, sdkIn } from './support/cli.ts'

let base: RunningBase
let folder: string
let sdk: Run
let types: string

const service = `export default () => ({
  methods: {
    find: {
      input: { type: 'array', items: [{ type: 'string' }, { type: 'integer' }], minItems: 1, additionalItems: false },
      output: { type: 'object', required: ['distance'], properties: { distance: { type: 'number', description: 'in km' } } },
      handler: ([address]) => ({ distance: address.length }),
    },
    all: { input: { type: 'array' }, handler: () => [] },
  },
})
`
const object = (members: object) => ({ type: 'object', required: Object.keys(members), properties: members })
const text = { type: 'string' }

before(async () => {
  folder = await tempFolder()
  await write({
    'services/geo.mjs': service,
    'berth.config.json': JSON.stringify({ services: [{ name: 'geo', file: 'services/geo.mjs' }] }),
  })
  base = await launchBase({ args: ['--config', join(folder, 'berth.config.json')] })
  sdk = sdkIn(folder, base)
  await makeScene(
    base.client,
    'shop',
    { rank: 'x => 1' },
    {
      params: { topK: 3, weights: { price: 0.5 }, tags: [] },
      attributes: { age: { pointer: '/user/age', type: 'number' }, app: { header: 'x-app-version', type: 'semver' } },
      schemas: { request: object({ address: text }) },
    },
  )
  const schemas = { request: object({ items: { type: 'array', items: text } }), answer: object({ total: { type: 'number' } }) }
  await makeScene(base.client, 'basket', { rank: '() => ({ total: 1 })' }, { schemas })
  await base.client.createLayer('shop', { id: 'ui', keys: ['topK', 'mode'] })
  const arms = [
    { name: 'a', values: { topK: null } },
    { name: 'b', values: { mode: 'exact' } },
  ]
  await base.client.createExperiment('shop', { id: 'e1', layer: 'ui', arms })
  await putTable('items', 'csv', 'id,color\ni1,red\n')
  await putTable('users', 'ndjson', '{ "key": "u1", "age": 30 }\n')
  await mkdir(join(folder, 'node_modules/@berth'), { recursive: true })
  await symlink(join(root, 'sdk'), join(folder, 'node_modules/@berth/sdk'), 'junction')
  ended(await sdk('types', '--out', 'berth.d.ts'), 0, /berth\.d\.ts: written, 2 scenes, 1 service, 2 tables/)
  types = await readFile(join(folder, 'berth.d.ts'), 'utf8')
})
after(() => base.kill())

async function putTable(name: string, format: 'csv' | 'ndjson', contents: string): Promise<void> {
  const digest = createHash('sha256').update(contents).digest('hex')
  await base.client.putBlob(digest, contents)
  await base.client.putFeatureTable(name, { digest, format })
}

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, contents] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), contents)
  }
}

test('sdk types writes what scenes take and read, and what the services and tables of a base are like', () => {
  assert.match(
    types,
    /'shop': \{ readonly input: ShopInput; readonly output: unknown; readonly headers: \{ readonly 'x-app-version'\?: string \} \}/,
  )
  assert.match(types, /interface Params \{\n {2}readonly 'basket': object\n {2}readonly 'shop': \{\n {4}readonly mode\?: string\n/)
  assert.match(types, /readonly topK: null \| number\n {4}readonly weights: \{\n {6}readonly price: number\n {4}\}\n/)
  assert.match(types, /\/\*\* \/user\/age of the body \*\/\n {4}readonly age\?: number\n/)
  assert.match(
    types,
    /all\(\.\.\.args: readonly unknown\[\]\): Promise<unknown>\n {6}find\(\.\.\.args: readonly \[string, number\?\]\): Promise<\{/,
  )
  assert.match(
    types,
    /readonly items: \{\n {6}readonly id: string\n {6}readonly color: string\n {4}\}\n {4}readonly users: \{\n {6}readonly key: string \| number\n {6}readonly age\?: unknown/,
  )
})

test('sdk types --check fails when a parameter has another type, and not when it has another value', async () => {
  await base.client.setParams('shop', { params: { topK: 4, weights: { price: 0.25 }, tags: [] } })
  ended(await sdk('types', '--out', 'berth.d.ts', '--check'), 0, /up to date/)
  await base.client.setParams('shop', { params: { topK: 4, weights: { price: 0.25 } } })
  ended(await sdk('types', '--out', 'berth.d.ts', '--check'), 1, /not those of http/, /TYPES_STALE/, /sdk types --out berth\.d\.ts/)
})

const module = `import type { Stage } from '@berth/sdk'
import type { Params, Scenes } from '../berth.d.ts'

export const rank: Stage<Scenes['shop']['input'], number, { params: Params['shop']; services: 'features' | 'geo' }> = async (input, ctx) => {
  const place = await ctx.services.geo.find(input.address, 3)
  const item = await ctx.services.features.get('items', 'i1')
  const own = await ctx.services.features.get<{ price: number }>('items', 'i1')
  const others = await ctx.services.features.getMany<{ price: number }>(\`items-\${item?.color}\`, ['i1'])
  const { total } = await ctx.call('basket', { items: ['i1'] })
  return total + place.distance + ctx.params.weights.price + (ctx.params.topK ?? 0) + (own?.price ?? 0) + others.length
}
`
const wrongUses = [
  'ctx.params.topk',
  "ctx.services.geo.lookup('x')",
  'ctx.services.geo.find(7)',
  "ctx.services.features.get('itmes', 'i1')",
  "(await ctx.services.features.get('items', 'i1'))?.colour",
  "ctx.call('basket', { items: 'i1' })",
  "ctx.call('baskets', { items: [] })",
]

test('a module is checked against what sdk types has written beside its tsconfig.json', async () => {
  const compilerOptions = { strict: true, target: 'esnext', module: 'nodenext', types: [], allowImportingTsExtensions: true, noEmit: true }
  await write({
    'package.json': JSON.stringify({ type: 'module', private: true }),
    'tsconfig.json': JSON.stringify({ compilerOptions }),
    'near/package.json': JSON.stringify({
      name: 'near',
      version: '1.0.0',
      main: 'index.ts',
      berth: { stages: ['rank'], services: ['features', 'geo'] },
    }),
    'near/index.ts': module,
  })
  ended(await sdk('publish', 'near', '--dry-run'), 0, /✔ check .* types/)
  const uses = wrongUses.map(use => `  await ${use}\n`)
  await write({ 'near/index.ts': module.replace('  return', `${uses.join('')}  return`) })
  ended(await sdk('publish', 'near', '--dry-run'), 1, /Property 'topk' does not exist .* \(and 6 more\)/, /TYPES_WRONG/)
})
