/** A version that keeps killing its cells or its slots gets no more requests. Those who ran beside it, and its scene, answer on. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { unanswered } from '../scripts/monitoring/exposition.ts'
import { allQueries } from '../scripts/monitoring/queries.ts'
import { callScene, makeScene, publishStages, type RunningBase, startBase, tempFolder, until } from './support/base.ts'
import { ended, sdkIn } from './support/cli.ts'
import { startLoad } from './support/load.ts'

/** Says its name. On 13 it enters a built-in that nothing can stop, on 14 a loop. */
const trap = (name: string) => ({
  rank: `x => {
    if (x === 13) Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)
    if (x === 14) for (;;);
    return ${JSON.stringify(name)}
  }`,
})

interface Reply {
  readonly status: number
  readonly version: string | undefined
  readonly because: string | undefined
  readonly cell: string | undefined
  readonly body: { readonly code?: string; readonly detail?: string }
}

/** Calls a scene over a connection of its own, or over that of the agent. */
function call(
  { url }: RunningBase,
  scene: string,
  body: unknown,
  headers: Record<string, string> = {},
  agent = new Agent(),
): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>()
  const sent = request(
    `${url}/scenes/${scene}`,
    { agent, method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
    res => {
      let text = ''
      res.setEncoding('utf8').on('data', part => {
        text += part
      })
      res.on('end', () => {
        const of = (name: string) => res.headers[name]?.toString()
        // A cell begins the ids of its requests in a way of its own.
        const cell = of('x-request-id')?.slice(0, 13)
        resolve({
          status: res.statusCode ?? 0,
          version: of('x-scene-version'),
          because: of('x-scene-because'),
          cell,
          body: JSON.parse(text),
        })
      })
    },
  )
  sent.on('error', reject).end(JSON.stringify(body))
  return promise
}

/** Makes the version cost both cells: sends 13 to each of them. Resolves when it is quarantined and both cells have been replaced. */
async function costBothCells(base: RunningBase, version: string, headers: Record<string, string>): Promise<void> {
  const seen = base.log.length
  const agents = new Map<string | undefined, Agent>()
  while (agents.size < 2) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const { cell } = await call(base, 'echo', 1, {}, agent)
    if (agents.has(cell)) agent.destroy()
    else agents.set(cell, agent)
  }
  const { cells } = await base.client.status()
  const ready = cells.map(({ cell, pid }) => base.logged(line => line.msg === 'cell ready' && line.cell === cell && line.pid !== pid, seen))
  for (const reply of await Promise.all([...agents.values()].map(agent => call(base, 'home', 13, headers, agent)))) {
    assert.deepEqual([reply.status, reply.body.code, reply.version], [503, 'MODULE_KILLED', version])
  }
  for (const agent of agents.values()) agent.destroy()
  const { why } = await base.logged(line => line.msg === 'version quarantined' && line.version === version, seen)
  assert.equal(why, 'it cost 2 cells within 60 minutes')
  await Promise.all(ready)
}

const traffic = { cpuMs: 20, unit: { header: 'x-unit-id' }, spec: { memoryMB: 64 } }

/** Brings about what the base has not had yet: an exposure, an answer that does not fit its schema, a call of a broken feature table, a fetch. */
async function haveTheRest(base: RunningBase): Promise<void> {
  const { client } = base
  const host = 'http://127.0.0.1:9'
  const code = `(() => ({ rank: async (x, ctx) => {
    await ctx.services.features.get('broken', 'a').catch(() => 0)
    await ctx.fetch('${host}').catch(() => 0)
    return x
  } }))()`
  const bundle = createHash('sha256').update(code).digest('hex')
  await client.putBlob(bundle, code)
  await client.publishModule({ name: 'm-outside', version: '1.0.0', stages: ['rank'], services: ['features'], fetch: [host], bundle })
  const group = [{ stage: 'rank', modules: ['m-outside@^1'] }]
  await client.putScene({ id: 'outside', group, schemas: { answer: { type: 'string' } }, traffic }, undefined)
  await client.createVersion('outside', { as: 'baseline' })
  await client.createExperiment('outside', { id: 'exp-1', segments: 10_000, arms: [{ name: 'all', version: 'v1', share: 10_000 }] })
  await client.startExperiment('outside', 'exp-1', {})
  assert.equal((await callScene(base, 'outside', 1, { 'x-unit-id': 'u1' })).status, 200)
}

