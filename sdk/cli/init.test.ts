/** `sdk init` as a user types it. What it makes is tried with the tools that it is made for. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readScene } from './files/scene-file.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const bin = join(root, 'bin/sdk.cjs')
const tsc = join(root, 'node_modules/typescript/bin/tsc')

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function run(cwd: string, file: string, args: readonly string[]): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>()
  const env = { ...process.env, CI: 'true', FORCE_COLOR: '1' }
  const child = execFile(process.execPath, [file, ...args], { cwd, env }, (_, stdout, stderr) => {
    resolve({ code: child.exitCode ?? -1, stdout, stderr })
  })
  child.stdin?.end()
  return promise
}

const sdk = (cwd: string, ...args: readonly string[]) => run(cwd, bin, args)

async function emptyFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-init-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

/** @param project the folder with the tsconfig.json of the module in `path` */
async function assertSound(project: string, path: string): Promise<void> {
  const [tested, checked, published] = await Promise.all([
    sdk(project, 'test', path),
    run(project, tsc, ['--build', project]),
    sdk(project, 'publish', path, '--dry-run'),
  ])
  assert.equal(tested.code, 0, tested.stdout + tested.stderr)
  assert.match(tested.stdout, /[1-9] passed in/)
  assert.equal(published.code, 0, published.stderr)
  assert.equal(checked.code, 0, checked.stdout)
}

test('a module outside this repository passes its test, the compiler and publish as it is, with nothing installed', async t => {
  const cwd = await emptyFolder(t)
  const { code, stdout, stderr } = await sdk(
    cwd,
    'init',
    '--module',
    'shop-feed',
    '--stages',
    'recall',
    'filter',
    'rank',
    'rerank',
    'explain',
  )
  assert.equal(code, 0, stderr)
  assert.match(stderr, /^Now: cd shop-feed && npx sdk test$/m)
  assert.match(stdout, /^ {2}index\.test\.ts$/m)
  assert.match(stdout, /^ {2}samples\/request\.json$/m)
  const folder = join(cwd, 'shop-feed')
  const misnamed = await sdk(folder, 'test', '--only', 'no such test')
  assert.equal(misnamed.code, 2)
  assert.match(misnamed.stderr, /no test is named like no such test\n.*TESTS_NOT_FOUND/)
  await assertSound(folder, '.')
  const source = await readFile(join(folder, 'index.ts'), 'utf8')
  const bodies = [
    ...source.matchAll(/^export const (\w+): Stage<(.*?), .*? = (?:.*=> (candidates)$|.*\n(?: {2}if .*\n)? {2}const \w+ = (\w+))/gm),
  ]
  assert.deepEqual(
    bodies.map(([, stage, input, passed, maker]) => [stage, input, maker ?? passed]),
    [
      ['recall', 'Request', 'itemsFor'],
      ['filter', 'readonly Candidate[]', 'allowedOf'],
      ['rank', 'readonly Candidate[]', 'bestOf'],
      ['rerank', 'readonly Candidate[]', 'spreadOf'],
      ['explain', 'readonly Candidate[]', 'candidates'],
    ],
  )
  // The command that "sdk init" prints as the next one works in a shell.
  assert(existsSync(join(folder, 'node_modules/@berth/sdk/author/author.ts')))
  assert.equal(process.platform === 'win32' || existsSync(join(folder, 'node_modules/.bin/sdk')), true)
})

test('in a module outside this repository, npm says nothing of what Berth is made of', async t => {
  const cwd = await emptyFolder(t)
  await sdk(cwd, 'init', 'quiet', '--yes')
  const folder = join(cwd, 'quiet')
  const { stdout, stderr } = await promisify(execFile)('npm', ['install', '--offline', '--no-audit', '--no-fund'], {
    cwd: folder,
    shell: process.platform === 'win32',
  })
  assert.deepEqual([stderr, stdout.trim().split('\n').length], ['', 1], stdout)
  assert.equal((await sdk(folder, 'test', '--only', 'a scene says')).code, 0)
})

