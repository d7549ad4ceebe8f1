/** Rules about the code that no compiler checks: layers, cycles, dead files, names, lengths of functions. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseSync } from 'oxc-parser'
import { compareLengths, functionLengths, listedLengths, longFunctions } from './lengths.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Which layers each may import; what is not listed here may not be imported from it. Types count as imports. */
const layers: Readonly<Record<string, readonly string[]>> = {
  'base/kernel': [],
  'base/inside': [],
  'base/traffic': ['base/kernel'],
  'base/capsule': ['base/kernel', 'base/inside', 'base/traffic'],
  'base/contract': ['base/kernel', 'base/traffic', 'base/capsule'],
  'base/change': ['base/kernel', 'base/traffic', 'base/contract'],
  'base/wire': ['base/kernel', 'base/traffic', 'base/capsule', 'base/folder'],
  'base/folder': ['base/kernel', 'base/traffic'],
  'base/process': ['base/kernel', 'base/folder'],
  'base/store': ['base/kernel', 'base/traffic', 'base/capsule', 'base/contract', 'base/change', 'base/folder'],
  'base/services': ['base/kernel', 'base/folder'],
  'base/slot': ['base/kernel', 'base/inside', 'base/traffic', 'base/capsule'],
  'base/cell': [
    'base/kernel',
    'base/inside',
    'base/traffic',
    'base/capsule',
    'base/contract',
    'base/wire',
    'base/folder',
    'base/services',
    'base/slot',
  ],
  'base/trial': ['base/kernel', 'base/inside', 'base/traffic', 'base/capsule', 'base/wire', 'base/folder', 'base/services', 'base/slot'],
  'base/keeper': [
    'base/kernel',
    'base/traffic',
    'base/capsule',
    'base/contract',
    'base/change',
    'base/wire',
    'base/folder',
    'base/process',
    'base/store',
  ],
  'base/supervisor': ['base/kernel', 'base/wire', 'base/folder', 'base/process'],
  'base/main.ts': ['base/kernel', 'base/wire', 'base/process', 'base/cli.ts', 'base/cell', 'base/trial', 'base/keeper', 'base/supervisor'],
  'base/cli.ts': ['base/kernel', 'base/wire', 'base/folder', 'base/process', 'base/store', 'base/supervisor', 'base/upgrade-command.ts'],
  'base/upgrade-command.ts': ['base/kernel', 'base/folder', 'base/process', 'base/store'],
  'sdk/sdk-error.ts': ['base/kernel', 'base/contract'],
  'sdk/sdk-files.ts': ['base/kernel'],
  'sdk/bundle': ['base/kernel', 'base/traffic', 'sdk/sdk-error.ts', 'sdk/sdk-files.ts'],
  'sdk/api': ['base/kernel', 'base/traffic', 'base/capsule', 'base/contract', 'base/folder', 'sdk/sdk-error.ts', 'sdk/bundle'],
  'sdk/author': [
    'base/kernel',
    'base/traffic',
    'base/capsule',
    'base/contract',
    'base/wire',
    'base/process',
    'base/trial',
    'sdk/sdk-error.ts',
    'sdk/sdk-files.ts',
    'sdk/bundle',
  ],
  'sdk/caller': [],
  'sdk/cli': [
    'base/kernel',
    'base/traffic',
    'base/capsule',
    'base/contract',
    'sdk/sdk-error.ts',
    'sdk/sdk-files.ts',
    'sdk/bundle',
    'sdk/api',
    'sdk/author',
  ],
  modules: ['sdk/author'],
}

/** Started by path, by a person or by the test runner: nothing imports them. */
const entries = [
  /\.test(-d)?\.ts$/,
  /^base\/main\.ts$/,
  // Bundled by scripts/build-inside.ts.
  /^base\/inside\/(inside|input-module|lazy\/[^/]+)\.ts$/,
  /^base\/slot\/stacks-inside\.ts$/,
  // Started as a thread.
  /^base\/keeper\/source-map-worker\.ts$/,
  // Becomes part of bundles.
  /^sdk\/bundle\/compile\/stand-in\.ts$/,
  /^sdk\/(cli\/main|author\/author|author\/test-hook|caller\/index)\.ts$/,
  // Declarations that the compiler of TypeScript is given when it checks a module.
  /^sdk\/author\/slot\/.*\.d\.ts$/,
  /^scripts\//,
  /^modules\/[^/]+\/index\.ts$/,
  /fixtures\//,
]

/**
 * Files that read the wall clock. It may be set at any moment, so it is for dates only: dates that people read, that are kept on disk, or that come
 * from other machines. What measures or waits reads `performance.now()`.
 */
