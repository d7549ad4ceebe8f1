/** The control API about who answers in a scene: on a real store, with cells that only pretend. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ErrorCode } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { backup } from '../store/backup.ts'
import { temporaryFolder } from '../store/fixtures/folder.ts'
import { connectCell, startTestKeeper, type TestKeeper } from './fixtures/keeper.ts'

type Json = Record<string, unknown>

/** A scene "home" with two attributes, its baseline v1, and as many dev versions after it, on one cell. */
async function startScene(t: Parameters<typeof startTestKeeper>[0], versions = 1) {
  const base = await startTestKeeper(t)
  const cell = connectCell(t, base.data)
  await cell.ready
  await base.publish('rank-lr', '1.0.0')
  const group = [{ stage: 'rank', modules: ['rank-lr@^1'] }]
  const attributes = { country: '/user/country', age: { pointer: '/user/age', type: 'number' } }
  await base.ask('PUT', '/api/scenes/home', { payload: { id: 'home', group, attributes, params: { topK: 3 } } })
  for (let made = 0; made < versions; made++)
    await base.ask('POST', '/api/scenes/home/versions', { payload: made === 0 ? { as: 'baseline' } : {} })
  const { ask } = base
  return {
    ...base,
    cell,
    /** Asks something of the scene. */
    home: (method: Parameters<typeof ask>[0], path: string, payload?: unknown, headers?: Record<string, string>) =>
      ask(method, `/api/scenes/home/${path}`, { ...(payload === undefined ? {} : { payload }), ...(headers && { headers }) }),
    entry: () => cell.tables.at(-1)?.scenes[0],
    revision: async () => (await ask('GET', '/api/status')).body.revision,
  }
}

type Scene = Awaited<ReturnType<typeof startScene>>

/** Asserts that a request is refused with this code and words, and that nothing was kept. */
async function refused(
  scene: Scene,
  [method, path, payload]: readonly [method: Parameters<TestKeeper['ask']>[0], path: string, payload: unknown],
  code: ErrorCode,
  words: RegExp,
): Promise<Json> {
  const before = await scene.revision()
  const { body } = await scene.home(method, path, payload, typeof payload === 'string' ? { 'content-type': 'text/plain' } : undefined)
  assert.equal(body.code, code, `${path} ${JSON.stringify(payload)?.slice(0, 200)}: ${body.detail}`)
  assert.match(String(body.detail), words)
  assert.equal(await scene.revision(), before, `${path} changed something`)
  return body
}

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
  const cutover = await scene.home('POST', 'versions/v2/promote', { reason: 'try' })
  assert.deepEqual(cutover.body.cutover, { version: 'v2', share: 100 })
  assert.deepEqual(cutover.body.cells, { applied: 1, connected: 1 })
  const { salt } = scene.entry()?.rules?.cutover ?? {}
  const ramped = await scene.home('POST', 'versions/v2/promote', { share: 2500 })
  assert.equal((ramped.body.moved as Json).moved, 0.24 * 10_000 ** 3)
  assert.deepEqual(scene.entry()?.rules?.cutover, { version: 'v2', share: 2500, salt }, 'ramping keeps the salt, so it moves nobody back')
  assert.deepEqual(await kinds(scene), ['v1 baseline', 'v2 cutover 2500'])
  const promoted = await scene.home('POST', 'versions/v2/promote', {})
  assert.deepEqual([promoted.body.kind, promoted.body.baseline, promoted.body.previousBaseline], ['baseline', 'v2', 'v1'])
  assert.deepEqual(await kinds(scene), ['v1 dev previous', 'v2 baseline'])
  assert.deepEqual(Object.keys(scene.entry()?.rules ?? {}), ['segmentSalt', 'experiments', 'layers', 'previousBaseline'])
})

test('a version that a cell cannot load gets no part, whatever the part', async t => {
  const scene = await startScene(t, 2)
  scene.cell.onPrepare = () => ({ code: 'MODULE_LOAD_THREW', message: 'it threw' })
  const writes = [
    ['POST', 'versions/v2/promote', {}],
    ['POST', 'versions/v2/promote', { to: 'baseline' }],
    ['PUT', 'loadtest', { version: 'v2' }],
    ['PUT', 'whitelist', { v2: ['u1'] }],
    ['POST', 'versions', { as: 'dev' }],
    ['POST', 'versions', { as: 'cutover', share: 5, whitelist: ['u1'] }],
  ] as const
  for (const write of writes) await refused(scene, write, 'UPGRADE_FAILED', /it threw/)
})

