/** Capsules over HTTP, with a cell that only pretends to have captured them. Two bases for the file: one that captures, and one that imports. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import type { Capsule, Captured, ExportedCapsule } from '../../capsule/capsule.ts'
import type { AuditEntry } from '../../contract/audit-api.ts'
import type { CapsuleDetail, CapsuleView, DeletedCapsules } from '../../contract/capsule-api.ts'
import { capturing } from '../fixtures/captured.ts'
import { connectCell, startTestKeeper, type TestKeeper } from '../fixtures/keeper.ts'

const url = '/api/scenes/home/capsules'
const home = { id: 'home', group: [{ stage: 'rank', modules: ['rank@>=1'] }] }

interface Base extends TestKeeper {
  /** Sends what a cell has captured. @returns whether the keeper has kept each */
  capture(captured: readonly Captured[]): Promise<boolean[]>
}

/** What was started, to be stopped in the opposite order. */
const started: (() => unknown)[] = []
const t = { after: (stop: () => unknown) => void started.unshift(stop) }
after(async () => {
  for (const stop of started) await stop()
})

let base: Base
let other: TestKeeper

before(async () => {
  base = await withCell(await startTestKeeper(t))
  other = await startTestKeeper(t)
  await base.publish('rank', '1.0.0', 'a bundle')
  await base.ask('PUT', '/api/scenes/home', { payload: home })
  await base.ask('POST', '/api/scenes/home/versions', { payload: { as: 'baseline' } })
  await other.publish('rank', '2.0.0', 'another bundle')
  await other.ask('PUT', '/api/scenes/home', { payload: home })
})

let testNo = 0
/** The name of a recording of this test alone: a cell goes on with none that is over. */
const nameOf = (letter: string): string => `${letter} of test ${testNo}`

beforeEach(async () => {
  testNo++
  for (const { ask } of [base, other]) await ask('POST', `${url}/delete`, { payload: { all: true } })
})

async function withCell(keeper: TestKeeper): Promise<Base> {
  const cell = connectCell(t, keeper.data)
  await cell.ready
  return { ...keeper, capture: captured => cell.capture(captured) }
}

async function tokenWith({ ask }: TestKeeper, rights: readonly string[]) {
  const { id, token } = (await ask('POST', '/api/tokens', { payload: { rights, label: rights.join() } })).body
  return { id, headers: { authorization: `Bearer ${String(token)}` } }
}

/** What a base exports that has captured one request. */
async function exportOne(): Promise<ExportedCapsule> {
  const [one] = capturing(nameOf('a'), 1, ofUnit('u1')) as [Captured]
  assert.deepEqual(await base.capture([one]), [true])
  return (await base.ask('GET', `${url}/${one.capsule.id}/export`)).read()
}

const ofUnit = (unit: string) => (): Partial<Capsule> => ({ unit })
const idsOf = (views: readonly { readonly id: string }[]) => views.map(({ id }) => id)
const rowsOf = async ({ ask }: TestKeeper) =>
  (await ask('GET', '/api/audit?scene=home&limit=20')).read<AuditEntry[]>().filter(row => / capsules?$/.test(row.action))

test('what a cell has captured is listed, the newest first, and shown with its request, its calls and their replies', async () => {
  const [one, two] = capturing(nameOf('a'), 2, ofUnit('u1')) as [Captured, Captured]
  assert.deepEqual(await base.capture([one, two]), [true, true])
  const listed = (await base.ask('GET', url)).read<CapsuleView[]>()
  assert.deepEqual(idsOf(listed), [two.capsule.id, one.capsule.id])
  assert.deepEqual(idsOf((await base.ask('GET', `${url}?requestId=${encodeURIComponent(one.capsule.requestId)}`)).read()), [one.capsule.id])
  assert.deepEqual((await base.ask('GET', `${url}?failed=true`)).body, [])
  const shown = (await base.ask('GET', `${url}/${two.capsule.id}`)).read<CapsuleDetail>()
  assert.deepEqual(shown.capsule, two.capsule)
  assert.equal(shown.contents.body, '{"text":"body 1"}')
  assert.deepEqual(shown.stages, [{ stage: 'rank', modules: ['rank@1.0.0'] }])
  assert.equal(shown.recording.before, 1)
  const missing = await base.ask('GET', `${url}/${'0'.repeat(16)}`)
  assert.deepEqual([missing.status, missing.body.code], [404, 'CAPSULE_NOT_FOUND'])
})