const datingFiles = [
  'base/cell/capture.ts',
  'base/cell/log-feed.ts',
  'base/cell/module-log.ts',
  'base/folder/base-address.ts',
  'base/inside/clock.ts',
  'base/keeper/book/book.ts',
  'base/keeper/capsules/capsules.ts',
  'base/keeper/keeper.ts',
  'base/keeper/logs/logs.ts',
  'base/process/code-snapshot.ts',
  'base/slot/slot-clock.ts',
  'base/store/base-store.ts',
  'base/store/sqlite.ts',
  'base/supervisor/cell-processes.ts',
  'base/supervisor/memory-watch.ts',
  'base/supervisor/succession/handover.ts',
  'base/supervisor/supervisor.ts',
  'scripts/bench/slots.ts',
  'scripts/capsules/isolates.ts',
  'scripts/capsules/replays.ts',
  'sdk/caller/index.ts',
  'sdk/cli/commands/profile.ts',
  'sdk/cli/terminal/output.ts',
]

/** Tests, what only tests use, and modules that are kept as text. */
const testFile = /\.test(-d)?\.ts$|\/fixtures\/|^scripts\/hostile\/cases\//

const folders = ['base', 'sdk', 'modules', 'scripts', 'test']
const files = globSync(
  folders.map(folder => `${folder}/**/*.ts`),
  // What was built from them.
  { cwd: root, exclude: ['**/dist/**'] },
).map(file => file.replaceAll('\\', '/'))
const imports = new Map(files.map(file => [file, importsOf(file)]))

/** Project files that `file` imports, types included. */
function importsOf(file: string): string[] {
  return specifiersIn(file).flatMap(specifier => {
    if (specifier.startsWith('@berth/')) return entryOf(specifier)
    if (!specifier.startsWith('.') || specifier.endsWith('/package.json')) return []
    return [relative(root, resolve(root, dirname(file), specifier)).replaceAll('\\', '/')]
  })
}

/** What `file` imports, types included, as it says. */
function specifiersIn(file: string): string[] {
  const { module } = parseSync(file, readFileSync(join(root, file), 'utf8'))
  const specifiers = module.staticImports.map(found => found.moduleRequest.value)
  for (const { entries } of module.staticExports)
    for (const { moduleRequest } of entries) if (moduleRequest) specifiers.push(moduleRequest.value)
  const source = readFileSync(join(root, file), 'utf8')
  // Some are computed.
  const dynamic = module.dynamicImports.map(({ moduleRequest }) => source.slice(moduleRequest.start, moduleRequest.end))
  for (const written of dynamic) if (written.startsWith("'")) specifiers.push(written.slice(1, -1))
  return [...new Set(specifiers)]
}

/** The files that the three packages of this project offer. */
function entryOf(specifier: string): string[] {
  const offered: Readonly<Record<string, string>> = {
    '@berth/sdk': 'sdk/author/author.ts',
    '@berth/sdk/testing': 'sdk/author/testing.ts',
    '@berth/client': 'sdk/caller/index.ts',
  }
  return offered[specifier] === undefined ? [] : [offered[specifier]]
}

function layerOf(file: string): string | undefined {
  return Object.keys(layers).find(layer => file === layer || file.startsWith(`${layer}/`))
}

