/** What of the language, and of tsconfig.json, the code of modules may use. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startGuest } from '../../test/support/isolate.ts'
import { bundle, type Files, moduleFolder, packageJson, ranked, refusal } from '../../test/support/module-folder.ts'
import { bundleModule, openBundler } from './bundle.ts'

const decorate = `function twice(method: any, { kind }: { kind: string }) { return kind === 'method' ? function (this: any) { return 2 * method.call(this) } : method }`

/** Syntax of recent years: an expression or the body of a function, and what it gives. */
const syntax: Readonly<Record<string, readonly [code: string, gives: unknown]>> = {
  'decorators of methods': [`${decorate}; class A { @twice m() { return 21 } }; return new A().m()`, 42],
  'decorators of classes': [
    'function named(made: any, c: any) { made.label = c.name; return made }; @named class A { static label = "" }; return A.label',
    'A',
  ],
  'decorators of fields': ['const plus = (_: undefined, c: any) => (x: number) => x + 1; class A { @plus x = 1 }; return new A().x', 2],
  'accessor fields': [
    'class A { accessor x = 1; static accessor y = 2 }; const a = new A(); a.x++; return [a.x, A.y, "x" in A.prototype]',
    [2, 2, true],
  ],
  using: [
    'const log: string[] = []; { using _ = { [Symbol.dispose]: () => void log.push("end") }; log.push("in") } return log',
    ['in', 'end'],
  ],
  'await using': [
    'const log: string[] = []; { await using _ = { [Symbol.asyncDispose]: async () => void log.push("end") } } return log',
    ['end'],
  ],
  'private names with in': ['class A { #x = 1; static has = (o: object) => #x in o }; return [A.has(new A()), A.has({})]', [true, false]],
  'static blocks': ['class A { static x: number; static { this.x = 5 } }; return A.x', 5],
  'sets in regular expressions': ['return /^[\\p{L}--[a-z]]$/v.test("A")', true],
  'modifiers in regular expressions': ['return [/(?i:a)b/.test("Ab"), /(?i:a)b/.test("AB")]', [true, false]],
  'doubled names of groups': ['return /(?<y>a)|(?<y>b)/.exec("b")!.groups!.y', 'b'],
  'indices of matches': ['return /b/d.exec("ab")!.indices![0]', [1, 2]],
  'logical assignment': ['let a: number | null = null; a ??= 4; a &&= a + 1; return a', 5],
  'numbers with separators and big integers': ['return String(1_000n + 1n)', '1001'],
  'optional catch and chaining': ['try { throw 1 } catch { return [undefined as any]?.[0]?.x ?? "none" }', 'none'],
  'asynchronous generators': [
    'const all: number[] = []; for await (const x of (async function* () { yield 1; yield 2 })()) all.push(x); return all',
    [1, 2],
  ],
  enums: ['enum Color { red, green }; return [Color.green, Color[0]]', [1, 'red']],
  namespaces: ['namespace n { export const x = 3 } return n.x', 3],
  'parameter properties': ['class A { constructor(readonly x: number) {} }; return new A(4).x', 4],
  'satisfies and as const': ['const o = { a: 1 } as const satisfies { a: number }; return o.a', 1],
}

test('all syntax of recent years runs in slots, as it is or translated', async t => {
  const cases = Object.entries(syntax)
  // A namespace has to be at the top level of a file, so each case has its own.
  const files = cases.map(([, [code]], i): [string, string] => {
    const [, outside = '', inside = code] = /^(enum .*?|namespace .*?) (return .*)$/s.exec(code) ?? []
    return [`case${i}.ts`, `${outside}\nexport const run = async (): Promise<any> => { ${inside} }`]
  })
  const imports = cases.map((_, i) => `import { run as run${i} } from './case${i}.ts'`)
  const calls = cases.map((_, i) => `await run${i}()`)
  const index = `${imports.join('\n')}\nexport const rank = async () => [${calls.join(', ')}]`
  const results = (await ranked(t, await bundle(t, { ...Object.fromEntries(files), 'index.ts': index }))) as unknown[]
  assert.deepEqual(
    Object.fromEntries(cases.map(([name], i) => [name, results[i]])),
    Object.fromEntries(cases.map(([name, [, gives]]) => [name, gives])),
  )
})

