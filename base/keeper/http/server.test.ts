import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { tablePath, tokenPath } from '../../folder/paths.ts'
import { readSavedTable } from '../../folder/saved-table.ts'
import { backup } from '../../store/backup.ts'
import { temporaryFolder } from '../../store/fixtures/folder.ts'
import type { Right } from '../../traffic/schema.ts'
import { connectCell, startTestKeeper, type TestKeeper } from '../fixtures/keeper.ts'
import { routes } from './routes/routes.ts'

const group = [{ stage: 'rank', modules: ['rank-lr@^1'] }]
const home = { id: 'home', group }

/** A keeper with rank-lr 1.0.0, the scene "home" and its baseline v1, and one cell. */
async function startWithBaseline(t: Parameters<typeof startTestKeeper>[0]) {
  const base = await startTestKeeper(t)
  const cell = connectCell(t, base.data)
  await cell.ready
  await base.publish('rank-lr', '1.0.0')
  await base.ask('PUT', '/api/scenes/home', { payload: home })
  const made = await base.ask('POST', '/api/scenes/home/versions', { payload: { as: 'baseline' } })
  assert.equal(made.status, 201)
  return { ...base, cell }
}

const revisionOf = async ({ ask }: Pick<TestKeeper, 'ask'>) => (await ask('GET', '/api/status')).body.revision

test('a module is published, bound to a scene, and made the baseline in every cell before the answer', async t => {
  const { ask, cell, data } = await startWithBaseline(t)
  const { body: scene, headers } = await ask('GET', '/api/scenes/home')
  assert.equal(scene.baseline, 'v1')
  assert.equal(headers.get('etag'), `"${scene.revision}"`)
  const table = cell.tables.at(-1)
  assert.deepEqual(
    table?.scenes.map(({ definition, baseline, versions }) => [definition.id, baseline, versions.map(({ id }) => id)]),
    [['home', 'v1', ['v1']]],
  )
  assert.deepEqual(
    cell.plans.map(({ key }) => key),
    ['home/v1@128'],
  )
  assert.deepEqual(await readSavedTable(data), table)
  assert.equal(statSync(tablePath(data)).mode & 0o777, 0o600)
  assert.equal(statSync(tokenPath(data)).mode & 0o777, 0o600)
})

test('publishing the same bytes again changes nothing, other bytes are refused with both digests', async t => {
  const base = await startTestKeeper(t)
  const first = await base.publish('rank-lr', '1.0.0', 'bytes')
  assert.equal(first.status, 201)
  assert.equal(first.body.created, true)
  const revision = await revisionOf(base)
  const again = await base.publish('rank-lr', '1.0.0', 'bytes')
  assert.equal(again.status, 200)
  assert.equal(again.body.created, false)
  const other = await base.publish('rank-lr', '1.0.0', 'other bytes')
  assert.equal(other.status, 409)
  assert.equal(other.body.code, 'MODULE_EXISTS')
  assert.equal(other.body.published, first.body.bundle)
  assert.notEqual(other.body.offered, first.body.bundle)
  assert.equal(await revisionOf(base), revision)
})

test('a module that fails its trial, kills it, or has no bundle is refused and not kept', async t => {
  const base = await startTestKeeper(t)
  const codes = [
    ['throw', 'MODULE_LOAD_THREW'],
    ['die', 'MODULE_LOAD_KILLED'],
  ] as const
  for (const [text, code] of codes) {
    const { status, body } = await base.publish('rank-lr', '1.0.0', text)
    assert.deepEqual([status, body.code], [422, code])
  }
  const manifest = { name: 'rank-lr', version: '1.0.0', stages: ['rank'], bundle: '0'.repeat(64) }
  const missing = await base.ask('POST', '/api/modules', { payload: { manifest } })
  assert.deepEqual([missing.status, missing.body.code], [404, 'BLOB_NOT_FOUND'])
  assert.deepEqual((await base.ask('GET', '/api/modules')).body, [])
})

