import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { errorTable } from '../base/kernel/errors.ts'
import { errorsDoc, errorsDocPath } from './errors-doc.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

test('docs/errors.md says what the error table says', () => {
  assert.equal(readFileSync(errorsDocPath, 'utf8'), errorsDoc(), 'run "npm run docs:errors"')
})

test('every code of the error table is used', () => {
  const sources = globSync(['base/**/*.ts', 'sdk/**/*.ts'], { cwd: root })
    .filter(file => !file.endsWith('.test.ts') && !file.endsWith('errors.ts'))
    .map(file => readFileSync(join(root, file), 'utf8'))
    .join('\n')
  assert.deepEqual(
    Object.keys(errorTable).filter(code => !sources.includes(`'${code}'`)),
    [],
  )
})
