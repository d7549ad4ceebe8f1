/** New slots answer captured requests before callers reach them, at the front door. One base for the file; each test has scenes of its own. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { callScene, launchBase, makeScene, publishStages, type RunningBase, until } from './support/base.ts'

let base: RunningBase

before(async () => {
  base = await launchBase({ cells: 2 })
})
after(() => base.kill())

/** Has requests captured, and waits until the keeper has them. */
async function capture(scene: string, bodies: readonly unknown[]): Promise<void> {
  for (const body of bodies) {
    const response = await callScene(base, scene, body, { 'x-scene-capture': '1', authorization: `Bearer ${base.token}` })
    assert.match(response.headers.get('x-scene-capsule') ?? '', /^[0-9a-f]{16}$/)
  }
  await until(async () => (await base.client.capsules(scene, {})).length === bodies.length)
}

/** Makes the next version of a scene the baseline, with this stage. */
async function publishNext(scene: string, rank: string): Promise<void> {
  await publishStages(base.client, `m-${scene}`, '1.1.0', { rank })
  await base.client.createVersion(scene, { as: 'baseline', resolve: true })
}

const ask = async (scene: string, body: unknown): Promise<unknown> => (await callScene(base, scene, body)).json()

/** The series of a metric with these labels, as `labels value`. */
async function series(metric: string, ...labels: readonly string[]): Promise<string[]> {
  const response = await fetch(`${base.controlUrl}/metrics`, { headers: { authorization: `Bearer ${base.token}` } })
  const lines = (await response.text()).split('\n').filter(line => line.startsWith(`${metric}{`))
  return lines.filter(line => labels.every(label => line.includes(label)))
}

/** Says how many requests its slot has had. */
const counting = (more = '') =>
  `(() => { let count = 0; return async (x, ctx) => { count++; ctx.log.info('a line'); ${more}; return count } })()`

test('a version that is published has answered captured requests in every cell before its first caller, and nobody hears of it', async () => {
  await makeScene(base.client, 'counted', { rank: counting() })
  await capture('counted', [{ items: [1] }, { items: [1, 2] }])
  await publishNext('counted', counting())
  const warmed = await series('berth_warm_ups_total', 'scene="counted"', 'version="v2"')
  assert.equal(warmed.length, 2)
  for (const line of warmed) assert.match(line, /outcome="(warm|timeOver)".* 1$/)
  assert.deepEqual(await series('berth_requests_total', 'scene="counted"', 'version="v2"'), [])
  const count = (await ask('counted', {})) as number
  assert.ok(count > 10, `${count}`)
  let lines: readonly { readonly message: string }[] = []
  const logs = async () => (await base.client.open('/api/scenes/counted/logs?version=v2', {})).json() as Promise<typeof lines>
  await until(async () => {
    lines = await logs()
    return lines.length > 0
  })
  assert.deepEqual(
    lines.map(({ message }) => message),
    ['a line'],
  )
})

test('what a new version asks for beyond its capsules reaches nobody before its first caller does, and its slot is loaded anew', async () => {
  await makeScene(base.client, 'callee', { rank: '(() => { let count = 0; return () => ++count })()' })
  await makeScene(base.client, 'caller', { rank: counting() })
  await capture('caller', [1, 2])
  await publishNext('caller', counting(`return [count, await ctx.call('callee', x)]`))
  assert.equal((await series('berth_warm_ups_total', 'scene="caller"', 'outcome="newCall"')).length, 1, 'one cell tries it for all')
  assert.deepEqual(await series('berth_requests_total', 'scene="callee"'), [])
  assert.deepEqual(await ask('caller', 3), [1, 1])
})

test('a scene whose capsules are for no warm-up has cold slots', async () => {
  await makeScene(base.client, 'cold', { rank: counting() }, { capsules: { warmUp: false } })
  await capture('cold', [1])
  await publishNext('cold', counting())
  assert.equal(await ask('cold', 1), 1)
  assert.deepEqual(await series('berth_warm_ups_total', 'scene="cold"'), [])
})

test('a cell that takes the place of another has warmed up what it has loaded before it serves', async () => {
  await makeScene(base.client, 'again', { rank: counting() })
  await capture('again', [1, 2])
  const { cells } = await base.client.status()
  const from = base.log.length
  const [first] = cells
  process.kill(first?.pid ?? 0, 'SIGKILL')
  await base.logged(line => line.msg === 'cell ready' && line.cell === first?.cell && line.pid !== first?.pid, from)
  const outcomes = await series('berth_warm_ups_total', 'scene="again"', `cell="${first?.cell}"`)
  assert.deepEqual([outcomes.length, / 1$/.test(outcomes[0] ?? '')], [1, true])
})
