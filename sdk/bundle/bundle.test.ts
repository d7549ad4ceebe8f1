import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import vm from 'node:vm'
import { originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'
import { Value } from 'typebox/value'
import { ModuleManifest } from '../../base/traffic/schema.ts'
import { bundle, moduleFolder, packageJson, ranked, refusal } from '../../test/support/module-folder.ts'
import { type Bundle, bundleModule, openBundler } from './bundle.ts'

type Exports = Record<string, (...input: unknown[]) => unknown>

function run(bundle: Bundle, globals: object = {}): Exports {
  return vm.runInNewContext(bundle.code, globals, { filename: 'bundle.js' }) as Exports
}

test('a bundle is a script whose value is the stages, and the manifest comes from package.json', async t => {
  const made = await bundle(t, { 'index.ts': 'export const rank = (x: number): number => x + 1' })
  assert.deepEqual(made.manifest, { name: 'ranker', version: '1.2.3', description: 'ranks', stages: ['rank'] })
  assert.equal(run(made).rank?.(1), 2)
  assert.equal(made.digest, createHash('sha256').update(made.code).digest('hex'))
  assert.equal(made.sourceMapDigest, createHash('sha256').update(made.sourceMap).digest('hex'))
  assert.equal(made.bytes, Buffer.byteLength(made.code))
})

test('the services that a module uses are in its manifest', async t => {
  const text = JSON.stringify({ name: 'ranker', version: '1.0.0', berth: { stages: ['rank'], services: ['features'] } })
  const made = await bundle(t, { 'package.json': text, 'index.ts': 'export const rank = () => 1' })
  assert.deepEqual(made.manifest, { name: 'ranker', version: '1.0.0', stages: ['rank'], services: ['features'] })
})

test('the hosts that a module fetches from are in its manifest', async t => {
  const hosts = ['api.example.com', 'http://localhost:8080', '[::1]:8443']
  const text = JSON.stringify({ name: 'ranker', version: '1.0.0', berth: { stages: ['rank'], fetch: hosts } })
  const made = await bundle(t, { 'package.json': text, 'index.ts': 'export const rank = () => 1' })
  assert.deepEqual(made.manifest.fetch, hosts)
})

test('a bundle is strict and leaves nothing behind on the global object', async t => {
  const globals = {}
  const made = await bundle(t, { 'index.ts': 'export function rank(this: unknown) { return this === undefined }' })
  const { rank } = run(made, globals)
  assert.equal(rank?.(), true)
  assert.deepEqual(Object.keys(globals), [])
})

test('exports that are not stages are left out with what only they use', async t => {
  const made = await bundle(t, { 'index.ts': 'export const rank = () => 1; export const helper = () => "only for tests"' })
  assert.deepEqual(Object.keys(run(made)), ['rank'])
  assert(!made.code.includes('only for tests'))
})

test('"main" in package.json names another entry', async t => {
  const main = JSON.stringify({ name: 'ranker', version: '1.0.0', main: './src/entry.ts', berth: { stages: ['rank'] } })
  const made = await bundle(t, { 'package.json': main, 'src/entry.ts': 'export const rank = () => "src"' })
  assert.equal(run(made).rank?.(), 'src')
})

test('the entry may be a link to a file elsewhere', async t => {
  const elsewhere = await moduleFolder(t, { 'shared.ts': 'export const rank = () => "shared"' })
  const folder = await moduleFolder(t, {})
  await symlink(join(elsewhere, 'shared.ts'), join(folder, 'index.ts'))
  assert.equal(run(await bundleModule(folder)).rank?.(), 'shared')
})

test('a CommonJS entry is bundled too', async t => {
  const main = JSON.stringify({ name: 'ranker', version: '1.0.0', main: 'index.cjs', berth: { stages: ['rank'] } })
  const made = await bundle(t, { 'package.json': main, 'index.cjs': 'exports.rank = () => "common"' })
  assert.equal(run(made).rank?.(), 'common')
})

test('JSON and text become part of the bundle', async t => {
  const made = await bundle(t, {
    'index.ts': `
      import weights from './weights.json' with { type: 'json' }
      import query from './query.sql'
      import same from './weights.json'
      import words from './words.list' with { type: 'text' }
      export const rank = () => [weights.bias + same.bias, query, words]`,
    'weights.json': '{ "bias": 0.5 }',
    'query.sql': 'select 1',
    'words.list': 'a b',
  })
  assert.equal(JSON.stringify(run(made).rank?.()), '[1,"select 1","a b"]')
  assert.deepEqual(made.inputs, ['index.ts', 'package.json', 'query.sql', 'weights.json', 'words.list'])
})

test('npm dependencies become part of the bundle, in the build that they offer for platforms without Node.js', async t => {
  const made = await bundle(t, {
    'index.ts': `import add from 'add'; import { half } from 'half'; export const rank = (x: number) => half(add(x, 1))`,
    'node_modules/add/package.json': '{ "name": "add", "main": "index.js" }',
    'node_modules/add/index.js': 'module.exports = (a, b) => a + b',
    'node_modules/half/package.json': '{ "name": "half", "browser": { "fs": false }, "main": "index.js" }',
    'node_modules/half/index.js': `exports.half = x => x / (typeof require('fs').readFileSync === 'undefined' ? 2 : 1)`,
  })
  assert.equal(run(made).rank?.(3), 2)
})

test('types from @berth/sdk vanish, with or without "type"', async t => {
  const made = await bundle(t, {
    'index.ts': `
      import type { Stage } from '@berth/sdk'
      import { StageContext } from '@berth/sdk'
      export const rank: Stage<number, number> = (x, ctx: StageContext) => x`,
  })
  assert.equal(run(made).rank?.(7), 7)
})

test('the same sources give the same bytes wherever the folder is and whatever tsconfig.json is above it', async t => {
  const files = {
    'index.ts': `import { half } from './lib/half.ts'; import add from 'add'; export class A { x = 1 }; export const rank = () => half(add(1, 3))`,
    'lib/half.ts': 'export const half = (x: number) => x / 2',
    'node_modules/add/index.js': 'module.exports = (a, b) => a + b',
  }
  const here = await moduleFolder(t, files)
  const above = await moduleFolder(t, {
    ...Object.fromEntries(Object.entries({ ...files, 'package.json': packageJson }).map(([path, text]) => [`below/${path}`, text])),
    'tsconfig.json': '{ "compilerOptions": { "target": "es5", "verbatimModuleSyntax": true } }',
  })
  const [one, other] = [await bundleModule(here), await bundleModule(join(above, 'below'))]
  assert.equal(one.code, other.code)
  assert.equal(one.sourceMap, other.sourceMap)
  for (const text of [one.code, one.sourceMap]) assert(!text.includes(here) && !text.includes(tmpdir()), 'no absolute paths')
})

test('an error thrown on the first line of the source maps back to its line and column', async t => {
  const made = await bundle(t, {
    'index.ts': `export const rank = (x: { y: number }) => fail(x)\nfunction fail(x: { y: number }): never {\n  throw new Error('no')\n}`,
  })
  const stack = thrownStack(() => run(made).rank?.({ y: 1 }))
  assert.deepEqual(mapped(made, stack).slice(0, 2), ['index.ts:3:9', 'index.ts:1:43'])
})

function thrownStack(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    return (error as Error).stack ?? ''
  }
  return assert.fail('nothing was thrown')
}

