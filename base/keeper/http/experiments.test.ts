/** The control API about experiments, layers and explanations: on a real store, with cells that only pretend. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorCode } from '../../kernel/errors.ts'
import { type Json, refused, type Scene, startScene } from '../fixtures/scene.ts'

const arm = (name: string, version: string, share = 5000) => ({ name, version, share })
const halves = [arm('control', 'v1'), arm('treatment', 'v2')]

/** Undoes the last flip that stands, by the name that a dry run says. */
async function revertLast(scene: Scene) {
  const { undoes } = (await scene.home('POST', 'experiments/exp-1/revert', { dryRun: true })).body
  return scene.home('POST', 'experiments/exp-1/revert', { flip: (undoes as Json).revision, reason: 'back' })
}

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
    assert.equal((await revertLast(scene)).status, 200)
    assert.deepEqual({ ...(await rules()), revision: 0 }, { ...state, revision: 0 })
  }
  await refused(
    scene,
    ['POST', 'experiments/exp-1/revert', { dryRun: true }],
    'NOTHING_TO_ROLL_BACK',
    /no flip of it that was not reverted/,
  )
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
  await revertLast(scene)
  await revertLast(scene)
  assert.deepEqual(scene.entry()?.rules?.experiments[0], { ...was, phase: 5 })
})

test('a revert that names its flip undoes it once, says whose it was, and undoes no other', async t => {
  const scene = await startScene(t, 2)
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: [arm('control', 'v1', 1000), arm('treatment', 'v2', 1000)] })
  await scene.home('POST', 'experiments/exp-1/start', {})
  const flip = async (share: number) => (await scene.home('POST', 'experiments/exp-1/flip', { arms: { treatment: share } })).body
  const [first, second] = [await flip(2000), await flip(3000)]
  const revert = (payload: Json) => scene.home('POST', 'experiments/exp-1/revert', payload)
  const words = new RegExp(`last flip that stands is that of revision ${second.revision}, and not that of ${first.revision}`)
  await refused(scene, ['POST', 'experiments/exp-1/revert', { flip: first.revision }], 'NOTHING_TO_ROLL_BACK', words)
  await refused(
    scene,
    ['POST', 'experiments/exp-1/revert', {}],
    'REQUEST_INVALID',
    /\/flip is missing, the revision of the flip to undo; a dry run/,
  )
  const tried = await revert({ dryRun: true })
  const { whoLabel, revision } = tried.body.undoes as Json
  assert.deepEqual([whoLabel, revision, tried.body.changed], ['the first token', second.revision, true])
  assert.equal((await revert({ flip: revision })).body.changed, true)
  const kept = await scene.revision()
  const again = await revert({ flip: revision })
  assert.deepEqual([again.status, again.body.changed, (again.body.undoes as Json).revision], [200, false, revision])
  assert.deepEqual([await scene.revision(), scene.entry()?.rules?.experiments[0]?.arms[1]?.share], [kept, 2000])
  await refused(scene, ['POST', 'experiments/exp-1/revert', { flip: 1 }], 'NOTHING_TO_ROLL_BACK', /and not that of 1$/)
})

test('an experiment and a layer that are made again exactly as they are stay as they are, and others of their id are refused', async t => {
  const scene = await startScene(t, 3)
  const code = { id: 'exp-1', segments: 4000, where: [{ attribute: 'country', op: 'in', value: ['CN'] }], arms: halves }
  const values = [{ name: 'a', values: { color: 'red', size: 1 }, share: 100 }]
  const business = { id: 'exp-2', layer: 'ui', versions: ['v1'], description: 'colours', arms: values }
  const wishes: [path: string, wish: Json, ...others: Json[]][] = [
    ['layers', { id: 'ui', keys: ['color', 'size'] }, { keys: ['color'] }],
    ['experiments', code, { segments: 3000 }, { where: [] }, { unit: 'request' }, { arms: [arm('control', 'v1'), arm('treatment', 'v3')] }],
    ['experiments', business, { versions: ['v2'] }, { description: 'others' }, { arms: [{ ...values[0], share: 200 }] }],
  ]
  for (const [path, wish, ...others] of wishes) {
    assert.equal((await scene.home('POST', path, wish)).status, 201)
    if (wish === code) await scene.home('POST', 'experiments/exp-1/start', {})
    const revision = await scene.revision()
    const again = await scene.home('POST', path, wish)
    assert.deepEqual([again.status, again.body.changed, await scene.revision()], [200, false, revision])
    for (const other of others) {
      const refusal = await scene.home('POST', path, { ...wish, ...other })
      assert.ok(['EXPERIMENT_EXISTS', 'RULES_INVALID'].includes(String(refusal.body.code)), JSON.stringify([other, refusal.body]))
    }
  }
  await scene.home('POST', 'experiments/exp-1/flip', { arms: { control: 100 } })
  await refused(scene, ['POST', 'experiments', code], 'EXPERIMENT_EXISTS', /another one of that id/)
  await refused(scene, ['POST', 'layers', { id: 'ui', keys: ['size'] }], 'RULES_INVALID', /has one of that id, which owns color, size$/)
})

