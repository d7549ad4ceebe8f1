/** The keeper remembers which versions have cost cells and slots, quarantines them, and lets them out again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CellLoss, Suspect } from '../../wire/messages.ts'
import { connectCell, startTestKeeper } from '../fixtures/keeper.ts'
import { type Json, refused, type Scene, startScene } from '../fixtures/scene.ts'

/** When all losses were: after the versions of the scene were made, and before anything that a test does then. */
let lostAt = ''

/** The n-th loss of a cell, to a version that the cell has named. */
function lossTo(version: string, n: number, more: Partial<Suspect> = {}): CellLoss {
  const suspect = { scene: 'home', version, runningMs: 2100, isNamed: true, stage: 'rank', module: 'rank-lr@1.0.0', ...more }
  return {
    no: n,
    cell: n,
    pid: 100 + n,
    at: lostAt,
    why: `slot home/${version}@128 cannot be stopped`,
    endedItself: false,
    suspects: [suspect],
  }
}

/** A scene whose versions v1, v2 and v3 have been the baseline one after the other, and v4, which is a dev version. */
async function startPromoted(t: Parameters<typeof startScene>[0]): Promise<Scene> {
  const scene = await startScene(t, 4)
  for (const version of ['v2', 'v3']) await scene.home('POST', `versions/${version}/promote`, { to: 'baseline' })
  lostAt = new Date().toISOString()
  return scene
}

const kinds = async ({ ask }: Pick<Scene, 'ask'>, count: number): Promise<string[]> => {
  const rows = (await ask('GET', `/api/audit?limit=${count}`)).read<{ change: { kind: string }; who: string }[]>()
  return rows.map(({ change, who }) => `${change.kind} by ${who}`)
}

test('the second cell that a version costs quarantines it: in the table, the audit log, the status, the metrics and its list', async t => {
  const scene = await startPromoted(t)
  const { keeper, ask, home } = scene
  assert.equal(await keeper.judge.lost([lossTo('v3', 1)]), 1)
  assert.equal(scene.entry()?.rules?.quarantined, undefined)
  const before = scene.cell.plans.length
  assert.equal(await keeper.judge.lost([lossTo('v3', 1), lossTo('v3', 2)]), 2)
  const row = (await ask('GET', '/api/audit?limit=1')).read<Json[]>()[0] as { change: { kind: string; payload: Json }; reason: string }
  assert.deepEqual(
    [row.change.kind, row.change.payload.version, row.reason],
    ['quarantine version', 'v3', 'it cost 2 cells within 60 minutes'],
  )
  const evidence = [1, 2].map(n => {
    return {
      at: lossTo('v3', n).at,
      cell: n,
      why: 'slot home/v3@128 cannot be stopped',
      runningMs: 2100,
      stage: 'rank',
      module: 'rank-lr@1.0.0',
    }
  })
  assert.deepEqual(row.change.payload.evidence, evidence)
  assert.deepEqual(await kinds(scene, 3), ['quarantine version by base', 'lose cell by base', 'lose cell by base'])
  assert.equal(scene.cell.plans.length, before, 'no cell has loaded anything for it')
  // The cells are sent the table without anybody waiting for them. The next change is answered when they have it, and so this one too.
  await ask('POST', '/api/tokens', { payload: { rights: ['call'], label: 'x' } })
  assert.deepEqual(scene.entry()?.rules?.quarantined?.v3?.evidence, evidence)
  const versions = (await home('GET', 'versions')).read<{ id: string; quarantine?: Json }[]>()
  assert.deepEqual(
    versions.flatMap(({ id, quarantine }) => (quarantine === undefined ? [] : [id])),
    ['v3'],
  )
  assert.deepEqual((await ask('GET', '/api/scenes/home')).body.quarantined, ['v3'])
  const [quarantined] = (await ask('GET', '/api/status')).body.quarantined as Json[]
  assert.deepEqual([quarantined?.scene, quarantined?.version, quarantined?.why], ['home', 'v3', 'it cost 2 cells within 60 minutes'])
  assert.match((await ask('GET', '/metrics')).text, /berth_version_quarantined\{scene="home",version="v3",process="keeper"\} 1\n/)
  const { body } = await home('POST', 'explain', { unit: 'u1' })
  assert.deepEqual([body.version, body.because, body.exposed], ['v2', 'quarantine', false])
  assert.deepEqual((await home('POST', 'explain', { unit: 'u1', pin: 'v3' })).body.code, 'VERSION_QUARANTINED')
})

