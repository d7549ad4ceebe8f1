/** npm packages that are hard to run outside of Node.js: what equals Node.js, what is said of what does not, and where an error comes from. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { packages, plainName, writeModule } from '../scripts/compat/packages.ts'
import { kept, page } from '../scripts/compat/page.ts'
import { type Outcome, useOf } from '../scripts/compat/use.ts'
import { publishBundle, uploadBundle } from '../sdk/api/publish-steps.ts'
import { bundleModule } from '../sdk/bundle/bundle.ts'
import { RefusedError } from '../sdk/sdk-error.ts'
import { callScene, launchBase, type RunningBase, root, tempFolder } from './support/base.ts'

let base: RunningBase
let folder: string

before(async () => {
  base = await launchBase()
  folder = await tempFolder()
})
after(() => base.kill())

/** With each of these a kind of difficulty was found. */
const worst = [
  ...['bluebird', 'bn.js', 'buffer', 'class-transformer', 'google-protobuf', 'h3-js', 'handlebars', 'iconv-lite', 'ml-random-forest'],
  ...['mobx', 'qs', 'tslib', 'xxhash-wasm'],
]

test('the difficult packages do on a base what docs/packages.md says', { concurrency: 3 }, async t => {
  await mkdir(join(folder, 'used'))
  await symlink(join(root, 'node_modules'), join(folder, 'used/node_modules'), 'junction')
  const use = (name: string) =>
    t.test(name, async () => {
      const wanted = packages.find(each => each.name === name)
      assert.ok(wanted !== undefined)
      const home = join(folder, 'used', plainName(name))
      const { entry } = await writeModule(home, wanted)
      assert.deepEqual(heads(await useOf(base.client, home, entry)), heads(kept[name] ?? { code: 'NOT_USED' }))
    })
  await Promise.all(worst.map(use))
})

/** The first lines: those below have paths, and these depend on where the packages are installed. */
const heads = ({ code, why, warnings = [] }: Outcome) => [
  code,
  ...[why ?? '', ...warnings].map(text => text.split('\n')[0]?.split(' (')[0]),
]

