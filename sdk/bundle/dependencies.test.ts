/** Dependencies that were written for Node.js, and what package.json puts in the place of what slots do not have. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'
import { bundle, type Files, moduleFolder, packageWith, ranked, refusal } from '../../test/support/module-folder.ts'
import { type Bundle, openBundler } from './bundle.ts'

/** Where a text of the code comes from, by the source map. */
function mapped({ code, sourceMap }: Bundle, text: string): [source: string | null, line: number | null] {
  const lines = code.split('\n')
  const line = lines.findIndex(each => each.includes(text))
  const at = originalPositionFor(new TraceMap(sourceMap), { line: line + 1, column: lines[line]?.indexOf(text) ?? 0 })
  return [at.source, at.line]
}

const entry = (body: string): Files => ({ 'index.ts': body })
const dependency = (name: string, code: string, manifest: object = {}): Files => ({
  [`node_modules/${name}/package.json`]: JSON.stringify({ name, main: 'index.js', ...manifest }),
  [`node_modules/${name}/index.js`]: code,
})
const useOf = (name: string): Files => entry(`import used from '${name}'; export const rank = () => used()`)

test('a dependency may import built-ins of Node.js that it never uses, and a warning names both and says what to do', async t => {
  const made = await bundle(t, {
    ...useOf('@acme/forest'),
    ...dependency(
      '@acme/forest',
      `const { randomBytes } = require('crypto'); const os = require('node:os')
       module.exports = seed => seed === undefined ? 'none' : randomBytes(os.cpus().length)`,
    ),
  })
  assert.equal(await ranked(t, made), 'none')
  assert.equal(made.warnings.length, 1)
  assert.match(
    made.warnings[0] ?? '',
    /The dependency "@acme\/forest" imports "crypto", "os" .*"alias" under "berth"[\s\S]*index\.js:1:\d+:/,
  )
})

test('of many dependencies that import built-ins a few are shown with their place, and the others are listed', async t => {
  const names = Array.from({ length: 9 }, (_, i) => `dep${i}`)
  const made = await bundle(t, {
    'index.ts': `${names.map(name => `import '${name}'`).join('\n')}\nexport const rank = () => 1`,
    ...Object.assign({}, ...names.map(name => dependency(name, `require('fs'), require('net')`))),
  })
  assert.equal(made.warnings.length, 6)
  assert.match(made.warnings.at(-1) ?? '', /imported by 4 more dependencies: dep\d \(fs, net\), /)
})

const uses: readonly { readonly use: string; readonly code: string; readonly says: RegExp }[] = [
  {
    use: 'calls',
    code: `require('crypto').createHash('md5')`,
    says: /^The package "dep" calls "crypto\.createHash" of Node\.js, .*"alias"/,
  },
  {
    use: 'makes instances of',
    code: `new (require('stream').Readable)()`,
    says: /makes a new "stream\.Readable" .*npm install stream-browserify/,
  },
  { use: 'extends', code: `new (class extends require('events') {})()`, says: /makes a new "events" .*npm install events/ },
  { use: 'calls as a parent', code: `require('events').call({})`, says: /calls "events" / },
  { use: 'reads the value of', code: `1 + require('fs').constants.O_RDONLY`, says: /reads the value of "fs\.constants\.O_RDONLY"/ },
]

for (const { use, code, says } of uses) {
  test(`what a dependency ${use} of a built-in throws an error with the package, the built-in and what to do, at its place`, async t => {
    const made = await bundle(t, { ...useOf('dep'), ...dependency('dep', `module.exports = () => ${code}`) })
    const error = (await ranked(t, made).catch(thrown => thrown)) as Error
    assert.match(error.message, says)
    const [, line, column] = /:(\d+):(\d+)\)?\n/.exec(`${error.stack}\n`) ?? []
    const at = originalPositionFor(new TraceMap(made.sourceMap), { line: Number(line), column: Number(column) - 1 })
    assert.equal(at.source, 'node_modules/dep/index.js', String(error.stack))
  })
}

test('what packages do with built-ins while they are loaded works', async t => {
  const made = await bundle(t, {
    ...useOf('dep'),
    ...dependency(
      'dep',
      `const util = require('util'), EventEmitter = require('events'), { URL } = require('url'), { performance } = require('perf_hooks')
       class Stream extends EventEmitter { [util.inspect.custom]() { return 'shown' } }
       function Old() { EventEmitter.call(this) }
       util.inherits(Old, EventEmitter)
       const readFile = util.promisify(require('fs').readFile), twice = util.promisify((x, done) => done(null, 2 * x))
       const debug = util.debuglog('dep')
       module.exports = async () => [
         Stream.prototype[Symbol.for('nodejs.util.inspect.custom')](), Old.super_ === EventEmitter, Old.prototype instanceof EventEmitter,
         typeof readFile, await twice(21), util.deprecate(() => 'old', 'use new')(), new URL('x:y').protocol, typeof performance.now(), debug('no') ?? null,
       ]`,
    ),
  })
  assert.deepEqual(await ranked(t, made), ['shown', true, true, 'function', 42, 'old', 'x:', 'number', null])
})