test('rolling back ends the cutover, then goes back to the baseline before, and forth, and loads nothing for it', async t => {
  const scene = await startScene(t, 3)
  await refused(scene, ['POST', 'rollback', {}], 'NOTHING_TO_ROLL_BACK', /no cutover to end, and no previous baseline/)
  await scene.home('POST', 'versions/v2/promote', { to: 'baseline' })
  await scene.home('POST', 'versions/v3/promote', {})
  scene.cell.onPrepare = () => ({ code: 'MODULE_LOAD_THREW', message: 'it threw' })
  const loaded = scene.cell.plans.length
  assert.deepEqual((await scene.home('POST', 'rollback', { reason: 'slow' })).body.cutover, null)
  assert.deepEqual(await kinds(scene), ['v1 dev previous', 'v2 baseline', 'v3 dev'])
  assert.equal((await scene.home('POST', 'rollback', {})).body.baseline, 'v1')
  assert.deepEqual(await kinds(scene), ['v1 baseline', 'v2 dev previous', 'v3 dev'])
  assert.equal((await scene.home('POST', 'rollback', {})).body.baseline, 'v2')
  assert.equal(scene.cell.plans.length, loaded)
})

test('a version cannot take a part that another has, or that it cannot have', async t => {
  const scene = await startScene(t, 4)
  await scene.home('POST', 'versions/v2/promote', { share: 500 })
  await refused(scene, ['POST', 'versions/v3/promote', {}], 'PROMOTION_REFUSED', /"v2" has the cutover, at 5%/)
  await refused(scene, ['POST', 'versions', { as: 'cutover' }], 'PROMOTION_REFUSED', /"v2" has the cutover/)
  await refused(scene, ['POST', 'versions/v1/promote', { to: 'cutover' }], 'PROMOTION_REFUSED', /baseline already/)
  await refused(scene, ['POST', 'versions/v9/promote', {}], 'VERSION_NOT_FOUND', /v9/)
  await refused(scene, ['POST', 'versions/v2/promote', { share: 10_001 }], 'REQUEST_INVALID', /share/)
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
  await scene.home('POST', 'versions/v2/promote', {})
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
  await refused(scene, ['POST', 'rollback', {}], 'NOTHING_TO_ROLL_BACK', /no previous baseline/)
})

