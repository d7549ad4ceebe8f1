import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inPackages } from './package-origins.ts'

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
  ]
  assert.deepEqual(inPackages(sources, files), [
    'node_modules/a/a.js',
    'node_modules/@t/tf/src/x.ts',
    'node_modules/@t/tf/src/y.ts',
    'index.ts',
    'node_modules/web/common/b.ts',
    'node_modules/web/v.ts',
  ])
})

test('sources of the module itself keep their names', () => {
  assert.deepEqual(inPackages(['lib.ts', 'index.ts'], ['built/lib.js', 'index.ts']), ['lib.ts', 'index.ts'])
})
