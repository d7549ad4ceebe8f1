/** CommonJS files, which run in sloppy mode beside ES modules in strict mode. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import vm from 'node:vm'
import { originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'
import fc from 'fast-check'
import { bundle, type Files, moduleFolder, packageWith, ranked } from '../../../test/support/module-folder.ts'
import { type Bundle, bundleModule, openBundler } from '../bundle.ts'

const dependency = (name: string, code: string, manifest: object = {}): Files => ({
  [`node_modules/${name}/package.json`]: JSON.stringify({ name, main: 'index.js', ...manifest }),
  [`node_modules/${name}/index.js`]: code,
})
const useOf = (name: string): Files => ({ 'index.ts': `import used from '${name}'; export const rank = () => used()` })

/** Code that Node.js runs in a CommonJS file and refuses in an ES module, or answers differently there. */
const sloppy: readonly { readonly what: string; readonly code: string; readonly gives: unknown }[] = [
  { what: 'an undeclared loop variable', code: 'let n = 0; for (i = 0; i < 3; i++) n += i; return n', gives: 3 },
  { what: 'this as the global object', code: 'return (function () { return this === globalThis })()', gives: true },
  { what: 'with', code: 'with ({ a: 5 }) { return a }', gives: 5 },
  { what: 'doubled parameters', code: 'return (function (a, a) { return a })(1, 2)', gives: 2 },
  { what: 'octal literals', code: 'return 010 + Number("\\11" === "\\t")', gives: 9 },
  { what: 'arguments that follow parameters', code: 'return (function (a) { arguments[0] = 9; return a })(1)', gives: 9 },
  { what: 'arguments.callee', code: 'return (function () { return typeof arguments.callee })()', gives: 'function' },
  { what: 'deletion of a variable', code: 'var x = 1; return delete x', gives: false },
  { what: 'writes to frozen objects', code: 'const o = Object.freeze({ a: 1 }); o.a = 2; return o.a', gives: 1 },
  { what: 'functions hoisted out of blocks', code: '{ function f() { return 7 } } return f()', gives: 7 },
  { what: 'names that strict mode reserves', code: 'var let = 1, static = 2, yield = 3; return let + static + yield', gives: 6 },
  { what: 'eval that declares', code: 'eval("var e = 4"); return e', gives: 4 },
  { what: 'properties on primitives', code: 'const s = "s"; s.x = 1; return s.x === undefined', gives: true },
]

for (const { what, code, gives } of sloppy) {
  test(`a CommonJS package may use ${what}`, async t => {
    const made = await bundle(t, { ...useOf('dep'), ...dependency('dep', `module.exports = () => { ${code} }`) })
    assert.deepEqual(await ranked(t, made), gives)
  })
}

test('a package without imports and exports runs as Node.js would run it: this is the global object, unless it is of the type module', async t => {
  const code = '(function () { globalThis.seen = [...(globalThis.seen ?? []), this === undefined] })()'
  const made = await bundle(t, {
    'index.ts': `import 'old'; import 'modern'; export const rank = () => (globalThis as any).seen`,
    ...dependency('old', code),
    ...dependency('modern', code, { type: 'module' }),
  })
  const globals = {}
  assert.deepEqual([...vm.runInNewContext(made.code, globals).rank()], [false, true])
})

test('ES modules, TypeScript and CommonJS files that ask for it stay strict beside CommonJS files in sloppy mode', async t => {
  const strictness = '(function () { return this === undefined })()'
  const made = await bundle(t, {
    'index.ts': `import esm from 'esm'; import asks from 'asks'; import old from 'old'; import own from './own.cts'
      export const rank = () => [${strictness}, esm(), asks(), own(), old()]`,
    'own.cts': `export = () => ${strictness}`,
    ...dependency('esm', `export default () => ${strictness}`, { type: 'module' }),
    ...dependency('asks', `/* licence */ "use strict"; module.exports = () => ${strictness}`),
    ...dependency('old', `module.exports = () => ${strictness}`),
  })
  assert.deepEqual(await ranked(t, made), [true, true, true, true, false])
})

test('CommonJS files run in sloppy mode also when tsconfig.json asks for "strict", as the one that sdk init writes does', async t => {
  const made = await bundle(t, {
    'tsconfig.json': JSON.stringify({ extends: './base.json', compilerOptions: { paths: { '@own': ['./own.cjs'] } } }),
    'base.json': JSON.stringify({ compilerOptions: { strict: true } }),
    'index.ts': `import dep from 'dep'; import own from '@own'; export const rank = () => [dep(), own, (function (this: any) { return this === undefined })()]`,
    'own.cjs': 'for (i = 0; i < 2; ) i++; module.exports = i',
    ...dependency('dep', 'module.exports = () => { with ({ a: 5 }) { return a } }'),
  })
  assert.deepEqual(await ranked(t, made), [5, 2, true])
  assert.deepEqual(made.inputs, ['base.json', 'index.ts', 'node_modules/dep/index.js', 'own.cjs', 'package.json', 'tsconfig.json'])
})