test('imports point down only', () => {
  const wrong: string[] = []
  for (const [file, targets] of imports) {
    const from = layerOf(file)
    if (from === undefined || file.endsWith('.test.ts')) continue
    for (const target of targets) {
      const to = layerOf(target)
      if (to === from) continue
      if (to === undefined || !layers[from]?.includes(to))
        wrong.push(`${file} imports ${target}: ${from} may import ${layers[from]?.join(', ') || 'nothing'}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('nothing outside of isolates imports what runs in them, but for the protocol and a table', () => {
  const wrong: string[] = []
  const shared = ['base/inside/protocol.ts', 'base/inside/by-number.ts']
  for (const [file, targets] of imports) {
    if (/^(base\/inside|test)\//.test(file)) continue
    for (const target of targets) {
      if (target.startsWith('base/inside/') && !shared.includes(target)) wrong.push(`${file} imports ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('every file of base and sdk is in a layer, and every layer has a file', () => {
  const layered = files.filter(file => /^(base|sdk)\//.test(file) && !testFile.test(file))
  assert.deepEqual(
    layered.filter(file => layerOf(file) === undefined),
    [],
  )
  assert.deepEqual(
    Object.keys(layers).filter(layer => !files.some(file => layerOf(file) === layer)),
    [],
  )
})

test('no two files of base have one name', () => {
  const named = Map.groupBy(
    files.filter(file => file.startsWith('base/') && !testFile.test(file)),
    file => basename(file),
  )
  assert.deepEqual(
    [...named.values()].filter(paths => paths.length > 1),
    [],
  )
})

test('no function over 70 lines is new or has grown, and the list of those there are is what they are', () => {
  const different = compareLengths(listedLengths(), longFunctions())
  assert.deepEqual(different, [], 'Divide what is new or has grown; "npm run tidy:lengths" writes the list of the rest')
})

test('a function is known by its name and what it is in, and its lines are counted', () => {
  const source = `
    class Cat { #age = 1
      get age() { return this.#age }
      purr = () => {
        return [1].map(x => x) } }
    function outer() {
      const inner = async () => {

      }
      return { run() {} , inner }
    }
    export default () => {}`
  assert.deepEqual(Object.fromEntries(functionLengths('cat.ts', source)), {
    'Cat.age': 1,
    'Cat.purr': 2,
    outer: 6,
    'outer.inner': 3,
    'outer.run': 1,
    '(no name)': 1,
  })
})

test('the list of lengths says what is new, grown, shrunk or gone', () => {
  const before = { 'a.ts': { same: 71, grown: 80, shrunk: 90, gone: 100 } }
  const now = { 'a.ts': { same: 71, grown: 81, shrunk: 89 }, 'b.ts': { added: 72 } }
  assert.deepEqual(compareLengths(before, now), [
    'a.ts: grown has grown from 80 to 81 lines: divide it',
    'a.ts: shrunk has shrunk from 90 to 89 lines',
    'b.ts: added has 72 lines, more than 70: divide it',
    'a.ts: gone is not over 70 lines any more',
  ])
})

test('only files that need dates read the wall clock', () => {
  const reads = /\bDate\.now\b|\bnew Date\(\)|\} = Date\b/
  const own = files.filter(file => /^(base|sdk|scripts)\//.test(file) && !testFile.test(file))
  const found = own.filter(file => reads.test(readFileSync(join(root, file), 'utf8').replaceAll(/\/\*\*[\s\S]*?\*\//g, '')))
  assert.deepEqual(found.sort(), datingFiles)
})

test('a module imports only its own files and the types of sdk/author', () => {
  const wrong: string[] = []
  for (const [file, targets] of imports) {
    const own = /^modules\/[^/]+\//.exec(file)?.[0]
    if (own === undefined || file.endsWith('.test.ts')) continue
    for (const target of targets) if (!target.startsWith(own) && target !== 'sdk/author/author.ts') wrong.push(`${file} imports ${target}`)
  }
  assert.deepEqual(wrong, [])
})

test('no import goes in a circle', () => {
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file)
    assert.equal(start, -1, `circle: ${[...path.slice(start), file].join(' → ')}`)
    if (done.has(file)) return
    for (const target of imports.get(file) ?? []) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
})

test('every file is imported or is an entry', () => {
  const imported = new Set([...imports.values()].flat())
  assert.deepEqual(
    files.filter(file => !imported.has(file) && !entries.some(entry => entry.test(file))),
    [],
  )
})

test('a package of this project depends on what its sources import, and on nothing else', () => {
  for (const folder of ['base', 'sdk']) {
    const own = files.filter(file => file.startsWith(`${folder}/`) && !file.startsWith('sdk/caller/') && !testFile.test(file))
    // The scripts of isolates are built, and no source imports them.
    const sources = own.filter(file => !file.startsWith('base/inside/'))
    const imported = new Set(
      sources.flatMap(file => specifiersIn(file)).flatMap(specifier => /^(?:@[^/]+\/)?[a-z][^/:]*(?=\/|$)/.exec(specifier)?.[0] ?? []),
    )
    const { name, dependencies } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
    const other = [...imported].filter(found => found !== name)
    // Found by path: the compiler of TypeScript, and the base that a module is tried on.
    assert.deepEqual(
      [...new Set([...other, ...(folder === 'sdk' ? ['typescript', '@berth/base'] : [])])].sort(),
      Object.keys(dependencies).sort(),
      folder,
    )
  }
})

test('the lock file has the packages of every platform, or "npm ci" refuses it', () => {
  type Packages = Readonly<Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>>
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { packages: Packages }
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(name => !packages[`node_modules/${name}`] && !packages[`${path}/node_modules/${name}`]),
  )
  assert.deepEqual(missing, [])
})