test('"promisify" of a stand-in heeds what functions say themselves, and knows timers', async t => {
  const made = await bundle(t, {
    ...useOf('dep'),
    ...dependency(
      'dep',
      `const { promisify } = require('util')
       const own = () => {}
       own[promisify.custom] = async x => x + 1
       module.exports = async () => [await promisify(own)(1), await promisify(setTimeout)(1, 'waited'), await promisify(setImmediate)('yielded')]`,
    ),
  })
  assert.deepEqual(await ranked(t, made), [2, 'waited', 'yielded'])
})

test('a dependency that imports process finds its constant environment, and does not take a slot for Node.js', async t => {
  const files = {
    ...useOf('dep'),
    ...dependency(
      'dep',
      `import process, { env } from 'node:process'; const isNode = process.versions?.node !== undefined, flags = process.argv.indexOf('-v')
       export default async () => [env, isNode, flags, await new Promise(done => process.nextTick(done, 'next'))]`,
      { type: 'module' },
    ),
  }
  assert.deepEqual(await ranked(t, await bundle(t, files)), [{ NODE_ENV: 'production' }, false, -1, 'next'])
  const define = { 'process.env': { REGION: 'eu' } }
  const made = await bundle(t, { ...files, 'package.json': packageWith({ define }) })
  assert.deepEqual(await ranked(t, made), [{ NODE_ENV: 'production', REGION: 'eu' }, false, -1, 'next'])
})

test('an npm package takes the place only of a built-in that has its whole name', async t => {
  const made = await bundle(t, {
    ...useOf('dep'),
    ...dependency('sqlite', `exports.DatabaseSync = 'another thing'`),
    ...dependency('dep', `const { DatabaseSync } = require('node:sqlite'); module.exports = () => typeof DatabaseSync`),
  })
  assert.equal(await ranked(t, made), 'function')
  assert.match(made.warnings.join(), /imports "node:sqlite" of Node\.js/)
})

test('JSON leaves a stand-in out, as it does any function', async t => {
  const made = await bundle(t, {
    ...useOf('dep'),
    ...dependency('dep', `const fs = require('fs'); module.exports = () => JSON.stringify({ fs, a: 1 })`),
  })
  assert.equal(await ranked(t, made), '{"a":1}')
})

test('an ES module may import a built-in by default, by name and as a whole', async t => {
  const made = await bundle(t, {
    ...useOf('dep'),
    ...dependency(
      'dep',
      `import fs, { readFileSync } from 'node:fs'; import * as os from 'os'
       export default () => [fs, readFileSync, os.cpus, fs.promises.readFile].map(each => typeof each)`,
      { type: 'module' },
    ),
  })
  assert.deepEqual(await ranked(t, made), ['function', 'function', 'function', 'function'])
})

test('a require in try that finds nothing throws what Node.js throws, so that the package goes its other way, without a warning', async t => {
  const made = await bundle(t, {
    ...useOf('dep'),
    ...dependency(
      'dep',
      `const found = name => { try { return require('crypto') } catch (error) { return error.code } }
       let encoding
       try { encoding = require('encoding') } catch ({ code, message }) { encoding = [code, message] }
       module.exports = () => [found(), encoding, typeof require]`,
    ),
  })
  const message = "Cannot find module 'encoding': a slot has only what is in the bundle"
  assert.deepEqual(await ranked(t, made), ['MODULE_NOT_FOUND', ['MODULE_NOT_FOUND', message], 'function'])
  assert.deepEqual(made.warnings, [])
})

test('a dependency may require, in code that never runs, what is not installed and native code; the require throws, and a warning says so', async t => {
  const made = await bundle(t, {
    ...useOf('dep'),
    ...dependency(
      'dep',
      `const drivers = { pg: () => require('pg/lib'), fast: () => require('./fast.node'), files: () => require('fs') }
       const codeOf = name => { try { return drivers[name]() } catch (error) { return error.code } }
       module.exports = () => [codeOf('pg'), codeOf('fast'), typeof codeOf('files')]`,
    ),
    'node_modules/dep/fast.node': 'ELF',
  })
  assert.deepEqual(await ranked(t, made), ['MODULE_NOT_FOUND', 'ERR_DLOPEN_FAILED', 'function'])
  assert.equal(made.warnings.length, 2)
  assert.match(
    made.warnings[1] ?? '',
    /The dependency "dep" loads "pg\/lib", which is not there, while it runs: that throws\. .*npm install pg\.[\s\S]*index\.js:1:/,
  )
})

