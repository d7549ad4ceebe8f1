/** The control API about the versions, whitelist and parameters of a scene: on a real store, with cells that only pretend. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { limits } from '../../kernel/limits.ts'
import { backup } from '../../store/backup.ts'
import { temporaryFolder } from '../../store/fixtures/folder.ts'
import { connectCell, startTestKeeper } from '../fixtures/keeper.ts'
import { type Json, refused, type Scene, startScene } from '../fixtures/scene.ts'

const kinds = async ({ home }: Scene) =>
  (await home('GET', 'versions')).read<{ id: string; kind: string; online: boolean; share?: number; previous?: true }[]>().map(version => {
    const marks = [
      version.online ? '' : ' offline',
      version.previous ? ' previous' : '',
      version.share === undefined ? '' : ` ${version.share}`,
    ]
    return `${version.id} ${version.kind}${marks.join('')}`
  })

test('a version goes from dev through the cutover to the baseline, loaded in every cell before it takes part', async t => {
  const scene = await startScene(t)
  const made = await scene.home('POST', 'versions', { as: 'dev', label: 'refactor' })
  assert.deepEqual([made.status, made.body.kind, made.body.rulesRevision], [201, 'dev', 0])
  assert.equal(scene.cell.plans.at(-1)?.version, 'v2')
  const cutover = await scene.home('POST', 'versions/v2/promote', { to: 'cutover', reason: 'try' })
  assert.deepEqual(cutover.body.cutover, { version: 'v2', share: 100 })
  assert.deepEqual(cutover.body.cells, { applied: 1, connected: 1 })
  const { salt } = scene.entry()?.rules?.cutover ?? {}
  const ramped = await scene.home('POST', 'versions/v2/promote', { to: 'cutover', share: 2500 })
  assert.equal((ramped.body.moved as Json).moved, 0.24 * 10_000 ** 3)
  assert.deepEqual(scene.entry()?.rules?.cutover, { version: 'v2', share: 2500, salt }, 'ramping keeps the salt, so it moves nobody back')
  assert.deepEqual(await kinds(scene), ['v1 baseline', 'v2 cutover 2500'])
  const promoted = await scene.home('POST', 'versions/v2/promote', { to: 'baseline' })
  assert.deepEqual([promoted.body.kind, promoted.body.baseline, promoted.body.previousBaseline], ['baseline', 'v2', 'v1'])
  assert.deepEqual(await kinds(scene), ['v1 dev previous', 'v2 baseline'])
  assert.deepEqual(Object.keys(scene.entry()?.rules ?? {}), ['segmentSalt', 'experiments', 'layers', 'previousBaseline'])
})

test('a version that a cell cannot load gets no part, whatever the part', async t => {
  const scene = await startScene(t, 2)
  scene.cell.onPrepare = () => ({ code: 'MODULE_LOAD_THREW', message: 'it threw' })
  const writes = [
    ['POST', 'versions/v2/promote', { to: 'cutover' }],
    ['POST', 'versions/v2/promote', { to: 'baseline' }],
    ['PUT', 'loadtest', { version: 'v2' }],
    ['PUT', 'whitelist', { v2: ['u1'] }],
    ['POST', 'versions', { as: 'dev' }],
    ['POST', 'versions', { as: 'cutover', share: 5, whitelist: ['u1'] }],
  ] as const
  for (const write of writes) await refused(scene, write, 'UPGRADE_FAILED', /it threw/)
})

test('rolling back ends the cutover, or goes to the baseline before, or forth, and loads nothing for it', async t => {
  const scene = await startScene(t, 3)
  await refused(scene, ['POST', 'rollback', { from: 'v1' }], 'NOTHING_TO_ROLL_BACK', /no cutover to end, and no previous baseline/)
  await scene.home('POST', 'versions/v2/promote', { to: 'baseline' })
  await scene.home('POST', 'versions/v3/promote', { to: 'cutover' })
  scene.cell.onPrepare = () => ({ code: 'MODULE_LOAD_THREW', message: 'it threw' })
  const loaded = scene.cell.plans.length
  assert.deepEqual((await scene.home('POST', 'rollback', { from: 'v3', reason: 'slow' })).body.cutover, null)
  assert.deepEqual(await kinds(scene), ['v1 dev previous', 'v2 baseline', 'v3 dev'])
  assert.equal((await scene.home('POST', 'rollback', { from: 'v2' })).body.baseline, 'v1')
  assert.deepEqual(await kinds(scene), ['v1 baseline', 'v2 dev previous', 'v3 dev'])
  assert.equal((await scene.home('POST', 'rollback', { from: 'v1' })).body.baseline, 'v2')
  assert.equal(scene.cell.plans.length, loaded)
})

test('a rollback from a version that was gone back from already changes nothing, and says who did it, when and why', async t => {
  const scene = await startScene(t, 3)
  await scene.home('POST', 'versions/v2/promote', { to: 'baseline' })
  await scene.home('POST', 'versions/v3/promote', { to: 'cutover' })
  for (const [from, reason] of [
    ['v3', 'slow'],
    ['v2', 'wrong'],
  ]) {
    const tried = await scene.home('POST', 'rollback', { from, dryRun: true })
    const { body } = await scene.home('POST', 'rollback', { from, reason })
    assert.deepEqual([tried.body.changed, tried.body.moved, body.changed], [true, body.moved, true])
    const revision = await scene.revision()
    const again = await scene.home('POST', 'rollback', { from, reason: 'once more' })
    const { action, whoLabel, reason: why } = again.body.since as Json
    assert.deepEqual([again.status, again.body.changed, again.body.baseline], [200, false, body.baseline])
    assert.deepEqual([action, whoLabel, why], ['roll back', 'the first token', reason])
    assert.equal(await scene.revision(), revision, 'no row is in the audit log')
  }
  await refused(scene, ['POST', 'rollback', { from: 'v9' }], 'VERSION_NOT_FOUND', /v9/)
  await refused(scene, ['POST', 'rollback', {}], 'REQUEST_INVALID', /from/)
})

test('a rollback from the baseline leaves the cutover of a third version, and ends that of the one that comes back', async t => {
  const scene = await startScene(t, 3)
  await scene.home('POST', 'versions/v2/promote', { to: 'baseline' })
  await scene.home('POST', 'versions/v3/promote', { to: 'cutover', share: 500 })
  const { body } = await scene.home('POST', 'rollback', { from: 'v2' })
  assert.deepEqual([body.baseline, body.cutover, body.warnings], ['v1', { version: 'v3', share: 500 }, ['"v3" keeps its cutover of 5%']])
  assert.equal((body.moved as Json).switching, 0.95 * 10_000 ** 3)
  await scene.home('POST', 'rollback', { from: 'v3' })
  await scene.home('POST', 'versions/v2/promote', { to: 'cutover', share: 100 })
  const back = await scene.home('POST', 'rollback', { from: 'v1' })
  assert.deepEqual([back.body.baseline, back.body.cutover, back.body.warnings], ['v2', null, []])
})

test('a part that a version has already changes nothing, and a dry run says who would move', async t => {
  const scene = await startScene(t, 2)
  const promote = (payload: Json) => scene.home('POST', 'versions/v2/promote', payload)
  await refused(scene, ['POST', 'versions/v2/promote', { share: 5 }], 'REQUEST_INVALID', /to/)
  for (const wish of [{ to: 'cutover' }, { to: 'cutover', share: 2500 }, { to: 'cutover' }, { to: 'baseline' }]) {
    const before = await kinds(scene)
    const tried = await promote({ ...wish, dryRun: true })
    assert.deepEqual(await kinds(scene), before, 'a dry run changes nothing')
    const made = await promote(wish)
    assert.deepEqual([tried.body.changed, tried.body.moved], [made.body.changed, made.body.moved])
    const revision = await scene.revision()
    const again = await promote(wish)
    assert.deepEqual([again.status, again.body.changed, await scene.revision()], [200, false, revision])
    assert.equal((again.body.since as Json).whoLabel, 'the first token')
  }
  const { moved } = (await promote({ to: 'baseline', dryRun: true })).body
  assert.equal(moved, undefined)
  const back = await scene.home('POST', 'versions/v1/promote', { to: 'baseline', dryRun: true })
  assert.equal((back.body.moved as Json).moved, 10_000 ** 3, 'everybody would get another version')
})

test('a rollback waits for no change that is under way, and that change is refused then', async t => {
  const scene = await startScene(t, 3)
  await scene.home('POST', 'versions/v2/promote', { to: 'baseline' })
  const asked = Promise.withResolvers<void>()
  const loaded = Promise.withResolvers<'load'>()
  scene.cell.onPrepare = () => {
    asked.resolve()
    return loaded.promise
  }
  const promoting = scene.home('POST', 'versions/v3/promote', { to: 'baseline' })
  await asked.promise
  assert.equal((await scene.home('POST', 'rollback', { from: 'v2', reason: 'now' })).body.baseline, 'v1')
  loaded.resolve('load')
  const { status, body } = await promoting
  assert.deepEqual([status, body.code], [409, 'REVISION_CONFLICT'])
  assert.deepEqual(
    (body.changes as Json[]).map(({ action, reason }) => [action, reason]),
    [['roll back', 'now']],
  )
  assert.deepEqual(await kinds(scene), ['v1 baseline', 'v2 dev previous', 'v3 dev'])
})

test('a version cannot take a part that another has, or that it cannot have', async t => {
  const scene = await startScene(t, 4)
  await scene.home('POST', 'versions/v2/promote', { to: 'cutover', share: 500 })
  await refused(scene, ['POST', 'versions/v3/promote', { to: 'cutover' }], 'PROMOTION_REFUSED', /"v2" has the cutover, at 5%/)
  await refused(scene, ['POST', 'versions', { as: 'cutover' }], 'PROMOTION_REFUSED', /"v2" has the cutover/)
  await refused(scene, ['POST', 'versions/v1/promote', { to: 'cutover' }], 'PROMOTION_REFUSED', /baseline already/)
  await refused(scene, ['POST', 'versions/v9/promote', { to: 'cutover' }], 'VERSION_NOT_FOUND', /v9/)
  await refused(scene, ['POST', 'versions/v2/promote', { to: 'cutover', share: 10_001 }], 'REQUEST_INVALID', /share/)
  await refused(scene, ['POST', 'versions/v2/promote', { to: 'baseline', share: 100 }], 'REQUEST_INVALID', /share is for a cutover/)
  await refused(scene, ['POST', 'versions', { as: 'dev', share: 100 }], 'REQUEST_INVALID', /share is for a cutover/)
  await scene.home('POST', 'versions/v3/offline', {})
  for (const write of [
    ['POST', 'versions/v3/promote', { to: 'baseline' }],
    ['PUT', 'loadtest', { version: 'v3' }],
    ['PUT', 'whitelist', { v3: ['u1'] }],
  ] as const)
    await refused(scene, write, 'VERSION_OFFLINE', /"v3".*not online/)
})

test('what is used cannot go offline, and what is offline is in no table until it comes back', async t => {
  const scene = await startScene(t, 6)
  await scene.home('POST', 'versions/v2/promote', { to: 'cutover' })
  await scene.home('PUT', 'loadtest', { version: 'v3' })
  await scene.home('PUT', 'whitelist', { v4: ['u1', 'u2'] })
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: [{ name: 'a', version: 'v5', share: 5000 }] })
  for (const [version, words] of [
    ['v1', /the baseline/],
    ['v2', /the cutover/],
    ['v3', /load tests/],
    ['v4', /2 unit ids of the whitelist/],
    ['v5', /arm "a" of experiment "exp-1"/],
  ] as const)
    await refused(scene, ['POST', `versions/${version}/offline`, {}], 'VERSION_IN_USE', words)
  assert.equal((await scene.home('POST', 'versions/v6/offline', {})).status, 200)
  assert.deepEqual(
    scene.entry()?.versions.map(({ id }) => id),
    ['v1', 'v2', 'v3', 'v4', 'v5'],
  )
  await scene.home('POST', 'versions/v6/online', {})
  assert.deepEqual(scene.cell.plans.at(-1)?.version, 'v6')
  assert.equal(scene.entry()?.versions.length, 6)
  await scene.home('POST', 'versions/v2/promote', { to: 'baseline' })
  const gone = await scene.home('POST', 'versions/v1/offline', {})
  assert.match(String(gone.body.warnings), /"v1" was the previous baseline/)
  await refused(scene, ['POST', 'rollback', { from: 'v2' }], 'NOTHING_TO_ROLL_BACK', /no previous baseline/)
})

test('one version too many takes the oldest offline that nothing uses and nobody calls, and says how it comes back', {
  timeout: 60_000,
}, async t => {
  const scene = await startScene(t, limits.scene.onlineVersionsMax)
  await scene.home('PUT', 'whitelist', { v2: ['u1'] })
  scene.cell.calledMsAgo = { v3: 1000 }
  const made = await scene.home('POST', 'versions', {})
  assert.deepEqual([made.status, made.body.retired], [201, ['v4']])
  assert.match(
    String(made.body.warnings),
    /^v4 went offline to make room, because nothing used it\. Back again: sdk version online home v4$/,
  )
  const online = () => scene.entry()?.versions.map(({ id }) => id) ?? []
  assert.deepEqual([online().length, online().slice(0, 4)], [limits.scene.onlineVersionsMax, ['v1', 'v2', 'v3', 'v5']])
  const back = await scene.home('POST', 'versions/v4/online', {})
  assert.match(String(back.body.warnings), /^v5 went offline to make room/)
  const [, ...others] = online()
  await scene.home('PUT', 'whitelist', Object.fromEntries(others.filter(id => id !== 'v3').map(id => [id, [`u of ${id}`]])))
  await refused(scene, ['POST', 'versions', {}], 'VERSIONS_TOO_MANY', /those that no rule uses were called a moment ago: v3$/)
  await scene.home('PATCH', 'whitelist', { add: { v3: ['u3'] } })
  await refused(
    scene,
    ['POST', 'versions', {}],
    'VERSIONS_TOO_MANY',
    /each is used, such as "v1" by the baseline, "v2" by 1 unit id of the whitelist/,
  )
})

test('who publishes dev versions conflicts neither with each other nor with who changes the rules', async t => {
  const scene = await startScene(t)
  const { revision } = (await scene.home('GET', 'rules')).body
  const made = await Promise.all(['ada', 'bob'].map(label => scene.home('POST', 'versions', { as: 'dev', label, whitelist: [label] })))
  assert.deepEqual(
    made.map(({ status }) => status),
    [201, 201],
  )
  const ifMatch = { 'if-match': `"${revision}"` }
  const created = await scene.home('POST', 'experiments', { id: 'exp-1', arms: [{ name: 'a', version: 'v2', share: 1 }] }, ifMatch)
  assert.equal(created.status, 201)
  // The connections decide whose request comes first.
  const ids = made.map(reply => reply.read<{ version: { id: string } }>().version.id)
  assert.deepEqual(ids.toSorted(), ['v2', 'v3'])
  assert.equal((await scene.home('GET', 'whitelist')).text, `ada\t${ids[0]}\nbob\t${ids[1]}\n`)
})

test('a stale write is refused with what changed meanwhile', async t => {
  const scene = await startScene(t, 2)
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: [{ name: 'a', version: 'v2', share: 100 }] })
  const { revision } = (await scene.home('GET', 'experiments/exp-1')).body
  await scene.home('POST', 'experiments/exp-1/start', { reason: 'go' })
  const flip = await scene.home('POST', 'experiments/exp-1/flip', { arms: { a: 50 }, reason: 'less' })
  const stale = await scene.home('POST', 'experiments/exp-1/flip', { arms: { a: 100 } }, { 'if-match': `"${revision}"` })
  assert.deepEqual([stale.status, stale.body.code, stale.body.current], [409, 'REVISION_CONFLICT', flip.body.revision])
  assert.deepEqual(
    (stale.body.changes as Json[]).map(({ action, reason }) => [action, reason]),
    [
      ['flip experiment', 'less'],
      ['start experiment', 'go'],
    ],
  )
  assert.match(String(stale.body.detail), /since then: flip experiment by the first token/)
  const fresh = await scene.home('POST', 'experiments/exp-1/flip', { arms: { a: 100 } }, { 'if-match': `"${flip.body.revision}"` })
  assert.equal(fresh.status, 200)
})

const text = { 'content-type': 'text/plain' }

test('a whitelist is replaced as a whole or for one version, edited singly, and a unit named for another version moves', async t => {
  const scene = await startScene(t, 3)
  const put = await scene.home('PUT', 'whitelist', 'u1\tv2\n用户,v2\r\nu3,v3\n', text)
  assert.deepEqual([put.status, put.body.added, put.body.moved, put.body.removed], [200, 3, {}, 0])
  assert.deepEqual(scene.entry()?.whitelist, put.body.whitelist)
  assert.deepEqual((put.body.whitelist as Json).byVersion, { v2: 2, v3: 1 })
  const one = await scene.home('PUT', 'whitelist?version=v3', 'u1\nu4\n', text)
  assert.deepEqual([one.body.added, one.body.moved, one.body.removed], [1, { v2: 1 }, 1])
  const edited = await scene.home('PATCH', 'whitelist', { add: { v2: ['u4', 'u5'] }, remove: ['u1', 'nobody'], reason: 'mine' })
  assert.deepEqual([edited.body.added, edited.body.moved, edited.body.removed], [1, { v3: 1 }, 1])
  assert.equal((await scene.home('GET', 'whitelist')).text, '用户\tv2\nu4\tv2\nu5\tv2\n')
  const published = await scene.home('POST', 'versions', { whitelist: ['u5', 'u6'] })
  assert.equal(published.status, 201)
  assert.equal((await scene.home('GET', 'whitelist')).text, '用户\tv2\nu4\tv2\nu5\tv4\nu6\tv4\n')
  const stale = await scene.home('PATCH', 'whitelist', { remove: ['u6'] }, { 'if-match': `"${put.body.revision}"` })
  assert.deepEqual([stale.status, stale.body.code], [409, 'REVISION_CONFLICT'])
  assert.equal((await scene.home('PUT', 'whitelist', {})).body.removed, 4)
  assert.equal(scene.entry()?.whitelist, undefined)
})

test('a whitelist at fault is refused with its lines', async t => {
  const scene = await startScene(t, 2)
  const long = 'x'.repeat(limits.request.unitIdBytesMax + 1)
  for (const [payload, words] of [
    [`u1,v2\n\n${long},v2\nu4`, /line 2 is empty; line 3 has a unit id of 257 bytes, the limit is 256; line 4 names no version/],
    [{ v2: ['u1', ''] }, /entry 2 of v2 has no unit id/],
    [{ v1: ['u1'], v2: ['u1'] }, /"u1" is sent to v1 and again to v2/],
    [{ two: ['u1'] }, /two/],
    [Array.from({ length: limits.scene.whitelistUnitsMax + 1 }, (_, i) => `u${i},v2`).join('\n'), /over 100000 lines/],
    [{ v2: Array(limits.scene.whitelistUnitsMax + 1).fill(1) }, /it has 100001 unit ids, the limit is 100000/],
  ] as const)
    await refused(scene, ['PUT', 'whitelist', payload], 'WHITELIST_INVALID', words)
  await refused(scene, ['PATCH', 'whitelist', { add: { v2: [long] } }], 'WHITELIST_INVALID', /257 bytes/)
  await refused(scene, ['PATCH', 'whitelist', { add: { '3': ['u1'] } }], 'REQUEST_INVALID', /\/add\/3 must match pattern/)
})

test('neither tables nor the audit log carry unit ids of a whitelist, and a backup has them', async t => {
  const scene = await startScene(t, 2)
  const units = Array.from({ length: 1000 }, (_, i) => `secret-${i}`)
  await scene.home('PUT', 'whitelist', { v2: units })
  assert.doesNotMatch(JSON.stringify([scene.cell.tables, (await scene.ask('GET', '/api/audit')).body]), /secret-/)
  await scene.home('PATCH', 'whitelist', { add: { v1: ['secret-1'] } })
  const [row] = (await scene.ask('GET', '/api/audit?scene=home&limit=1')).read<{ after: Json }[]>()
  assert.deepEqual([row?.after.add, row?.after.byVersion], [{ v1: ['secret-1'] }, { v1: 1, v2: 999 }])
  const target = join(temporaryFolder(t), 'copy')
  await backup(scene.data, target)
  const copy = await startTestKeeper(t, target)
  assert.equal((await copy.ask('GET', '/api/scenes/home/whitelist')).text, (await scene.home('GET', 'whitelist')).text)
})

test('parameters are published on their own, for the scene or a version, with a history to go back in', async t => {
  const scene = await startScene(t, 2)
  const loaded = scene.cell.plans.length
  const read = async () => (await scene.home('GET', 'params')).read<Json>()
  const { revision } = await read()
  const first = await scene.home('PUT', 'params', { params: { topK: 5 }, reason: 'more' }, { 'if-match': `"${revision}"` })
  assert.deepEqual([first.status, first.body.before, first.body.after], [200, { topK: 3 }, { topK: 5 }])
  const stale = await scene.home('PUT', 'params', { params: {} }, { 'if-match': `"${revision}"` })
  assert.deepEqual([stale.status, stale.body.code], [409, 'REVISION_CONFLICT'])
  const ofV2 = await scene.home('PUT', 'params', { params: { topK: 9 }, version: 'v2' })
  assert.deepEqual((await scene.home('POST', 'explain', { pin: 'v2' })).body.params, { topK: 9 })
  assert.deepEqual([scene.entry()?.definition.params, scene.entry()?.rules?.versionParams], [{ topK: 5 }, { v2: { topK: 9 } }])
  assert.equal((await scene.home('POST', 'params/rollback', { from: first.body.revision, reason: 'back' })).status, 200)
  const history = (await scene.home('GET', 'params/history')).read<Json[]>()
  assert.deepEqual(
    history.map(({ version, before, after, reason }) => [version, before, after, reason]),
    [
      [null, { topK: 5 }, { topK: 3 }, 'back'],
      ['v2', {}, { topK: 9 }, undefined],
      [null, { topK: 3 }, { topK: 5 }, 'more'],
      [null, {}, { topK: 3 }, undefined],
    ],
  )
  await refused(scene, ['POST', 'params/rollback', { dryRun: true }], 'NOTHING_TO_ROLL_BACK', /they are as the scene was defined/)
  await scene.home('POST', 'params/rollback', { to: first.body.revision })
  assert.deepEqual((await read()).params, { topK: 5 })
  const undone = await scene.home('POST', 'params/rollback', { version: 'v2', from: ofV2.body.revision })
  assert.deepEqual([undone.body.to, undone.body.after, (await read()).versions], [null, {}, {}], 'each version has changes of its own')
  const none = /"v2".*no change of them is left to undo/
  await refused(scene, ['POST', 'params/rollback', { version: 'v2', dryRun: true }], 'NOTHING_TO_ROLL_BACK', none)
  assert.equal(scene.cell.plans.length, loaded, 'no code is loaded for parameters')
  await refused(scene, ['POST', 'params/rollback', { to: 1 }], 'NOTHING_TO_ROLL_BACK', /did not change at revision 1; they did at/)
  await refused(
    scene,
    ['POST', 'params/rollback', { version: 'v1', dryRun: true }],
    'NOTHING_TO_ROLL_BACK',
    /version "v1".*no change of them/,
  )
  await refused(scene, ['PUT', 'params', { params: { a: 1 }, version: 'v9' }], 'VERSION_NOT_FOUND', /v9/)
  const infinite = await scene.home('PUT', 'params', '{"params":{"topK":1e999}}', { 'content-type': 'application/json' })
  assert.equal(infinite.body.code, 'PARAMS_INVALID')
})

test('a rollback of parameters that names the change undoes it once, and what experiments override is said', async t => {
  const scene = await startScene(t)
  const set = async (topK: number) => (await scene.home('PUT', 'params', { params: { topK }, reason: `${topK}` })).body
  const [first, second] = [await set(5), await set(6)]
  const rollBack = (payload: Json) => scene.home('POST', 'params/rollback', payload)
  const words = new RegExp(`not undone is that of revision ${second.revision}, and not that of ${first.revision}`)
  await refused(scene, ['POST', 'params/rollback', { from: first.revision }], 'NOTHING_TO_ROLL_BACK', words)
  await refused(
    scene,
    ['POST', 'params/rollback', {}],
    'REQUEST_INVALID',
    /\/from is missing, the revision of the change to undo; a dry run/,
  )
  const tried = await rollBack({ dryRun: true })
  assert.deepEqual([(tried.body.undoes as Json).revision, tried.body.after], [second.revision, { topK: 5 }])
  const undone = await rollBack({ from: second.revision })
  assert.deepEqual([undone.body.changed, undone.body.after], [true, { topK: 5 }])
  const revision = await scene.revision()
  const again = await rollBack({ from: second.revision })
  assert.deepEqual([again.status, again.body.changed, again.body.after, await scene.revision()], [200, false, { topK: 5 }, revision])
  await refused(scene, ['POST', 'params/rollback', { from: undone.body.revision }], 'NOTHING_TO_ROLL_BACK', /is a rollback itself/)

  await scene.home('POST', 'layers', { id: 'ui', keys: ['topK'] })
  const arms = [{ name: 'more', values: { topK: 9 }, share: 10_000 }]
  await scene.home('POST', 'experiments', { id: 'exp-1', layer: 'ui', arms })
  await scene.home('POST', 'experiments/exp-1/start', {})
  assert.deepEqual((await set(7)).warnings, [
    'experiment "exp-1" of layer "ui" sets "topK" for all units, in its arm more, whatever it is set to here',
  ])
  const override = { parameter: 'topK', layer: 'ui', experiment: 'exp-1', arms: ['more'], share: 1, isLimited: false }
  assert.deepEqual((await scene.home('GET', 'params')).body.overrides, [override])
})

test('everything is there again after a restart of the keeper', async t => {
  const scene = await startScene(t, 3)
  await scene.home('POST', 'versions/v2/promote', { to: 'cutover', share: 10 })
  await scene.home('PUT', 'whitelist', { v3: ['u1'] })
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: [{ name: 'all', version: 'v2', share: 9 }], segments: 10 })
  const before = scene.entry()
  await scene.keeper.stop()
  const again = await startTestKeeper(t, scene.data)
  const cell = connectCell(t, again.data)
  await cell.ready
  assert.deepEqual(cell.tables[0]?.scenes, [before])
})