test('a strict function whose name has escapes is no file', async t => {
  const code = `const o = { "\\x01\\u2028"() { "use strict"; return 1 } }; module.exports = () => Object.values(o)[0]()`
  assert.equal(await ranked(t, await bundle(t, { ...useOf('dep'), ...dependency('dep', code) })), 1)
})

test('a file that imports and requires a package gets the file that the package has for each', async t => {
  const made = await bundle(t, {
    'index.ts': `import dual from 'dual'; const other = require('dual'); export const rank = () => [dual, other]; declare const require: any`,
    'node_modules/dual/package.json': JSON.stringify({ name: 'dual', exports: { import: './a.mjs', require: './b.cjs' } }),
    'node_modules/dual/a.mjs': `export default 'imported'`,
    'node_modules/dual/b.cjs': `module.exports = 'required'; sloppy = 1`,
  })
  assert.deepEqual(await ranked(t, made), ['imported', 'required'])
})

test('a bundle is in one part when none of its CommonJS files would be sloppy', async t => {
  const made = await bundle(t, { ...useOf('dep'), ...dependency('dep', '// licence\n"use strict"\nmodule.exports = () => 1') })
  assert(made.code.startsWith('(()=>{"use strict";'), made.code.slice(0, 50))
})

test('a CommonJS entry, and a .cjs file of the module, run in sloppy mode', async t => {
  const made = await bundle(t, {
    'package.json': packageWith({}, 'index.cjs'),
    'index.cjs': `exports.rank = () => [require('./lib.cjs')(), typeof require('./lib.mjs').esm]`,
    'lib.cjs': 'module.exports = function () { for (i = 0; i < 2; ) i++; return i }',
    'lib.mjs': 'export const esm = () => 1',
  })
  assert.deepEqual(await ranked(t, made), [2, 'function'])
})

test('imports between CommonJS and ES modules give what Node.js gives', async t => {
  const files = {
    'package.json': packageWith({}, 'index.mjs'),
    'index.mjs': `
      import whole, { named } from 'plain'
      import * as space from 'plain'
      import translated, { other } from 'translated'
      import fromCommon from 'requires'
      export const rank = async () => {
        const dynamic = await import('plain')
        return [whole.named, named, space.named, space.default === whole, translated.default, other, fromCommon(), dynamic.named, dynamic.default === whole]
      }`,
    ...dependency('plain', 'module.exports = { named: 1 }; sloppy = true'),
    ...dependency(
      'translated',
      `Object.defineProperty(exports, '__esModule', { value: true }); exports.default = 'd'; exports.other = 'o'; sloppy = true`,
    ),
    ...dependency(
      'requires',
      `const esm = require('esm'), json = require('esm/data.json'); module.exports = () => [esm.x, esm.default, esm.__esModule, json === esm.json, json.n]; sloppy = true`,
    ),
    ...dependency('esm', `import json from './data.json'; export let x = 1; x++; export default 'e'; export { json }`, { type: 'module' }),
    'node_modules/esm/data.json': '{ "n": 3 }',
  }
  assert.deepEqual(await ranked(t, await bundle(t, files)), [1, 1, 1, true, 'd', 'o', [2, 'e', true, true, 3], 1, true])
})

test('a CommonJS file is loaded once, by whatever name both parts import it', async t => {
  const made = await bundle(t, {
    'package.json': packageWith({ alias: { renamed: 'state' } }),
    'tsconfig.json': JSON.stringify({ compilerOptions: { paths: { '@own/*': ['./*'] } } }),
    'index.ts': `import events from 'node:events'; import state from 'renamed'; import own from '@own/own.cjs'; import dep from 'dep'
      export const rank = () => [dep.events === events, dep.state === state, dep.own === own, (globalThis as any).loads]`,
    'own.cjs': 'globalThis.loads = (globalThis.loads ?? 0) + 1',
    ...dependency('events', 'globalThis.loads = (globalThis.loads ?? 0) + 1'),
    ...dependency('state', 'globalThis.loads = (globalThis.loads ?? 0) + 1'),
    ...dependency('dep', `exports.events = require('events'); exports.state = require('state'); exports.own = require('../../own.cjs')`),
  })
  assert.deepEqual([...vm.runInNewContext(made.code).rank()], [true, true, true, 3])
})

test('an injected global is the same one in both parts', async t => {
  const made = await bundle(t, {
    'package.json': packageWith({ inject: { Buffer: 'buffer/', process: './process.ts' } }),
    'index.ts': `import dep from 'dep'; declare const Buffer: any, process: any; export const rank = () => [dep() === Buffer, process.env.set]`,
    'process.ts': 'export const process = { env: {} }',
    ...dependency('buffer', 'exports.Buffer = class Buffer {}; sloppy = 1'),
    ...dependency('dep', `process.env.set = 'by dep'; module.exports = () => Buffer`),
  })
  assert.deepEqual(await ranked(t, made), [true, 'by dep'])
})