test('the types of such a module know the services it adds and the globals of slots, and refuse what it does not declare', async t => {
  const cwd = await emptyFolder(t)
  await sdk(cwd, 'init', 'typed', '--yes')
  const folder = join(cwd, 'typed')
  await writeFile(
    join(folder, 'index.ts'),
    `import type { Stage } from '@berth/sdk'

declare module '@berth/sdk' {
  interface Services {
    readonly geo: { lookup(address: string): Promise<{ country: string }> }
  }
}

export const rank: Stage<{ address: string }, string, { params: { fallback: string }; services: 'geo' }> = async (input, ctx) => {
  // @ts-expect-error this service is there, and the stage does not declare it
  ctx.services.features
  // @ts-expect-error the scene has no such param
  ctx.params.topK
  return (await ctx.services.geo.lookup(input.address)).country || ctx.params.fallback
}
`,
  )
  await writeFile(
    join(folder, 'index.test.ts'),
    `import { openSlot } from '@berth/sdk/testing'

const geo = { lookup: () => ({ country: 'is' }) }
const slot = await openSlot<typeof import('./index.ts')>(import.meta.dirname, { params: { fallback: 'x' }, services: { geo } })
const { output } = await slot.run('rank', { address: 'a' }, { unit: 'u1' })
export const country: string = output
// @ts-expect-error an input is what the stage takes
await slot.run('rank', { adress: 'a' })
// @ts-expect-error there is no such stage
await slot.run('rnk', { address: 'a' })
// @ts-expect-error params are those of the stage
await slot.run('rank', { address: 'a' }, { params: { fallback: 1 } })
`,
  )
  await writeFile(
    join(folder, 'globals.ts'),
    `export const timer: number = setTimeout(() => console.log(navigator.userAgent), 1)
// @ts-expect-error a slot has no such global, though its tests do
export const home = process.env.HOME
`,
  )
  await writeFile(join(folder, 'node.test.ts'), `export const home: string | undefined = process.env.HOME\n`)
  const { code, stdout } = await run(folder, tsc, ['--build', folder])
  assert.equal(code, 0, stdout)
})

test('a module in a project that knows the types, as this repository does, is its sources and nothing else', async t => {
  const project = await emptyFolder(t)
  const paths = { '@berth/sdk': [join(root, 'sdk/author/author.ts')], '@berth/sdk/testing': [join(root, 'sdk/author/testing.ts')] }
  const compilerOptions = { paths, typeRoots: [join(root, 'node_modules/@types')] }
  await writeFile(
    join(project, 'tsconfig.json'),
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: ['modules'] }),
  )
  await mkdir(join(project, 'modules'))
  const { code, stderr } = await sdk(project, 'init', '--module', 'shop-feed')
  assert.equal(code, 0, stderr)
  assert.match(stderr, /^Now: npx sdk test modules\/shop-feed$/m)
  assert.deepEqual((await readdir(join(project, 'modules/shop-feed'))).sort(), ['index.test.ts', 'index.ts', 'package.json', 'samples'])
  await assertSound(project, 'modules/shop-feed')
})

test('a scene names the modules here that have its stages, and passes the check of a scene', async t => {
  const cwd = await emptyFolder(t)
  await sdk(cwd, 'init', 'modules/shop-rank', '--yes')
  const { code, stdout, stderr } = await sdk(cwd, 'init', '--scene', 'shop-home', '--stages', 'recall', 'rank', '--json')
  assert.equal(code, 0, stderr)
  assert.deepEqual(JSON.parse(stdout).files, ['shop-home.json', 'scene.schema.json'])
  const text = await readFile(join(cwd, 'shop-home.json'), 'utf8')
  const { $schema } = JSON.parse(text) as { $schema: string }
  assert.equal((JSON.parse(await readFile(join(cwd, $schema), 'utf8')) as { type: string }).type, 'object')
  const scene = await readScene(join(cwd, 'shop-home.json'))
  assert.deepEqual(
    scene.group.map(({ stage, modules }) => [stage, modules]),
    [
      ['recall', ['recall@^1.0.0']],
      ['rank', ['shop-rank@^1.0.0']],
    ],
  )
})

