import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { temporaryFolder } from '../store/fixtures/folder.ts'
import { emptyTable } from '../traffic/table.ts'
import { tablePath } from './paths.ts'
import { readSavedTable, sealTable } from './saved-table.ts'

const table = { ...emptyTable, revision: 7, tokens: [{ id: 't-中', hash: 'a'.repeat(64), rights: ['call'] as const }] }

test('a saved table is read back as it was, and where none was saved there is none', async t => {
  const data = temporaryFolder(t)
  assert.equal(await readSavedTable(data), undefined)
  writeFileSync(tablePath(data), await sealTable(table))
  assert.deepEqual(await readSavedTable(data), table)
})

test('a saved table with any of its bytes changed, cut off or added is no table', async t => {
  const data = temporaryFolder(t)
  const bytes = Buffer.from(await sealTable(table))
  const flipped = Array.from(bytes, (_, at) => Buffer.from(bytes).fill((bytes[at] ?? 0) ^ 1, at, at + 1))
  const cut = Array.from(bytes, (_, at) => bytes.subarray(0, at))
  for (const damaged of [...flipped, ...cut, Buffer.concat([bytes, Buffer.from('}')])]) {
    writeFileSync(tablePath(data), damaged)
    await assert.rejects(readSavedTable(data), { code: 'DATA_DAMAGED' }, damaged.toString('latin1'))
  }
})
