import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { blobPath } from '../folder/blob-files.ts'
import { blobsPath } from '../folder/paths.ts'
import { BerthError } from '../kernel/errors.ts'
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

/** An error that names the file of the blob. It may reach anybody who calls a scene, so it must not show where the data folder is. */
const naming = (code: string, data: string) => (error: unknown) => {
  assert.ok(error instanceof BerthError && error.code === code, String(error))
  assert.ok(error.message.includes(`"${relative(data, blobPath(data, digest))}"`) && !error.message.includes(data), error.message)
  return true
}

test('reading a blob that is not there, or that may not be read, says where it should be', async t => {
  const data = temporaryFolder(t)
  const blobs = new Blobs(data)
  await assert.rejects(blobs.read(digest), naming('BLOB_NOT_FOUND', data))
  mkdirSync(blobPath(data, digest), { recursive: true })
  await assert.rejects(blobs.read(digest), naming('DATA_DAMAGED', data))
})

test('a blob whose bytes have changed on disk is never read, and is mended by putting it again', async t => {
  const data = temporaryFolder(t)
  const blobs = new Blobs(data)
  await blobs.put(bytes)
  writeFileSync(blobPath(data, digest), 'a bungle')
  await assert.rejects(blobs.read(digest), naming('DATA_DAMAGED', data))
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

test('what nothing refers to goes at the second look, unless somebody has put or asked for it since the first', async t => {
  const data = temporaryFolder(t)
  const blobs = new Blobs(data)
  const [used, replaced, again, asked] = await Promise.all(['used', 'replaced', 'again', 'asked'].map(text => blobs.put(Buffer.from(text))))
  const look = () => blobs.removeUnused(() => new Set([used ?? '']))
  assert.equal(await look(), 0)
  await blobs.put(Buffer.from('again'))
  await blobs.size(asked ?? '')
  assert.equal(await look(), 1)
  const there = () => Promise.all([used, replaced, again, asked].map(digest => new Blobs(data).has(digest ?? '')))
  assert.deepEqual(await there(), [true, false, true, true])
  assert.equal(await look(), 2)
  assert.deepEqual(await there(), [true, false, false, false])
})

async function* inParts(...parts: (string | Error)[]): AsyncGenerator<Buffer> {
  for (const part of parts) {
    if (part instanceof Error) throw part
    yield Buffer.from(part)
  }
}

test('bytes that come in parts are kept as a whole, or not at all', async t => {
  const data = temporaryFolder(t)
  const blobs = new Blobs(data)
  for (const [parts, bytesMax, error] of [
    [['a bun', 'dled'], 100, { code: 'BLOB_DIGEST_MISMATCH' }],
    [['a bun', 'dle'], 7, { code: 'BODY_TOO_LARGE', message: /more than 7 bytes/ }],
    [['a bun', new Error('the caller has gone')], 100, { message: 'the caller has gone' }],
  ] as const) {
    await assert.rejects(blobs.putParts(digest, inParts(...parts), bytesMax), error)
    assert.equal(await blobs.has(digest), false)
    assert.deepEqual(readdirSync(join(blobsPath(data), 'unfinished')), [])
  }
  assert.equal(await blobs.putParts(digest, inParts('a bun', 'dle'), 8), 8)
  assert.deepEqual(await blobs.read(digest), bytes)
  writeFileSync(blobPath(data, digest), 'damaged')
  await blobs.putParts(digest, inParts('a bundle'), 8)
  assert.deepEqual(await blobs.read(digest), bytes)
})