test('the packages in the tests are those of the table', async () => {
  const { devDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  for (const { name, version } of packages.filter(({ name }) => worst.includes(name))) assert.equal(devDependencies[name], version, name)
})

test('docs/packages.md says what came of each of at least a hundred packages', async () => {
  assert.ok(packages.length >= 100)
  assert.deepEqual(Object.keys(kept).sort(), packages.map(({ name }) => name).sort())
  assert.equal(await readFile(join(root, 'docs/packages.md'), 'utf8'), page(kept), '"npm run compat" writes it')
})

// ── where an error comes from ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Writes a module with these files and publishes it. */
async function publish(name: string, files: Readonly<Record<string, string>>, stages = ['rank']): Promise<void> {
  const manifest = { name, version: '1.0.0', main: 'index.ts', type: 'module', berth: { stages } }
  for (const [path, text] of Object.entries({ 'package.json': JSON.stringify(manifest), ...files })) {
    await mkdir(dirname(join(folder, name, path)), { recursive: true })
    await writeFile(join(folder, name, path), text)
  }
  const bundle = await bundleModule(join(folder, name))
  await uploadBundle(base.client, bundle)
  await publishBundle(base.client, bundle)
}

async function refusal(attempt: Promise<unknown>): Promise<RefusedError> {
  const error = await attempt.then(
    () => assert.fail('it was not refused'),
    (error: unknown) => error,
  )
  assert.ok(error instanceof RefusedError, String(error))
  return error
}

const npmPackage = (name: string, version: string, code: string) => ({
  [`node_modules/${name}/package.json`]: JSON.stringify({ name, version, type: 'module', main: 'index.js' }),
  [`node_modules/${name}/index.js`]: code,
})

test('what throws at load is refused with its line in the source', async () => {
  const code =
    'interface Table { rows: number }\n\nconst load = (): Table => {\n  throw new RangeError("no table")\n}\nload()\nexport const rank = () => 1\n'
  const { message, problem } = await refusal(publish('own', { 'index.ts': code }))
  assert.equal(message, 'Cannot load module "own@1.0.0": it threw: no table (index.ts:4:9)')
  assert.equal(
    problem.frame,
    'index.ts:4:9\n  2 |\n  3 | const load = (): Table => {\n> 4 |   throw new RangeError("no table")\n    |         ^\n  5 | }',
  )
  assert.equal(problem.stack, 'RangeError: no table\n    at load (own/index.ts:4:9)\n    at own/index.ts:6:1')
})

test('what throws at load is refused as such, whatever was uploaded as its source map', async () => {
  const put = async (bytes: string) => {
    const digest = createHash('sha256').update(bytes).digest('hex')
    await base.client.putBlob(digest, bytes)
    return digest
  }
  const bundle = await put('(() => { throw new Error("no table") })()')
  const sourceMap = await put('no source map')
  const { message } = await refusal(base.client.publishModule({ name: 'unmapped', version: '1.0.0', stages: ['rank'], bundle, sourceMap }))
  assert.equal(message, 'Cannot load module "unmapped@1.0.0": it threw: no table')
})

test('a package that throws at load is named with its version, its line, and how the module came by it', async () => {
  const files = {
    'index.ts': 'export { rank } from "./table.ts"\n',
    'table.ts': 'import { table } from "wrapper"\nexport const rank = () => table\n',
    ...npmPackage('wrapper', '2.0.0', 'export { table } from "@deep/thrower"\n'),
    ...npmPackage('@deep/thrower', '1.2.3', 'export const table = {}\ntable.rows.push(1)\n'),
  }
  const { message, hint = '', details = '' } = await refusal(publish('deep', files))
  const place = 'node_modules/@deep/thrower/index.js:2:12 of the npm package @deep/thrower@1.2.3, which table.ts imports through wrapper'
  assert.ok(message.endsWith(` (${place})`), message)
  assert.ok(details.startsWith(`${place}\n  1 | export const table = {}\n> 2 | table.rows.push(1)`), details)
  assert.match(hint, /^It is the code of @deep\/thrower@1\.2\.3 that throws: /)
  assert.doesNotMatch(details, /berth:\/\/\/|isolated-vm|base\/slot/)
})

test('a missing global is explained with what to do, at load and at a call', async () => {
  const atLoad = await refusal(publish('reads-env', { 'index.ts': 'const { REGION } = process.env\nexport const rank = () => REGION\n' }))
  assert.match(atLoad.message, /process is not defined \(index\.ts:1:\d+\)$/)
  assert.match(atLoad.hint ?? '', /^There is no "process" where modules run\. .*"define"/)

  await publish('makes-blob', { 'index.ts': 'export const rank = (parts: string[]) => new Blob(parts).size\n' })
  await base.client.putScene({ id: 'makes-blob', group: [{ stage: 'rank', modules: ['makes-blob@^1'] }] }, undefined)
  await base.client.createVersion('makes-blob', { as: 'baseline' })
  const { problem } = await refusal(base.client.invoke('makes-blob', { body: '["a"]' }))
  assert.equal(problem.detail, 'Blob is not defined')
  assert.match(problem.fix, /^There is no "Blob" where modules run\. /)
  assert.match(problem.frame ?? '', /^index\.ts:1:\d+\n> 1 \| export const rank = .*new Blob/)
  const { frame } = await base.logged(({ code, scene }) => code === 'MODULE_THREW' && scene === 'makes-blob')
  assert.equal(frame, problem.frame)
  const caller = (await (await callScene(base, 'makes-blob', ['a'])).json()) as Readonly<Record<string, unknown>>
  assert.deepEqual([caller.frame, caller.stack], [undefined, undefined])
})

test('what throws only beside another module is refused with its line when a version is made', async () => {
  await publish('marks', { 'index.ts': 'Object.assign(globalThis, { mark: 1 })\nexport const rank = () => 1\n' })
  await publish('minds', { 'index.ts': 'if ("mark" in globalThis) throw new Error("there is a mark")\nexport const rank = () => 1\n' })
  const group = [{ stage: 'rank', modules: ['marks@^1', 'minds@^1'] }]
  await base.client.putScene({ id: 'beside', group }, undefined)
  const { problem } = await refusal(base.client.createVersion('beside', { as: 'baseline' }))
  assert.match(JSON.stringify(problem), /Cannot load module \\"minds@1\.0\.0\\": it threw: there is a mark \(index\.ts:1:33\)/)
  assert.match(problem.frame ?? '', /^index\.ts:1:33\n> 1 \| if \("mark" in globalThis\) throw new Error/)
  assert.deepEqual(problem.at, { file: 'index.ts', line: 1, column: 33 })
})

test('an endless loop in a later stage is answered with its stage and module, and from the second time on with its line', async () => {
  await publish('fetches', { 'index.ts': 'export const recall = async (x: number) => {\n  await null\n  return [x]\n}\n' }, ['recall'])
  await publish('spins', {
    'index.ts': 'interface Row { a: number }\nexport const rank = (rows: Row[]) => {\n  for (;;) rows.reverse()\n}\n',
  })
  const group = ['recall', 'rank'].map(stage => ({ stage, modules: [stage === 'rank' ? 'spins@^1' : 'fetches@^1'] }))
  await base.client.putScene({ id: 'spins', group, traffic: { unit: { header: 'x-unit-id' }, deadlineMs: 2000, cpuMs: 50 } }, undefined)
  await base.client.createVersion('spins', { as: 'baseline' })
  const seen = base.log.length
  const call = async () => (await refusal(base.client.invoke('spins', { body: '1' }))).problem
  const [first, second] = [await call(), await call()]
  for (const { code, stage, module } of [first, second]) {
    assert.deepEqual([code, stage, module], ['MODULE_KILLED', 'rank', 'spins@1.0.0'])
  }
  assert.match(first.detail, /over the limit traffic\.cpuMs of scene "spins": a request used more than 50 ms of CPU, in stage "rank"/)
  assert.match(second.frame ?? '', /^index\.ts:3:\d+\n[\s\S]*> 3 \| {3}for \(;;\) rows\.reverse\(\)/)
  const killed = await base.logged(({ msg, scene, frame }) => msg === 'slot killed' && scene === 'spins' && frame !== undefined, seen)
  assert.equal(killed.frame, second.frame)
  const caller = (await (await callScene(base, 'spins', 1)).json()) as Readonly<Record<string, unknown>>
  assert.deepEqual([caller.code, caller.frame, caller.stack, caller.at], ['MODULE_KILLED', undefined, undefined, undefined])
})