test('blobs are kept under the digest of their bytes only', async t => {
  const { ask } = await startTestKeeper(t)
  const digest = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'
  const headers = { 'content-type': 'application/octet-stream' }
  assert.equal((await ask('HEAD', `/api/blobs/${digest}`)).status, 404)
  const wrong = await ask('PUT', `/api/blobs/${digest}`, { headers, payload: 'hell' })
  assert.deepEqual([wrong.status, wrong.body.code], [400, 'BLOB_DIGEST_MISMATCH'])
  assert.equal((await ask('PUT', `/api/blobs/${digest}`, { headers, payload: 'hello' })).status, 201)
  assert.equal((await ask('PUT', `/api/blobs/${digest}`, { headers, payload: 'hello' })).status, 200)
  assert.equal((await ask('HEAD', `/api/blobs/${digest}`)).status, 200)
  const json = await ask('PUT', `/api/blobs/${digest}`, { payload: { hello: 1 } })
  assert.deepEqual([json.status, json.body.code], [415, 'CONTENT_TYPE_UNSUPPORTED'])
  const odd = await ask('PUT', '/api/blobs/..%2f..%2fpasswd', { headers, payload: 'hello' })
  assert.deepEqual([odd.status, odd.body.code], [400, 'REQUEST_INVALID'])
})

test('every fault of a scene definition has its own code and changes nothing', async t => {
  const base = await startTestKeeper(t)
  await base.publish('rank-lr', '1.0.0')
  const revision = await revisionOf(base)
  const stage = { stage: 'rank', modules: ['rank-lr@^1'] }
  const cases: [object, string][] = [
    [{ id: 'home', group: [stage, stage] }, 'STAGE_DUPLICATE'],
    [{ id: 'home', group: [{ stage: 'rank', modules: ['ghost@^1'] }] }, 'MODULE_NOT_FOUND'],
    [{ id: 'home', group: [{ stage: 'rank', modules: ['rank-lr@^2'] }] }, 'MODULE_RANGE_UNSATISFIED'],
    [{ id: 'home', group: [{ stage: 'rank', modules: ['rank-lr@latest'] }] }, 'MODULE_RANGE_UNSATISFIED'],
    [{ id: 'home', group: [{ stage: 'recall', modules: ['rank-lr@^1'] }] }, 'MODULE_LACKS_STAGE'],
    [{ id: 'home', group: [] }, 'SCENE_INVALID'],
    [{ id: 'home', group, colour: 'red' }, 'SCENE_INVALID'],
    [{ id: 'other', group }, 'SCENE_INVALID'],
    [{ id: 'home', group, attributes: { 'not-a-name': '/user/id' } }, 'SCENE_INVALID'],
  ]
  for (const [definition, code] of cases) {
    const { body } = await base.ask('PUT', '/api/scenes/home', { payload: definition })
    assert.equal(body.code, code, JSON.stringify(definition))
  }
  const infinite = await base.ask('PUT', '/api/scenes/home', {
    headers: { 'content-type': 'application/json' },
    payload: `{"id":"home","group":${JSON.stringify(group)},"params":{"topK":1e999}}`,
  })
  assert.equal(infinite.body.code, 'SCENE_INVALID')
  assert.equal(await revisionOf(base), revision)
  assert.equal((await base.ask('GET', '/api/scenes/home')).body.code, 'SCENE_NOT_FOUND')
})

test('a scene defined as it is already is left alone', async t => {
  const base = await startTestKeeper(t)
  await base.publish('rank-lr', '1.0.0')
  const first = await base.ask('PUT', '/api/scenes/home', { payload: home })
  assert.equal(first.status, 201)
  const again = await base.ask('PUT', '/api/scenes/home', { payload: home })
  assert.equal(again.status, 200)
  assert.equal(again.body.revision, first.body.revision)
})

