/** Many versions of a scene are online at once, through a real base of two cells: which one answers whom, and how that changes. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { ErrorCode } from '../base/kernel/errors.ts'
import { RefusedError } from '../sdk/sdk-error.ts'
import { callScene, launchBase, makeScene, publishStages, type RunningBase, until } from './support/base.ts'
import { startLoad } from './support/load.ts'

let base: RunningBase
before(async () => {
  base = await launchBase({ cells: 2 })
})
after(() => base.kill())

const BOTH = { applied: 2, connected: 2 }

/** The stage of every version here. It says which version answered, and with which parameters. */
const stage = (name: string) => `(x, ctx) => ({ name: "${name}", params: ctx.params })`

/** A scene whose v1 is the baseline and answers "one", and a version for each further name. */
async function makeVersions(id: string, names: readonly string[], settings: Parameters<typeof makeScene>[3] = {}): Promise<void> {
  await makeScene(base.client, id, { rank: stage('one') }, settings)
  for (const [index, name] of names.entries()) {
    const version = `1.${index + 1}.0`
    await publishStages(base.client, `m-${id}`, version, { rank: stage(name) })
    await base.client.createVersion(id, { modules: [`m-${id}@${version}`], as: 'dev', label: name })
  }
}

interface Body {
  readonly name: string
  readonly params: Readonly<Record<string, unknown>>
}

/** The answer to a unit, on a connection of its own, so that either cell may give it. */
async function ask(scene: string, unit?: string, headers: Readonly<Record<string, string>> = {}) {
  const response = await callScene(
    base,
    scene,
    {},
    { connection: 'close', ...(unit === undefined ? {} : { 'x-unit-id': unit }), ...headers },
  )
  const body = (await response.json()) as Body
  return { status: response.status, because: response.headers.get('x-scene-because'), body }
}

/** The name of the version that answers each of these units, which are asked once. */
async function answers(scene: string, units: readonly string[]): Promise<Map<string, string>> {
  const all = new Map<string, string>()
  const left = [...units]
  const worker = async () => {
    for (let unit = left.pop(); unit !== undefined; unit = left.pop()) all.set(unit, (await ask(scene, unit)).body.name)
  }
  await Promise.all(Array.from({ length: 16 }, worker))
  return all
}

const units = (count: number): string[] => Array.from({ length: count }, (_, i) => `unit-${i}`)

const withCode = (code: ErrorCode, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RefusedError, String(error))
  assert.equal(error.problem.code, code, error.message)
  assert.match(error.message, message)
  return true
}

test('two engineers publish to one scene at once, and each is answered by their own version', async () => {
  await makeScene(base.client, 'shared', { rank: stage('one') })
  const publish = async (name: string, version: string) => {
    await publishStages(base.client, 'm-shared', version, { rank: stage(name) })
    return base.client.createVersion('shared', { modules: [`m-shared@${version}`], as: 'dev', label: name, whitelist: [name] })
  }
  const made = await Promise.all([publish('ada', '1.1.0'), publish('bob', '1.2.0')])
  for (const { kind, cells } of made) assert.deepEqual([kind, cells], ['dev', BOTH])
  assert.notEqual(made[0].version.id, made[1].version.id)
  for (const [unit, name, because] of [
    ['ada', 'ada', 'whitelist'],
    ['bob', 'bob', 'whitelist'],
    ['eve', 'one', 'baseline'],
    [undefined, 'one', 'baseline'],
  ] as const) {
    const answer = await ask('shared', unit)
    assert.deepEqual([answer.body.name, answer.because], [name, because])
  }
})

