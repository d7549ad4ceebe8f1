import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../store/fixtures/folder.ts'

let count = 0

/** The snapshot that a process which starts now takes or finds. */
async function snapshotIn(cache: string): Promise<string | undefined> {
  return (await codeWith(cache)).codeSnapshot()
}

async function codeWith(cache: string): Promise<typeof import('./code-snapshot.ts')> {
  process.env.NODE_COMPILE_CACHE = cache
  return import(`./code-snapshot.ts?${count++}`)
}

test('where no snapshot can be written there is none, and nothing of it is left', async t => {
  const cache = temporaryFolder(t)
  writeFileSync(join(cache, 'file'), '')
  assert.equal(await snapshotIn(join(cache, 'file/below')), undefined)
  assert.deepEqual(readdirSync(cache), ['file'])
})

test('the code has the same digest where no snapshot of it can be written', async t => {
  const cache = temporaryFolder(t)
  writeFileSync(join(cache, 'file'), '')
  const digests = [cache, join(cache, 'file/below')].map(async folder => (await codeWith(folder)).codeDigest())
  const [written, unwritten] = [await digests[0], await digests[1]]
  assert.match(`${written}`, /^[0-9a-f]{32}$/)
  assert.equal(unwritten, written)
})

test('a snapshot is written once, has what isolates run too, and is written anew when a power cut has left it damaged', async t => {
  const cache = temporaryFolder(t)
  const path = (await snapshotIn(cache)) ?? assert.fail('no snapshot could be written')
  const files = [join(path, 'cell/cell.ts'), join(path, 'inside/built/inside.js')] as const
  const texts = files.map(file => readFileSync(file, 'utf8'))
  assert.match(texts[0] ?? '', /export function runCell\(\) +\{/)
  for (const file of files) {
    truncateSync(file)
    assert.equal(await snapshotIn(cache), path)
  }
  assert.deepEqual(
    files.map(file => readFileSync(file, 'utf8')),
    texts,
  )
  assert.equal(readdirSync(cache).length, 1)
})

test('old snapshots go and so does what is left of unfinished ones, except what a base has said it uses of late', async t => {
  const cache = temporaryFolder(t)
  const old = Array.from({ length: 12 }, (_, i) => `code-${String(i).padStart(2, '0')}`)
  for (const name of ['code-aa.123', 'code-used', ...old]) {
    mkdirSync(join(cache, name))
    if (name !== 'code-used') utimesSync(join(cache, name), 1, old.indexOf(name) + 2)
  }
  const path = (await snapshotIn(cache)) ?? assert.fail('no snapshot could be written')
  assert.deepEqual(readdirSync(cache).sort(), [...old.slice(-8), 'code-used', basename(path)].sort())
})