test('a write on an old revision is refused with the current one and who changed it', async t => {
  const base = await startWithBaseline(t)
  const { ask } = base
  const { revision } = (await ask('GET', '/api/scenes/home')).body
  const changed = { ...home, params: { topK: 3 } }
  const first = await ask('PUT', '/api/scenes/home', { payload: changed, headers: { 'if-match': `"${revision}"` } })
  assert.equal(first.status, 200)
  const writes = [
    ['PUT', '/api/scenes/home', { ...home, params: { topK: 4 } }],
    ['POST', '/api/scenes/home/versions', {}],
  ] as const
  for (const [method, url, payload] of writes) {
    const { status, body } = await ask(method, url, { payload, headers: { 'if-match': `"${revision}"` } })
    assert.deepEqual([status, body.code, body.revision], [409, 'REVISION_CONFLICT', first.body.revision], url)
    assert.match(String(body.changedBy), /^t-/)
    assert.match(String(body.changedAt), /^20/)
  }
  const stale = { 'if-match': `"${revision}"` }
  const faulty = await ask('PUT', '/api/scenes/home', { payload: { ...home, group: [] }, headers: stale })
  assert.equal(faulty.body.code, 'REVISION_CONFLICT', 'who was late hears that before what else is wrong')
  const unknown = await ask('POST', '/api/scenes/home/versions/v9/promote', { payload: { to: 'baseline' }, headers: stale })
  assert.equal(unknown.body.code, 'VERSION_NOT_FOUND')
  const exists = await ask('PUT', '/api/scenes/home', { payload: home, headers: { 'if-none-match': '*' } })
  assert.deepEqual([exists.status, exists.body.code], [409, 'REVISION_CONFLICT'])
})

test('a version that a cell cannot load does not become the baseline, and is not kept', async t => {
  const base = await startWithBaseline(t)
  await base.publish('rank-lr', '1.1.0')
  const revision = await revisionOf(base)
  base.cell.onPrepare = () => ({ code: 'MODULE_LOAD_THREW', message: 'it threw' })
  const { status, body } = await base.ask('POST', '/api/scenes/home/versions', { payload: { resolve: true, as: 'baseline' } })
  assert.deepEqual([status, body.code], [422, 'UPGRADE_FAILED'])
  assert.deepEqual(body.cause, { code: 'MODULE_LOAD_THREW', message: 'it threw' })
  assert.match(String(body.detail), /it threw/)
  assert.equal(await revisionOf(base), revision)
  assert.equal((await base.ask('GET', '/api/scenes/home/versions')).body.length, 1)
})

test('one cell that cannot load a version fails the upgrade at once, whatever the others do', async t => {
  const base = await startWithBaseline(t)
  const second = connectCell(t, base.data, 2)
  await second.ready
  second.onPrepare = () => 'silence'
  base.cell.onPrepare = () => ({ code: 'MODULE_LOAD_KILLED', message: 'too much memory' })
  const { body } = await base.ask('POST', '/api/scenes/home/versions', { payload: { as: 'baseline' } })
  assert.equal(body.code, 'UPGRADE_FAILED')
})

test('a cell that ends while it loads a version does not fail the upgrade, unless all do', async t => {
  const base = await startWithBaseline(t)
  const second = connectCell(t, base.data, 2)
  await second.ready
  second.onPrepare = () => 'end'
  const made = await base.ask('POST', '/api/scenes/home/versions', { payload: { as: 'baseline' } })
  assert.equal(made.status, 201)
  assert.deepEqual(made.body.cells, { applied: 1, connected: 1 })
  base.cell.onPrepare = () => 'end'
  const failed = await base.ask('POST', '/api/scenes/home/versions/v1/promote', { payload: { to: 'baseline' } })
  assert.deepEqual([failed.status, failed.body.code], [422, 'UPGRADE_FAILED'])
  assert.equal((await base.ask('GET', '/api/scenes/home')).body.baseline, 'v2')
})

test('versions made at once of one scene get numbers of their own and switch one after the other', async t => {
  const { ask, cell } = await startWithBaseline(t)
  let under = 0
  let most = 0
  cell.onPrepare = async () => {
    most = Math.max(most, ++under)
    await new Promise(resolve => setImmediate(resolve))
    under--
    return 'load' as const
  }
  const made = await Promise.all([1, 2, 3].map(() => ask('POST', '/api/scenes/home/versions', { payload: { as: 'baseline' } })))
  assert.deepEqual(made.map(reply => reply.read<{ version: { id: string } }>().version.id).sort(), ['v2', 'v3', 'v4'])
  assert.equal(most, 1)
})

test('a change of the memory of a slot is loaded by the cells before it is in force', async t => {
  const { ask, cell } = await startWithBaseline(t)
  const larger = { ...home, traffic: { spec: { memoryMB: 256 } } }
  assert.equal((await ask('PUT', '/api/scenes/home', { payload: larger })).status, 200)
  assert.equal(cell.plans.at(-1)?.key, 'home/v1@256')
  cell.onPrepare = () => ({ code: 'MODULE_LOAD_KILLED', message: 'too little' })
  const smaller = { ...home, traffic: { spec: { memoryMB: 16 } } }
  assert.equal((await ask('PUT', '/api/scenes/home', { payload: smaller })).body.code, 'UPGRADE_FAILED')
  assert.equal(cell.tables.at(-1)?.scenes[0]?.definition.traffic.spec.memoryMB, 256)
})