test('a version goes through the cutover to the baseline and back at once, and no request of a steady load fails', {
  timeout: 60_000,
}, async () => {
  await makeVersions('busy', ['two', 'three'], { traffic: { unit: { pointer: '/a' } } })
  const load = startLoad(`${base.url}/scenes/busy`, 8, true, body => /"name":"(one|two)"/.test(body))
  const baseline = async () => (await ask('busy')).body.name
  const cutover = await base.client.promote('busy', 'v2', { to: 'cutover', share: 10_000, reason: 'all of it' })
  assert.deepEqual([cutover.cells, cutover.cutover], [BOTH, { version: 'v2', share: 10_000 }])
  assert.deepEqual([(await ask('busy', 'u1')).because, await baseline()], ['cutover', 'one'])
  const promoted = await base.client.promote('busy', 'v2', { to: 'baseline' })
  assert.deepEqual([promoted.kind, promoted.previousBaseline, await baseline()], ['baseline', 'v1', 'two'])
  for (const [expected, before] of [
    ['one', 'v2'],
    ['two', 'v1'],
  ] as const) {
    const { previousBaseline, cells, timings } = await base.client.rollback('busy', { from: before, reason: 'slow' })
    assert.deepEqual([previousBaseline, cells, await baseline()], [before, BOTH, expected])
    assert.ok(!('prepareMs' in timings), 'nothing is loaded for it')
  }
  const outcome = await load.stop()
  assert.deepEqual([outcome.refused, outcome.broken], [[], []])
  assert.ok(outcome.answered >= 8)
})

test('what is used stays online; what is not goes and is pinned no more, until it comes back', async () => {
  await makeVersions('offline', ['two', 'three'])
  await base.client.editWhitelist('offline', { add: { v2: ['u1'] } })
  await assert.rejects(base.client.setOnline('offline', 'v2', false, {}), withCode('VERSION_IN_USE', /1 unit id of the whitelist/))
  await assert.rejects(base.client.setOnline('offline', 'v1', false, {}), withCode('VERSION_IN_USE', /the baseline/))
  const pin = { authorization: `Bearer ${base.token}`, 'x-scene-version': 'v3' }
  assert.equal((await ask('offline', undefined, pin)).body.name, 'three')
  await base.client.setOnline('offline', 'v3', false, { reason: 'old' })
  assert.equal((await ask('offline', undefined, pin)).status, 404)
  await assert.rejects(base.client.promote('offline', 'v3', { to: 'cutover' }), withCode('VERSION_OFFLINE', /"v3"/))
  await base.client.setOnline('offline', 'v3', true, {})
  assert.equal((await ask('offline', undefined, pin)).body.name, 'three')
})

test('a deleted scene is answered 404 by every cell from the acknowledgement on, its neighbour goes on, and its logs and metrics go', async () => {
  await makeVersions('doorway', [])
  await makeScene(base.client, 'mistake', { rank: '(_, ctx) => { ctx.log.info("hello"); return 1 }' })
  const load = startLoad(`${base.url}/scenes/doorway`, 4, true)
  const called = await Promise.all(Array.from({ length: 8 }, () => callScene(base, 'mistake', {}, { connection: 'close' })))
  assert.deepEqual(new Set(called.map(({ status }) => status)), new Set([200]))
  const logs = join(base.data, 'logs', 'mistake')
  await until(() => existsSync(logs))
  assert.match(await base.client.metrics(), /scene="mistake"/)
  await assert.rejects(base.client.deleteScene('mistake', {}), withCode('SCENE_IN_USE', /whoever called it \d+ s ago/))
  const { cells, deleted, versions } = await base.client.deleteScene('mistake', { evenIfCalled: true })
  assert.deepEqual([cells, deleted, versions], [BOTH, true, 1])
  const after = await Promise.all(Array.from({ length: 16 }, () => callScene(base, 'mistake', {}, { connection: 'close' })))
  assert.deepEqual(new Set(after.map(({ status }) => status)), new Set([404]))
  assert.equal(existsSync(logs), false)
  assert.doesNotMatch(await base.client.metrics(), /scene="mistake"/)
  const outcome = await load.stop()
  assert.deepEqual([outcome.refused, outcome.broken, outcome.answered > 0], [[], [], true])
})

