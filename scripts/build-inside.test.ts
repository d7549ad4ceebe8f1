import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { buildInside, builtFolder } from './build-inside.ts'

test('base/inside/built has what is made of base/inside', async () => {
  const scripts = await buildInside()
  const remedy = 'run "npm run build:inside"'
  assert.deepEqual(readdirSync(builtFolder).sort(), [...scripts.keys()].map(name => `${name}.js`).sort(), remedy)
  for (const [name, text] of scripts)
    assert(readFileSync(join(builtFolder, `${name}.js`), 'utf8') === text, `${name}.js is stale: ${remedy}`)
})