test('an error thrown in a CommonJS file, and one in the module that calls it, map back to their lines', async t => {
  const made = await bundle(t, {
    'index.ts': `import dep from 'dep'\nexport const rank = () => {\n  return dep()\n}`,
    ...dependency('dep', `// one\nmodule.exports = () => {\n  throw new Error('no')\n}`),
  })
  const map = new TraceMap(made.sourceMap)
  const error = caught(() => vm.runInNewContext(made.code, {}, { filename: 'bundle.js' }).rank())
  const places = [...String(error.stack).matchAll(/bundle\.js:(\d+):(\d+)/g)].map(([, line, column]) => {
    const at = originalPositionFor(map, { line: Number(line), column: Number(column) - 1 })
    return `${at.source}:${at.line}:${Number(at.column) + 1}`
  })
  assert.deepEqual(places.slice(0, 2), ['node_modules/dep/index.js:3:9', 'index.ts:3:10'])
})

function caught(call: () => unknown): Error {
  try {
    call()
  } catch (error) {
    return error as Error
  }
  return assert.fail('nothing was thrown')
}

test('a bundle in two parts has the same bytes wherever its folder is, and lists the same files and parts', async t => {
  const files = {
    'index.ts': `import dep from 'dep'; import esm from 'esm'; export const rank = () => [dep, esm]`,
    ...dependency('dep', `module.exports = require('esm')`),
    ...dependency('esm', 'export default 1', { type: 'module' }),
  }
  const [one, other] = [await bundle(t, files), await bundle(t, files)]
  assert.deepEqual(one, other)
  assert.deepEqual(one.inputs, ['index.ts', 'node_modules/dep/index.js', 'node_modules/esm/index.js', 'package.json'])
  assert.deepEqual(one.parts.map(({ name }) => name).sort(), ['dep', 'esm', 'index.ts'])
})

test('a bundler that is kept open bundles CommonJS files as they are, also when only one of them changes', async t => {
  const folder = await moduleFolder(t, {
    ...useOf('dep'),
    ...dependency('dep', 'module.exports = () => require("./lib")'),
    'node_modules/dep/lib.js': 'module.exports = 1',
  })
  const bundler = openBundler(folder)
  t.after(() => bundler.close())
  const result = async () => ranked(t, await bundler.bundle())
  assert.deepEqual([await result(), await result()], [1, 1])
  await writeFile(join(folder, 'node_modules/dep/lib.js'), 'module.exports = 2')
  assert.equal(await result(), 2)
  await writeFile(join(folder, 'index.ts'), `import used from 'dep'; export const rank = () => used() + 1`)
  assert.equal(await result(), 3)
  await writeFile(join(folder, 'node_modules/dep/index.js'), 'const lib = require("./lib"); module.exports = () => lib * 10')
  assert.equal(await result(), 21)
})

// A graph of files that import each other, also in circles. Every file notes when it is loaded, and what it sees of the others then.

interface Node {
  readonly isModule: boolean
  readonly imports: readonly { readonly to: number; readonly late: boolean }[]
}

const graphs: fc.Arbitrary<readonly Node[]> = fc.array(
  fc.record({
    isModule: fc.boolean(),
    imports: fc.array(fc.record({ to: fc.nat(7), late: fc.boolean() }), { maxLength: 3 }),
  }),
  { minLength: 2, maxLength: 8 },
)

function filesOf(graph: readonly Node[], isStrict: boolean): Files {
  const nameOf = (to: number) => `f${to % graph.length}.${graph[to % graph.length]?.isModule ? 'mjs' : 'cjs'}`
  const see = (name: string) => `log.push([ID, Object.keys(${name}).join(), String(${name}.value), String(${name}.default?.value)])`
  const files = graph.map(({ isModule, imports }, id): [string, string] => {
    const lines = imports.map(({ to, late }, i) => {
      const load = isModule ? `import * as i${i} from './${nameOf(to)}'` : `const i${i} = require('./${nameOf(to)}')`
      return late && !isModule ? `later.push(() => { ${load}; ${see(`i${i}`)} })` : `${load}; ${see(`i${i}`)}`
    })
    const start = `${isModule || !isStrict ? '' : '"use strict";'} log.push('start ${id}');`
    const value = isModule
      ? `export let value = ${id}; value += 100`
      : `exports.value = ${id}; if (${id} % 2) module.exports = { value: ${id}, replaced: true }`
    return [nameOf(id), `${start}\n${lines.join('\n').replaceAll('ID', String(id))}\n${value}\nlog.push('end ${id}')`]
  })
  const entry = `import './${nameOf(0)}'\nexport const rank = () => { for (const each of later) each(); return JSON.stringify(log) }`
  return { ...Object.fromEntries(files), 'index.js': entry, 'package.json': packageWith({}, 'index.js') }
}

function outcome(made: Bundle): string {
  try {
    return vm.runInNewContext(`var log = [], later = []; const made = ${made.code}; made.rank()`)
  } catch (error) {
    return String(error)
  }
}

test('files in two parts are loaded when, and see of each other what, they would in one part', async t => {
  await fc.assert(
    fc.asyncProperty(graphs, async graph => {
      const [strict, split] = await Promise.all(
        [true, false].map(async isStrict => {
          const folder = await moduleFolder(t, filesOf(graph, isStrict))
          return outcome(await bundleModule(folder))
        }),
      )
      assert.equal(split, strict)
    }),
    { numRuns: 40 },
  )
})
