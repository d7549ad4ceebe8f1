import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { BerthError } from '../kernel/errors.ts'
import { createLog } from '../kernel/log.ts'
import { Slots } from '../slot/slots.ts'
import type { SceneEntry, SlotPlan } from '../traffic/table.ts'
import { TableInForce } from './table-in-force.ts'
import { Whitelists } from './whitelists.ts'

const traffic = { unit: { header: 'x-unit-id' }, deadlineMs: 5000, spec: { memoryMB: 64 } }
const lockOf = (bundle: string) => [{ stage: 'rank', modules: [{ name: 'm', version: '1.0.0', bundle }] }]
const entry = (id: string, version: string, revision = 1): SceneEntry => ({
  revision,
  definition: { id, group: [], traffic, params: {}, access: 'public' },
  baseline: version,
  versions: [{ id: version, lock: lockOf(`${id} ${version}`) }],
})
const planOf = (scene: string, version: string): SlotPlan => ({
  key: `${scene}/${version}@64`,
  scene,
  version,
  memoryMB: 64,
  lock: lockOf(`${scene} ${version}`),
})

/** @param files of bundles that are not there at once, by scene and version */
function start(t: TestContext, files: Readonly<Record<string, Promise<void>>>) {
  const slots = new Slots({
    readBundle: async digest => {
      await files[digest]
      return '(() => ({ rank: x => x }))()'
    },
    servicesOf: () => ({}),
    callService: () => Promise.reject(new BerthError('SERVICE_NOT_FOUND', 'none here')),
    fetch: () => Promise.reject(new BerthError('FETCH_FORBIDDEN', 'none here')),
    callScene: () => Promise.resolve('1'),
    onLog: () => undefined,
    onKilled: (_, { reason }) => assert.fail(reason),
    onRunning: () => undefined,
    onLost: (_, reason) => assert.fail(reason),
    onBufferFailed: error => assert.fail(String(error)),
    onLoad: (plan, error) => error !== undefined && table.onLoadFailed(plan),
  })
  const table = new TableInForce({
    log: createLog('test', 'silent'),
    slots,
    features: { take: () => undefined, settled: Promise.resolve() },
    whitelists: new Whitelists(
      () => Promise.reject(new Error('none')),
      () => undefined,
    ),
    onTaken: () => undefined,
    onTakenAgain: () => undefined,
  })
  t.after(() => {
    table.close()
    return slots.close()
  })
  const take = (revision: number, ...scenes: SceneEntry[]) => table.take({ format: 1, revision, scenes, tokens: [] })
  return { slots, table, take }
}

const unreadable = () => {
  const failing = Promise.reject(new Error('no such file'))
  failing.catch(() => undefined)
  return failing
}

test('a table is in force before any version is loaded, and a cell waits for those that do not take long', async t => {
  const file = Promise.withResolvers<void>()
  const { slots, table, take } = start(t, { 'stuck v1': file.promise })
  await take(1, entry('stuck', 'v1'), entry('a', 'v1'), entry('b', 'v1'))
  assert.equal(table.current.revision, 1)
  assert.equal(slots.count, 0)
  await table.loadedAhead(60_000)
  assert.deepEqual(
    ['stuck', 'a', 'b'].map(scene => slots.peek(planOf(scene, 'v1')) !== undefined),
    [false, true, true],
  )
  file.resolve()
})

test('a table that was not prepared waits a moment for new baselines of scenes in use, and never for one that takes long', async t => {
  const file = Promise.withResolvers<void>()
  const { slots, table, take } = start(t, { 'a v3': file.promise })
  await take(1, entry('a', 'v1'))
  await slots.ensure(planOf('a', 'v1'))
  await take(2, entry('a', 'v2', 2))
  assert.notEqual(slots.peek(planOf('a', 'v2')), undefined)
  await take(3, entry('a', 'v3', 3))
  assert.equal(table.current.revision, 3)
  assert.equal(slots.peek(planOf('a', 'v3')), undefined)
  file.resolve()
})

test('a cell is ready while it can answer for a scene, and names those that it cannot', async t => {
  const { table, take } = start(t, { 'a v1': unreadable(), 'b v1': unreadable() })
  assert.throws(() => table.checkReady(), { code: 'BASE_NOT_READY', message: /no scene table yet/ })
  await take(1, entry('a', 'v1'), entry('c', 'v1'))
  await table.loadedAhead(60_000)
  assert.deepEqual(
    table.checkReady().map(({ scene, version, message }) => [scene, version, message]),
    [['a', 'v1', 'no such file']],
  )
  await take(2, entry('a', 'v1'), entry('b', 'v1'))
  await table.loadedAhead(60_000)
  assert.throws(() => table.checkReady(), { code: 'BASE_NOT_READY', message: /for any scene: "a", "b"/ })
})