test('a version that has cost two cells, as an arm or as the baseline, is quarantined; its neighbours are not, and its scene answers', {
  timeout: 120_000,
}, async t => {
  const data = await tempFolder()
  mkdirSync(join(data, 'features'))
  writeFileSync(join(data, 'features/broken.csv'), 'id,price\na\n')
  const base = await startBase(t, { cells: 2, data })
  const { client } = base
  await makeScene(client, 'echo', { rank: 'x => x' })
  // It runs all the time in both cells.
  await makeScene(client, 'busy', { rank: 'x => { for (const end = Date.now() + 3; Date.now() < end; ); return x }' })
  await makeScene(client, 'home', trap('one'), { traffic })
  const make = async (n: number, as: 'dev' | 'baseline') => {
    await publishStages(client, 'm-home', `1.${n}.0`, trap(String(n)))
    await client.createVersion('home', { modules: [`m-home@1.${n}.0`], as })
  }
  await make(1, 'dev')
  const loads = ['echo', 'busy'].map(scene => startLoad(`${base.url}/scenes/${scene}`, 4, true, body => body === '{"a":1}'))

  await client.createExperiment('home', { id: 'exp-1', segments: 10_000, arms: [{ name: 'new', version: 'v2', share: 10_000 }] })
  await client.startExperiment('home', 'exp-1', {})
  await costBothCells(base, 'v2', { 'x-unit-id': 'u1' })
  const inArm = await call(base, 'home', 1, { 'x-unit-id': 'u1' })
  assert.deepEqual([inArm.status, inArm.version, inArm.because], [200, 'v1', 'quarantine'])
  assert.match(await client.metrics(), /berth_version_quarantined\{scene="home",version="v2",process="keeper"\} 1\n/)

  await make(2, 'baseline')
  await costBothCells(base, 'v3', {})
  const byPrevious = await call(base, 'home', 13 - 1)
  assert.deepEqual([byPrevious.status, byPrevious.version, byPrevious.because], [200, 'v1', 'quarantine'])
  const token = { authorization: `Bearer ${base.token}` }
  const pinned = await call(base, 'home', 1, { ...token, 'x-scene-version': 'v3' })
  assert.deepEqual([pinned.status, pinned.body.code], [503, 'VERSION_QUARANTINED'])
  assert.match(pinned.body.detail ?? '', /cost 2 cells.*cannot be stopped.*sdk version lift home v3/)
  for (const load of loads) {
    const { answered, refused, broken } = await load.stop()
    assert.ok(answered > 0)
    assert.deepEqual({ refused, broken }, { refused: [], broken: [] })
  }
  const { quarantined } = await client.status()
  assert.deepEqual(quarantined.map(({ scene, version }) => `${scene}/${version}`).sort(), ['home/v2', 'home/v3'])

  // The last version that could answer loops, and each of its slots is killed.
  await until(async () => {
    const replies = await Promise.all(Array.from({ length: 8 }, () => call(base, 'home', 14)))
    return replies.some(({ body }) => body.code === 'VERSION_QUARANTINED')
  })
  assert.match((await call(base, 'home', 1)).body.detail ?? '', /no other version left.*"v3"/)

  await t.test(
    'each query of the alerts and of the dashboard finds its metrics, labels and values on a base that has had it all',
    async () => {
      await haveTheRest(base)
      assert.deepEqual(unanswered(allQueries(), await client.metrics()), [])
    },
  )

  await base.kill()
  const again = await startBase(t, { cells: 2, data })
  const kept = await callScene(again, 'home', 1)
  assert.deepEqual([kept.status, kept.headers.get('retry-after')], [503, '30'])
  const sdk = sdkIn(data, again)
  ended(await sdk('version', 'list', 'home'), 0, /v1 .*in quarantine/, /v1 is in quarantine since .*killed \d+ times within 10 minutes/)
  ended(await sdk('version', 'lift', 'home', 'v1', '--reason', 'callers send no 14 any more'), 0, /v1 has requests again/)
  ended(await sdk('version', 'lift', 'home', 'v1'), 0, /v1 was in no quarantine: nothing was changed/)
  assert.deepEqual((await call(again, 'home', 1)).version, 'v1')
  await publishStages(again.client, 'm-home', '1.3.0', { rank: 'x => x' })
  await again.client.createVersion('home', { modules: ['m-home@1.3.0'], as: 'baseline' })
  const mended = await call(again, 'home', 13)
  assert.deepEqual([mended.status, mended.version, mended.because], [200, 'v4', 'baseline'])
})