test('the translation of decorators is the only thing that is added: the V8 of slots is that which code is compiled for', async t => {
  const guest = await startGuest(t)
  const native = `(() => { { using _ = null } class A { static { } #x; static h = o => #x in o } return /(?i:a)/v.test('A') })()`
  assert.equal(await guest.run(native), true)
  const made = await bundle(t, { 'index.ts': 'export const rank = () => { using x = null; class A { static { A } } return /(?i:a)/v }' })
  assert.match(made.code, /using x=null;class A\{static\{A\}\}return\/\(\?i:a\)\/v/)
})

for (const { what, code, says } of [
  { what: 'in a regular expression', code: 'return /a++/', says: /Invalid regular expression: \/a\+\+\/: Nothing to repeat/ },
  { what: 'behind letters of several bytes', code: 'return ["äöü€", /a++/]', says: /index\.ts:3:19: Invalid regular expression/ },
  { what: 'of a proposal', code: 'return 1 |> f', says: /Unexpected ">"/ },
]) {
  test(`syntax ${what} that V8 does not have is refused with file, line, column and a code frame of the source`, async t => {
    const error = await refusal(t, { 'index.ts': `const f = 1\nexport const rank = () => {\n  ${code}\n}` }, 'COMPILE_FAILED')
    assert.match(error.message, /index\.ts:3:\d+: /)
    assert.match(error.message, says)
    assert.match(error.details ?? '', /3 │ {3}return /)
  })
}

const config = (compilerOptions: object, more: object = {}) => JSON.stringify({ compilerOptions, ...more })

async function gives(t: TestContext, files: Files): Promise<unknown> {
  return ranked(t, await bundle(t, files))
}

test('a module with "experimentalDecorators" gets those of old TypeScript, with decorated parameters', async t => {
  const files = {
    'index.ts': `
      const seen: any[] = []
      const note = (target: any, key: any, at: any) => { seen.push([key, typeof at]) }
      class A { @note m(@note x: number) { return x } }
      export const rank = () => [seen, new A().m(1)]`,
  }
  assert.deepEqual(await gives(t, { ...files, 'tsconfig.json': config({ experimentalDecorators: true }) }), [
    [
      ['m', 'number'],
      ['m', 'object'],
    ],
    1,
  ])
})

test('"useDefineForClassFields", or an old target, decides what fields of classes do', async t => {
  const index = `
    class A { set x(v: number) { (this as any).y = v } }
    class B extends A { x = 1 }
    export const rank = () => Object.keys(new B())`
  assert.deepEqual(await gives(t, { 'index.ts': index }), ['x'])
  assert.deepEqual(await gives(t, { 'index.ts': index, 'tsconfig.json': config({ useDefineForClassFields: false }) }), ['y'])
  assert.deepEqual(await gives(t, { 'index.ts': index, 'tsconfig.json': config({ target: 'es2021' }) }), ['y'])
})

test('"jsx" options decide what JSX becomes', async t => {
  const files = {
    'package.json': JSON.stringify({ ...JSON.parse(packageJson), main: 'index.tsx' }),
    'index.tsx': `const h = (...parts: any[]) => parts; export const rank = () => <a b="c">{1}</a>`,
    'tsconfig.json': config({ jsx: 'react', jsxFactory: 'h' }),
  }
  assert.deepEqual(await gives(t, files), ['a', { b: 'c' }, 1])
})

