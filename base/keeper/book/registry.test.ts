import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeBaseline, placeVersion } from '../../change/versions.ts'
import { type Cleanup, temporaryFolder } from '../../store/fixtures/folder.ts'
import type { Records } from '../../store/records.ts'
import { openStore } from '../../store/sqlite.ts'
import type { VersionRecord } from '../../traffic/schema.ts'
import { newSecret, Registry } from './registry.ts'

const ada = { who: 'ada' }

/** A registry with the module rank 1.0.0 and the scene "home" without a version. */
function makeRegistry(t: Cleanup, store = openStore<Records>(temporaryFolder(t))): Registry {
  t.after(() => store.close())
  const registry = new Registry(store, () => new Date(0))
  registry.addModule({ name: 'rank', version: '1.0.0', stages: ['rank'], bundle: 'a'.repeat(64) }, ada)
  const group = [{ stage: 'rank', modules: ['rank@^1'] }]
  registry.putScene(registry.checkScene('home', { id: 'home', group }), 'absent', ada)
  return registry
}

/** Keeps a new version, as the baseline or as dev. */
function addVersion(registry: Registry, as: 'baseline' | 'dev', label?: string): VersionRecord {
  const before = registry.traffic('home')
  const version = registry.draftVersion('home', { ...anything, label }, ada)
  registry.keepTraffic(before, placeVersion(before, { version, isNew: true, whitelist: undefined }, { as, whitelist: [] }, 'salt'), ada)
  return version
}

const anything = { named: new Map<string, string>(), resolve: false }

test('a table holds every scene with its versions, and tokens by their hash, under the revision of the store', t => {
  const registry = makeRegistry(t)
  const first = addVersion(registry, 'baseline')
  addVersion(registry, 'dev', 'second')
  const { revision } = registry
  const { token, id } = registry.createToken(['call'], 'app', ada)
  const { lock } = first
  const table = registry.buildTable()
  assert.equal(table.revision, registry.revision)
  assert.deepEqual(table.scenes, [
    {
      revision,
      definition: registry.scene('home').definition,
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

test('a table that was built does not change when the store does', t => {
  const registry = makeRegistry(t)
  const table = registry.buildTable()
  const copy = structuredClone(table)
  registry.createToken(['call'], 'app', ada)
  assert.deepEqual(table, copy)
  assert.equal(registry.buildTable().revision, table.revision + 1)
})

test('versions are numbered past nine, start from the baseline, and say from which', t => {
  const registry = makeRegistry(t)
  for (let count = 0; count < 11; count++) addVersion(registry, 'dev')
  assert.deepEqual(
    registry.versions('home').map(({ id }) => id),
    Array.from({ length: 11 }, (_, index) => `v${index + 1}`),
  )
  const before = registry.traffic('home')
  registry.keepTraffic(before, makeBaseline(before, 'v3'), ada)
  const next = registry.draftVersion('home', anything, ada)
  assert.deepEqual([next.id, next.from], ['v12', 'v3'])
  assert.equal(registry.draftVersion('home', { ...anything, from: 'v7' }, ada).from, 'v7')
  assert.throws(() => registry.draftVersion('home', { ...anything, from: 'v70' }, ada), { code: 'VERSION_NOT_FOUND', message: /v11/ })
})

test('a baseline is not set on a scene that has changed since it was read, and a draft is then not kept', t => {
  const registry = makeRegistry(t)
  const draft = registry.draftVersion('home', anything, ada)
  const before = registry.traffic('home')
  registry.putScene({ ...before.definition, params: { topK: 3 } }, before.revisions.scene, { who: 'bob' })
  const planned = placeVersion(before, { version: draft, isNew: true, whitelist: undefined }, { as: 'baseline', whitelist: [] }, 'salt')
  assert.throws(() => registry.keepTraffic(before, planned, ada), { code: 'REVISION_CONFLICT', message: /"bob"/ })
  assert.deepEqual(registry.versions('home'), [])
})

test('modules are listed by name, then by precedence of their versions, and one name is no prefix of another', t => {
  const registry = makeRegistry(t)
  const add = (name: string, version: string) => registry.addModule({ name, version, stages: ['rank'], bundle: 'b'.repeat(64) }, ada)
  add('rank', '1.10.0')
  add('rank', '1.9.0')
  add('rank-lr', '1.0.0')
  assert.deepEqual(
    registry.modules('rank').map(({ version }) => version),
    ['1.0.0', '1.9.0', '1.10.0'],
  )
  assert.equal(registry.modules().length, 4)
})

test('the baseline of a folder from before there were records of what is online can be rolled back to', t => {
  const store = openStore<Records>(temporaryFolder(t))
  const registry = makeRegistry(t, store)
  addVersion(registry, 'baseline')
  addVersion(registry, 'dev')
  store.commit([{ kind: 'online', key: 'home/v1', value: null }], {
    who: 'test',
    action: 'forget',
    target: 'home',
    before: null,
    after: null,
  })
  const before = registry.traffic('home')
  registry.keepTraffic(before, makeBaseline(before, 'v2'), ada)
  const { baseline, rules, online } = registry.traffic('home')
  assert.deepEqual([baseline, rules.previousBaseline, online], ['v2', 'v1', ['v1', 'v2']])
})

test('the same version with the same bytes but other stages is not the same', t => {
  const registry = makeRegistry(t)
  const manifest = { name: 'rank', version: '1.0.0', stages: ['sort'], bundle: 'a'.repeat(64) }
  assert.throws(() => registry.publishedAlready(manifest), { code: 'MODULE_EXISTS', message: /stages rank/ })
  assert.ok(registry.publishedAlready({ ...manifest, stages: ['rank'] }))
  assert.throws(() => registry.publishedAlready({ ...manifest, version: '1.0.0-01' }), { code: 'REQUEST_INVALID' })
})

test('a token is found by its secret only, until it is revoked', t => {
  const registry = makeRegistry(t)
  const { token, id } = registry.createToken(['publish', 'pin'], 'ci', ada)
  assert.deepEqual(registry.findToken(token)?.id, id)
  for (const wrong of ['', token.slice(0, -1), `${token}x`, newSecret()]) assert.equal(registry.findToken(wrong), undefined)
  registry.revokeToken(id, ada)
  assert.equal(registry.findToken(token), undefined)
  const trail = JSON.stringify(registry.audit(10))
  assert.ok(trail.includes('revoke token') && !trail.includes(token) && !trail.includes('hash'))
})