test('a cell that connects gets the current table, also from a keeper that was started again', async t => {
  const first = await startWithBaseline(t)
  const late = connectCell(t, first.data, 2)
  await late.ready
  assert.deepEqual(late.tables, [first.cell.tables.at(-1)])
  await first.keeper.stop()
  const second = await startTestKeeper(t, first.data)
  const again = connectCell(t, second.data)
  await again.ready
  assert.deepEqual(again.tables[0]?.scenes, late.tables[0]?.scenes)
  assert.equal((await second.ask('GET', '/api/scenes/home')).body.baseline, 'v1')
})

test('a keeper starts on a backup taken while another runs, with the same scenes and the same token', async t => {
  const { data } = await startWithBaseline(t)
  const target = join(temporaryFolder(t), 'copy')
  await backup(data, target)
  const copy = await startTestKeeper(t, target)
  const cell = connectCell(t, target)
  await cell.ready
  assert.equal(cell.tables[0]?.scenes[0]?.baseline, 'v1')
  assert.equal((await copy.ask('GET', '/api/scenes/home')).body.baseline, 'v1')
})

/** The operations of all routes, by the right that they ask for. */
const expectedRights: Readonly<Record<Right | 'anyone', readonly string[]>> = {
  anyone: ['root', 'listErrors', 'healthz', 'readyz', 'metrics'],
  call: [],
  read: [
    ...[
      'headBlob',
      'listModules',
      'getModule',
      'listScenes',
      'getScene',
      'explain',
      'listVersions',
      'getVersion',
      'getRules',
      'getWhitelist',
    ],
    ...['getParams', 'listParams', 'listExperiments', 'getExperiment', 'listAudit', 'getStatus'],
    ...['listFeatureTables', 'getFeatureTable', 'readFeatureRows', 'listServices'],
  ],
  pin: ['readLogs'],
  publish: [
    ...['putBlob', 'publishModule', 'putScene', 'takeProfile', 'createVersion', 'promoteVersion', 'rollBack', 'offlineVersion'],
    ...[
      'onlineVersion',
      'liftQuarantine',
      'setLoadtest',
      'putWhitelist',
      'editWhitelist',
      'putParams',
      'rollBackParams',
      'createExperiment',
      'createLayer',
    ],
    ...['putFeatureTable', 'rollBackFeatureTable', 'deleteFeatureTable'],
    ...['deleteScene', 'deleteVersions', 'deleteModules', 'deleteExperiment', 'deleteLayer', 'offlineVersions'],
    ...['retireLayer', 'startExperiment', 'stopExperiment', 'flipExperiment', 'revertExperiment'],
  ],
  capsules: ['listCapsules', 'showCapsule', 'exportCapsule', 'importCapsule', 'deleteCapsules', 'verifyCapsules', 'runCapsule'],
  admin: ['retireCell', 'upgradeBase', 'listTokens', 'createToken', 'revokeToken'],
}
/** For each right that a route may ask for, the rights that are sufficient. */
const sufficient: Readonly<Record<Right, readonly Right[]>> = {
  call: ['call', 'admin'],
  read: ['read', 'publish', 'admin'],
  pin: ['pin', 'publish', 'admin'],
  publish: ['publish', 'admin'],
  capsules: ['capsules', 'admin'],
  admin: ['admin'],
}

