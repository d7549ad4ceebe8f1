/** Rules about the code that no compiler checks: layers, cycles, dead files. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseSync } from 'oxc-parser'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Which layers each may import; what is not listed here may not be imported from it. Types count as imports. */
const layers: Readonly<Record<string, readonly string[]>> = {
  'base/kernel': [],
  'base/inside': [],
  'base/traffic': ['base/kernel'],
  'base/contract': ['base/kernel', 'base/traffic'],
  'base/change': ['base/kernel', 'base/traffic', 'base/contract'],
  'base/wire': ['base/kernel', 'base/traffic'],
  'base/folder': ['base/kernel', 'base/traffic'],
  'base/process': ['base/folder'],
  'base/store': ['base/kernel', 'base/traffic', 'base/contract', 'base/change', 'base/folder'],
  'base/services': ['base/kernel', 'base/folder'],
  'base/slot': ['base/kernel', 'base/inside', 'base/traffic'],
  'base/cell': ['base/kernel', 'base/inside', 'base/traffic', 'base/contract', 'base/wire', 'base/folder', 'base/services', 'base/slot'],
  'base/trial': ['base/kernel', 'base/inside', 'base/traffic', 'base/wire', 'base/slot'],
  'base/keeper': ['base/kernel', 'base/traffic', 'base/contract', 'base/change', 'base/wire', 'base/folder', 'base/process', 'base/store'],
  'base/supervisor': ['base/kernel', 'base/wire', 'base/folder', 'base/process'],
  'base/main.ts': ['base/kernel', 'base/process', 'base/cli.ts', 'base/cell', 'base/trial', 'base/keeper', 'base/supervisor'],
  'base/cli.ts': ['base/kernel', 'base/wire', 'base/folder', 'base/store', 'base/supervisor'],
  sdk: ['base/kernel', 'base/traffic', 'base/contract', 'base/wire', 'base/folder', 'base/process'],
  modules: ['sdk'],
}

/** Started by path, by a person or by the test runner: nothing imports them. */
const entries = [
  /\.test(-d)?\.ts$/,
  /^base\/main\.ts$/,
  // Bundled by scripts/build-inside.ts.
  /^base\/inside\/(main|fakes|lazy\/[^/]+)\.ts$/,
  /^sdk\/(cli\/sdk|author\/author|author\/test-hook|caller\/index)\.ts$/,
  /^scripts\//,
  /^modules\/[^/]+\/index\.ts$/,
  /fixtures\//,
]

const folders = ['base', 'sdk', 'modules', 'scripts', 'test']
const files = globSync(
  folders.map(folder => `${folder}/**/*.ts`),
  // What was built from them.
  { cwd: root, exclude: ['**/dist/**'] },
).map(file => file.replaceAll('\\', '/'))
const imports = new Map(files.map(file => [file, importsOf(file)]))

/** Project files that `file` imports, types included. */
function importsOf(file: string): string[] {
  const { module } = parseSync(file, readFileSync(join(root, file), 'utf8'))
  const specifiers = module.staticImports.map(found => found.moduleRequest.value)
  for (const { entries } of module.staticExports)
    for (const { moduleRequest } of entries) if (moduleRequest) specifiers.push(moduleRequest.value)
  const source = readFileSync(join(root, file), 'utf8')
  for (const { moduleRequest } of module.dynamicImports) specifiers.push(source.slice(moduleRequest.start + 1, moduleRequest.end - 1))
  return [...new Set(specifiers)].flatMap(specifier => {
    if (specifier.startsWith('#sdk/')) return [`sdk/author/${specifier.slice('#sdk/'.length)}.ts`]
    if (!specifier.startsWith('.') || specifier.endsWith('/package.json')) return []
    return [relative(root, resolve(root, dirname(file), specifier)).replaceAll('\\', '/')]
  })
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

test('nothing outside of isolates imports what runs in them, but for the protocol', () => {
  const wrong: string[] = []
  for (const [file, targets] of imports) {
    if (/^(base\/inside|test)\//.test(file)) continue
    for (const target of targets) {
      if (target.startsWith('base/inside/') && target !== 'base/inside/protocol.ts') wrong.push(`${file} imports ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
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

test('the lock file has the packages of every platform, or "npm ci" refuses it', () => {
  type Packages = Readonly<Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>>
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { packages: Packages }
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(name => !packages[`node_modules/${name}`] && !packages[`${path}/node_modules/${name}`]),
  )
  assert.deepEqual(missing, [])
})
