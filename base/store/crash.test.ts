import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import type { Records } from '../change/records.ts'
import { digestOf, readBlob } from '../folder/blob-files.ts'
import { blobsPath } from '../folder/paths.ts'
import { backup } from './backup.ts'
import { referencedBlobs } from './base-store.ts'
import { type Cleanup, temporaryFolder } from './fixtures/folder.ts'
import { openStore } from './sqlite.ts'

/** A process that publishes into `data` until it is killed. */
function startWriter(
  t: Cleanup,
  data: string,
): { child: ChildProcess; acknowledged: AsyncIterableIterator<string>; ended: Promise<unknown> } {
  const entry = join(import.meta.dirname, 'fixtures', 'writer.ts')
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', entry, data], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  return { child, acknowledged: createInterface({ input: child.stdout })[Symbol.asyncIterator](), ended: once(child, 'exit') }
}

/** Waits for `count` acknowledged commits, kills the process, and reads the acknowledgements that it sent before it ended. */
async function killAfter(t: Cleanup, data: string, count: number): Promise<number> {
  const { child, acknowledged, ended } = startWriter(t, data)
  let last = 0
  let seen = 0
  for await (const line of acknowledged) {
    last = Number(line)
    if (++seen === count) child.kill('SIGKILL')
  }
  await ended
  return last
}

test('a writer killed at any moment loses nothing it has acknowledged and leaves no half of a commit', async t => {
  const data = temporaryFolder(t)
  for (const count of [1, 2, 3, 5, 8, 13]) {
    const acknowledged = await killAfter(t, data, count)
    const store = openStore<Records>(data)
    const { revision } = store
    const modules = store.list('module')
    const digests = referencedBlobs(store)
    const rows = store.audit(revision + 1).length
    store.close()
    assert.ok(acknowledged >= count && revision >= acknowledged, `${acknowledged} acknowledged, ${revision} kept`)
    // The process may have been killed between a commit and its acknowledgement, so one more commit may be there.
    assert.ok(revision <= acknowledged + 1)
    assert.equal(modules.length, revision)
    assert.equal(rows, revision)
    for (const digest of digests) await readBlob(data, digest)
  }
})

test('whatever has the name of a blob after kills has its bytes', async t => {
  const data = temporaryFolder(t)
  for (const count of [1, 4, 7]) await killAfter(t, data, count)
  const folders = readdirSync(blobsPath(data)).filter(name => name.length === 2)
  const names = folders.flatMap(folder => readdirSync(join(blobsPath(data), folder)))
  assert.ok(names.length >= 12)
  for (const name of names) assert.equal(await digestOf(await readBlob(data, name)), name)
})

test('a backup taken while another process writes holds one revision with all it refers to, and opens', async t => {
  const data = temporaryFolder(t)
  const { child, acknowledged, ended } = startWriter(t, data)
  let last = 0
  for (let round = 1; round <= 3; round++) {
    for (let seen = 0; seen < 5; seen++) last = Number((await acknowledged.next()).value)
    const target = join(temporaryFolder(t), 'copy')
    const report = await backup(data, target)
    assert.ok(report.revision >= last, 'what was acknowledged before the backup is in it')
    const store = openStore<Records>(target)
    t.after(() => store.close())
    assert.equal(store.revision, report.revision)
    assert.deepEqual(
      store
        .list('module')
        .map(({ revision }) => revision)
        .sort((a, b) => a - b),
      Array.from({ length: report.revision }, (_, index) => index + 1),
    )
    for (const digest of referencedBlobs(store)) await readBlob(target, digest)
  }
  child.kill('SIGKILL')
  await ended
})
