import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { blobPath } from '../wire/blobs.ts'
import { blobsPath } from '../wire/paths.ts'
import { Blobs } from './blobs.ts'
import { temporaryFolder } from './fixtures/folder.ts'

const bytes = Buffer.from('a bundle')
const digest = createHash('sha256').update(bytes).digest('hex')

test('a blob is read back by the sha256 of its bytes', async t => {
  const blobs = new Blobs(temporaryFolder(t))
  assert.equal(await blobs.has(digest), false)
  assert.equal(await blobs.put(bytes), digest)
  assert.equal(await blobs.has(digest), true)
  assert.equal(await blobs.size(digest), bytes.length)
  assert.deepEqual(await blobs.read(digest), bytes)
})

test('putting the same bytes again, even at once, keeps one blob and leaves nothing unfinished', async t => {
  const data = temporaryFolder(t)
  const blobs = new Blobs(data)
  await Promise.all([blobs.put(bytes), blobs.put(bytes), blobs.put(bytes)])
  await blobs.put(bytes)
  assert.deepEqual(readdirSync(dirname(blobPath(data, digest))), [digest])
  assert.deepEqual(readdirSync(join(blobsPath(data), 'unfinished')), [])
})

test('reading a blob that is not there says where it should be', async t => {
  const data = temporaryFolder(t)
  await assert.rejects(new Blobs(data).read(digest), { code: 'BLOB_NOT_FOUND', message: new RegExp(blobPath(data, digest)) })
})

test('a blob whose bytes have changed on disk is never read, and is mended by putting it again', async t => {
  const data = temporaryFolder(t)
  const blobs = new Blobs(data)
  await blobs.put(bytes)
  writeFileSync(blobPath(data, digest), 'a bungle')
  await assert.rejects(blobs.read(digest), { code: 'DATA_DAMAGED', message: new RegExp(blobPath(data, digest)) })
  await blobs.put(bytes)
  assert.deepEqual(await blobs.read(digest), bytes)
})

test('a write that was interrupted is no blob, and is swept away at the next start', async t => {
  const data = temporaryFolder(t)
  const unfinished = join(blobsPath(data), 'unfinished')
  mkdirSync(unfinished, { recursive: true })
  writeFileSync(join(unfinished, 'half'), 'a bun')
  const blobs = new Blobs(data)
  assert.equal(await blobs.has(digest), false)
  await blobs.sweep()
  assert.equal(existsSync(unfinished), false)
  assert.equal(await blobs.put(bytes), digest)
})

test('a write that fails leaves neither a blob nor an unfinished file', async t => {
  const data = temporaryFolder(t)
  const blobs = new Blobs(data)
  // A folder where the blob should be makes the rename fail, after everything has been written.
  mkdirSync(blobPath(data, digest), { recursive: true })
  await assert.rejects(blobs.put(bytes))
  assert.deepEqual(readdirSync(join(blobsPath(data), 'unfinished')), [])
  rmSync(blobPath(data, digest), { recursive: true })
  assert.equal(await blobs.has(digest), false)
})
