/** The declarations of the packages, as the compiler of somebody who has installed them reads them. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { after, before, test } from 'node:test'
import { compilerIn } from '../../sdk/bundle/type-check.ts'
import { builtPackages } from '../../test/support/packages.ts'

const root = join(import.meta.dirname, '../..')
let folder: string

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-consumer-'))
  for (const built of Object.values(await builtPackages()))
    for (const part of ['package.json', 'types'])
      await cp(join(built.folder, part), join(folder, 'node_modules', built.name, part), { recursive: true })
  await mkdir(join(folder, 'node_modules/@types'))
  await symlink(join(root, 'node_modules/@types/node'), join(folder, 'node_modules/@types/node'), 'junction')
  await cp(join(root, 'modules/rank-lr'), join(folder, 'rank-lr'), { recursive: true })
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  for (const name of ['author', 'testing']) await cp(join(root, `sdk/author/${name}.test-d.ts`), join(folder, `${name}.test-d.ts`))
})
after(() => rm(folder, { recursive: true, force: true }))

const files = {
  'package.json': JSON.stringify({ name: 'consumer', type: 'module' }),
  'services.ts': `export interface Place { readonly name: string }
declare module '@berth/sdk' {
  interface Services { readonly geo: { find(address: string): Promise<Place> } }
}
`,
  'near.ts': `import type { Stage } from '@berth/sdk'
import type { Place } from './services.ts'
export const near: Stage<string, Place, { services: 'geo' }> = (address, ctx) => ctx.services.geo.find(address)
`,
  'near.test.ts': `import { openSlot } from '@berth/sdk/testing'
export const slot = openSlot<typeof import('./near.ts')>('.', { services: { geo: { find: address => ({ name: address }) } } })
// @ts-expect-error the service has no such method
export const wrong = openSlot<typeof import('./near.ts')>('.', { services: { geo: { lookup: () => null } } })
`,
  'service.ts': `import { defineService, Json, method } from '@berth/base/services'
const find = method({ type: 'array', items: [{ type: 'string' }], additionalItems: false }, ([address], { signal }) => {
  signal.throwIfAborted()
  return new Json(JSON.stringify({ name: address.toUpperCase() }))
})
export default defineService(() => ({ methods: { find } }))
// @ts-expect-error a service has methods
export const wrong = defineService(() => ({}))
`,
  'caller.ts': `import { createClient, SceneError } from '@berth/client'
interface Scenes {
  readonly home: { readonly input: { readonly q: string }; readonly output: readonly string[]; readonly headers: { readonly 'x-vip'?: 'true' | 'false' } }
}
const client = createClient<Scenes>({ url: 'http://127.0.0.1:8080' })
export const ids: Promise<readonly string[]> = client.call('home', { q: 'shoes' }, { unit: 'u1' })
export const codeOf = (error: unknown): string => (error instanceof SceneError ? error.code : '')
export const vip = client.call('home', { q: 'shoes' }, { headers: { 'x-vip': 'true', 'x-other': '1' } })
// @ts-expect-error the attribute of the header is true or false
export const odd = client.call('home', { q: 'shoes' }, { headers: { 'x-vip': 'yes' } })
// @ts-expect-error the input lacks q
export const wrong = client.call('home', {})
// @ts-expect-error there is no such scene
export const nowhere = client.call('away', { q: 'shoes' })
`,
}

interface Program {
  readonly code: number
  readonly output: string
  /** What was read beside the declarations of the language and of Node.js. */
  readonly read: readonly string[]
}

/** Checks files with the strictest options, declarations of packages included. */
async function check(files: readonly string[], compilerOptions: object): Promise<Program> {
  const config = join(folder, 'tsconfig.json')
  const options = {
    ...{ target: 'esnext', lib: ['esnext'], module: 'nodenext', noEmit: true, resolveJsonModule: true, verbatimModuleSyntax: true },
    ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, allowImportingTsExtensions: true },
    ...{ skipLibCheck: false, listFiles: true, pretty: false, ...compilerOptions },
  }
  await writeFile(config, JSON.stringify({ compilerOptions: options, files }))
  const { command } = await compilerIn(join(root, 'node_modules/typescript'))
  const [program = '', ...args] = command
  return new Promise(resolve => {
    const child = execFile(program, [...args, '--project', config], (_error, output) => {
      const paths = output
        .replaceAll('\\', '/')
        .split('\n')
        .filter(path => isAbsolute(path) && !/@types|undici-types|\/buffer\/|\/@typescript\//.test(path))
      resolve({ code: child.exitCode ?? -1, output, read: paths.map(path => path.replace(`${folder}/`, '').replace(root, '…')).sort() })
    })
  })
}

async function assertRight(...given: Parameters<typeof check>): Promise<Program> {
  const program = await check(...given)
  assert.equal(program.code, 0, program.output.replaceAll(/^\/.*\n/gm, ''))
  return program
}

const withNode = ['rank-lr/index.ts', 'rank-lr/index.test.ts', 'services.ts', 'near.ts', 'near.test.ts', 'service.ts', 'caller.ts']
const bundler = { module: 'esnext', moduleResolution: 'bundler' }

test('what is written against the packages passes the strictest check of their declarations, and wrong uses do not', async () => {
  await assertRight([...withNode, 'author.test-d.ts', 'testing.test-d.ts'], { types: ['node'] })
  await assertRight(withNode, { types: ['node'], ...bundler })
})

test('the code of modules and services needs no types of Node.js', async () => {
  const own = ['near.ts', 'near.test.ts', 'services.ts', 'service.ts', 'caller.ts']
  await assertRight(own, { types: ['@berth/sdk/globals'], ...bundler })
  const { code, output } = await check(['rank-lr/index.test.ts'], { types: ['@berth/sdk/globals'] })
  assert.deepEqual([code, /Cannot find (name|module) 'node:assert\/strict'/.test(output)], [1, true], output)
})

test('a browser needs no types of Node.js to call scenes', async () => {
  await assertRight(['caller.ts'], { types: [], lib: ['es2022', 'dom'], ...bundler })
})

test('checking a module reads the declarations of its entries, and no source of the host', async () => {
  const { read } = await assertRight(['near.ts', 'near.test.ts', 'services.ts'], { types: ['@berth/sdk/globals'] })
  const declarations = ['index.d.ts', 'slot/globals.d.ts', 'testing.d.ts'].map(name => `node_modules/@berth/sdk/types/${name}`)
  assert.deepEqual(read, ['near.test.ts', 'near.ts', ...declarations, 'services.ts'])
})

test('in a clone, checking a module with its tests reads three files of the sources', async () => {
  const typeRoots = [join(root, 'node_modules/@types')]
  const files = ['index.ts', 'index.test.ts'].map(name => join(root, 'modules/diversify', name))
  const { read } = await assertRight(files, { types: ['node'], typeRoots, skipLibCheck: true })
  const sources = ['base/kernel/errors.ts', 'modules/diversify/index.test.ts', 'modules/diversify/index.ts', 'sdk/author/author.ts']
  assert.deepEqual(
    read,
    [...sources, 'sdk/author/testing-api.ts'].map(path => `…/${path}`),
  )
})

test('comments are kept, and every code of an error is in the type of the errors that slots throw', async () => {
  const text = await readFile(join(folder, 'node_modules/@berth/sdk/types/testing.d.ts'), 'utf8')
  assert.match(text, /Moves the stopped clock on, and runs the timers that become due/)
  assert.match(text, /\| 'MODULE_KILLED'\n/)
})