function mapped({ sourceMap }: Bundle, stack: string): string[] {
  const map = new TraceMap(sourceMap)
  return [...stack.matchAll(/bundle\.js:(\d+):(\d+)/g)].map(([, line, column]) => {
    const at = originalPositionFor(map, { line: Number(line), column: Number(column) - 1 })
    return `${at.source}:${at.line}:${Number(at.column) + 1}`
  })
}

test('a folder reached through a symbolic link gives the same bytes', async t => {
  const folder = await moduleFolder(t, { 'index.ts': `export { rank } from './bundle.js'`, 'bundle.js': 'export const rank = () => 1' })
  await symlink(folder, `${folder}-link`)
  t.after(() => rm(`${folder}-link`))
  const [one, other] = [await bundleModule(folder), await bundleModule(`${folder}-link`)]
  assert.equal(other.code, one.code)
  assert.equal(other.sourceMap, one.sourceMap)
  assert.deepEqual(other.inputs, ['bundle.js', 'index.ts', 'package.json'])
})

test('the source map has the sources in it, relative to the folder', async t => {
  const source = 'export const rank = () => 1'
  const map = JSON.parse((await bundle(t, { 'index.ts': source })).sourceMap)
  assert.deepEqual(map.sources, ['berth.stages', 'index.ts'])
  assert.equal(map.sourcesContent[1], source)
})