test('one version too many online is refused with the oldest that nobody uses', { timeout: 60_000 }, async t => {
  const scene = await startScene(t, limits.onlineVersionsMax)
  await scene.home('PUT', 'whitelist', { v2: ['u1'] })
  const problem = await refused(scene, ['POST', 'versions', {}], 'VERSIONS_TOO_MANY', /the oldest that nobody uses: v3, v4/)
  assert.deepEqual(problem.unused, ['v3', 'v4', 'v5', 'v6', 'v7'])
  await scene.home('POST', 'versions/v3/offline', {})
  assert.equal((await scene.home('POST', 'versions', {})).status, 201)
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
  assert.equal((await scene.home('GET', 'whitelist')).text, 'ada\tv2\nbob\tv3\n')
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
  assert.match(String(stale.body.detail), /since then: flip experiment by t-/)
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
  const long = 'x'.repeat(limits.unitIdBytesMax + 1)
  for (const [payload, words] of [
    [`u1,v2\n\n${long},v2\nu4`, /line 2 is empty; line 3 has a unit id of 257 bytes, the limit is 256; line 4 names no version/],
    [{ v2: ['u1', ''] }, /entry 2 of v2 has no unit id/],
    [{ v1: ['u1'], v2: ['u1'] }, /"u1" is sent to v1 and again to v2/],
    [{ two: ['u1'] }, /two/],
    [Array.from({ length: limits.whitelistUnitsMax + 1 }, (_, i) => `u${i},v2`).join('\n'), /100001 unit ids, the limit is 100000/],
  ] as const)
    await refused(scene, ['PUT', 'whitelist', payload], 'WHITELIST_INVALID', words)
  await refused(scene, ['PATCH', 'whitelist', { add: { v2: [long] } }], 'WHITELIST_INVALID', /257 bytes/)
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

const arm = (name: string, version: string, share = 5000) => ({ name, version, share })
const halves = [arm('control', 'v1'), arm('treatment', 'v2')]

test('an experiment is a draft, runs, is flipped with the ranges and the exact share that moves, and stops', async t => {
  const scene = await startScene(t, 3)
  const arms = [
    { ...arm('control', 'v1', 1000), weight: 5000 },
    { ...arm('treatment', 'v2', 1000), weight: 5000 },
  ]
  const made = await scene.home('POST', 'experiments', { id: 'exp-7', segments: 4000, arms, reason: 'ranker' })
  assert.deepEqual([made.status, (made.body.experiment as Json).state], [201, 'draft'])
  assert.equal(scene.cell.plans.at(-1)?.version, 'v1', 'a draft loads nothing')
  const started = await scene.home('POST', 'experiments/exp-7/start', {})
  assert.equal(scene.cell.plans.at(-1)?.version, 'v2')
  assert.equal((started.body.moved as Json).share, 0.08)
  const request = { arms: { treatment: 3000 }, reason: 'more' }
  const dry = await scene.home('POST', 'experiments/exp-7/flip', { ...request, dryRun: true })
  const flipped = await scene.home('POST', 'experiments/exp-7/flip', request)
  for (const member of ['before', 'after', 'moved', 'newPhase', 'segments'])
    assert.deepEqual(dry.body[member], flipped.body[member], member)
  assert.deepEqual(flipped.body.before, {
    control: { share: 1000, ranges: [[0, 1000]] },
    treatment: { share: 1000, ranges: [[5000, 6000]] },
  })
  assert.deepEqual((flipped.body.after as Json).treatment, { share: 3000, ranges: [[5000, 8000]] })
  assert.equal((flipped.body.moved as Json).share, 0.08)
  assert.deepEqual([dry.body.revision, flipped.body.newPhase], [started.body.revision, []])
  assert.deepEqual(
    scene.entry()?.rules?.experiments[0]?.arms.map(({ share }) => share),
    [1000, 3000],
  )
  const stopped = await scene.home('POST', 'experiments/exp-7/stop', { reason: 'done' })
  assert.equal((stopped.body.moved as Json).share, 0.16)
  const rows = (await scene.ask('GET', '/api/audit?scene=home&limit=3')).read<
    { action: string; reason?: string; before: Json; after: Json }[]
  >()
  assert.deepEqual(
    rows.map(({ action }) => action),
    ['stop experiment', 'flip experiment', 'start experiment'],
  )
  assert.deepEqual([rows[1]?.reason, rows[1]?.before.id, rows[1]?.after.id], ['more', 'exp-7', 'exp-7'])
})

test('reverting goes back flip by flip to exactly what was, and then says that there is nothing more', async t => {
  const scene = await startScene(t, 3)
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: halves, segments: 5000 })
  await scene.home('POST', 'experiments/exp-1/start', {})
  const rules = async () => (await scene.home('GET', 'experiments/exp-1')).read<Json>()
  const states = [await rules()]
  for (const flip of [{ arms: { treatment: 100 } }, { drop: ['control'] }, { segments: 9000 }]) {
    assert.equal((await scene.home('POST', 'experiments/exp-1/flip', flip)).status, 200)
    states.push(await rules())
  }
  for (const state of states.slice(0, -1).reverse()) {
    assert.equal((await scene.home('POST', 'experiments/exp-1/revert', { reason: 'back' })).status, 200)
    assert.deepEqual({ ...(await rules()), revision: 0 }, { ...state, revision: 0 })
  }
  await refused(scene, ['POST', 'experiments/exp-1/revert', {}], 'NOTHING_TO_ROLL_BACK', /no flip of it that was not reverted/)
})

test('a change of meaning says first that a new phase begins, and shuffles anew; undone it is one again', async t => {
  const scene = await startScene(t, 3)
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: halves })
  await scene.home('POST', 'experiments/exp-1/start', {})
  const flip = { set: { treatment: { version: 'v3' } }, where: [{ attribute: 'country', op: 'equals', value: 'CN' }] }
  const problem = await refused(scene, ['POST', 'experiments/exp-1/flip', flip], 'FLIP_REFUSED', /new phase would begin/)
  assert.equal((problem.newPhase as string[]).length, 3)
  const was = scene.entry()?.rules?.experiments[0]
  assert.equal((await scene.home('POST', 'experiments/exp-1/flip', { ...flip, newPhase: true })).status, 200)
  assert.equal(scene.cell.plans.at(-1)?.version, 'v3')
  const is = scene.entry()?.rules?.experiments[0]
  assert.equal(is?.phase, 2)
  assert.notEqual(is?.salt, was?.salt)
  await scene.home('POST', 'experiments/exp-1/flip', { add: [arm('third', 'v3', 0)], newPhase: true })
  await scene.home('POST', 'experiments/exp-1/revert', {})
  await scene.home('POST', 'experiments/exp-1/revert', {})
  assert.deepEqual(scene.entry()?.rules?.experiments[0], { ...was, phase: 5 })
})

