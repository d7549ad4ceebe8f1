import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { blobPath, digestOf } from '../folder/blob-files.ts'
import { FeatureTables } from './features.ts'

interface Started {
  readonly tables: FeatureTables
  readonly changes: () => number
  /** @returns the uploaded table of one row, whose blob is there or not */
  upload(name: string, row: object, isThere?: boolean): Promise<{ name: string; format: 'ndjson'; digest: string }>
  keep(digest: string, text: string): void
  /** Puts a file of one row into the folder. */
  putByHand(name: string, row: object): void
  rowOf(name: string): Promise<unknown>
}

function start(t: TestContext): Started {
  const data = mkdtempSync(join(tmpdir(), 'berth-test-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  let count = 0
  const tables = new FeatureTables(
    data,
    () => undefined,
    () => count++,
  )
  const keep = (digest: string, text: string) => {
    mkdirSync(dirname(blobPath(data, digest)), { recursive: true })
    writeFileSync(blobPath(data, digest), text)
  }
  return {
    tables,
    changes: () => count,
    keep,
    putByHand: (name, row) => {
      mkdirSync(join(data, 'features'), { recursive: true })
      writeFileSync(join(data, 'features', `${name}.ndjson`), JSON.stringify({ key: 'a', ...row }))
    },
    upload: async (name, row, isThere = true) => {
      const text = JSON.stringify({ key: 'a', ...row })
      const digest = await digestOf(Buffer.from(text))
      if (isThere) keep(digest, text)
      return { name, format: 'ndjson', digest }
    },
    rowOf: async name => (await tables.use(name, ({ rows }) => JSON.parse(rows.get('a') ?? 'null'))) as unknown,
  }
}

test('a table that is read already is in force as soon as a scene table names it, and the one before answers until then', async t => {
  const { tables, upload, rowOf } = start(t)
  const [one, two] = [await upload('items', { n: 1 }), await upload('items', { n: 2 })]
  tables.take([one])
  await tables.settled
  await tables.prepare(two)
  assert.deepEqual(await rowOf('items'), { key: 'a', n: 1 })
  tables.take([two])
  assert.equal(
    tables.use('items', ({ version }) => version),
    two.digest,
  )
})

test('a table that is not read yet is waited for where there is none before, and else the one before answers', async t => {
  const { tables, upload, rowOf } = start(t)
  const [one, two] = [await upload('items', { n: 1 }), await upload('items', { n: 2 })]
  tables.take([one])
  assert.deepEqual(await rowOf('items'), { key: 'a', n: 1 })
  tables.take([two])
  assert.equal(
    tables.use('items', ({ version }) => version),
    one.digest,
  )
  await tables.settled
  assert.deepEqual(await rowOf('items'), { key: 'a', n: 2 })
})

test('a file answers while the table that is uploaded over it is read, but not in a process that starts', async t => {
  const running = start(t)
  running.putByHand('items', { n: 1 })
  assert.deepEqual(await running.rowOf('items'), { key: 'a', n: 1 })
  running.tables.take([])
  running.tables.take([await running.upload('items', { n: 2 })])
  assert.deepEqual(await running.rowOf('items'), { key: 'a', n: 1 })
  await running.tables.settled
  assert.deepEqual(await running.rowOf('items'), { key: 'a', n: 2 })
  const starting = start(t)
  starting.putByHand('items', { n: 1 })
  await starting.tables.look()
  starting.tables.take([await starting.upload('items', { n: 2 })])
  assert.deepEqual(await starting.rowOf('items'), { key: 'a', n: 2 })
})

test('an uploaded table whose blob is gone says so, keeps the rows before, and is mended by uploading it again', async t => {
  const { tables, upload, keep, rowOf } = start(t)
  const [one, gone] = [await upload('items', { n: 1 }), await upload('items', { n: 2 }, false)]
  tables.take([one])
  await tables.settled
  tables.take([gone, { ...gone, name: 'bare' }])
  await tables.settled
  assert.deepEqual([...tables.broken()], ['items', 'bare'])
  assert.deepEqual(await rowOf('items'), { key: 'a', n: 1 })
  await assert.rejects(rowOf('bare'), { code: 'FEATURES_BROKEN', message: /there is no "blobs/ })
  keep(gone.digest, '{"key":"a","n":2}')
  await tables.prepare({ ...gone, name: 'bare' })
  assert.deepEqual(await rowOf('bare'), { key: 'a', n: 2 })
  tables.take([gone, { ...gone, name: 'bare' }])
  await tables.settled
  assert.deepEqual([...tables.broken()], [])
})

test('a table that no scene table names any more is gone, and each change of a state is reported', async t => {
  const { tables, upload, changes, rowOf } = start(t)
  tables.take([await upload('items', { n: 1 })])
  await tables.settled
  const before = changes()
  tables.take([])
  assert.equal(changes(), before + 1)
  await assert.rejects(rowOf('items'), { code: 'FEATURES_NOT_FOUND' })
})

test('rows are shown as they were written, null for a key of which there is none', async t => {
  const { tables, upload } = start(t)
  const source = await upload('items', { n: 1.5 })
  tables.take([source])
  assert.equal(await tables.rowsOf('items', ['a', 'b']), `{"version":"${source.digest}","rows":[{"key":"a","n":1.5},null]}`)
  assert.equal(await tables.rowsOf('items', undefined), `{"version":"${source.digest}","rows":[{"key":"a","n":1.5}]}`)
})