test('"paths" lead to files, also those of a tsconfig.json that the own one extends, from wherever the folder is', async t => {
  const files = {
    'tsconfig.json': config({ paths: { '@lib/*': ['./lib/*'] } }),
    'lib/score.ts': 'export const score = 7',
    'm/package.json': packageJson,
    'm/tsconfig.json': '{\n  // the whole repository\n  "extends": ["../tsconfig.json"],\n}',
    'm/index.ts': `import { score } from '@lib/score.ts'; export const rank = () => score`,
  }
  const folders = await Promise.all([moduleFolder(t, files), moduleFolder(t, files)])
  const [one, other] = await Promise.all(folders.map(folder => bundleModule(join(folder, 'm'))))
  assert(one !== undefined)
  assert.deepEqual(one, other)
  assert.equal(await ranked(t, one), 7)
  assert.deepEqual(one.inputs, ['../lib/score.ts', '../tsconfig.json', 'index.ts', 'package.json', 'tsconfig.json'])
})

test('a path that only a tsconfig.json above the folder gives is refused with the file to write', async t => {
  const folder = await moduleFolder(t, {
    'tsconfig.json': config({ paths: { '@lib/*': ['./lib/*'] } }),
    'lib/score.ts': 'export const score = 7',
    'm/package.json': packageJson,
    'm/index.ts': `import { score } from '@lib/score.ts'; export const rank = () => score`,
  })
  await assert.rejects(bundleModule(join(folder, 'm')), {
    message: /index\.ts:1:23: cannot find "@lib\/score\.ts"/,
    hint: /"paths" in .*tsconfig\.json say where it is\. .*\{ "extends": "\.\.\/tsconfig\.json" \}/,
  })
})

test('a path of the own tsconfig.json that leads nowhere is refused with where it leads', async t => {
  const files = {
    'tsconfig.json': config({ paths: { '@lib/*': ['./lib/*'] } }),
    'index.ts': `import { score } from '@lib/score.ts'; export const rank = () => score`,
  }
  assert.match((await refusal(t, files, 'COMPILE_FAILED')).hint ?? '', /tsconfig\.json lead to .*lib\/score\.ts, and there is no such file/)
})

for (const { fault, text, says } of [
  { fault: 'that is not JSON', text: '{\n  "compilerOptions": { "strict" }\n}', says: /tsconfig\.json:2:\d+: Expected ":"/ },
  {
    fault: 'that extends nothing',
    text: '{\n  "extends": "./base.json"\n}',
    says: /tsconfig\.json:2:14: Cannot find base config file "\.\/base\.json"/,
  },
  { fault: 'that extends itself', text: '{ "extends": "./tsconfig.json" }', says: /tsconfig\.json:1:\d+: Base config file .* forms cycle/ },
  { fault: 'with paths that are no lists', text: config({ paths: { a: 'b' } }), says: /tsconfig\.json:1:\d+: .*should be an array/ },
]) {
  test(`a tsconfig.json ${fault} is refused with its place`, async t => {
    const error = await refusal(t, { 'tsconfig.json': text, 'index.ts': 'export const rank = () => 1' }, 'COMPILE_FAILED')
    assert.match(error.message, says)
  })
}

test('a bundler that is kept open heeds a tsconfig.json, and what that extends, as they are at each bundle', async t => {
  const folder = await moduleFolder(t, {
    'index.ts': 'class A { static set x(v: number) {} }; class B extends A { static x = 1 }; export const rank = () => Object.keys(B)',
  })
  const bundler = openBundler(folder)
  t.after(() => bundler.close())
  const keys = async () => ranked(t, await bundler.bundle())
  assert.deepEqual(await keys(), ['x'])
  await writeFile(join(folder, 'base.json'), config({ useDefineForClassFields: false }))
  await writeFile(join(folder, 'tsconfig.json'), '{ "extends": "./base.json" }')
  assert.deepEqual(await keys(), [])
  await writeFile(join(folder, 'base.json'), config({}))
  assert.deepEqual(await keys(), ['x'])
})

test('"emitDecoratorMetadata", which has no effect, is warned of', async t => {
  const made = await bundle(t, { 'tsconfig.json': config({ emitDecoratorMetadata: true }), 'index.ts': 'export const rank = () => 1' })
  assert.match(made.warnings.join(), /tsconfig\.json has "emitDecoratorMetadata", which has no effect/)
})