test('losses that are reported twice count once, also by a keeper that was started again, which still knows what is quarantined', async t => {
  const scene = await startPromoted(t)
  await scene.keeper.judge.lost([lossTo('v3', 1)])
  await scene.keeper.judge.lost([lossTo('v3', 1)])
  await scene.cell.close()
  await scene.keeper.stop()
  const second = await startTestKeeper(t, scene.data)
  await second.keeper.judge.lost([lossTo('v3', 1)])
  assert.equal((await second.ask('GET', '/api/scenes/home')).body.quarantined, undefined)
  await second.keeper.judge.lost([lossTo('v3', 1), lossTo('v3', 2)])
  await second.keeper.stop()
  const third = await startTestKeeper(t, scene.data)
  const cell = connectCell(t, scene.data)
  await cell.ready
  assert.deepEqual(Object.keys(cell.tables[0]?.scenes[0]?.rules?.quarantined ?? {}), ['v3'])
  assert.deepEqual((await third.ask('GET', '/api/scenes/home')).body.quarantined, ['v3'])
})

test('a version in quarantine takes no part, whatever the part, and the refusal says how to lift it', async t => {
  const scene = await startPromoted(t)
  const { home } = scene
  const arms = [
    { name: 'a', version: 'v4', share: 100 },
    { name: 'b', version: 'v1', share: 100 },
  ]
  await home('POST', 'experiments', { id: 'exp-1', segments: 5000, arms })
  await scene.keeper.judge.lost([lossTo('v4', 1), lossTo('v4', 2)])
  const words = /"v4".*in quarantine since .*cost 2 cells.*sdk version lift home v4/
  await refused(scene, ['POST', 'versions/v4/promote', { to: 'baseline' }], 'VERSION_QUARANTINED', words)
  await refused(scene, ['POST', 'versions/v4/promote', { to: 'cutover', share: 0 }], 'VERSION_QUARANTINED', words)
  await refused(scene, ['PUT', 'loadtest', { version: 'v4' }], 'VERSION_QUARANTINED', words)
  await refused(scene, ['PATCH', 'whitelist', { add: { v4: ['u1'] } }], 'VERSION_QUARANTINED', words)
  await refused(scene, ['POST', 'experiments/exp-1/start', {}], 'VERSION_QUARANTINED', words)
})

test('what already sends requests to a version may send fewer once it is in quarantine, and no more', async t => {
  const scene = await startPromoted(t)
  const { home } = scene
  await home('POST', 'versions/v4/promote', { to: 'cutover', share: 500 })
  await home('PATCH', 'whitelist', { add: { v4: ['u1', 'u2'] } })
  await scene.keeper.judge.lost([lossTo('v4', 1), lossTo('v4', 2)])
  await refused(scene, ['POST', 'versions/v4/promote', { to: 'cutover', share: 501 }], 'VERSION_QUARANTINED', /v4/)
  assert.equal((await home('POST', 'versions/v4/promote', { to: 'cutover', share: 100 })).status, 200)
  assert.equal((await home('PATCH', 'whitelist', { remove: ['u1'] })).status, 200)
  await refused(scene, ['PATCH', 'whitelist', { add: { v4: ['u1'] } }], 'VERSION_QUARANTINED', /v4/)
  assert.equal((await home('POST', 'rollback', { from: 'v4' })).status, 200, 'the cutover can be ended')
})

test('a bad baseline does not block the next one, and a rollback goes back to a version that may answer', async t => {
  const scene = await startPromoted(t)
  const { home } = scene
  await scene.keeper.judge.lost([lossTo('v3', 1), lossTo('v3', 2)])
  const { body } = await home('POST', 'versions/v4/promote', { to: 'baseline' })
  assert.deepEqual([body.baseline, body.previousBaseline], ['v4', 'v2'])
  assert.equal((await home('POST', 'rollback', { from: 'v4' })).body.baseline, 'v2')
})

test('the version that answers in the place of a bad baseline cannot go offline', async t => {
  const scene = await startPromoted(t)
  await scene.keeper.judge.lost([lossTo('v3', 1), lossTo('v3', 2)])
  await refused(scene, ['POST', 'versions/v3/promote', { to: 'baseline' }], 'VERSION_QUARANTINED', /"v3"/)
  await refused(scene, ['POST', 'versions/v2/offline', {}], 'VERSION_IN_USE', /in the place of the baseline "v3"/)
  assert.equal((await scene.home('POST', 'versions/v1/offline', {})).status, 200)
})

test('a rollback from a version in quarantine is possible, and one to it is refused', async t => {
  const scene = await startPromoted(t)
  const { home } = scene
  await scene.keeper.judge.lost([lossTo('v3', 1), lossTo('v3', 2)])
  assert.equal((await home('POST', 'rollback', { from: 'v3' })).body.baseline, 'v2')
  await refused(scene, ['POST', 'rollback', { from: 'v2' }], 'VERSION_QUARANTINED', /"v3".*sdk version lift home v3/)
})

test('a change that waits for a version which is being loaded does not hold up its quarantine', async t => {
  const scene = await startPromoted(t)
  const loading = Promise.withResolvers<void>()
  const loaded = Promise.withResolvers<'load'>()
  scene.cell.onPrepare = () => {
    loading.resolve()
    return loaded.promise
  }
  const promoting = scene.home('POST', 'versions/v4/promote', { to: 'cutover', share: 100 })
  await loading.promise
  await scene.keeper.judge.lost([lossTo('v4', 1), lossTo('v4', 2)])
  assert.deepEqual((await scene.ask('GET', '/api/scenes/home')).body.quarantined, ['v4'])
  loaded.resolve('load')
  const { status, body } = await promoting
  assert.deepEqual([status, body.code], [409, 'REVISION_CONFLICT'])
  assert.match(String(body.detail), /quarantine version by base/)
})

