import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import type { Records } from '../change/records.ts'
import { blobPath, readBlob } from '../folder/blob-files.ts'
import { capsulesPath, featuresPath, tokenPath } from '../folder/paths.ts'
import { backup } from './backup.ts'
import { Blobs } from './blobs.ts'
import { type Cleanup, temporaryFolder } from './fixtures/folder.ts'
import { openStore } from './sqlite.ts'

/** A data folder whose store is closed, with one module, and with one blob to which nothing refers. */
async function makeData(t: Cleanup): Promise<{ data: string; bundle: string; unused: string }> {
  const data = temporaryFolder(t)
  const blobs = new Blobs(data)
  const bundle = await blobs.put(Buffer.from('bundle'))
  const unused = await blobs.put(Buffer.from('unused'))
  mkdirSync(featuresPath(data))
  writeFileSync(join(featuresPath(data), 'items.ndjson'), '{"key":"a"}\n')
  writeFileSync(join(featuresPath(data), '.items.new'), 'half')
  mkdirSync(join(featuresPath(data), 'no-table'))
  symlinkSync('items.ndjson', join(featuresPath(data), 'linked.ndjson'))
  symlinkSync('nowhere', join(featuresPath(data), 'dangling.ndjson'))
  const value = { name: 'rank', version: '1.0.0', stages: ['rank'], bundle, publishedAt: '', publishedBy: 'ada' }
  const store = openStore<Records>(data)
  const note = {
    who: 'ada',
    kind: 'publish module',
    payload: {},
    facts: {},
    action: 'publish module',
    target: 'rank',
    before: null,
    after: null,
  }
  store.commit([{ kind: 'module', key: 'rank@1.0.0', value }], note)
  store.close()
  writeFileSync(tokenPath(data), 'berth_secret\n', { mode: 0o600 })
  mkdirSync(capsulesPath(data))
  writeFileSync(join(capsulesPath(data), 'home'), 'what callers have sent')
  return { data, bundle, unused }
}

test('a backup of a base that does not run holds its entries, the blobs they refer to and the token, and no captured requests', async t => {
  const { data, bundle, unused } = await makeData(t)
  const target = join(temporaryFolder(t), 'deep', 'copy')
  assert.deepEqual(await backup(data, target), { target, revision: 1, blobs: 1, tables: 2 })
  const store = openStore<Records>(target)
  t.after(() => store.close())
  assert.equal(store.get('module', 'rank@1.0.0')?.value.bundle, bundle)
  assert.equal(String(await readBlob(target, bundle)), 'bundle')
  assert.equal(existsSync(blobPath(target, unused)), false)
  assert.equal(readFileSync(tokenPath(target), 'utf8'), 'berth_secret\n')
  assert.equal(statSync(tokenPath(target)).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(featuresPath(target)).sort(), ['items.ndjson', 'linked.ndjson'])
  assert.deepEqual(readdirSync(dirname(target)), ['copy'])
  assert.equal(existsSync(capsulesPath(target)), false)
})

test('a backup holds every version of an uploaded feature table, so that a base on it can go back too', async t => {
  const { data } = await makeData(t)
  const digests = await Promise.all(['{"key":"a"}', '{"key":"b"}'].map(text => new Blobs(data).put(Buffer.from(text))))
  const versions = digests.map(digest => {
    return { digest, format: 'ndjson' as const, rows: 1, bytes: 11, columns: ['key'], at: '2026-06-01T00:00:00Z', by: 'ada' }
  })
  const value = { inForce: digests[1] ?? '', since: '2026-06-01T00:00:00Z', by: 'ada', versions }
  const store = openStore<Records>(data)
  const change = { who: 'ada', kind: 'put feature table', action: 'put feature table', target: 'items', payload: {}, facts: {} }
  store.commit([{ kind: 'features', key: 'items', value }], { ...change, before: null, after: null })
  store.close()
  const target = join(temporaryFolder(t), 'copy')
  assert.equal((await backup(data, target)).tables, 3)
  for (const digest of digests) await readBlob(target, digest)
})

test('a backup into an empty folder fills it', async t => {
  const { data } = await makeData(t)
  const target = temporaryFolder(t)
  await backup(data, target)
  assert.equal(openStoreRevision(target), 1)
})

function openStoreRevision(data: string): number {
  const store = openStore<Records>(data)
  const { revision } = store
  store.close()
  return revision
}

test('a target with something in it is refused and left as it was', async t => {
  const { data } = await makeData(t)
  const target = temporaryFolder(t)
  writeFileSync(join(target, 'thesis.txt'), 'years of work')
  await assert.rejects(backup(data, target), { code: 'BACKUP_TARGET_EXISTS', message: /thesis\.txt/ })
  await assert.rejects(backup(data, join(target, 'thesis.txt')), { code: 'BACKUP_TARGET_EXISTS' })
  assert.deepEqual(readdirSync(target), ['thesis.txt'])
})

test('a folder that holds no base is refused, and none is made of it', async t => {
  const folder = temporaryFolder(t)
  await assert.rejects(backup(folder, join(folder, 'copy')), { code: 'DATA_NOT_FOUND' })
  assert.deepEqual(readdirSync(folder), [])
})

test('a backup that fails half-way removes what it made', async t => {
  const { data, bundle } = await makeData(t)
  writeFileSync(blobPath(data, bundle), 'bungle')
  const parent = temporaryFolder(t)
  const target = join(parent, 'copy')
  mkdirSync(target)
  await assert.rejects(backup(data, target), { code: 'DATA_DAMAGED' })
  assert.deepEqual(readdirSync(parent), ['copy'])
  assert.deepEqual(readdirSync(target), [])
})