test('every fault of an experiment has its own error and changes nothing', async t => {
  const scene = await startScene(t, 3)
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: halves, segments: 6000 })
  await scene.home('POST', 'experiments/exp-1/start', {})
  await scene.home('POST', 'layers', { id: 'ui', keys: ['color'] })
  await scene.home('POST', 'versions/v3/offline', {})
  const ranges = (...weights: number[][][]) => ({
    id: 'x',
    segments: 100,
    arms: weights.map((weight, i) => ({ name: `a${i}`, version: 'v1', weight })),
  })
  const where = (attribute: string, op: string, value: unknown) => ({
    id: 'x',
    segments: 1,
    arms: halves,
    where: [{ attribute, op, value }],
  })
  const cases: [object, ErrorCode, RegExp][] = [
    [{ id: 'exp-1', segments: 1, arms: halves }, 'EXPERIMENT_EXISTS', /"exp-1"/],
    [{ id: 'x', segments: 1, arms: [arm('a', 'v1', 6000), arm('b', 'v2', 5000)] }, 'EXPERIMENT_INVALID', /come to 110%, over 100%/],
    [ranges([[0, 6000]], [[5000, 7000]]), 'EXPERIMENT_INVALID', /overlap at 5000–6000/],
    [ranges([[0, 10_001]]), 'EXPERIMENT_INVALID', /0–10001, and buckets go from 0 to 10000/],
    [ranges([[-1, 5]]), 'EXPERIMENT_INVALID', /-1–5/],
    [ranges([[5, 5]]), 'EXPERIMENT_INVALID', /5–5 is empty/],
    [
      { id: 'x', segments: 1, arms: [{ ...arm('a', 'v1', 500), weight: 100 }] },
      'EXPERIMENT_INVALID',
      /is to have 5%, and its ranges hold 1%/,
    ],
    [{ id: 'x', segments: 1, arms: [arm('a', 'v1', 1), arm('a', 'v2', 1)] }, 'EXPERIMENT_INVALID', /two arms "a"/],
    [{ id: 'x', segments: 1, arms: [{ name: 'a', values: {}, share: 1 }] }, 'EXPERIMENT_INVALID', /has to name a version/],
    [{ id: 'x', segments: 1, arms: [arm('a', 'v3')] }, 'VERSION_OFFLINE', /"v3".*not online/],
    [{ id: 'x', segments: 1, arms: [arm('a', 'v9')] }, 'VERSION_OFFLINE', /"v9"/],
    [{ id: 'x', segments: 4001, arms: halves }, 'SEGMENTS_TAKEN', /40% is free, the rest has exp-1 60%/],
    [where('city', 'equals', 'x'), 'ATTRIBUTE_UNKNOWN', /"city": scene "home" declares country, age/],
    [where('country', 'lt', 'x'), 'EXPERIMENT_INVALID', /"lt" does not apply to the string/],
    [where('age', 'gt', 'old'), 'EXPERIMENT_INVALID', /"old" is no number/],
    [{ id: 'x', layer: 'nope', arms: [{ name: 'a', values: {}, share: 1 }] }, 'LAYER_NOT_FOUND', /"nope": the scene has ui/],
    [
      { id: 'x', layer: 'ui', arms: [{ name: 'a', values: { size: 1 }, share: 1 }] },
      'EXPERIMENT_INVALID',
      /sets "size", and layer "ui" owns color/,
    ],
    [{ id: 'X', arms: halves }, 'REQUEST_INVALID', /id/],
    [{ id: 'x', arms: [] }, 'REQUEST_INVALID', /arms/],
  ]
  for (const [experiment, code, words] of cases) await refused(scene, ['POST', 'experiments', experiment], code, words)
  const flips: [string, object, ErrorCode, RegExp][] = [
    ['exp-9', { arms: { a: 1 } }, 'EXPERIMENT_NOT_FOUND', /"exp-9": the scene has exp-1/],
    ['exp-1', {}, 'FLIP_REFUSED', /changes nothing/],
    ['exp-1', { arms: { third: 1 } }, 'FLIP_REFUSED', /no arm "third"/],
    ['exp-1', { arms: { treatment: 9000 } }, 'FLIP_REFUSED', /140% together/],
    ['exp-1', { drop: ['control', 'treatment'] }, 'FLIP_REFUSED', /last arm/],
    ['exp-1', { set: { treatment: { version: 'v3' } }, newPhase: true }, 'VERSION_OFFLINE', /"v3"/],
    ['exp-1', { segments: 10_001 }, 'REQUEST_INVALID', /segments/],
  ]
  for (const [id, flip, code, words] of flips) await refused(scene, ['POST', `experiments/${id}/flip`, flip], code, words)
  await refused(scene, ['POST', 'experiments/exp-1/start', {}], 'FLIP_REFUSED', /running already/)
  await refused(scene, ['POST', 'layers', { id: 'ui2', keys: ['color'] }], 'LAYER_KEY_TAKEN', /"ui2".*"color": layer "ui" owns it/)
  await refused(scene, ['POST', 'layers/none/retire', {}], 'LAYER_NOT_FOUND', /"none"/)
})