test('import() by a dependency of what is not installed rejects as in Node.js when it runs, however it and require are written', async t => {
  const made = await bundle(t, {
    ...useOf('dep'),
    ...dependency(
      'dep',
      `const loads = [() => import('lost'), () => import(/* webpackChunkName: "x" */ './lost.js'), () => require(\n'gone'\n), () => require(/* if there */ 'away')]
       const codeOf = async load => { try { await load() } catch (error) { return error.code } }
       module.exports = () => Promise.all([...loads, loads[0]].map(codeOf))`,
    ),
  })
  const [esm, common] = ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND']
  assert.deepEqual(await ranked(t, made), [esm, esm, common, common, esm])
  assert.deepEqual(
    made.warnings.map(warning => /loads "(.*?)", which is not there/.exec(warning)?.[1]),
    ['lost', './lost.js', 'gone', 'away'],
  )
})

test('what a dependency lacked is found by a bundler that is kept open, once it is installed', async t => {
  const folder = await moduleFolder(t, {
    ...useOf('dep'),
    ...dependency(
      'dep',
      `module.exports = () => { let found; const load = () => require('late'); try { found = load() } catch { found = 'lost' } return found }; const other = () => require('late')`,
    ),
  })
  const bundler = openBundler(folder)
  t.after(() => bundler.close())
  const lost = await bundler.bundle()
  assert.deepEqual([await ranked(t, lost), lost.warnings.length], ['lost', 1])
  await mkdir(join(folder, 'node_modules/late'))
  await writeFile(join(folder, 'node_modules/late/index.js'), `module.exports = 'found'`)
  const found = await bundler.bundle()
  assert.deepEqual([await ranked(t, found), found.warnings], ['found', []])
})

test('an import by an ES module of a dependency of what is not installed is refused', async t => {
  const files = { ...useOf('dep'), ...dependency('dep', `import 'lost'; export default 1`, { type: 'module' }) }
  const error = await refusal(t, files, 'COMPILE_FAILED')
  assert.match(error.message, /the dependency "dep" imports what is not there: cannot find "lost"/)
  assert.match(error.hint ?? '', /npm install lost/)
})

test('a dependency may require a path that is only known while it runs, and the require throws', async t => {
  const made = await bundle(t, { ...useOf('dep'), ...dependency('dep', 'module.exports = (name = "x") => require(name)') })
  await assert.rejects(ranked(t, made), /Cannot find module 'x'/)
})

test('an npm package that replaces a built-in is used wherever it is installed', async t => {
  const made = await bundle(t, {
    'index.ts': `import { EventEmitter } from 'node:events'; import used from 'dep'; export const rank = () => [EventEmitter, ...used()]`,
    ...dependency('events', `exports.EventEmitter = 'events'`),
    ...dependency('path-browserify', `exports.join = (...parts) => parts.join('/')`),
    ...dependency(
      'dep',
      `const { EventEmitter } = require('events'), { join } = require('path'); module.exports = () => [EventEmitter, join('a', 'b')]`,
    ),
  })
  assert.deepEqual(await ranked(t, made), ['events', 'events', 'a/b'])
  assert.deepEqual(made.warnings, [])
})

test('"define" gives values to globals and their members', async t => {
  const define = { 'process.env': { REGION: 'eu', N: 1 }, VERSION: 'v1', DEBUG: false }
  const made = await bundle(t, {
    'package.json': packageWith({ define }),
    'index.ts': `declare const process: any, VERSION: any, DEBUG: any
      export const rank = () => [process.env.REGION, process.env, process.env.NODE_ENV, VERSION, DEBUG]`,
  })
  assert.deepEqual(await ranked(t, made), ['eu', { REGION: 'eu', N: 1 }, 'production', 'v1', false])
  assert.deepEqual(made.manifest, { name: 'ranker', version: '1.2.3', stages: ['rank'] })
})

test('"alias" of a built-in may have "node:" or not', async t => {
  const made = await bundle(t, {
    'package.json': packageWith({ alias: { 'node:crypto': './hash.ts' } }),
    'hash.ts': `export const createHash = (name: string) => name`,
    ...useOf('dep'),
    ...dependency('dep', `module.exports = () => [require('crypto'), require('node:crypto')].map(({ createHash }) => createHash('md5'))`),
  })
  assert.deepEqual(await ranked(t, made), ['md5', 'md5'])
})