test('an arm that a flip has dropped is dropped already, and one that never was is refused', async t => {
  const scene = await startScene(t, 3)
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: halves })
  await scene.home('POST', 'experiments/exp-1/start', {})
  const drop = (...arms: string[]) => scene.home('POST', 'experiments/exp-1/flip', { drop: arms })
  assert.equal((await drop('treatment')).body.changed, true)
  assert.equal((await drop('treatment')).body.changed, false)
  await refused(scene, ['POST', 'experiments/exp-1/flip', { drop: ['treatmnet'] }], 'FLIP_REFUSED', /no arm "treatmnet"/)
  await revertLast(scene)
  assert.equal((await drop('treatment')).body.changed, true, 'it was there again')
})

test('a start, a stop, a meaning or a phase that is there already changes nothing', async t => {
  const scene = await startScene(t, 3)
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: [arm('control', 'v1', 1000), arm('treatment', 'v2', 1000)] })
  const where = [{ attribute: 'country', op: 'equals', value: 'CN' }]
  const wishes: [path: string, wish: Json, phase: number][] = [
    ['start', {}, 1],
    ['flip', { set: { treatment: { version: 'v3' } }, newPhase: 2 }, 2],
    ['flip', { where, newPhase: 3 }, 3],
    ['flip', { newPhase: 4 }, 4],
    ['flip', { add: [arm('more', 'v2', 500)], newPhase: 5 }, 5],
    ['flip', { segments: 4000, arms: { more: 600 } }, 5],
    ['stop', {}, 5],
  ]
  for (const [path, wish, phase] of wishes) {
    const made = await scene.home('POST', `experiments/exp-1/${path}`, wish)
    assert.deepEqual([made.status, made.body.changed, (made.body.experiment as Json).phase], [200, true, phase], JSON.stringify(wish))
    const revision = await scene.revision()
    const again = await scene.home('POST', `experiments/exp-1/${path}`, wish)
    assert.deepEqual([again.status, again.body.changed, again.body.newPhase], [200, false, []], JSON.stringify(wish))
    assert.equal(await scene.revision(), revision)
  }
  await refused(
    scene,
    ['POST', 'experiments/exp-1/flip', { newPhase: 7 }],
    'FLIP_REFUSED',
    /it is in phase 5, so that phase 7 cannot begin/,
  )
})

test('reverting undoes what the flip did and no more, and what was flipped in the draft opens a phase once it runs', async t => {
  const scene = await startScene(t, 3)
  const experiment = () => scene.entry()?.rules?.experiments[0]
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: halves, segments: 6000 })
  await scene.home('POST', 'experiments', { id: 'exp-2', arms: halves, segments: [[0, 1000]] })
  await scene.home('POST', 'experiments/exp-1/flip', { where: [{ attribute: 'country', op: 'equals', value: 'CN' }] })
  await scene.home('POST', 'experiments/exp-1/flip', { arms: { treatment: 100 } })
  await scene.home('POST', 'experiments/exp-2/start', {})
  await scene.home('POST', 'experiments/exp-1/start', {})
  const started = experiment()
  assert.deepEqual(started?.segments, [[1000, 7000]])
  const shares = await revertLast(scene)
  assert.deepEqual([shares.status, shares.body.newPhase], [200, []])
  assert.deepEqual(experiment(), { ...started, arms: started?.arms.map(arm => ({ ...arm, share: 5000 })) }, 'the segments stay')
  const meaning = await revertLast(scene)
  assert.match((meaning.body.newPhase as string[]).join(), /salt changes.*conditions change/)
  assert.deepEqual([experiment()?.phase, experiment()?.where, experiment()?.state], [2, [], 'running'])
  assert.notEqual(experiment()?.salt, started?.salt)
})