test('each route lets in who has its right or one that includes it, and nobody else', async t => {
  const { ask } = await startTestKeeper(t)
  const rights = Object.keys(sufficient) as Right[]
  const made = rights.map(async right => [
    right,
    (await ask('POST', '/api/tokens', { payload: { rights: [right], label: right } })).body.token,
  ])
  const tokens = Object.fromEntries(await Promise.all(made)) as Readonly<Record<Right, string>>
  const rows = Object.values(routes).flat()
  assert.deepEqual(rows.map(({ operation }) => operation).sort(), Object.values(expectedRights).flat().sort())
  const example: Readonly<Record<string, string>> = { digest: '0'.repeat(64), version: 'v1', cell: '9', name: 'none' }
  for (const { operation, method, path } of rows) {
    const right = (Object.keys(expectedRights) as (Right | 'anyone')[]).find(each => expectedRights[each].includes(operation)) ?? 'anyone'
    const url = path.replace('/:name/:version', '/none/1.0.0').replaceAll(/:(\w+)/g, (_, name: string) => example[name] ?? 'none')
    const knock = async (authorization: string) => (await ask(method, url, { headers: { authorization } })).status
    const refusals = [await knock(''), await knock('Bearer garbage'), await knock(`Bearer ${tokens.call}x`)]
    // Whoever has guessed so many tokens is answered 429.
    assert.deepEqual(
      refusals.map(status => status === 401 || status === 429),
      Array(3).fill(right !== 'anyone'),
      operation,
    )
    for (const held of rights) {
      const status = await knock(`Bearer ${tokens[held]}`)
      assert.notEqual(status, 401, `${operation} with ${held}`)
      assert.equal(status !== 403, right === 'anyone' || sufficient[right].includes(held), `${operation} with ${held}`)
    }
  }
})

test('a revoked token is refused at once', async t => {
  const { ask, data } = await startTestKeeper(t)
  const cell = connectCell(t, data)
  await cell.ready
  const made = await ask('POST', '/api/tokens', { payload: { rights: ['publish'], label: 'ci' } })
  assert.equal(made.status, 201)
  const { token, id } = made.read<{ token: string; id: string }>()
  assert.match(token, /^berth_[\w-]{43}$/)
  assert.ok(cell.tables.at(-1)?.tokens.some(entry => entry.id === id && !JSON.stringify(entry).includes(token)))
  const headers = { authorization: `Bearer ${token}` }
  assert.equal((await ask('GET', '/api/scenes', { headers })).status, 200)
  const admin = await ask('GET', '/api/tokens', { headers })
  assert.deepEqual([admin.status, admin.body.code], [403, 'FORBIDDEN'])
  const none = await ask('GET', '/api/scenes', { headers: { authorization: '' } })
  assert.deepEqual([none.status, none.body.code, none.headers.get('www-authenticate')], [401, 'UNAUTHENTICATED', 'Bearer'])
  const listed = JSON.stringify((await ask('GET', '/api/tokens')).body)
  assert.ok(listed.includes(id) && !listed.includes(token) && !listed.includes('hash'))
  assert.deepEqual((await ask('DELETE', `/api/tokens/${id}`)).body, { id, cells: { applied: 1, connected: 1 } })
  const revoked = await ask('GET', '/api/scenes', { headers })
  assert.deepEqual([revoked.status, revoked.body.code], [401, 'UNAUTHENTICATED'])
  assert.ok(!cell.tables.at(-1)?.tokens.some(entry => entry.id === id))
  assert.equal((await ask('DELETE', `/api/tokens/${id}`)).body.code, 'TOKEN_NOT_FOUND')
})

test('whoever did something is named by the label of the token beside its id, also after that was revoked', async t => {
  const { ask, publish } = await startWithBaseline(t)
  await publish('rank-lr', '1.1.0')
  const made = (await ask('POST', '/api/tokens', { payload: { rights: ['publish'], label: 'alice' } })).body
  const headers = { authorization: `Bearer ${made.token}` }
  await ask('PUT', '/api/scenes/home/params', { payload: { params: { topK: 3 } }, headers })
  await ask('POST', '/api/scenes/home/versions', { payload: {}, headers })
  assert.equal(made.createdByLabel, 'the first token')
  for (const revoked of [false, true]) {
    if (revoked) await ask('DELETE', `/api/tokens/${made.id}`)
    const [audit] = (await ask('GET', '/api/audit?scene=home')).body as Record<string, unknown>[]
    assert.deepEqual([audit?.who, audit?.whoLabel], [made.id, 'alice'])
    const history = (await ask('GET', '/api/scenes/home/params/history')).body as Record<string, unknown>[]
    assert.deepEqual(
      history.map(({ whoLabel }) => whoLabel),
      ['alice'],
    )
    const version = ((await ask('GET', '/api/scenes/home/versions')).body as Record<string, unknown>[]).at(-1)
    assert.deepEqual([version?.createdBy, version?.createdByLabel], [made.id, 'alice'])
    const stale = await ask('PUT', '/api/scenes/home/params', { payload: { params: {} }, headers: { 'if-match': '"1"' } })
    const { changedByLabel, changes } = stale.body as { changedByLabel?: unknown; changes?: Record<string, unknown>[] }
    assert.deepEqual([stale.status, changedByLabel, changes?.[0]?.whoLabel], [409, 'alice', 'alice'])
  }
  const [first] = (await ask('GET', '/api/tokens')).body as Record<string, unknown>[]
  assert.deepEqual([first?.createdBy, first?.createdByLabel], ['base', 'base'])
})

