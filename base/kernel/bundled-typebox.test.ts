import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { writeBundle } from './bundled-typebox.ts'

interface Printed {
  readonly said: unknown
  readonly files: number
  readonly bundled: number
}

async function schemaChecks(...args: readonly string[]): Promise<Printed> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'fixtures/schema-checks.ts'), ...args])
  return JSON.parse(stdout) as Printed
}

test('typebox says the same of every value from its bundle, which is a few files', async () => {
  const [plain, bundled] = await Promise.all([schemaChecks(), schemaChecks('bundled')])
  assert.deepEqual(bundled.said, plain.said)
  assert.equal(plain.bundled, 0)
  assert.equal(bundled.bundled, bundled.files)
  assert.ok(bundled.files < plain.files / 20, `${bundled.files} of ${plain.files} files`)
})

test('where the bundle cannot be written, typebox is loaded as it is, and nothing is left', t => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'file'), '')
  assert.equal(writeBundle(['typebox'], join(folder, 'file/below')), false)
  assert.equal(writeBundle(['typebox/gone'], join(folder, 'bundle')), false)
  assert.deepEqual(readdirSync(folder), ['file'])
})

test('a bundle that another process has written meanwhile is used', t => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const bundle = join(folder, 'bundle')
  assert.equal(writeBundle(['typebox/guard'], bundle), true)
  assert.equal(writeBundle(['typebox/guard'], bundle), true)
  assert.deepEqual(readdirSync(folder), ['bundle'])
})