test('a scene takes its stages from the modules that are here, in the order of a request, and says what it took', async t => {
  const cwd = await emptyFolder(t)
  for (const [name, stage] of [
    ['a-rank', 'rank'],
    ['b-rank', 'rank'],
    ['c-recall', 'recall'],
  ] as const) {
    await mkdir(join(cwd, 'modules', name), { recursive: true })
    await writeFile(join(cwd, 'modules', name, 'package.json'), JSON.stringify({ name, version: '2.1.0', berth: { stages: [stage] } }))
  }
  const all = await sdk(cwd, 'init', '--scene', 'shop-home')
  assert.equal(all.stdout, 'shop-home.json\n  recall: c-recall@^2.1.0\n  rank: a-rank@^2.1.0  (also in b-rank)\n')
  assert.match(all.stderr, /^Now: sdk publish modules\/c-recall modules\/a-rank && sdk scene apply shop-home\.json$/m)
  const own = await sdk(join(cwd, 'modules/c-recall'), 'init', '--scene', 'one')
  assert.equal(own.stdout, 'one.json\n  recall: c-recall@^2.1.0\n')
  assert.match(own.stderr, /^Now: sdk publish \. && sdk scene apply one\.json$/m)
})

test('what is there is not written over: the file in the way is named', async t => {
  const cwd = await emptyFolder(t)
  await mkdir(join(cwd, 'mine'))
  await writeFile(join(cwd, 'mine/notes.md'), 'mine')
  const taken = await sdk(cwd, 'init', 'mine', '--yes')
  assert.deepEqual([taken.code, taken.stdout], [1, ''])
  assert.match(taken.stderr, /Cannot make "mine" in "mine": it is not empty: "notes\.md" is in it\n {2}TARGET_EXISTS: /)
  assert.deepEqual(await readdir(join(cwd, 'mine')), ['notes.md'])
  await writeFile(join(cwd, 'home.json'), 'mine')
  const scene = await sdk(cwd, 'init', '--scene', 'home')
  assert.equal(scene.code, 1)
  assert.match(scene.stderr, /Cannot make "home" in "home\.json": the file is there already/)
  assert.equal(await readFile(join(cwd, 'home.json'), 'utf8'), 'mine')
  assert.deepEqual((await readdir(cwd)).sort(), ['home.json', 'mine'])
})

const usages: readonly (readonly [args: readonly string[], says: RegExp])[] = [
  [[], /there is no terminal to ask on\n {2}USAGE: Say what to make: --module NAME or --scene ID/],
  [['--yes'], /it has no name/],
  [['--module', 'a', '--scene', 'b'], /both --module and --scene were given/],
  [['--module', 'Shop'], /"Shop" is no name for a module/],
  [['--scene', 'a b'], /"a b" is no name for a scene/],
  [['--module', 'a', '--stages', 'rank-it'], /"rank-it" is no name for a stage/],
  [['--module', 'a', '--stages', 'rank', 'rank'], /a stage is named twice/],
]
test('a scene is made beside a package.json that is broken, and a folder that cannot be made is reported', async t => {
  const cwd = await emptyFolder(t)
  await writeFile(join(cwd, 'package.json'), '{')
  assert.equal((await sdk(cwd, 'init', '.', '--scene', 'home')).code, 0)
  assert.deepEqual((await readScene(join(cwd, 'home.json'))).group, [{ stage: 'rank', modules: ['rank@^1.0.0'] }])
  const { code, stderr } = await sdk(cwd, 'init', 'home.json', '--scene', 'shop')
  assert.equal(code, 1)
  assert.match(stderr, /Cannot write "home\.json": EEXIST[\s\S]*FILE_UNWRITABLE/)
})

const proc = { skip: process.platform !== 'linux' && 'it needs /proc', timeout: 30_000 }
test('a module is refused where the file system says of what it cannot make that it is not there', proc, async t => {
  const { code, stderr } = await sdk(await emptyFolder(t), 'init', '/proc/berth', '--yes')
  assert.equal(code, 1)
  assert.match(stderr, /Cannot write ".*proc\/berth": ENOENT[\s\S]*FILE_UNWRITABLE/)
})

test('what cannot be made is wrong usage, says why, and makes nothing', async t => {
  const cwd = await emptyFolder(t)
  await Promise.all(
    usages.map(async ([args, says]) => {
      const { code, stdout, stderr } = await sdk(cwd, 'init', ...args)
      assert.deepEqual([code, stdout], [2, ''], stderr)
      assert.match(stderr, says)
    }),
  )
  assert.deepEqual(await readdir(cwd), [])
})