test('the status names what services cannot offer, each once with the cells that say so', { timeout: 30_000 }, async t => {
  const { ask, keeper, data } = await startTestKeeper(t)
  for (const [ordinal, names] of [
    [2, ['items']],
    [1, ['items', 'users']],
    [1, ['items']],
  ] as const) {
    const cell = connectCell(t, data, ordinal)
    await cell.ready
    cell.breakTables(names)
  }
  const faults = async () => (await keeper.vitals.status()).serviceFaults
  while ((await faults()).map(({ cells }) => cells.length).join() !== '2,1') await nextTurn()
  assert.deepEqual((await ask('GET', '/api/status')).body.serviceFaults, [
    { service: 'features', name: 'items', cells: [1, 2] },
    { service: 'features', name: 'users', cells: [1] },
  ])
})

test('every write is in the audit log with who, what, before, after and why', async t => {
  const { ask } = await startWithBaseline(t)
  await ask('POST', '/api/scenes/home/versions', { payload: { label: 'try' } })
  await ask('POST', '/api/scenes/home/versions/v2/promote', { payload: { to: 'baseline', reason: 'it won' } })
  const rows = (await ask('GET', '/api/audit')).read<Record<string, unknown>[]>()
  assert.deepEqual(
    rows.map(({ action }) => action),
    ['set baseline', 'create version', 'set baseline', 'define scene', 'publish module', 'create token'],
  )
  const [last] = rows
  const state = { version: 'v2', online: true, cutover: null }
  assert.deepEqual([last?.reason, last?.before, last?.after], ['it won', { ...state, baseline: 'v1' }, { ...state, baseline: 'v2' }])
  assert.match(String(last?.who), /^t-/)
  assert.equal(rows.at(-1)?.who, 'base')
  const page = (await ask('GET', `/api/audit?limit=1&before=${last?.revision}`)).read<Record<string, unknown>[]>()
  assert.deepEqual(
    page.map(({ action }) => action),
    ['create version'],
  )
  assert.equal((await ask('GET', '/api/audit?limit=0')).body.code, 'REQUEST_INVALID')
  assert.equal((await ask('GET', '/api/audit?colour=red')).body.code, 'REQUEST_INVALID')
})

test('the status joins what the supervisor and the cells report', async t => {
  const { ask, keeper, cell, sent } = await startWithBaseline(t)
  const status = { rssMB: 90, connections: 4, startedAt: '2026-01-01T00:00:00.000Z', crashes: 1 }
  keeper.vitals.report({
    cells: [
      { cell: 1, pid: 1001, state: 'ready', ...status },
      { cell: 2, pid: 1002, state: 'starting', ...status },
    ],
    port: 8080,
  })
  const { body } = await ask('GET', '/api/status')
  assert.equal(body.port, 8080)
  assert.equal(body.controlPort, keeper.vitals.controlPort)
  const revision = cell.tables.at(-1)?.revision
  assert.deepEqual(body.cells, [
    { cell: 1, pid: 1001, state: 'ready', ...status, connected: true, revision, failures: [] },
    { cell: 2, pid: 1002, state: 'starting', ...status, connected: false, revision: null, failures: [] },
  ])
  assert.equal((await ask('POST', '/api/cells/2/retire')).status, 202)
  assert.deepEqual(sent, [{ type: 'retire', cell: 2 }])
  assert.equal((await ask('POST', '/api/cells/3/retire')).body.code, 'CELL_NOT_FOUND')
})