test('only the right "capsules" reads them, and every reading leaves a row that names no unit', async () => {
  const [one] = capturing(nameOf('a'), 1, ofUnit('u1')) as [Captured]
  await base.capture([one])
  const [{ id, headers }, publisher] = [await tokenWith(base, ['capsules']), await tokenWith(base, ['publish', 'read', 'pin'])]
  const own = `${url}/${one.capsule.id}`
  for (const [method, path] of [
    ...[url, own, `${own}/export`].map(path => ['GET', path] as const),
    ...[url, `${url}/verify`, `${url}/delete`, `${own}/run`].map(path => ['POST', path] as const),
  ]) {
    const refused = await base.ask(method, path, { headers: publisher.headers, ...(method === 'POST' && { payload: {} }) })
    assert.deepEqual([refused.status, refused.body.code], [403, 'FORBIDDEN'], path)
  }
  for (const path of [`${url}?unit=u1`, own, `${own}/export`]) {
    assert.equal((await base.ask('GET', path, { headers })).status, 200, path)
  }
  const rows = (await rowsOf(base)).slice(0, 3)
  assert.deepEqual(
    rows.map(({ action, who }) => [action, who]),
    [
      ['export capsule', id],
      ['show capsule', id],
      ['list capsules', id],
    ],
  )
  assert.doesNotMatch(JSON.stringify(rows), /u1/)
})

test('an exported capsule is taken by another base, which has neither the version nor the module, and exported by it again', async () => {
  const exported = await exportOne()
  const { id } = exported.capsule
  assert.deepEqual(Object.values(exported.blobs), ['a bundle'])
  const importAs = async (...rights: string[]) =>
    other.ask('POST', url, { payload: exported, headers: (await tokenWith(other, rights)).headers })
  assert.equal((await importAs('capsules')).status, 403, 'code that is not here needs the right to publish')
  const imported = await importAs('capsules', 'publish')
  assert.deepEqual([imported.status, imported.body], [201, { id, created: true }])
  assert.deepEqual((await importAs('capsules')).body, { id, created: false })
  const again = (await other.ask('GET', `${url}/${id}/export`)).read<ExportedCapsule>()
  assert.deepEqual([again.entries, again.blobs], [exported.entries, exported.blobs])
  const [view] = (await other.ask('GET', url)).read<CapsuleView[]>()
  assert.deepEqual([view?.imported, view?.version], [true, 'v1'])
  assert.equal((await rowsOf(other)).filter(({ action }) => action === 'import capsule').length, 1)
})

