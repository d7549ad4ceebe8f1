/** Feature tables that are uploaded, as an engineer, a module and an operator meet them: one base of two cells for the file. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { blobPath } from '../base/folder/blob-files.ts'
import type { Client } from '../sdk/api/client.ts'
import { callScene, launchBase, makeScene, type RunningBase, tempFolder, until } from './support/base.ts'
import { ended, type Run, sdkIn } from './support/cli.ts'

let base: RunningBase
let folder: string
let sdk: Run

const reads = `async ({ table, keys }, ctx) => {
  try { return await ctx.services.features.getMany(table, keys) } catch ({ code, message }) { return { code, message } }
}`

before(async () => {
  base = await launchBase({ cells: 2 })
  folder = await tempFolder()
  sdk = sdkIn(folder, base)
  await makeScene(base.client, 'reads', { rank: reads }, {}, ['features'])
})
after(() => base.kill())

/** Asks often enough, each time over a new connection, that both cells answer. */
async function answersOf(table: string, ...keys: string[]): Promise<unknown[]> {
  const ask = async () => (await callScene(base, 'reads', { table, keys }, { connection: 'close' })).json()
  return Promise.all(Array.from({ length: 12 }, ask))
}

async function assertEveryCell(table: string, expected: readonly unknown[]): Promise<void> {
  for (const answer of await answersOf(table, 'a', 'b')) assert.deepEqual(answer, expected)
}

const rowsOf = (price: number, ...keys: string[]) => keys.map(key => ({ key, price }))
const ndjson = (rows: readonly object[]) => `${rows.map(row => JSON.stringify(row)).join('\n')}\n`

const save = (file: string, text: string) => writeFile(join(folder, file), text)

/** Puts a file where an operator does, as a whole. */
async function putByHand(file: string, text: string): Promise<void> {
  const to = join(base.data, 'features')
  await mkdir(to, { recursive: true })
  await writeFile(join(to, `.${file}.new`), text)
  await rename(join(to, `.${file}.new`), join(to, file))
}

const digestOf = (text: string) => createHash('sha256').update(text).digest('hex')

async function put(client: Client, table: string, text: string, revision?: number) {
  const digest = digestOf(text)
  await client.putBlob(digest, text)
  return client.putFeatureTable(table, { digest, format: 'ndjson' }, revision)
}

test('every cell answers from an uploaded table when the command ends, and from the one before after a rollback, which is done once', async () => {
  await save('items.ndjson', ndjson(rowsOf(1, 'a', 'b')))
  ended(
    await sdk('features', 'put', 'items.ndjson', '--reason', 'first'),
    0,
    /2 rows, .* columns key, price; a new table/,
    /live on 2 of 2 cells/,
  )
  await assertEveryCell('items', rowsOf(1, 'a', 'b'))
  await save('items.ndjson', ndjson(rowsOf(2, 'a', 'b')))
  ended(await sdk('features', 'put', 'items.ndjson'), 0, /before, 2 rows/, /sdk features rollback items/)
  await assertEveryCell('items', rowsOf(2, 'a', 'b'))
  ended(
    await sdk('features', 'put', 'items.ndjson'),
    0,
    /nothing: the base has these bytes/,
    /Nothing to do: items is at this version already/,
  )
  ended(
    await sdk('features', 'rollback', 'items', '--reason', 'too dear'),
    0,
    /from version [0-9a-f]{12} to [0-9a-f]{12}, live on 2 of 2 cells/,
  )
  await assertEveryCell('items', rowsOf(1, 'a', 'b'))
  ended(await sdk('features', 'rollback', 'items'), 0, /Nothing to do: items is at version/)
  await assertEveryCell('items', rowsOf(1, 'a', 'b'))
  ended(await sdk('features', 'history', 'items'), 0, /^[0-9a-f]{12} +2 .*\n[0-9a-f]{12} +● +2 /m)
  ended(await sdk('features', 'show', 'items', 'b', 'nobody'), 0, /^\{"key":"b","price":1\}\nnull$/m)
  const rows = (await base.client.audit(3)).map(({ action, target, reason }) => [action, target, reason])
  assert.deepEqual(rows, [
    ['roll back feature table', 'items', 'too dear'],
    ['put feature table', 'items', undefined],
    ['put feature table', 'items', 'first'],
  ])
  const { features } = await base.client.status()
  const { versions } = await base.client.featureTable('items')
  assert.deepEqual(
    features.map(({ name, source, rows, version, note }) => [name, source, rows, version, note]),
    [['items', 'uploaded', 2, versions[1]?.digest, null]],
  )
})

test('a file with a fault is refused with its line, and changes nothing', async () => {
  await put(base.client, 'kept', ndjson(rowsOf(1, 'a', 'b')))
  await save('kept.ndjson', `${ndjson(rowsOf(2, 'a'))}not a row\n`)
  ended(await sdk('features', 'put', 'kept.ndjson', '--yes'), 1, /FEATURES_INVALID/, /as feature table "kept": line 2: it is not JSON/)
  await save('twice.csv', 'id,n\na,1\na,2\n')
  ended(await sdk('features', 'put', 'twice.csv', '--table', 'kept', '--yes'), 1, /line 3: the key "a" is there already/)
  await assertEveryCell('kept', rowsOf(1, 'a', 'b'))
  assert.equal((await base.client.featureTable('kept')).versions.length, 1)
})

test('bytes that are damaged on the disk of the base are sent again', async () => {
  const text = ndjson(rowsOf(9, 'a', 'b'))
  await put(base.client, 'whole', text)
  await writeFile(blobPath(base.data, digestOf(text)), 'damaged')
  await save('mended.ndjson', text)
  ended(await sdk('features', 'put', 'mended.ndjson'), 0, /nothing: the base has these bytes/, /live on 2 of 2 cells/)
  await assertEveryCell('mended', rowsOf(9, 'a', 'b'))
})