test('the keeper is ready while a cell has the current table and can answer for a scene, and names those that it cannot', async t => {
  const { ask, cell, keeper } = await startWithBaseline(t)
  const failure = (scene: string) => ({ scene, version: 'v1', code: 'MODULE_LOAD_THREW', message: 'it threw' }) as const
  // The next change is answered once the keeper has read what the cell says with its table.
  const change = () => ask('POST', '/api/tokens', { payload: { rights: ['call'], label: 'x' } })
  await ask('PUT', '/api/scenes/other', { payload: { ...home, id: 'other' } })
  await ask('POST', '/api/scenes/other/versions', { payload: { as: 'baseline' } })
  const whole = await ask('GET', '/readyz')
  assert.deepEqual([whole.status, whole.body], [200, { status: 'ok' }])
  const troubles = [{ process: 'cell 2', problem: 'it ended before it was ready' }]
  keeper.vitals.report({ cells: [], port: 8080, troubles })
  assert.deepEqual((await ask('GET', '/readyz')).body, { status: 'ok', troubles })
  keeper.vitals.report({ cells: [], port: 8080 })
  cell.failures = [failure('home')]
  await change()
  const partly = await ask('GET', '/readyz')
  assert.deepEqual([partly.status, partly.body], [200, { status: 'ok', failures: cell.failures }])
  cell.failures = [failure('home'), failure('other')]
  await change()
  const broken = await ask('GET', '/readyz')
  assert.deepEqual([broken.status, broken.body.code, broken.body.failures], [503, 'BASE_NOT_READY', cell.failures])
})

test('the keeper is not ready before a cell has connected', async t => {
  const { ask } = await startTestKeeper(t)
  const early = await ask('GET', '/readyz')
  assert.deepEqual([early.status, early.body.code], [503, 'BASE_NOT_READY'])
  assert.equal((await ask('GET', '/healthz')).status, 200)
})

test('the metrics hold the series of the cells and of the keeper, each name described once', async t => {
  const { ask, data } = await startTestKeeper(t)
  await connectCell(t, data, 1).ready
  await connectCell(t, data, 2).ready
  const { text, headers } = await ask('GET', '/metrics')
  assert.match(String(headers.get('content-type')), /^text\/plain/)
  assert.match(text, /berth_slots\{cell="1"\} 3\n/)
  assert.match(text, /berth_slots\{cell="2"\} 3\n/)
  assert.match(text, /berth_store_revision\{process="keeper"\} 1\n/)
  assert.match(text, /berth_cells\{.*state="ready".*\} 0\n/)
  const described = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name)
  assert.equal(new Set(described).size, described.length)
})

test('a body that is not UTF-8 is refused with the place, and changes nothing; a byte order mark is left out', async t => {
  const { ask } = await startTestKeeper(t)
  for (const [method, path, type] of [
    ['POST', '/api/tokens', 'application/json'],
    ['PUT', '/api/scenes/home', 'application/json'],
    ['PUT', '/api/scenes/home/whitelist', 'application/json'],
    ['PUT', '/api/scenes/home/whitelist', 'text/plain'],
    ['PUT', '/api/scenes/home/params', 'application/json'],
  ] as const) {
    const payload = Buffer.from('{"label":\n"Andr\xe9"}', 'latin1')
    const { status, body } = await ask(method, path, { payload, headers: { 'content-type': type } })
    assert.deepEqual([status, body.code], [400, 'BODY_MALFORMED'], path)
    assert.match(String(body.detail), /line 2, byte offset 15: byte 0xe9 is not UTF-8; it looks like Latin-1/)
  }
  const payload = '\ufeff{"rights":["call"],"label":"marked"}'
  assert.equal((await ask('POST', '/api/tokens', { payload, headers: { 'content-type': 'application/json' } })).status, 201)
})

