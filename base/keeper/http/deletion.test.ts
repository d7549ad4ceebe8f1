/** What is not needed any more is deleted over HTTP: refused while it is used, and gone for good afterwards. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { blobPath } from '../../folder/blob-files.ts'
import { featuresPath, logsPath } from '../../folder/paths.ts'
import { limits } from '../../kernel/limits.ts'
import { backup } from '../../store/backup.ts'
import { openBaseStore, referencedBlobs } from '../../store/base-store.ts'
import { Blobs } from '../../store/blobs.ts'
import { temporaryFolder } from '../../store/fixtures/folder.ts'
import { startTestKeeper } from '../fixtures/keeper.ts'
import { refused, startScene } from '../fixtures/scene.ts'

const group = [{ stage: 'rank', modules: ['rank-lr@^1'] }]

test('a deleted scene is gone from the table, its logs and its rules, and a new one of its id begins with the next number', async t => {
  const scene = await startScene(t, 3)
  const { ask, home, cell } = scene
  await ask('PUT', '/api/scenes/away', { payload: { id: 'away', group } })
  await ask('POST', '/api/scenes/away/versions', { payload: { as: 'baseline' } })
  await home('PUT', 'params', { version: null, params: { topK: 9 } })
  await home('POST', 'experiments', { id: 'exp-1', arms: [{ name: 'a', version: 'v2', share: 100 }] })
  await home('POST', 'experiments/exp-1/start', {})
  await home('POST', 'experiments/exp-1/stop', {})
  const revision = await scene.revision()
  const tried = await home('POST', 'delete', { dryRun: true })
  const { versions, online, experiments, deleted } = tried.body
  assert.deepEqual([versions, online, experiments, deleted, await scene.revision()], [3, 3, 1, true, revision])
  const gone = await home('POST', 'delete', { reason: 'a typo' })
  assert.equal(gone.status, 200)
  assert.deepEqual(
    cell.tables.at(-1)?.scenes.map(({ definition }) => definition.id),
    ['away'],
  )
  assert.match(String((await home('GET', 'versions')).body.detail), /^Cannot find scene "home": it was deleted/)
  const again = await home('POST', 'delete', {})
  assert.deepEqual([again.status, again.body.deleted], [200, false])
  assert.equal((await ask('POST', '/api/scenes/nowhere/delete', { payload: {} })).body.code, 'SCENE_NOT_FOUND')
  const [row] = (await ask('GET', '/api/audit?scene=home&limit=1')).read<
    { action: string; reason: string; before: { baseline: string } }[]
  >()
  assert.deepEqual([row?.action, row?.reason, row?.before.baseline], ['delete scene', 'a typo', 'v1'])

  await ask('PUT', '/api/scenes/home', { payload: { id: 'home', group } })
  const made = await home('POST', 'versions', { as: 'baseline' })
  assert.equal((made.body.version as { id: string }).id, 'v4', 'v3 in a log always means the same version')
  assert.deepEqual(
    (await home('GET', 'params/history')).read<{ after: unknown }[]>().map(({ after }) => after),
    [],
  )
  const taken = await home('POST', 'experiments', { id: 'exp-1', arms: [{ name: 'a', version: 'v4', share: 100 }] })
  assert.equal(taken.body.code, 'EXPERIMENT_EXISTS', 'exposures of both would be counted together')
})

test('a scene is not deleted while something uses it, and the refusal names all of that', async t => {
  const scene = await startScene(t, 3)
  const { ask, home, cell } = scene
  await home('POST', 'experiments', { id: 'exp-1', arms: [{ name: 'a', version: 'v2', share: 100 }] })
  await home('POST', 'experiments/exp-1/start', {})
  await home('POST', 'versions/v3/promote', { to: 'cutover', share: 100 })
  await home('PUT', 'loadtest', { version: 'v2' })
  await ask('PUT', '/api/scenes/away', { payload: { id: 'away', group, access: 'token', callers: ['home'] } })
  cell.calledMsAgo = { v1: 4000 }
  const users =
    /experiment "exp-1", which runs, the cutover to "v3", load tests, which go to "v2", scene "away", .*, whoever called it 4 s ago/
  const problem = await refused(scene, ['POST', 'delete', {}], 'SCENE_IN_USE', users)
  assert.equal((problem.uses as string[]).length, 5)
  await home('POST', 'rollback', { from: 'v3' })
  await home('PUT', 'loadtest', { version: null })
  await home('POST', 'experiments/exp-1/stop', {})
  await ask('POST', '/api/scenes/away/delete', { payload: { evenIfCalled: true } })
  await refused(scene, ['POST', 'delete', {}], 'SCENE_IN_USE', /^Cannot delete scene "home": it is used by whoever called it/)
  cell.calledMsAgo = { v1: limits.scene.calledMsMax + 1 }
  assert.equal((await home('POST', 'delete', {})).status, 200)
})

test('versions are deleted, all or none, once they are offline and nothing may come to use them; their numbers are not given again', async t => {
  const scene = await startScene(t, 5)
  const { home } = scene
  await home('POST', 'experiments', { id: 'exp-1', arms: [{ name: 'a', version: 'v2', share: 100 }] })
  await home('POST', 'experiments/exp-1/start', {})
  await home('POST', 'experiments/exp-1/stop', {})
  await refused(scene, ['POST', 'versions/delete', { versions: ['v5', 'v4'] }], 'VERSION_IN_USE', /"v5" .* its being online/)
  await refused(scene, ['POST', 'versions/offline', { versions: ['v5', 'v1'] }], 'VERSION_IN_USE', /"v1" .* the baseline/)
  const offline = await home('POST', 'versions/offline', { versions: ['v2', 'v4', 'v5'] })
  assert.deepEqual(offline.body.versions, ['v2', 'v4', 'v5'])
  const deletable = (await home('GET', 'versions')).read<{ id: string; deletable?: true }[]>().filter(version => version.deletable)
  assert.deepEqual(
    deletable.map(({ id }) => id),
    ['v4', 'v5'],
  )
  await refused(scene, ['POST', 'versions/delete', { versions: ['v5', 'v2'] }], 'VERSION_IN_USE', /"v2" .* "exp-1", which is stopped/)
  await refused(scene, ['POST', 'versions/delete', { versions: ['v5', 'v9'] }], 'VERSION_NOT_FOUND', /"v9"/)
  const deleted = await home('POST', 'versions/delete', { versions: ['v5', 'v4', 'v5'] })
  assert.deepEqual(deleted.body.versions, ['v5', 'v4'])
  const revision = await scene.revision()
  assert.deepEqual((await home('POST', 'versions/delete', { versions: ['v5', 'v4'] })).body.versions, [])
  assert.equal(await scene.revision(), revision)
  await refused(scene, ['POST', 'versions/v5/online', {}], 'VERSION_NOT_FOUND', /it was deleted; it has v1, v2, v3$/)
  const made = await home('POST', 'versions', {})
  assert.equal((made.body.version as { id: string }).id, 'v6')
})

test('an experiment that ran leaves its id taken, a draft does not, and a retired layer makes room for another', async t => {
  const scene = await startScene(t, 2)
  const { home } = scene
  const experiment = { id: 'exp-1', arms: [{ name: 'a', version: 'v2', share: 100 }] }
  await home('POST', 'experiments', experiment)
  await home('POST', 'experiments/exp-1/flip', { arms: { a: 50 } })
  assert.equal((await home('POST', 'experiments/exp-1/delete', {})).body.deleted, true)
  assert.equal((await home('POST', 'experiments/exp-1/delete', {})).body.deleted, false)
  assert.equal((await home('POST', 'experiments', experiment)).status, 201)
  await refused(scene, ['POST', 'experiments/exp-1/revert', { dryRun: true }], 'NOTHING_TO_ROLL_BACK', /no flip of it/)
  await home('POST', 'experiments/exp-1/start', {})
  await refused(scene, ['POST', 'experiments/exp-1/delete', {}], 'EXPERIMENT_RUNS', /it runs/)
  await home('POST', 'experiments/exp-1/stop', {})
  await home('POST', 'experiments/exp-1/delete', {})
  await refused(scene, ['POST', 'experiments', experiment], 'EXPERIMENT_EXISTS', /results are kept by it/)
  await refused(scene, ['POST', 'experiments/exp-2/delete', {}], 'EXPERIMENT_NOT_FOUND', /exp-2/)
  await home('POST', 'layers', { id: 'ui', keys: ['topK'] })
  await home('POST', 'experiments', { id: 'exp-3', layer: 'ui', arms: [{ name: 'a', values: { topK: 1 }, share: 100 }] })
  await home('POST', 'experiments/exp-3/start', {})
  await home('POST', 'experiments/exp-3/stop', {})
  await refused(scene, ['POST', 'layers/ui/delete', {}], 'LAYER_IN_USE', /until it is retired/)
  await home('POST', 'layers/ui/retire', {})
  assert.equal((await home('POST', 'layers/ui/delete', {})).body.deleted, true)
  assert.equal((await home('POST', 'layers/ui/delete', {})).body.deleted, false)
  assert.equal((await home('POST', 'layers', { id: 'ui', keys: ['topK'] })).status, 201)
  await refused(scene, ['POST', 'experiments', { ...experiment, id: 'exp-3' }], 'EXPERIMENT_EXISTS', /results are kept by it/)
  for (let made = 1; made < limits.scene.layersMax; made++) await home('POST', 'layers', { id: `l${made}`, keys: [`k${made}`] })
  await home('POST', 'layers/l1/retire', {})
  await refused(
    scene,
    ['POST', 'layers', { id: 'more', keys: ['more'] }],
    'SCENE_FULL',
    /1 of them are done, such as l1: "sdk layer delete home l1"/,
  )
})

test('a version of a module goes once no version of a scene has it, and comes back only with the same bytes', async t => {
  const scene = await startScene(t, 2)
  const { ask, home, publish, data } = scene
  const remove = (payload: object, name = 'rank-lr') => ask('POST', `/api/modules/${name}/delete`, { payload })
  const published = await publish('rank-lr', '1.0.1')
  await home('POST', 'versions', { modules: ['rank-lr@1.0.1'] })
  await home('POST', 'versions/offline', { versions: ['v3'] })
  const used = await remove({ versions: ['1.0.1'] })
  assert.deepEqual([used.status, used.body.code], [409, 'MODULE_IN_USE'])
  assert.match(String(used.body.detail), /"rank-lr@1\.0\.1": it is used by home\/v3$/)
  await home('POST', 'versions/delete', { versions: ['v3'] })
  const tried = await remove({ unused: true, dryRun: true })
  assert.deepEqual(tried.body, { versions: ['1.0.1'] })
  const key = { 'idempotency-key': 'k-1' }
  const first = await ask('POST', '/api/modules/rank-lr/delete', { payload: { unused: true }, headers: key })
  const again = await ask('POST', '/api/modules/rank-lr/delete', { payload: { unused: true }, headers: key })
  assert.deepEqual([first.body, again.body, (await remove({ versions: ['1.0.1'] })).body], [tried.body, tried.body, { versions: [] }])
  assert.equal((await remove({ versions: ['9.0.0'] })).body.code, 'MODULE_NOT_FOUND')
  assert.equal((await remove({}, 'nothing')).body.code, 'MODULE_NOT_FOUND')
  assert.equal((await remove({})).body.code, 'MODULE_IN_USE')
  const other = await publish('rank-lr', '1.0.1', 'other bytes')
  assert.deepEqual([other.body.code, /it was deleted/.test(String(other.body.detail))], ['MODULE_EXISTS', true])
  assert.equal((await publish('rank-lr', '1.0.1')).status, 201)
  await ask('PUT', '/api/scenes/later', { payload: { id: 'later', group: [{ stage: 'rank', modules: ['rank-lr@1.0.1'] }] } })
  assert.deepEqual((await remove({ unused: true })).body, { versions: [] })
  const needed = await remove({ versions: ['1.0.1'] })
  assert.match(String(needed.body.detail), /scene "later", which has no other version of it in its range/)
  const kept = new Blobs(data)
  assert.equal(await kept.has(String(published.body.bundle)), true)
})

test('bytes that only a deleted module had are given back to the disk, and those of others never', async t => {
  const { ask, publish, data, keeper } = await startTestKeeper(t)
  const alone = String((await publish('rank-lr', '1.0.0')).body.bundle)
  const shared = String((await publish('rank-lr', '1.0.1', 'the same')).body.bundle)
  await publish('rank-gbdt', '1.0.0', 'the same')
  await ask('POST', '/api/modules/rank-lr/delete', { payload: {} })
  await keeper.stop()
  const copy = join(temporaryFolder(t), 'copy')
  await backup(data, copy)
  const store = openBaseStore(data)
  t.after(() => store.close())
  const blobs = new Blobs(data)
  for (const removed of [0, 1]) assert.equal(await blobs.removeUnused(() => referencedBlobs(store)), removed)
  assert.deepEqual([existsSync(blobPath(data, alone)), existsSync(blobPath(data, shared))], [false, true])
})

test('logs of versions that were deleted while the keeper was away are removed when it starts', async t => {
  const data = temporaryFolder(t)
  const folder = join(logsPath(data), 'home')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'v1.ndjson'), '{"seq":1}\n')
  await startTestKeeper(t, data)
  assert.equal(existsSync(folder), false)
})

test('the status says what takes the disk, by kind and by module, and so do the metrics', async t => {
  const { ask, data, home } = await startScene(t)
  await home('PUT', 'whitelist', { v1: ['u1'] })
  mkdirSync(featuresPath(data))
  writeFileSync(join(featuresPath(data), 'items.ndjson'), 'x'.repeat(2 ** 20))
  const { disk, largestModules } = (await ask('GET', '/api/status')).read<{ disk: Record<string, number>; largestModules: object[] }>()
  assert.ok(Number(disk.freeMB) > 0 && Number(disk.storeMB) > 0, JSON.stringify(disk))
  assert.equal(disk.featureTablesMB, 1)
  assert.deepEqual(largestModules, [{ module: 'rank-lr', versions: 1, MB: 0 }])
  const metrics = await ask('GET', '/metrics')
  assert.match(metrics.text, /berth_disk_used_bytes\{kind="featureTables",process="keeper"\} 1048576/)
  assert.match(metrics.text, /berth_disk_used_bytes\{kind="bundles",process="keeper"\} 13/)
  assert.match(metrics.text, /berth_disk_free_bytes\{process="keeper"\} \d+/)
})

test('of uploaded feature tables every version that is kept counts among feature tables, and not as an upload that nobody uses', async t => {
  const data = temporaryFolder(t)
  const digest = await new Blobs(data).put(Buffer.alloc(2 ** 20))
  const store = openBaseStore(data)
  const by = { at: new Date().toISOString(), by: 'base' }
  const version = { digest, format: 'ndjson' as const, rows: 1, bytes: 2 ** 20, columns: [], ...by }
  const value = { inForce: digest, since: by.at, by: by.by, versions: [version] }
  const note = { who: 'base', kind: 'put feature table', action: 'put feature table', target: 'items', payload: {}, facts: {} }
  store.commit([{ kind: 'features', key: 'items', value, expect: 'absent' }], { ...note, before: null, after: null })
  store.close()
  const { ask } = await startTestKeeper(t, data)
  const { disk } = (await ask('GET', '/api/status')).read<{ disk: Record<string, number> }>()
  assert.deepEqual([disk.featureTablesMB, disk.unusedBlobsMB], [1, 0])
})