test('"alias" replaces packages and built-ins by other packages and by files of the module, also for dependencies', async t => {
  const made = await bundle(t, {
    'package.json': packageWith({ alias: { crypto: './hash.ts', lodash: 'lodash-es' } }),
    'index.ts': `import lodash from 'lodash'; import used from 'dep'; export const rank = () => [lodash, used()]`,
    'hash.ts': `export const createHash = (name: string) => name`,
    ...dependency('lodash-es', `module.exports = 'es'`),
    ...dependency('dep', `module.exports = () => require('node:crypto').createHash('md5')`),
  })
  assert.deepEqual(await ranked(t, made), ['es', 'md5'])
  assert.deepEqual(made.warnings, [])
})

test('"inject" gives exports to globals that packages expect, already while these are loaded', async t => {
  const files = {
    'package.json': packageWith({ inject: { Buffer: 'buffer/', process: ['./process.ts', 'default'] } }),
    'process.ts': `export default { nextTick: 'next' }`,
    ...dependency('buffer', `exports.Buffer = { from: text => [...text].length }`),
    ...dependency('dep', `const length = Buffer.from('abc'); module.exports = () => [length, typeof Buffer, process.nextTick]`),
  }
  const made = await bundle(t, { ...files, ...useOf('dep') })
  assert.deepEqual(await ranked(t, made), [3, 'object', 'next'])
  assert.deepEqual(mapped(made, 'exports.Buffer'), ['node_modules/buffer/index.js', 1])
})

const wrongSubstitutes: readonly { readonly fault: string; readonly berth: object; readonly says: RegExp }[] = [
  { fault: 'a define that is no object', berth: { define: ['x'] }, says: /"berth\.define" is \["x"\]/ },
  { fault: 'a define of something that is no name', berth: { define: { 'a b': 1 } }, says: /"berth\.define" is \{"a b":1\}/ },
  { fault: 'a define with quotes within quotes', berth: { define: { X: '"x"' } }, says: /"berth\.define"/ },
  { fault: 'a define of a word of the language', berth: { define: { 'if.x': 1 } }, says: /"berth\.define" is \{"if\.x":1\}/ },
  { fault: 'an alias of a path', berth: { alias: { './x': 'y' } }, says: /"berth\.alias"/ },
  { fault: 'an alias to nothing', berth: { alias: { x: ' ' } }, says: /"berth\.alias"/ },
  { fault: 'an injection of a member', berth: { inject: { 'a.b': 'c' } }, says: /"berth\.inject"/ },
  { fault: 'an injection of a word of the language', berth: { inject: { let: 'x' } }, says: /"berth\.inject" is \{"let":"x"\}/ },
  { fault: 'an injection of a name that bundles use', berth: { inject: { require: 'x' } }, says: /"berth\.inject"/ },
  { fault: 'an injection without its export', berth: { inject: { a: ['b'] } }, says: /"berth\.inject"/ },
]

for (const { fault, berth, says } of wrongSubstitutes) {
  test(`${fault} is refused with what it has to be`, async t => {
    const error = await refusal(t, { 'package.json': packageWith(berth), 'index.ts': 'export const rank = 1' }, 'PACKAGE_INVALID')
    assert.match(error.message, says)
    assert.match(error.hint ?? '', /must give .*such as/)
  })
}

test('an alias, and an injection, to what is not installed is refused with the member of package.json that names it', async t => {
  const used = useOf('dep')
  const alias = {
    ...used,
    'package.json': packageWith({ alias: { crypto: 'crypt' } }),
    ...dependency('dep', `module.exports = require('crypto')`),
  }
  assert.match(
    (await refusal(t, alias, 'COMPILE_FAILED')).message,
    /dep\/index\.js:1:26: cannot find "crypt", which "alias" .* for "crypto"/,
  )
  const inject = {
    ...used,
    'package.json': packageWith({ inject: { Buffer: 'bufer/' } }),
    ...dependency('dep', 'module.exports = () => Buffer'),
  }
  assert.match((await refusal(t, inject, 'COMPILE_FAILED')).message, /: cannot find "bufer\/", which "inject" .* for the global "Buffer"/)
  const wrong = { ...inject, 'package.json': packageWith({ inject: { Buffer: './x.ts' } }), 'x.ts': 'export const buffer = 1' }
  assert.match((await refusal(t, wrong, 'COMPILE_FAILED')).message, /: "\.\/x\.ts" does not export "Buffer", which "inject"/)
})