test('a whitelist of 100,000 unit ids is live when it is answered, and stays so through other changes', { timeout: 60_000 }, async t => {
  await makeVersions('listed', ['two', 'three'])
  const list = units(100_000)
    .map((unit, i) => `${unit}\t${i % 2 === 0 ? 'v2' : 'v3'}\n`)
    .join('')
  const startedAt = performance.now()
  const put = await base.client.setWhitelist('listed', list, {})
  t.diagnostic(`live on every cell after ${(performance.now() - startedAt).toFixed(0)} ms (${JSON.stringify(put.timings)})`)
  assert.deepEqual([put.cells, put.added], [BOTH, 100_000])
  const expectListed = async () => {
    for (const [unit, name] of [
      ['unit-0', 'two'],
      ['unit-99999', 'three'],
      ['unit-100000', 'one'],
    ] as const) {
      assert.equal((await ask('listed', unit)).body.name, name)
    }
  }
  await expectListed()
  const moved = await base.client.editWhitelist('listed', { add: { v2: ['unit-1'] }, reason: 'try' })
  assert.deepEqual([moved.moved, (await ask('listed', 'unit-1')).body.name], [{ v3: 1 }, 'two'])
  const flip = await base.client.promote('listed', 'v2', { to: 'cutover', share: 100 })
  t.diagnostic(`a cutover beside it is live after ${JSON.stringify(flip.timings)}`)
  await expectListed()
  await assert.rejects(base.client.setWhitelist('listed', 'u1,v2\n\nu2,v3', {}), withCode('WHITELIST_INVALID', /line 2 is empty/))
  await expectListed()
  assert.equal((await base.client.whitelist('listed')).split('\n').length, 100_001)
})

test('an experiment ramps without moving anybody back, moves the share it announces, and reverts to who was there', {
  timeout: 60_000,
}, async t => {
  await makeVersions('tested', ['two', 'three'])
  const { client } = base
  const arms = [
    { name: 'control', version: 'v2', share: 2000, weight: 5000 },
    { name: 'treatment', version: 'v3', share: 1000, weight: 5000 },
  ]
  await client.createExperiment('tested', { id: 'exp-7', segments: 8000, arms, reason: 'ranker' })
  const asked = units(500)
  const none = await answers('tested', asked)
  assert.deepEqual(new Set(none.values()), new Set(['one']), 'a draft has nobody in it')
  await client.startExperiment('tested', 'exp-7', {})
  const started = await answers('tested', asked)
  const request = { arms: { treatment: 4000 }, reason: 'more' }
  const { revision } = await client.rules('tested')
  const announced = await client.flip('tested', 'exp-7', { ...request, dryRun: true }, revision)
  assert.deepEqual(await answers('tested', asked), started, 'a dry run moves nobody')
  const flipped = await client.flip('tested', 'exp-7', request, revision)
  t.diagnostic(`a flip is live on every cell after ${JSON.stringify(flipped.timings)}`)
  assert.deepEqual([flipped.moved, flipped.cells], [announced.moved, BOTH])
  const ramped = await answers('tested', asked)
  const moves = asked.filter(unit => started.get(unit) !== ramped.get(unit)).map(unit => `${started.get(unit)} → ${ramped.get(unit)}`)
  assert.deepEqual([...new Set(moves)], ['one → three'])
  const share = flipped.moved.moved / flipped.moved.of
  assert.equal(share, 0.24)
  const sigma = Math.sqrt((share * (1 - share)) / asked.length)
  assert.ok(Math.abs(moves.length / asked.length - share) < 5 * sigma, `${moves.length} of ${asked.length} units moved`)
  await assert.rejects(client.flip('tested', 'exp-7', request, revision), withCode('REVISION_CONFLICT', /flip experiment/))
  await client.revert('tested', 'exp-7', { flip: flipped.revision, reason: 'worse' })
  assert.deepEqual(await answers('tested', asked), started)
  const explained = await client.explain('tested', { unit: 'unit-1' })
  assert.equal(explained.version, { one: 'v1', two: 'v2', three: 'v3' }[started.get('unit-1') ?? ''])
})

test('an experiment is for those whose header says so, in any script, as an explanation has it', async () => {
  const { client } = base
  await makeVersions('cities', ['two'], { attributes: { city: { header: 'x-city' } } })
  const where = [{ attribute: 'city', op: 'equals', value: '北京' }] as const
  await client.createExperiment('cities', { id: 'exp-1', where, arms: [{ name: 'all', version: 'v2', share: 10_000 }] })
  await client.startExperiment('cities', 'exp-1', {})
  for (const [city, name] of [
    ['北京', 'two'],
    ['上海', 'one'],
  ] as const) {
    const { body, because } = await ask('cities', 'u1', { 'x-city': Buffer.from(city).toString('latin1') })
    const explained = await client.explain('cities', { unit: 'u1', attributes: { city } })
    assert.deepEqual([body.name, because], [name, explained.because])
  }
})

