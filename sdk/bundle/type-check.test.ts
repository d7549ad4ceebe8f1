import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Files, moduleFolder, packageJson, packageWith } from '../../test/support/module-folder.ts'
import { SdkError } from '../sdk-error.ts'
import { locateModule, readPackage } from './manifest.ts'
import { checkTypes } from './type-check.ts'

const root = join(import.meta.dirname, '../..')

const config = (compilerOptions: object) =>
  JSON.stringify({
    compilerOptions: { strict: true, target: 'esnext', module: 'nodenext', lib: ['esnext'], types: [], ...compilerOptions },
  })

const check = async (folder: string): Promise<string> => checkTypes(folder, await readPackage(await locateModule(folder, false)))

async function wrong(t: TestContext, files: Files, below = ''): Promise<SdkError> {
  const folder = await moduleFolder(t, files)
  const error = await check(join(folder, below)).then(
    () => assert.fail('the types were right'),
    thrown => thrown,
  )
  assert(error instanceof SdkError && error.code === 'TYPES_WRONG', String(error))
  return error
}

test('many errors show three frames, with long lines cut around their marks, and count the rest', async t => {
  const long = `export const a = '${'x'.repeat(400)}'; export const wrong: number = a; export const b = '${'y'.repeat(400)}'`
  const many = Array.from({ length: 9 }, (_, i) => `export const n${i}: number = 'n'`)
  const { message, details = '' } = await wrong(t, { 'tsconfig.json': config({}), 'index.ts': [long, ...many].join('\n') })
  assert.match(message, /index\.ts:1:\d+: TS2322: .* \(and 9 more\)/)
  const lines = details.split('\n')
  assert(lines.length < 20 && lines.every(line => line.length < 200), details)
  assert.equal(lines.at(-1), '… and 7 more, in 1 file in all')
  const code = lines.find(line => line.startsWith('1 … ')) ?? ''
  const marks = lines[lines.indexOf(code) + 1] ?? ''
  assert.equal(code.slice(marks.indexOf('~'), marks.lastIndexOf('~') + 1), 'wrong')
})

test('options of a tsconfig.json above the folder that would change what code does do not count, as in the bundle, and the error says so', async t => {
  const files = {
    'index.ts': `const note = (target: object, key: string) => undefined\nexport class A { @note m() { return 1 } }`,
    'package.json': packageJson,
  }
  const above = { 'tsconfig.json': config({ experimentalDecorators: true }) }
  const below = Object.fromEntries(Object.entries(files).map(([path, text]) => [`below/${path}`, text]))
  const { hint = '' } = await wrong(t, { ...above, ...below }, 'below')
  assert.match(hint, /"experimentalDecorators" in .*tsconfig\.json does not count\. .*\{ "extends": "\.\.\/tsconfig\.json" \}/)
  assert.equal(await check(await moduleFolder(t, { ...above, ...files })), 'types')
})

const shopTypes = {
  'tsconfig.json': config({
    types: ['node'],
    typeRoots: [join(root, 'node_modules/@types')],
    paths: { '@berth/sdk': [join(root, 'sdk/author/author.ts')] },
  }),
}

test('a service that a stage uses and package.json does not list is refused, with its line and the line to add', async t => {
  const { message, hint } = await wrong(t, {
    ...shopTypes,
    'package.json': packageWith({ services: ['geo'] }),
    'services.ts': `export {}\ndeclare module '@berth/sdk' {\n  interface Services { readonly geo: { find(): Promise<string> } }\n}\n`,
    'index.ts': `import type { Stage } from '@berth/sdk'
import './services.ts'
export const near: Stage<string, string, { services: 'geo' }> = (_, ctx) => ctx.services.geo.find()
export const rank: Stage<string[], string[], { services: 'features' | 'geo' }> = async (ids, ctx) => {
  await ctx.services.features.getMany('items', ids)
  return ids
}
`,
  })
  assert.match(message, /index\.ts:4:46: TS2344: .*does not satisfy the constraint 'Uses'\.$/)
  assert.equal(hint, 'package.json does not list the service "features" under "berth": write "services": ["geo", "features"] there.')
})

test('a global that a slot lacks is refused, wherever the project has its types, with what to do instead', async t => {
  const {
    message,
    hint,
    details = '',
  } = await wrong(t, {
    ...shopTypes,
    'node_modules/greedy/package.json': JSON.stringify({ name: 'greedy', version: '1.0.0', types: 'index.d.ts' }),
    'node_modules/greedy/index.d.ts': `/// <reference types="node" />\nexport declare function read(path: Buffer, from: HTMLElement): NodeJS.ReadableStream\n`,
    'index.ts': `import type { read } from 'greedy'
export type Read = typeof read
export const rank = () => process.env.REGION
export const other = () => document.title + Buffer.from('x')
`,
  })
  assert.match(message, /index\.ts:3:27: TS\d+: Cannot find name 'process': a slot has no such global\. \(and 2 more\)$/)
  assert.match(hint ?? '', /^There is no "process" where modules run\. Take settings from "ctx\.params"\./)
  assert.doesNotMatch(details, /npm i|@types|'lib'/)
})

test('the globals of slots, which editors get by "types", are known to the check without them', async t => {
  const tsconfig = config({ types: ['@berth/sdk/globals'] })
  const files = { 'tsconfig.json': tsconfig, 'index.ts': 'export const rank = () => performance.now()\n' }
  assert.equal(await check(await moduleFolder(t, files)), 'types')
})

test('what define and inject bring has its type, and no more than that', async t => {
  const berth = {
    define: { 'process.env': { REGION: 'eu' }, 'process.browser': true, DEBUG: false, 'import.meta.env.MODE': 'test' },
    inject: { Buffer: ['./buffer.ts', 'Small'] },
  }
  const files = {
    ...shopTypes,
    'package.json': JSON.stringify({ ...JSON.parse(packageWith(berth)), type: 'module' }),
    'buffer.ts': `export class Small {\n  static from(text: string): Small { return new Small() }\n  size = 1\n}\n`,
  }
  const uses = `const region: string = process.env.REGION
const small: Buffer = Buffer.from('x')
export const rank = () => [region, small.size.toFixed(1), DEBUG === true, process.browser, import.meta.env.MODE.length]
`
  assert.equal(await check(await moduleFolder(t, { ...files, 'index.ts': uses })), 'types')
  const { message } = await wrong(t, {
    ...files,
    'index.ts': `${uses}export const other = process.env.HOME\nexport const more = small.length`,
  })
  assert.match(message, /index\.ts:4:\d+: TS2339: Property 'HOME' does not exist .* \(and 1 more\)/)
})
