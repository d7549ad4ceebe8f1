/** Validation at the front door: requests are captured, and versions and params answer them before they get traffic. One base for the file. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { RefusedError } from '../sdk/sdk-error.ts'
import { callScene, launchBase, makeScene, type RunningBase, root, until } from './support/base.ts'
import { ended, sdkIn } from './support/cli.ts'

let base: RunningBase
// The heap of a slot is measured after every sixteenth, and four times it has to be.
const REQUESTS = 72
const scene = 'ranked'

before(async () => {
  base = await launchBase()
  await makeScene(base.client, scene, { rank: ranking() }, { params: { topK: 3 }, traffic: { cpuMs: 100 }, validation: { mode: 'strict' } })
  const headers = { 'x-scene-capture': '1', authorization: `Bearer ${base.token}` }
  for (let n = 0; n < REQUESTS; n++) assert.equal((await callScene(base, scene, { n }, headers)).status, 200)
  await until(async () => (await base.client.capsules(scene, {})).length >= REQUESTS)
})
after(() => base.kill())

/**
 * A module that counts what it was asked, draws numbers and tells the time, around an answer that depends on its request alone. What differs does so in one of
 * eight requests, since each that differs is answered again in three fresh slots.
 */
const ranking = (more = '', total = 'total') =>
  `(() => { let count = 0; const kept = []; return async (x, ctx) => { ${more}; const rare = x.n % 8 === 2; const items = [...new Array(rare ? ctx.params.topK : 3).keys()].map(i => ({ id: 'i' + i, score: (x.n * 31 + i * 17) % 97 / 7 })); return { items, [rare ? '${total}' : 'total']: x.n, luck: Math.random(), at: Date.now(), count: ++count } } })()`

let published = 0
async function publishVersion(code: string): Promise<string> {
  const version = `1.${++published}.0`
  const text = `({ rank: ${code} })`
  const bundle = createHash('sha256').update(text).digest('hex')
  await base.client.putBlob(bundle, text)
  await base.client.publishModule({ name: `m-${scene}`, version, stages: ['rank'], fetch: ['https://elsewhere.example'], bundle })
  return (await base.client.createVersion(scene, { modules: [`m-${scene}@${version}`] })).version.id
}

const baseline = async () => (await base.client.scene(scene)).baseline
const refusal = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => assert.fail('it was not refused'),
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof RefusedError)
  assert.equal(error.code, 'VALIDATION_FAILED')
  return error.problem.validation ?? assert.fail('there is no report')
}

test('faults refuse a version for what they are, and nothing that serves is harmed', async () => {
  const faults = [
    'if (x.n % 16 === 3) await fetch("https://elsewhere.example/").catch(() => 0)',
    'kept.push(new Array(32768).fill(x.n + 0.5))',
    'if (x.n % 16 === 5) null.at',
    'for (let i = 0; i < 1e5; i++) kept.length = kept.length',
    'await new Promise(done => setTimeout(done, 20))',
  ]
  const { reasons } = await refusal(base.client.promote(scene, await publishVersion(ranking(faults.join('; '), 'sum')), { to: 'cutover' }))
  assert.deepEqual(
    reasons.slice(0, 6).map(({ fault }) => fault),
    ['hosts', 'heap', 'errors', 'shape', 'cpu', 'latency'],
  )
  const looping = await publishVersion(ranking('if (x.n % 8 === 3) for (;;) {}'))
  const killed = await refusal(base.client.promote(scene, looping, { to: 'cutover' }))
  assert.deepEqual([killed.ended, killed.reasons[0]?.fault], ['kills', 'killed'])
  assert.equal((await callScene(base, scene, { n: 1 })).status, 200)
})

test('params are tried before they are set', async () => {
  const report = await refusal(base.client.setParams(scene, { params: { topK: -1 } }))
  assert.equal(report.reasons[0]?.fault, 'errors')
  const { validation } = await base.client.setParams(scene, { params: { topK: 4 } })
  assert.equal(validation?.verdict, 'passed')
  assert.deepEqual(validation?.fields.find(({ counts }) => counts)?.list, { moved: 0, added: REQUESTS / 8, missing: 0 })
})

test('a version that is rewritten takes the place of the baseline, with chance, clocks and what it remembers, and one that is wrong does not', async () => {
  const wrong = await publishVersion(ranking('if (x.n === 7) x.n++'))
  const report = await refusal(base.client.promote(scene, wrong, { to: 'baseline' }))
  assert.deepEqual([report.comparable, report.differing, report.reasons.map(({ fault }) => fault)], [REQUESTS, 1, ['differences']])
  assert.deepEqual(
    report.fields.filter(({ counts }) => counts).map(({ path }) => path),
    ['/items/*/score', '/total'],
  )
  assert.equal(await baseline(), 'v1')
  const same = await publishVersion(ranking('Math.random()'))
  const { validation } = await base.client.promote(scene, same, { to: 'baseline' })
  assert.deepEqual([validation?.verdict, validation?.comparable], ['passed', REQUESTS])
  assert.equal(await baseline(), same)
})

test('the sdk shows why it was refused, with exit code 1, and how to go on regardless', async () => {
  const sdk = sdkIn(root, base)
  const version = await publishVersion(ranking('if (x.n % 8 === 2) x.n++'))
  const promote = ['version', 'promote', scene, version, '--to', 'baseline', '--yes']
  const refused = ended(
    await sdk(...promote),
    1,
    /72 of 72 captured requests can be compared \(100%\)/,
    /--validation report/,
    new RegExp(`sdk capsule run ${scene} [0-9a-f]{16} --version ${version}`),
  )
  assert.match(refused.stderr, /\/total differs, half by at most 1 /)
  assert.notEqual(await baseline(), version)
  ended(
    await sdk(...promote, '--validation', 'report'),
    0,
    /validation of v\d, against v\d: FAILED/,
    /is the baseline/,
    /traffic all the same/,
  )
  assert.equal(await baseline(), version)
})