test('whom an experiment takes gets the bucket, in the body and in a header, and counts as exposed; a load test is not', async () => {
  await makeScene(
    base.client,
    'counted',
    { rank: '(x, ctx) => ({ bucket: ctx.bucket ?? null, arm: ctx.params.arm })' },
    { attributes: { country: '/user/country' }, params: { arm: 'none' } },
  )
  await base.client.createLayer('counted', { id: 'ui', keys: ['arm'] })
  const where = [{ attribute: 'country', op: 'equals', value: 'CN' } as const]
  await base.client.createExperiment('counted', { id: 'code', where, arms: [{ name: 'same', version: 'v1', share: 10_000 }] })
  const halves = ['a', 'b'].map(name => ({ name, values: { arm: name }, share: 5000 }))
  await base.client.createExperiment('counted', { id: 'values', layer: 'ui', arms: halves })
  for (const id of ['code', 'values']) await base.client.startExperiment('counted', id, {})
  const { token } = await base.client.createToken(['pin'], 'load tester')
  const asked = async (unit: string, country: string, headers: Readonly<Record<string, string>> = {}) => {
    const response = await callScene(base, 'counted', { user: { country } }, { 'x-unit-id': unit, ...headers })
    const { bucket, arm } = (await response.json()) as { bucket: number | null; arm: string }
    return {
      status: response.status,
      because: response.headers.get('x-scene-because'),
      header: response.headers.get('x-scene-bucket'),
      bucket,
      arm,
    }
  }

  const seen = new Map([...'ab'].map(name => [name, 0]))
  for (const unit of units(40)) {
    const { because, header, bucket, arm } = await asked(unit, 'CN')
    assert.deepEqual([because, header], ['experiment', String(bucket)])
    assert.ok(bucket !== null && bucket >= 0 && bucket < 10_000)
    seen.set(arm, (seen.get(arm) ?? 0) + 1)
  }
  const abroad = await asked('unit-0', 'SG')
  assert.deepEqual([abroad.because, abroad.header, abroad.bucket], ['baseline', null, null])
  seen.set(abroad.arm, (seen.get(abroad.arm) ?? 0) + 1)

  assert.equal((await asked('unit-0', 'CN', { 'x-scene-loadtest': '1' })).status, 401)
  const marked = await asked('unit-0', 'CN', { 'x-scene-loadtest': '1', authorization: `Bearer ${token}` })
  assert.deepEqual([marked.because, marked.header, marked.arm], ['loadtest', null, abroad.arm])

  const lines = (await base.client.metrics())
    .split('\n')
    .filter(line => line.startsWith('berth_exposures_total') && line.includes('"counted"'))
  const exposed = (experiment: string, arm: string) =>
    lines
      .filter(line => line.includes(`experiment="${experiment}"`) && line.includes(`arm="${arm}"`))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  assert.deepEqual([exposed('code', 'same'), exposed('values', 'a'), exposed('values', 'b')], [40, seen.get('a'), seen.get('b')])
  assert.deepEqual([...seen.keys()].sort(), ['a', 'b'])
})

