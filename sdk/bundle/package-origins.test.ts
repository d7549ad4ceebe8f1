import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inPackages, originsOf, usesOfNativeCode } from './package-origins.ts'

test('sources that only the source map of a package knows are put under its folder', () => {
  const files = [
    'berth.stages',
    'node_modules/a/a.js',
    'node_modules/@t/tf/dist/x.js',
    'node_modules/@t/tf/dist/y.js',
    'index.ts',
    'node_modules/web/web.js',
  ]
  const sources = [
    'node_modules/a/a.js',
    '../tf/src/x.ts',
    '../tf/src/y.ts',
    'index.ts',
    'node_modules/common/b.ts',
    'node_modules/web/v.ts',
    '../../elsewhere/node_modules/web/src/w.ts',
  ]
  assert.deepEqual(inPackages(sources, files), [
    'node_modules/a/a.js',
    'node_modules/@t/tf/src/x.ts',
    'node_modules/@t/tf/src/y.ts',
    'index.ts',
    'node_modules/web/common/b.ts',
    'node_modules/web/v.ts',
    'node_modules/web/src/w.ts',
  ])
})

test('sources of the module itself keep their names', () => {
  assert.deepEqual(inPackages(['lib.ts', 'index.ts'], ['built/lib.js', 'index.ts']), ['lib.ts', 'index.ts'])
})

const importing = (...paths: readonly string[]) => ({ bytes: 1, imports: paths.map(path => ({ path, kind: 'import-statement' as const })) })

test('each package is known by the file of the module that imports it, and by the package through which it came', () => {
  const inputs = {
    entry: importing('index.ts'),
    'index.ts': importing('table.ts', 'node_modules/a/a.js'),
    'table.ts': importing('node_modules/b/b.js'),
    'node_modules/a/a.js': importing('node_modules/a/more.js', 'node_modules/c/c.js'),
    'node_modules/a/more.js': importing(),
    'node_modules/b/b.js': importing('node_modules/a/a.js'),
    'node_modules/c/c.js': importing('node_modules/bindings/bindings.js'),
    'node_modules/bindings/bindings.js': importing(),
  }
  const origins = originsOf({ inputs }, 'entry')
  assert.deepEqual(Object.fromEntries(origins), {
    'node_modules/a': { importedBy: 'index.ts' },
    'node_modules/b': { importedBy: 'table.ts' },
    'node_modules/c': { importedBy: 'index.ts', through: 'a' },
    'node_modules/bindings': { importedBy: 'index.ts', through: 'a' },
  })
  const [warning] = usesOfNativeCode(origins)
  assert.match(warning?.text ?? '', /^The dependency "a" has native code, which "bindings" loads/)
})