test('after a lift the version is loaded and has requests again, and what it cost before counts no more', async t => {
  const scene = await startPromoted(t)
  const { keeper, home, ask } = scene
  await keeper.judge.lost([lossTo('v3', 1), lossTo('v3', 2)])
  const loaded = scene.cell.plans.length
  const { status, body } = await home('POST', 'versions/v3/lift', { reason: 'mended' })
  assert.deepEqual([status, body.version, (body.quarantine as Json).why], [200, 'v3', 'it cost 2 cells within 60 minutes'])
  assert.deepEqual(
    scene.cell.plans.slice(loaded).map(({ version }) => version),
    ['v3'],
  )
  assert.equal(scene.entry()?.rules?.quarantined, undefined)
  assert.equal((await home('POST', 'versions/v3/lift', {})).body.quarantine, null)
  assert.equal((await home('POST', 'versions/v9/lift', {})).body.code, 'VERSION_NOT_FOUND')
  const later = (n: number) => ({ ...lossTo('v3', n), at: new Date(Date.now() + n * 1000).toISOString() })
  await keeper.judge.lost([later(3)])
  assert.equal((await ask('GET', '/api/scenes/home')).body.quarantined, undefined)
  await keeper.judge.lost([later(3), later(4)])
  assert.deepEqual((await ask('GET', '/api/scenes/home')).body.quarantined, ['v3'])
})

test('slots that keep being killed quarantine their version, and rare kills among answers do not', async t => {
  const scene = await startPromoted(t)
  const kills = (version: string, count: number, answers: number) => ({
    scene: 'home',
    version,
    kills: count,
    answers,
    why: 'over 50 ms of CPU',
  })
  scene.keeper.judge.killed(1, [kills('v3', 25, 0), kills('v2', 60, 90)])
  scene.keeper.judge.killed(2, [kills('v3', 25, 10)])
  const rows = (await scene.ask('GET', '/api/audit?limit=1')).read<{ reason: string; change: { payload: Json } }[]>()
  assert.equal(rows[0]?.reason, 'its slots were killed 50 times within 10 minutes, while it gave 10 answers')
  const evidence = rows[0]?.change.payload.evidence as Json[]
  assert.deepEqual(
    evidence.map(({ cell, kills, answers }) => [cell, kills, answers]),
    [
      [1, 25, 0],
      [2, 25, 10],
    ],
  )
  assert.deepEqual((await scene.ask('GET', '/api/scenes/home')).body.quarantined, ['v3'])
})

test('kills that cells report until they have the quarantine count no more after a lift', async t => {
  const { keeper, ask, home } = await startPromoted(t)
  const kills = (count: number) =>
    keeper.judge.killed(1, [{ scene: 'home', version: 'v3', kills: count, answers: 0, why: 'over 50 ms of CPU' }])
  kills(50)
  const quarantined = async () => (await ask('GET', '/api/scenes/home')).body.quarantined
  while ((await quarantined()) === undefined);
  kills(49)
  assert.equal((await home('POST', 'versions/v3/lift', {})).status, 200)
  kills(1)
  // Whatever follows from it is done before the next change of the scene.
  await home('POST', 'versions/v2/promote', { to: 'cutover', share: 100 })
  assert.equal(await quarantined(), undefined)
})

test('what a version has cost that never came to be is not held against the next one, which gets its id', async t => {
  const scene = await startPromoted(t)
  const { keeper, ask, home, cell } = scene
  await scene.publish('rank-lr', '1.1.0')
  const make = async () => (await home('POST', 'versions', { modules: ['rank-lr@1.1.0'], as: 'baseline' })).body
  cell.onPrepare = () => ({ code: 'SLOT_UNAVAILABLE', message: 'code of it cannot be stopped' })
  assert.equal((await make()).code, 'UPGRADE_FAILED')
  await keeper.judge.lost([lossTo('v5', 1), lossTo('v5', 2)])
  cell.onPrepare = () => 'load'
  assert.equal(((await make()).version as Json).id, 'v5')
  await keeper.judge.lost([lossTo('v9', 3)])
  assert.equal((await ask('GET', '/api/scenes/home')).body.quarantined, undefined)
})

test('a loss of what is not there, or in which nothing ran, is no reason to keep asking', async t => {
  const { keeper, ask } = await startScene(t)
  const unknown = [1, 2].map(n => lossTo('v7', n))
  assert.equal(await keeper.judge.lost([...unknown, { ...lossTo('v1', 3), suspects: [] }]), 3)
  assert.equal((await ask('GET', '/api/scenes/home')).body.quarantined, undefined)
})