test('imported JSON with a number that the module would get rounded is bundled with a warning that names the place', async t => {
  for (const mark of ['', '\ufeff']) {
    const { code, warnings } = await bundle(t, {
      'index.ts':
        "import items from './items.json' with { type: 'json' }\nimport text from './text.json' with { type: 'text' }\nexport const rank = () => [items, text]",
      'items.json': `${mark}{"best":[7,9007199254740993]}`,
      'text.json': '9007199254740993',
    })
    assert.match(code, /best:\[7,9007199254740992\]/)
    assert.equal(warnings.length, 1)
    assert.match(
      warnings[0] ?? '',
      /items\.json: it has the number 9007199254740993 at \/best\/1, which JavaScript cannot hold exactly; write it as a string/,
    )
  }
})

test('warnings of the compiler are passed on, with file and line', async t => {
  const { warnings } = await bundle(t, { 'index.ts': 'export const rank = (x: number) => {\n  return x === -0\n}' })
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] ?? '', /index\.ts:2:/)
})

const packages: readonly { readonly fault: string; readonly text: string; readonly says: RegExp }[] = [
  { fault: 'that is not JSON', text: '{ "name": ', says: /package\.json: it is not JSON/ },
  { fault: 'without a name', text: '{ "version": "1.0.0", "berth": { "stages": ["a"] } }', says: /"name" is missing/ },
  { fault: 'with a scoped name', text: '{ "name": "@a/b", "version": "1.0.0" }', says: /"name" is "@a\/b"/ },
  { fault: 'without a version', text: '{ "name": "a", "berth": { "stages": ["a"] } }', says: /"version" is missing/ },
  { fault: 'with a version that is none', text: '{ "name": "a", "version": "v1" }', says: /"version" is "v1"/ },
  { fault: 'without "berth"', text: '{ "name": "a", "version": "1.0.0" }', says: /"berth" is missing/ },
  { fault: 'without stages', text: '{ "name": "a", "version": "1.0.0", "berth": {} }', says: /"berth\.stages" is missing/ },
  { fault: 'with no stage', text: '{ "name": "a", "version": "1.0.0", "berth": { "stages": [] } }', says: /"berth\.stages" is \[\]/ },
  {
    fault: 'with services that are no list',
    text: '{ "name": "a", "version": "1.0.0", "berth": { "stages": ["a"], "services": "features" } }',
    says: /"berth\.services" is "features"/,
  },
  ...['ftp://a.example', 'a.example/path', '*.example.com', 'A.example', 'a.example:99999', 'user@a.example', ''].map(host => ({
    fault: `with "${host}" as a host`,
    text: JSON.stringify({ name: 'a', version: '1.0.0', berth: { stages: ['a'], fetch: [host] } }),
    says: /"berth\.fetch" is \["/,
  })),
  {
    fault: 'with a misspelt member',
    text: '{ "name": "a", "version": "1.0.0", "berth": { "stages": ["a"], "limts": {} } }',
    says: /unknown members: limts/,
  },
]

for (const { fault, text, says } of packages) {
  test(`a package.json ${fault} is refused by file and field`, async t => {
    const error = await refusal(t, { 'package.json': text, 'index.ts': '' }, 'PACKAGE_INVALID')
    assert.match(error.message, says)
  })
}

test('a folder without package.json is refused by its name', async () => {
  await assert.rejects(bundleModule('/nowhere'), { code: 'PACKAGE_INVALID', message: /nowhere.*cannot be read \(ENOENT\)/ })
})

test('an entry file that is not there is refused by its name', async t => {
  assert.match((await refusal(t, {}, 'ENTRY_NOT_FOUND')).message, /there is no file .*index\.ts/)
})

for (const specifier of ['node:fs', 'fs', 'node:fs/promises']) {
  test(`an import of "${specifier}" is refused with file and line, the reason and what to do instead`, async t => {
    const error = await refusal(t, { 'index.ts': `\nimport fs from '${specifier}'\nexport const rank = () => fs` }, 'BUILTIN_IMPORTED')
    assert.match(error.message, /index\.ts:2:16: imports ".*fs.*", .*bare V8 isolate/)
    assert.match(error.hint ?? '', /with \{ type: 'json' \}/)
    assert.match(error.details ?? '', /import fs from/)
  })
}

for (const [what, file, text, place] of [
  [
    'code',
    'index.ts',
    'export const rank = () =>\n  "Andr\xe9"',
    /index\.ts:2:8: line 2, byte offset 33: byte 0xe9 is not UTF-8; it looks like Latin-1/,
  ],
  ['JSON', 'data.json', '{"name":"Andr\xe9"}', /data\.json:1:14: line 1, byte offset 13: byte 0xe9 is not UTF-8/],
  // esbuild itself hangs on such a text.
  ['a text', 'notes.txt', 'caf\xe9s', /notes\.txt:1:4: line 1, byte offset 3: byte 0xe9 is not UTF-8/],
] as const) {
  test(`${what} that is not UTF-8 is refused with its place`, { timeout: 60_000 }, async t => {
    const entry = `import data from './data.json'\nimport notes from './notes.txt'\nexport const rank = () => [data, notes]`
    const files = { 'index.ts': entry, 'data.json': '{}', 'notes.txt': '', [file]: Buffer.from(text, 'latin1') }
    assert.match((await refusal(t, files, 'COMPILE_FAILED')).message, place)
  })
}

test('a text that a dependency imports by its attribute is refused when it is not UTF-8, and its code is taken as Node.js takes it', async t => {
  const files = {
    'index.ts': `import used from 'dep'; export const rank = () => used`,
    'node_modules/dep/package.json': JSON.stringify({ name: 'dep', type: 'module', main: 'index.js' }),
    'node_modules/dep/index.js': Buffer.from(
      `import text from './page.tmpl' with { type: 'text' }; export default text // caf\xe9s\n`,
      'latin1',
    ),
  }
  assert.equal(await ranked(t, await bundle(t, { ...files, 'node_modules/dep/page.tmpl': 'cafés' })), 'cafés')
  const wrong = { ...files, 'node_modules/dep/page.tmpl': Buffer.from('caf\xe9s', 'latin1') }
  assert.match((await refusal(t, wrong, 'COMPILE_FAILED')).message, /dep\/page\.tmpl:1:4: line 1, byte offset 3/)
})

test('a package.json may begin with a byte order mark, and is refused with the place when it is not UTF-8', async t => {
  const entry = { 'index.ts': 'import { version } from "./package.json"\nexport const rank = () => version' }
  const made = await bundle(t, { ...entry, 'package.json': `\ufeff${packageJson}` })
  assert.equal(run(made).rank?.(), '1.2.3')
  const error = await refusal(t, { ...entry, 'package.json': Buffer.from('{"name":"caf\xe9"}', 'latin1') }, 'PACKAGE_INVALID')
  assert.match(error.message, /line 1, byte offset 12: byte 0xe9 is not UTF-8/)
})

test('await at the top level is refused with file and line', async t => {
  const error = await refusal(t, { 'index.ts': 'const x = await 1\nexport const rank = () => x' }, 'MODULE_LOAD_AWAITS')
  assert.match(error.message, /index\.ts:1:11: /)
})

for (const expression of ['import(path)', 'require(path)']) {
  test(`${expression} of a path that is not literal is refused with file and line`, async t => {
    const error = await refusal(t, { 'index.ts': `export const rank = (path: string) =>\n  ${expression}` }, 'IMPORT_DYNAMIC')
    assert.match(error.message, /index\.ts:2:/)
  })
}

test('import() of a literal path becomes part of the bundle', async t => {
  const made = await bundle(t, { 'index.ts': `export const rank = async () => (await import('./b.ts')).b`, 'b.ts': 'export const b = 5' })
  assert.equal(await run(made).rank?.(), 5)
})

test('a syntax error is refused with file, line and a code frame', async t => {
  const error = await refusal(t, { 'index.ts': 'export const rank = () => {\n  return ]\n}' }, 'COMPILE_FAILED')
  assert.match(error.message, /index\.ts:2:10: Unexpected "\]"/)
  assert.match(error.details ?? '', /2 │ {3}return \]/)
})