test('a table that loses rows or columns needs a yes, and says which', async () => {
  await put(base.client, 'shrunk', ndjson(Array.from({ length: 10 }, (_, i) => ({ key: i, price: i, brand: 'x' }))))
  await save('shrunk.ndjson', ndjson(rowsOf(1, 'a')))
  const asked = await sdk('features', 'put', 'shrunk.ndjson')
  ended(asked, 2, /The new table has 1 row where there were 10/, /lacks the column brand/, /Add --yes if it is meant/)
  assert.equal((await base.client.featureTable('shrunk')).rows, 10)
  ended(await sdk('features', 'put', 'shrunk.ndjson', '--dry-run'), 0, /Nothing was changed: this was a dry run/)
  ended(await sdk('features', 'put', 'shrunk.ndjson', '--yes'), 0, /live on 2 of 2 cells/)
  assert.equal((await base.client.featureTable('shrunk')).rows, 1)
})

test('whoever uploads over a table that has changed since is refused, and nothing of either is lost', async () => {
  const { table } = await put(base.client, 'shared', ndjson(rowsOf(1, 'a', 'b')))
  const revision = table?.revision ?? assert.fail('no table')
  await put(base.client, 'shared', ndjson(rowsOf(2, 'a', 'b')), revision)
  await assert.rejects(put(base.client, 'shared', ndjson(rowsOf(3, 'a', 'b')), revision), {
    code: 'REVISION_CONFLICT',
    message: /but "the first token" changed it/,
  })
  await assert.rejects(put(base.client, 'shared', ndjson(rowsOf(3, 'a', 'b')), 0), { code: 'REVISION_CONFLICT' })
  await assertEveryCell('shared', rowsOf(2, 'a', 'b'))
})

test('an uploaded table goes before a file of its name, without a gap, and the file answers again when it is deleted', async () => {
  await putByHand('mixed.ndjson', ndjson(rowsOf(1, 'a', 'b')))
  await assertEveryCell('mixed', rowsOf(1, 'a', 'b'))
  const listed = async () =>
    ended(await sdk('features', 'list'), 0)
      .stdout.split('\n')
      .find(line => line.startsWith('mixed'))
  assert.match((await listed()) ?? '', /a file in the data folder/)
  await save('mixed.ndjson', ndjson(rowsOf(2, 'a', 'b')))
  ended(await sdk('features', 'put', 'mixed.ndjson'), 2, /goes before the file mixed.ndjson in the folder "features"/)
  ended(await sdk('features', 'put', 'mixed.ndjson', '--yes'), 0)
  await assertEveryCell('mixed', rowsOf(2, 'a', 'b'))
  await base.logged(({ msg, table }) => table === 'mixed' && msg.startsWith('the file of a feature table is not read'))
  ended(await sdk('features', 'delete', 'mixed', '--yes'), 0, /mixed with 2 rows and 1 versions, gone from 2 of 2 cells/)
  await assertEveryCell('mixed', rowsOf(1, 'a', 'b'))
  await rm(join(base.data, 'features/mixed.ndjson'))
})

test('while a table is replaced, each answer is from the old one or from the new one', async () => {
  const keys = Array.from({ length: 200 }, (_, i) => `k${i}`)
  const revisions = [1, 2, 3].map(price => ndjson(rowsOf(price, ...keys)))
  await put(base.client, 'swap', revisions[0] ?? '')
  let last = 0
  let isOver = false
  const reader = async () => {
    while (!isOver) {
      const rows = (await (await callScene(base, 'reads', { table: 'swap', keys })).json()) as { price: number }[]
      const prices = new Set(rows.map(({ price }) => price))
      assert.equal(prices.size, 1, `rows of ${[...prices].join(' and ')} in one answer`)
      last = rows[0]?.price ?? 0
    }
  }
  const reading = Promise.all([reader(), reader()])
  for (const text of revisions.slice(1)) await put(base.client, 'swap', text)
  isOver = true
  await reading
  assert.ok(last >= 1)
})

test('a keeper that is killed during an upload has done all of it or nothing, and the repeated request does it once', async () => {
  await put(base.client, 'killed', ndjson(rowsOf(1, 'a', 'b')))
  const { keeper } = await base.client.status()
  const from = base.log.length
  const text = ndjson(rowsOf(2, 'a', 'b'))
  const digest = digestOf(text)
  await base.client.putBlob(digest, text)
  const send = () =>
    fetch(`${base.controlUrl}/api/features/killed`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${base.token}`, 'content-type': 'application/json', 'idempotency-key': 'k1' },
      body: JSON.stringify({ digest, format: 'ndjson' }),
    })
  const broken = send().catch(() => undefined)
  process.kill(keeper.pid, 'SIGKILL')
  await broken
  await base.logged(({ msg }) => msg === 'control API listens', from)
  for (const ordinal of [1, 2]) await base.logged(({ msg, cell }) => msg === 'cell connected' && cell === ordinal, from)
  for (let again = 0; again < 2; again++) assert.equal((await send()).status, 200)
  await assertEveryCell('killed', rowsOf(2, 'a', 'b'))
  assert.equal((await base.client.featureTable('killed')).versions.length, 2)
})

test('a cell that starts answers from the uploaded tables as soon as it answers', async () => {
  await put(base.client, 'found', ndjson(rowsOf(7, 'a', 'b')))
  const from = base.log.length
  await base.client.retireCell(1)
  await base.logged(({ msg, cell }) => msg === 'cell ready' && cell === 1, from)
  await assertEveryCell('found', rowsOf(7, 'a', 'b'))
  await until(async () => (await base.client.featureTable('found')).cells.applied >= 2)
})