test('an import that is not whole is refused with what is wrong, and changes nothing', async () => {
  const exported = await exportOne()
  const { capsule, head, entries, blobs } = exported
  await base.ask('PUT', '/api/scenes/away', { payload: { ...home, id: 'away' } })
  const away = { capsule: { ...capsule, scene: 'away' }, head: { ...head, scene: 'away' } }
  const elsewhere = await base.ask('POST', '/api/scenes/away/capsules', { payload: { ...exported, ...away } })
  assert.match(String(elsewhere.body.detail), /another scene has a capsule with this id/)
  await base.ask('POST', `${url}/delete`, { payload: { all: true } })
  const deep = `${'['.repeat(1000)}${']'.repeat(1000)}`
  const faults: readonly (readonly [Partial<Record<keyof ExportedCapsule, unknown>>, RegExp])[] = [
    [{ format: 2 }, /\/format must be 1/],
    [{ capsule: { ...capsule, tookMs: 'long' } }, /\/capsule\/tookMs must be number/],
    [{ capsule: { ...capsule, scene: 'other' } }, /it is of scene "other"/],
    [{ capsule: { ...capsule, at: 'tomorrow' } }, /"tomorrow" is no date/],
    [{ head: { ...head, startedAt: '9999-01-01T00:00:00.000Z' } }, /is in the future/],
    [{ head: { ...head, startedAt: '2020-01-01T00:00:00.000Z' } }, /the scene keeps capsules for 7 days/],
    [{ head: { ...head, id: '0'.repeat(16) } }, /its head is of another recording/],
    [{ head: { ...head, memoryMB: 1e9 } }, /\/head\/memoryMB must be/],
    [{ entries: entries.map(entry => ({ ...entry, seed: [1] })) }, /\/entries\/0\/seed must not have fewer than 8/],
    [{ head: { ...head, id: '../../../../x' } }, /\/head\/id must match/],
    [{ entries: entries.slice(0, -1) }, /it ends with entry 2, and has 2/],
    [{ entries: entries.slice(1) }, /do not begin with the load/],
    [{ entries: entries.map(entry => ({ ...entry, values: [JSON.parse(deep)] })) }, /nested/],
    [{ entries: entries.map(entry => ({ ...entry, values: [null, 7] })) }, /\/entries\/1\/values are not those of the kind "turn"/],
    [{ blobs: {} }, /\/blobs lacks [0-9a-f]{64} of module rank@1\.0\.0/],
    [{ blobs: { ...blobs, ['0'.repeat(64)]: 'x' } }, /\/blobs\/0+ has another digest/],
  ]
  for (const [fault, says] of faults) {
    const refused = await base.ask('POST', url, { payload: { ...exported, ...fault } })
    assert.equal(refused.status, 400, refused.text)
    assert.match(String(refused.body.detail), says)
  }
  assert.deepEqual((await base.ask('GET', url)).body, [])
})

test('a keeper that comes back has what was said to be kept, and goes on with the recording', async () => {
  const [one, two] = capturing(nameOf('a'), 2) as [Captured, Captured]
  await base.capture([one])
  await base.keeper.stop()
  base = await withCell(await startTestKeeper(t, base.data))
  assert.deepEqual(await base.capture([two]), [true])
  assert.deepEqual(idsOf((await base.ask('GET', url)).read()), [two.capsule.id, one.capsule.id])
})

test('what is deleted by unit, by version or with its scene is gone from the disk when that is answered', async () => {
  const texts = () => {
    const folder = join(base.data, 'capsules')
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
    return files.map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'utf8')).join('')
  }
  const recordings = [
    capturing(nameOf('a'), 2, ofUnit('ann')),
    capturing(nameOf('b'), 1, ofUnit('bob')),
    capturing(nameOf('c'), 1, ofUnit('cat')),
  ]
  for (const captured of recordings) await base.capture(captured)
  const [a, b] = recordings.map(captured => captured.map(({ capsule }) => capsule.id))
  const deletion = { payload: { unit: 'ann', reason: 'asked for' }, headers: { 'idempotency-key': 'once' } }
  const gone = (await base.ask('POST', `${url}/delete`, deletion)).read<DeletedCapsules>()
  assert.deepEqual(gone.capsules, a)
  assert.doesNotMatch(texts(), /ann/)
  assert.deepEqual((await base.ask('POST', `${url}/delete`, deletion)).body, gone, 'the same key gets the same answer')
  assert.deepEqual((await base.ask('POST', `${url}/delete`, { payload: { unit: 'ann' } })).body, { capsules: [] })
  assert.deepEqual((await base.ask('POST', `${url}/delete`, { payload: { capsules: b } })).read<DeletedCapsules>().capsules, b)
  const [row, before] = (await rowsOf(base)).filter(({ action }) => action === 'delete capsules')
  assert.deepEqual(row?.change?.payload, { scene: 'home', of: 'some', count: 1 })
  assert.deepEqual(before?.change?.payload, { scene: 'home', of: 'a unit', count: 2 })
  assert.doesNotMatch(JSON.stringify(await rowsOf(base)), /ann/)
  assert.match(texts(), /cat/)
  const deleted = await base.ask('POST', '/api/scenes/home/delete', { payload: { evenIfCalled: true } })
  assert.equal(deleted.status, 200, deleted.text)
  assert.equal(texts(), '')
})