test('ambiguous and malformed bodies are refused', async t => {
  const { ask } = await startTestKeeper(t)
  const cases: [string | Buffer, string, string][] = [
    ['{"rights":["call"],"label":', 'application/json', 'BODY_MALFORMED'],
    [Buffer.from([0x22, 0xff, 0x22]), 'application/json', 'BODY_MALFORMED'],
    ['{"rights":["call"],"label":"a","label":"b"}', 'application/json', 'REQUEST_INVALID'],
    ['{"rights":["call"],"label":"a","__proto__":{}}', 'application/json', 'REQUEST_INVALID'],
    ['{"rights":["call"],"label":"a","owner":"me"}', 'application/json', 'REQUEST_INVALID'],
    [`${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'application/json', 'REQUEST_INVALID'],
    ['', 'application/json', 'REQUEST_INVALID'],
    ['label=a', 'application/x-www-form-urlencoded', 'CONTENT_TYPE_UNSUPPORTED'],
    ['x'.repeat(2_000_000), 'application/json', 'BODY_TOO_LARGE'],
  ]
  for (const [payload, type, code] of cases) {
    const { body, headers } = await ask('POST', '/api/tokens', { payload, headers: { 'content-type': type } })
    assert.equal(body.code, code, String(payload).slice(0, 80))
    assert.equal(headers.get('content-type'), 'application/problem+json')
    assert.equal(body.requestId, headers.get('x-request-id'))
  }
  assert.equal((await ask('GET', '/api/tokens')).body.length, 1)
})

test('a number that would be rounded to another is refused with its place', async t => {
  const { ask } = await startTestKeeper(t)
  for (const number of ['9007199254740993', '10000000000000000000000001e-2', '-9007199254740992.5']) {
    const payload = `{"id":"home","params":{"0":[1.10000000000000000001,9007199254740992],"a/b":[{"item":${number}}]}}`
    const { body } = await ask('PUT', '/api/scenes/home', {
      payload: Buffer.from(payload),
      headers: { 'content-type': 'application/json' },
    })
    assert.equal(body.code, 'REQUEST_INVALID')
    const why = `it has the number ${number} at /params/a~1b/0/item, which JavaScript cannot hold exactly; write it as a string`
    assert.equal(body.detail, `Cannot take the body: ${why}`)
  }
})

test('an unknown path is 404, a broken one 400, and a wrong method 405 with what is allowed', async t => {
  const { ask } = await startTestKeeper(t)
  const unknown = await ask('GET', '/api/nothing')
  assert.deepEqual([unknown.status, unknown.body.code], [404, 'ROUTE_NOT_FOUND'])
  const broken = await ask('GET', '/api/scenes/%zz')
  assert.deepEqual([broken.status, broken.body.code], [400, 'REQUEST_MALFORMED'])
  const endless = await ask('GET', `/api/scenes/${'x'.repeat(2000)}`)
  assert.deepEqual([endless.status, endless.body.code], [400, 'REQUEST_MALFORMED'])
  const wrong = await ask('PATCH', '/api/scenes/home')
  assert.deepEqual([wrong.status, wrong.body.code, wrong.headers.get('allow')], [405, 'METHOD_NOT_ALLOWED', 'GET, HEAD, PUT'])
})

test('the OpenAPI document describes every route with its operation, and has a page', async t => {
  const { ask } = await startTestKeeper(t)
  type Paths = Record<string, Record<string, { operationId?: string; summary?: string; responses?: object }>>
  const { paths } = (await ask('GET', '/docs/json')).read<{ paths: Paths }>()
  assert.deepEqual(Object.keys(paths['/api/scenes/{id}'] ?? {}).sort(), ['get', 'put'])
  const operations = Object.values(paths).flatMap(Object.values)
  for (const { operationId, summary, responses } of operations) assert.ok(operationId && summary && responses)
  assert.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length)
  assert.equal((await ask('GET', '/docs/')).status, 200)
})

test('two Authorization headers and what is no HTTP are refused as problems', async t => {
  const { keeper, data } = await startTestKeeper(t)
  const port = keeper.vitals.controlPort
  const secret = readFileSync(tokenPath(data), 'utf8').trim()
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const headers = ['host', 'x', 'authorization', `Bearer ${secret}`, 'authorization', 'Bearer other']
    httpRequest({ host: '127.0.0.1', port, path: '/api/scenes', headers }, response => resolve(response.resume().statusCode))
      .on('error', reject)
      .end()
  })
  assert.equal(status, 400)
  const socket = connect(port, '127.0.0.1')
  socket.end('nonsense\r\n\r\n')
  let answer = ''
  for await (const chunk of socket) answer += chunk
  assert.match(answer, /^HTTP\/1\.1 400 [\s\S]*"code":"REQUEST_MALFORMED"/)
})