test('a draft whose segments were taken meanwhile starts on others, and when there are none it does not', async t => {
  const scene = await startScene(t, 2)
  for (const [id, segments] of [
    ['a', 6000],
    ['b', 4000],
    ['c', 4000],
  ] as const)
    await scene.home('POST', 'experiments', { id, segments, arms: halves })
  for (const id of ['a', 'c']) assert.equal((await scene.home('POST', `experiments/${id}/start`, {})).status, 200, id)
  assert.deepEqual(
    scene.entry()?.rules?.experiments.map(({ segments }) => segments),
    [[[0, 6000]], [[6000, 10_000]], [[6000, 10_000]]],
  )
  await refused(scene, ['POST', 'experiments/b/start', {}], 'SEGMENTS_TAKEN', /0% is free/)
  await scene.home('POST', 'experiments/a/stop', {})
  assert.equal((await scene.home('POST', 'experiments/b/start', {})).status, 200)
  assert.deepEqual(scene.entry()?.rules?.experiments[1]?.segments, [[0, 4000]])
  await refused(scene, ['POST', 'experiments/a/start', {}], 'SEGMENTS_TAKEN', /"a" on segments 0–4000: experiment "b" owns them/)
})

test('a layer sets its parameters for its arms, and retires when none of its experiments runs', async t => {
  const scene = await startScene(t, 2)
  await scene.home('POST', 'layers', { id: 'ui', keys: ['color'], reason: 'colours' })
  const arms = [
    { name: 'blue', values: { color: 'blue' }, share: 10_000 },
    { name: 'red', values: { color: 'red' }, share: 0 },
  ]
  await scene.home('POST', 'experiments', { id: 'colour', layer: 'ui', arms, versions: ['v1'] })
  await scene.home('POST', 'experiments/colour/start', {})
  const explained = await scene.home('POST', 'explain', { unit: 'u1' })
  assert.deepEqual(explained.body.params, { topK: 3, color: 'blue' })
  assert.deepEqual((await scene.home('POST', 'explain', { unit: 'u1', pin: 'v2' })).body.params, { topK: 3 })
  await refused(scene, ['POST', 'layers/ui/retire', {}], 'LAYER_IN_USE', /colour run/)
  await scene.home('POST', 'experiments/colour/stop', {})
  await scene.home('POST', 'layers/ui/retire', {})
  assert.equal((await scene.home('POST', 'layers', { id: 'ui2', keys: ['color'] })).status, 201)
  const { body } = await scene.home('GET', 'experiments')
  assert.deepEqual(
    (body.layers as Json[]).map(({ id, state }) => [id, state]),
    [
      ['ui', 'retired'],
      ['ui2', 'live'],
    ],
  )
  assert.deepEqual(
    (body.experiments as Json[]).map(({ id, layer, state }) => [id, layer, state]),
    [['colour', 'ui', 'stopped']],
  )
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
  await scene.home('PUT', 'params', { params: { topK: 9 }, version: 'v2' })
  assert.deepEqual((await scene.home('POST', 'explain', { pin: 'v2' })).body.params, { topK: 9 })
  assert.deepEqual([scene.entry()?.definition.params, scene.entry()?.rules?.versionParams], [{ topK: 5 }, { v2: { topK: 9 } }])
  assert.equal((await scene.home('POST', 'params/rollback', { reason: 'back' })).status, 200)
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
  await scene.home('POST', 'params/rollback', { to: first.body.revision })
  assert.deepEqual((await read()).params, { topK: 5 })
  await scene.home('PUT', 'params', { params: {}, version: 'v2' })
  assert.deepEqual((await read()).versions, {})
  assert.equal(scene.cell.plans.length, loaded, 'no code is loaded for parameters')
  await refused(scene, ['POST', 'params/rollback', { to: 1 }], 'NOTHING_TO_ROLL_BACK', /did not change at revision 1; they did at/)
  await refused(scene, ['POST', 'params/rollback', { version: 'v1' }], 'NOTHING_TO_ROLL_BACK', /version "v1".*never changed/)
  await refused(scene, ['PUT', 'params', { params: { a: 1 }, version: 'v9' }], 'VERSION_NOT_FOUND', /v9/)
  const infinite = await scene.home('PUT', 'params', '{"params":{"topK":1e999}}', { 'content-type': 'application/json' })
  assert.equal(infinite.body.code, 'PARAMS_INVALID')
})