test('a use of WebAssembly is warned of with its package and place, and asking whether it is there is not', async t => {
  const made = await bundle(t, {
    'index.ts': `import hash from 'hash'; import asks from 'asks'; export const rank = () => [typeof hash, asks()]`,
    ...dependency('hash', `module.exports = () =>\n  WebAssembly.instantiate(new Uint8Array(8))`),
    ...dependency('asks', `module.exports = () => typeof WebAssembly`),
  })
  assert.deepEqual(await ranked(t, made), ['function', 'undefined'])
  assert.equal(made.warnings.length, 1)
  assert.match(
    made.warnings[0] ?? '',
    /The dependency "hash" uses WebAssembly, .*in JavaScript[\s\S]*hash\/index\.js:2:2:[\s\S]*WebAssembly\.instantiate/,
  )
})

test('a dependency that awaits at its top level is refused with what to do about a dependency', async t => {
  const files = { ...useOf('dep'), ...dependency('dep', 'await 1; export default 1', { type: 'module' }) }
  const error = await refusal(t, files, 'MODULE_LOAD_AWAITS')
  assert.match(error.message, /the dependency "dep" awaits at its top level/)
  assert.match(error.hint ?? '', /Use another version or build of it/)
})

test('a use of import.meta is warned of in plain words', async t => {
  const made = await bundle(t, { 'index.ts': 'export const rank = () => import.meta.url' })
  assert.match(made.warnings.join(), /"import\.meta" is an empty object where modules run[\s\S]*index\.ts:1:26/)
})

test('an import of a .wasm file is refused', async t => {
  const error = await refusal(t, { 'index.ts': `import x from './x.wasm'; export const rank = () => x`, 'x.wasm': '' }, 'COMPILE_FAILED')
  assert.match(error.message, /index\.ts:1:15: the module imports WebAssembly, which does not exist/)
})

const missing: readonly { readonly what: string; readonly path: string; readonly hint: RegExp; readonly files?: Files }[] = [
  { what: 'another upper or lower case', path: './Score', files: { 'score.ts': '' }, hint: /Write "\.\/score\.ts"/ },
  { what: 'no extension', path: './weights', files: { 'weights.list': '' }, hint: /Write "\.\/weights\.list"/ },
  { what: 'a misspelt name', path: './socre.ts', files: { 'score.ts': '' }, hint: /Write "\.\/score\.ts"/ },
  { what: 'a folder that is not there', path: './lib/score.ts', hint: /there is no folder .*lib/ },
  { what: 'a path without ./', path: 'lib/score.ts', files: { 'lib/score.ts': '' }, hint: /Write "\.\/lib\/score\.ts"/ },
  { what: 'the look of a file', path: '@lib/score.ts', hint: /looks like a file: .*"paths" in a tsconfig\.json in the folder/ },
  { what: 'a number sign', path: '#lib/score', hint: /"imports" in the package\.json/ },
  { what: 'no possible name', path: 'Left Pad', hint: /not a name that an npm package can have/ },
  {
    what: 'a subpath that is not offered',
    path: 'dep/b',
    files: dependency('dep', '', { exports: { './a': './index.js' } }),
    hint: /it offers "dep\/a"\.$/,
  },
  {
    what: 'a package without a file for it',
    path: 'dep',
    files: dependency('dep', '', { main: 'dist/x.js', exports: './dist/x.js' }),
    hint: /is installed in .*names no file/,
  },
  {
    what: 'a package that package.json lists',
    path: 'dep',
    files: { 'package.json': JSON.stringify({ ...JSON.parse(packageWith({})), dependencies: { dep: '1' } }) },
    hint: /run "npm install" in /,
  },
]

for (const { what, path, files = {}, hint } of missing) {
  test(`an import of "${path}", with ${what}, is refused with what to write instead`, async t => {
    const error = await refusal(t, { ...files, 'index.ts': `import x from '${path}'\nexport const rank = () => x` }, 'COMPILE_FAILED')
    assert.match(error.message, /index\.ts:1:15: cannot find "/)
    assert.match(error.hint ?? '', hint)
  })
}

test('many errors show the frames of three causes, and count the rest', async t => {
  const imports = Array.from({ length: 40 }, (_, i) => `import './lost${i % 20}'`).join('\n')
  const error = await refusal(t, { 'index.ts': `${imports}\nexport const rank = 1` }, 'COMPILE_FAILED')
  assert.match(error.message, /cannot find "\.\/lost0" \(and 19 more\)/)
  const lines = (error.details ?? '').split('\n')
  assert(lines.length < 25, lines.join('\n'))
  assert.equal(lines.at(-1) ?? '', '… and 17 more, in 1 file in all')
})