test('an arm may take the place of the only one, also by its name, and one that is added takes what is left', async t => {
  const scene = await startScene(t, 3)
  await scene.home('POST', 'experiments', { id: 'exp-1', arms: [arm('all', 'v2', 10_000)] })
  await scene.home('POST', 'experiments/exp-1/start', {})
  const arms = () => scene.entry()?.rules?.experiments[0]?.arms
  await scene.home('POST', 'experiments/exp-1/flip', { drop: ['all'], add: [arm('all', 'v3', 500)], newPhase: true })
  assert.deepEqual(arms(), [{ ...arm('all', 'v3', 500), reserve: [[0, 500]] }])
  await scene.home('POST', 'experiments/exp-1/flip', { add: [arm('more', 'v2', 1000)], newPhase: true })
  assert.deepEqual(arms()?.[1], { ...arm('more', 'v2', 1000), reserve: [[500, 1500]] })
  for (const [flip, code, words] of [
    [{ add: [{ ...arm('x', 'v2', 1), weight: 100 }] }, 'REQUEST_INVALID', /\/add\/0.*weight/],
    [{ drop: ['none'], newPhase: true }, 'FLIP_REFUSED', /no arm "none", it has all, more/],
    [{ drop: ['all', 'more'], newPhase: true }, 'FLIP_REFUSED', /last arm: stop it instead/],
    [{ drop: ['all'], set: { all: { version: 'v1' } }, newPhase: true }, 'FLIP_REFUSED', /"all" is to be dropped and to mean/],
  ] as const)
    await refused(scene, ['POST', 'experiments/exp-1/flip', flip], code, words)
})

test('every fault of an experiment has its own error and changes nothing', async t => {
  const scene = await startScene(t, 3)
  await refused(scene, ['POST', 'experiments/none/revert', { dryRun: true }], 'EXPERIMENT_NOT_FOUND', /"none"/)
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
    [ranges([[5, 5]]), 'EXPERIMENT_INVALID', /5–5, and that is empty/],
    [ranges([[5, 3]]), 'EXPERIMENT_INVALID', /5–3, and that is empty/],
    [{ id: 'x', segments: [[9, 9]], arms: halves }, 'EXPERIMENT_INVALID', /9–9, and that is empty/],
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
    [where('age', 'in', [7, 9007199254740992]), 'EXPERIMENT_INVALID', /9007199254740992 is beyond 2\^53.*declare "age" as a string/],
    [where('age', 'equals', '9007199254740993'), 'EXPERIMENT_INVALID', /is beyond 2\^53/],
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
  const segments = async () => (await scene.home('GET', 'experiments')).read<{ experiments: Json[] }>().experiments.map(one => one.segments)
  for (const id of ['a', 'c']) assert.equal((await scene.home('POST', `experiments/${id}/start`, {})).status, 200, id)
  assert.deepEqual(await segments(), [[[0, 6000]], [[6000, 10_000]], [[6000, 10_000]]])
  await refused(scene, ['POST', 'experiments/b/start', {}], 'SEGMENTS_TAKEN', /0% is free/)
  await scene.home('POST', 'experiments/a/stop', {})
  assert.equal((await scene.home('POST', 'experiments/b/start', {})).status, 200)
  assert.deepEqual((await segments())[1], [[0, 4000]])
  const known = scene.entry()?.rules?.experiments.map(({ id }) => id)
  assert.deepEqual(known, ['b', 'c'], 'cells know of what runs and of nothing else')
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
  const infinite = '{ "id": "x", "layer": "ui", "segments": [], "arms": [{ "name": "a", "values": { "color": 1e999 } }] }'
  const { body: problem } = await scene.home('POST', 'experiments', infinite, { 'content-type': 'application/json' })
  assert.match(String(problem.detail), /values of arm "a" hold what JSON cannot/)
  const explained = await scene.home('POST', 'explain', { unit: 'u1' })
  assert.deepEqual(explained.body.params, { topK: 3, color: 'blue' })
  assert.deepEqual((await scene.home('POST', 'explain', { unit: 'u1', pin: 'v2' })).body.params, { topK: 3 })
  await refused(scene, ['POST', 'layers/ui/retire', {}], 'LAYER_IN_USE', /colour run/)
  await scene.home('POST', 'experiments/colour/stop', {})
  await scene.home('POST', 'layers/ui/retire', {})
  await refused(scene, ['POST', 'experiments/colour/start', {}], 'FLIP_REFUSED', /its layer "ui" is retired/)
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
  type Explained = {
    version: string
    because: string
    bucket: number
    steps: { rule: string; said: string; draws: { hash: number; bucket: number; ranges: number[][] }[] }[]
  }
  const ask = async (question: object) => (await scene.home('POST', 'explain', question)).read<Explained>()
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