test('a definition that takes away what an experiment asks for is refused', async t => {
  const scene = await startScene(t, 2)
  const where = [{ attribute: 'country', op: 'equals', value: 'CN' }]
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: halves, where })
  const { definition, revision } = (await scene.ask('GET', '/api/scenes/home')).read<{ definition: Json; revision: number }>()
  const { attributes: _, ...without } = definition
  const put = await scene.ask('PUT', '/api/scenes/home', { payload: without, headers: { 'if-match': `"${revision}"` } })
  assert.deepEqual([put.status, put.body.code], [422, 'ATTRIBUTE_UNKNOWN'])
})

test('an explanation has the decision, each rule asked, and the hash, bucket and ranges of each draw', async t => {
  const scene = await startScene(t, 2)
  const where = [{ attribute: 'age', op: 'gte', value: 18 }]
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: [arm('all', 'v2', 10_000)], where })
  await scene.home('POST', 'experiments/exp-1/start', {})
  await scene.home('PUT', 'whitelist', { v2: ['listed'] })
  type Told = {
    version: string
    because: string
    bucket: number
    steps: { rule: string; said: string; draws: { hash: number; bucket: number; ranges: number[][] }[] }[]
  }
  const ask = async (question: object) => (await scene.home('POST', 'explain', question)).read<Told>()
  const adult = await ask({ unit: 'u42', attributes: { age: '20' } })
  assert.deepEqual([adult.version, adult.because], ['v2', 'experiment'])
  const draw = adult.steps.find(({ rule }) => rule === 'experiment')?.draws.at(-1)
  assert.deepEqual([draw?.bucket, draw?.ranges], [adult.bucket, [[0, 10_000]]])
  assert.equal(Number(draw?.hash) % 10_000, adult.bucket)
  assert.match((await ask({ unit: 'u42' })).steps.map(({ said }) => said).join(), /age gte 18 does not hold: the request has no age/)
  assert.equal((await ask({ unit: 'listed' })).because, 'whitelist')
  assert.equal((await ask({ unit: 'u42', loadtest: true })).because, 'loadtest')
  await refused(
    scene,
    ['POST', 'explain', { attributes: { city: 'x' } }],
    'ATTRIBUTE_UNKNOWN',
    /"city": scene "home" declares country, age/,
  )
  await refused(scene, ['POST', 'explain', { unit: 'x'.repeat(257) }], 'UNIT_TOO_LONG', /257 bytes/)
  await refused(scene, ['POST', 'explain', { pin: 'v9' }], 'VERSION_NOT_FOUND', /v9/)
})

test('everything is there again after a restart of the keeper', async t => {
  const scene = await startScene(t, 3)
  await scene.home('POST', 'versions/v2/promote', { share: 10 })
  await scene.home('PUT', 'whitelist', { v3: ['u1'] })
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: halves, segments: 10 })
  const before = scene.entry()
  await scene.keeper.stop()
  const again = await startTestKeeper(t, scene.data)
  const cell = connectCell(t, again.data)
  await cell.ready
  assert.deepEqual(cell.tables[0]?.scenes, [before])
})