test('a package that is not installed is refused with the line to install it', async t => {
  const error = await refusal(t, { 'index.ts': `import x from '@acme/x/y'\nexport const rank = () => x` }, 'COMPILE_FAILED')
  assert.match(error.hint ?? '', /npm install @acme\/x"/)
})

test('several faults are counted and each has its code frame', async t => {
  const error = await refusal(t, { 'index.ts': `import './a.ts'\nimport './b.ts'\nexport const rank = () => 1` }, 'COMPILE_FAILED')
  assert.match(error.message, /\(and 1 more\)/)
  assert.match(error.details ?? '', /a\.ts[\s\S]*b\.ts/)
})

test('a stage that is declared and not exported is refused with what is exported', async t => {
  const error = await refusal(t, { 'index.ts': 'export const rnak = () => 1' }, 'MODULE_EXPORT_MISSING')
  assert.match(error.message, /index\.ts does not export rank/)
  assert.match(error.hint ?? '', /it exports: rnak/)
})

test('an entry that exports nothing is refused', async t => {
  await refusal(t, { 'index.ts': 'const rank = () => 1\nrank()' }, 'MODULE_EXPORTS_NOTHING')
})

test('a bundle over the limit is refused with its largest files', async t => {
  const error = await refusal(
    t,
    { 'index.ts': `import big from './big.txt'\nexport const rank = () => big`, 'big.txt': 'x'.repeat(17 * 1024 * 1024) },
    'BUNDLE_TOO_LARGE',
  )
  assert.match(error.details ?? '', /big\.txt/)
})

test('a bundler bundles what is in the folder each time, also after errors and with other stages', async t => {
  const folder = await moduleFolder(t, {
    'index.ts': `import { k } from './k.ts'\nexport const rank = () => k`,
    'k.ts': 'export const k = 1',
  })
  const bundler = openBundler(folder)
  t.after(() => bundler.close())
  const save = (path: string, text: string) => writeFile(join(folder, path), text)
  const ask = async (stage = 'rank') => run(await bundler.bundle())[stage]?.()
  assert.equal(await ask(), 1)
  await save('k.ts', 'export const k = 2')
  assert.equal(await ask(), 2)
  await save('k.ts', 'export const k = ]')
  await assert.rejects(bundler.bundle(), { code: 'COMPILE_FAILED' })
  await save('k.ts', 'export const k = 3; export const recall = () => 4')
  assert.equal(await ask(), 3)
  await save('index.ts', `export { recall } from './k.ts'`)
  await save('package.json', packageJson.replace('"rank"', '"recall"'))
  assert.equal(await ask('recall'), 4)
  assert.deepEqual((await bundler.bundle()).digest, (await bundleModule(folder)).digest)
})

test('a bundler that is closed while it bundles lets its process end', { timeout: 60_000 }, async t => {
  const folder = await moduleFolder(t, { 'index.ts': 'export const rank = () => 1' })
  const script = `
    import { openBundler } from ${JSON.stringify(import.meta.resolve('./bundle.ts'))}
    const bundler = openBundler(${JSON.stringify(folder)})
    const bundling = bundler.bundle()
    await bundler.close()
    await bundling`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'ignore', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

test('a bundle lists its parts, packages as a whole, the largest first', async t => {
  const { parts, bytes } = await bundle(t, {
    'index.ts': `import './node_modules/big/a.js'; import './node_modules/big/b.js'; import s from './small.txt'; export const rank = () => s`,
    'small.txt': 'x'.repeat(1000),
    'node_modules/big/a.js': `globalThis.a = "${'a'.repeat(2000)}"`,
    'node_modules/big/b.js': `globalThis.b = "${'b'.repeat(2000)}"`,
  })
  assert.deepEqual(
    parts.slice(0, 2).map(({ name }) => name),
    ['big', 'small.txt'],
  )
  const total = parts.reduce((sum, part) => sum + part.bytes, 0)
  assert(total > 5000 && total <= bytes, `${total} of ${bytes}`)
})

test('a bundle takes exactly the manifests that the base takes', async t => {
  const entry = { 'index.ts': 'export const rank = 1; export const b = 2' }
  const good = { name: 'ranker', version: '1.2.3', berth: { stages: ['rank'] } }
  const long = 'x'.repeat(1001)
  for (const wrong of [
    { name: 'Ranker' },
    { name: 'r'.repeat(65) },
    { version: '1.2' },
    { version: 'v1.2.3' },
    { description: long },
    { berth: { stages: [] } },
    { berth: { stages: ['rank', 'rank'] } },
    { berth: { stages: ['rank-it'] } },
    { berth: { stages: ['rank'], services: ['Features'] } },
  ]) {
    const { berth, ...rest } = { ...good, ...wrong }
    const digest = '0'.repeat(64)
    assert(!Value.Check(ModuleManifest, { ...rest, ...berth, bundle: digest }), JSON.stringify(wrong))
    await refusal(t, { ...entry, 'package.json': JSON.stringify({ ...good, ...wrong }) }, 'PACKAGE_INVALID')
  }
  const { manifest } = await bundle(t, {
    ...entry,
    'package.json': JSON.stringify({ ...good, version: '1.2.3-dev.4+b', description: 'd' }),
  })
  assert(Value.Check(ModuleManifest, { ...manifest, bundle: '0'.repeat(64) }))
})
