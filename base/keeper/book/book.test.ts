import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ada, definition, startDriver } from '../fixtures/driver.ts'
import { newSecret } from './token-book.ts'

test('a table holds every scene with its versions, and tokens by their hash, under the revision of the store', async t => {
  const { book, baseDriver, addVersion } = await startDriver(t)
  await addVersion({ as: 'baseline' })
  await addVersion({ label: 'second' })
  const { revision } = book
  const { token, id } = await baseDriver.createToken(['call'], 'app', ada)
  const { lock } = book.scenes.version('home', 'v1')
  const table = book.tables.build()
  assert.equal(table.revision, book.revision)
  assert.deepEqual(table.scenes, [
    {
      revision,
      definition: definition({}),
      baseline: 'v1',
      versions: [
        { id: 'v1', lock },
        { id: 'v2', lock },
      ],
    },
  ])
  assert.deepEqual(
    table.tokens.map(entry => ({ id: entry.id, rights: entry.rights })),
    [{ id, rights: ['call'] }],
  )
  assert.match(table.tokens[0]?.hash ?? '', /^[0-9a-f]{64}$/)
  assert.ok(!JSON.stringify(table).includes(token))
})

test('a table that was built does not change when the store does', async t => {
  const { book, baseDriver } = await startDriver(t)
  const table = book.tables.build()
  const copy = structuredClone(table)
  await baseDriver.createToken(['call'], 'app', ada)
  assert.deepEqual(table, copy)
  assert.equal(book.tables.build().revision, table.revision + 1)
})

test('versions are numbered past nine, start from the baseline, and say from which', async t => {
  const { book, change, addVersion } = await startDriver(t)
  for (let count = 0; count < 11; count++) await addVersion()
  assert.deepEqual(
    book.scenes.versions('home').map(({ id }) => id),
    Array.from({ length: 11 }, (_, index) => `v${index + 1}`),
  )
  await change('promote version', { version: 'v3', to: 'baseline' })
  assert.equal(await addVersion(), 'v12')
  assert.equal(book.scenes.version('home', 'v12').from, 'v3')
  assert.equal(await addVersion({ from: 'v7' }), 'v13')
  assert.equal(book.scenes.version('home', 'v13').from, 'v7')
  await assert.rejects(addVersion({ from: 'v70' }), { code: 'VERSION_NOT_FOUND', message: /v13/ })
})

test('modules are listed by name, then by precedence of their versions, and one name is no prefix of another', async t => {
  const { book, publish } = await startDriver(t)
  publish('rank', '1.10.0')
  publish('rank', '1.9.0')
  publish('rank-lr', '1.0.0')
  assert.deepEqual(
    book.modules.list('rank').map(({ version }) => version),
    ['1.0.0', '1.9.0', '1.10.0'],
  )
  assert.equal(book.modules.list().length, 4)
})

test('the same version with the same bytes but other stages is not the same', async t => {
  const { book } = await startDriver(t)
  const manifest = { name: 'rank', version: '1.0.0', stages: ['sort'], bundle: 'a'.repeat(64) }
  assert.throws(() => book.modules.publishedAlready(manifest), { code: 'MODULE_EXISTS', message: /stages rank/ })
  assert.ok(book.modules.publishedAlready({ ...manifest, stages: ['rank'] }))
  assert.throws(() => book.modules.publishedAlready({ ...manifest, version: '1.0.0-01' }), { code: 'REQUEST_INVALID' })
})

test('a token is found by its secret only, until it is revoked', async t => {
  const { book, baseDriver } = await startDriver(t)
  const { token, id } = await baseDriver.createToken(['publish', 'pin'], 'ci', ada)
  assert.deepEqual(book.tokens.find(token)?.id, id)
  for (const wrong of ['', token.slice(0, -1), `${token}x`, newSecret()]) assert.equal(book.tokens.find(wrong), undefined)
  await baseDriver.revokeToken(id, ada)
  assert.equal(book.tokens.find(token), undefined)
  const rows = JSON.stringify(book.audit(10))
  assert.ok(rows.includes('revoke token') && !rows.includes(token))
})