test('parameters change live in the slots that are loaded, for the scene, a version and the arms of a layer', async () => {
  const { client } = base
  await makeScene(
    client,
    'tuned-live',
    { rank: '(x, ctx) => ({ name: "one", params: { ...ctx.params, slot: globalThis.slot ??= crypto.randomUUID() } })' },
    { params: { topK: 1, color: 'red' } },
  )
  const slots = new Set<unknown>()
  const params = async (unit?: string) => {
    const { slot, ...rest } = (await ask('tuned-live', unit)).body.params
    slots.add(slot)
    return rest
  }
  assert.deepEqual(await params(), { topK: 1, color: 'red' })
  const changed = await client.setParams('tuned-live', { params: { topK: 2, color: 'red' }, reason: 'more' })
  assert.deepEqual([changed.cells, await params()], [BOTH, { topK: 2, color: 'red' }])
  await client.setParams('tuned-live', { params: { topK: 3 }, version: 'v1' })
  await client.createLayer('tuned-live', { id: 'ui', keys: ['color'] })
  await client.createExperiment('tuned-live', {
    id: 'blue',
    layer: 'ui',
    arms: [{ name: 'blue', values: { color: 'blue' }, share: 10_000 }],
  })
  await client.startExperiment('tuned-live', 'blue', {})
  assert.deepEqual(
    [await params('u1'), await params()],
    [
      { topK: 3, color: 'blue' },
      { topK: 3, color: 'red' },
    ],
  )
  const { undoes } = await client.rollbackParams('tuned-live', { dryRun: true })
  await client.rollbackParams('tuned-live', { from: undoes?.revision, reason: 'back' })
  await client.stopExperiment('tuned-live', 'blue', {})
  await client.setParams('tuned-live', { params: {}, version: 'v1' })
  assert.deepEqual(await params('u1'), { topK: 1, color: 'red' })
  assert.ok(slots.size <= 2, 'one slot a cell has served all along')
})

test('after kill -9 of the keeper everything is there again, and goes on from there', { timeout: 60_000 }, async () => {
  const { client } = base
  await makeVersions('kept', ['two', 'three'])
  await client.editWhitelist('kept', { add: { v2: ['u1'] } })
  await client.createExperiment('kept', { id: 'exp-1', arms: [{ name: 'all', version: 'v3', share: 10_000 }] })
  await client.startExperiment('kept', 'exp-1', {})
  await client.promote('kept', 'v2', { to: 'cutover', share: 50 })
  const state = async () => [
    await client.versions('kept'),
    await client.rules('kept'),
    await client.experiments('kept'),
    await client.params('kept'),
  ]
  const before = await state()
  const { keeper } = await client.status()
  const seen = base.log.length
  process.kill(keeper.pid, 'SIGKILL')
  assert.equal((await ask('kept', 'u2')).body.name, 'three')
  await base.logged(({ msg }) => msg === 'control API listens', seen)
  for (const cell of [1, 2]) await base.logged(line => line.msg === 'cell connected' && line.cell === cell, seen)
  assert.deepEqual(await state(), before)
  const stopped = await client.stopExperiment('kept', 'exp-1', {})
  assert.deepEqual(stopped.cells, BOTH)
  assert.deepEqual([(await ask('kept', 'u1')).body.name, (await ask('kept')).body.name], ['two', 'one'])
})

test('ids beyond 2^53 that differ by one are different units with buckets of their own, and different values of an attribute', async () => {
  const { client } = base
  await makeVersions('exact', ['two', 'three'], { traffic: { unit: { pointer: '/user' } }, attributes: { account: '/account' } })
  const where = [{ attribute: 'account', op: 'in' as const, value: ['9007199254740993'] }]
  await client.createExperiment('exact', { id: 'exp-1', where, arms: [{ name: 'all', version: 'v3', share: 10_000 }] })
  await client.startExperiment('exact', 'exp-1', {})
  await client.editWhitelist('exact', { add: { v2: ['9007199254740993'] } })
  const askAs = (body: string, headers = {}) => callScene(base, 'exact', body, headers)
  const name = async (body: string) => ((await (await askAs(body)).json()) as Body).name
  assert.deepEqual([await name('{"user":9007199254740993}'), await name('{"user":9007199254740992}')], ['two', 'one'])
  const accounts = ['9007199254740993', '9007199254740992', '"9007199254740993"', '9007199254740993.0']
  const named = accounts.map(account => name(`{"user":1,"account":${account}}`))
  assert.deepEqual(await Promise.all(named), ['three', 'one', 'three', 'one'])

  await client.promote('exact', 'v2', { to: 'cutover', share: 10_000 })
  const bucket = async (body: string, headers = {}) => (await askAs(body, headers)).headers.get('x-scene-bucket')
  const neighbours = ['9007199254740994', '9007199254740995', '9007199254740996', '9007199254740997']
  const byNumber = await Promise.all(neighbours.map(id => bucket(`{"user":${id}}`)))
  assert.deepEqual(byNumber, await Promise.all(neighbours.map(id => bucket('{}', { 'x-unit-id': id }))))
  assert.equal(new Set(byNumber).size, 4)
})
