/** Capsules over HTTP, with a cell that only pretends to have captured them. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
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

/** A base whose scene `home` has version v1, whose module has the bundle that the fixtures name. */
async function start(t: TestContext, data?: string): Promise<Base> {
  const base = await startTestKeeper(t, data)
  const cell = connectCell(t, base.data)
  await cell.ready
  await base.publish('rank', '1.0.0', 'a bundle')
  await base.ask('PUT', '/api/scenes/home', { payload: home })
  await base.ask('POST', '/api/scenes/home/versions', { payload: { as: 'baseline' } })
  return { ...base, capture: captured => cell.capture(captured) }
}

const ofUnit = (unit: string) => (): Partial<Capsule> => ({ unit })
const idsOf = (views: readonly { readonly id: string }[]) => views.map(({ id }) => id)
const rowsOf = async ({ ask }: TestKeeper) =>
  (await ask('GET', '/api/audit?scene=home&limit=20')).read<AuditEntry[]>().filter(row => / capsules?$/.test(row.action))

test('what a cell has captured is listed, the newest first, and shown with its request, its calls and their replies', async t => {
  const base = await start(t)
  const [one, two] = capturing('a', 2, ofUnit('u1')) as [Captured, Captured]
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

test('only the right "capsules" reads them, and every reading leaves a row that names no unit', async t => {
  const base = await start(t)
  const [one] = capturing('a', 1, ofUnit('u1')) as [Captured]
  await base.capture([one])
  const tokenWith = async (right: string) =>
    (await base.ask('POST', '/api/tokens', { payload: { rights: [right], label: right } })).body as unknown as { id: string; token: string }
  const [reader, publisher] = [await tokenWith('capsules'), await tokenWith('publish')]
  const refused = await base.ask('GET', url, { headers: { authorization: `Bearer ${publisher.token}` } })
  assert.deepEqual([refused.status, refused.body.code], [403, 'FORBIDDEN'])
  const headers = { authorization: `Bearer ${reader.token}` }
  for (const path of [`${url}?unit=u1`, `${url}/${one.capsule.id}`, `${url}/${one.capsule.id}/export`]) {
    assert.equal((await base.ask('GET', path, { headers })).status, 200, path)
  }
  const rows = await rowsOf(base)
  assert.deepEqual(
    rows.map(({ action, who }) => [action, who]),
    [
      ['export capsule', reader.id],
      ['show capsule', reader.id],
      ['list capsules', reader.id],
    ],
  )
  assert.doesNotMatch(JSON.stringify(rows), /u1/)
})

test('an exported capsule is taken by another base, which has neither the version nor the module, and exported by it again', async t => {
  const [from, to] = [await start(t), await startTestKeeper(t)]
  const [one] = capturing('a', 1, ofUnit('u1')) as [Captured]
  await from.capture([one])
  const exported = (await from.ask('GET', `${url}/${one.capsule.id}/export`)).read<ExportedCapsule>()
  assert.deepEqual(Object.values(exported.blobs), ['a bundle'])
  await to.publish('rank', '2.0.0', 'another bundle')
  await to.ask('PUT', '/api/scenes/home', { payload: home })
  const imported = await to.ask('POST', url, { payload: exported })
  assert.deepEqual([imported.status, imported.body], [201, { id: one.capsule.id, created: true }])
  assert.deepEqual((await to.ask('POST', url, { payload: exported })).body, { id: one.capsule.id, created: false })
  const again = (await to.ask('GET', `${url}/${one.capsule.id}/export`)).read<ExportedCapsule>()
  assert.deepEqual([again.entries, again.blobs], [exported.entries, exported.blobs])
  const [view] = (await to.ask('GET', url)).read<CapsuleView[]>()
  assert.deepEqual([view?.imported, view?.version], [true, 'v1'])
  assert.equal((await rowsOf(to)).filter(({ action }) => action === 'import capsule').length, 1)
})

test('an import that is not whole is refused with what is wrong, and changes nothing', async t => {
  const base = await start(t)
  const [one] = capturing('a', 1) as [Captured]
  await base.capture([one])
  const exported = (await base.ask('GET', `${url}/${one.capsule.id}/export`)).read<ExportedCapsule>()
  await base.ask('POST', `${url}/delete`, { payload: { all: true } })
  const { capsule, head, entries, blobs } = exported
  const faults: readonly (readonly [Partial<Record<keyof ExportedCapsule, unknown>>, RegExp])[] = [
    [{ format: 2 }, /\/format must be 1/],
    [{ capsule: { ...capsule, tookMs: 'long' } }, /\/capsule\/tookMs must be number/],
    [{ capsule: { ...capsule, scene: 'other' } }, /it is of scene "other"/],
    [{ head: { ...head, id: '0'.repeat(16) } }, /its head is of another recording/],
    [{ entries: entries.slice(0, -1) }, /it ends with entry 2, and has 2/],
    [{ entries: entries.slice(1) }, /do not begin with the load/],
    [{ blobs: {} }, /\/blobs lacks [0-9a-f]{64} of module rank@1\.0\.0/],
    [{ blobs: { ...blobs, ['0'.repeat(64)]: 'x' } }, /\/blobs\/0+ has another digest/],
  ]
  for (const [fault, says] of faults) {
    const refused = await base.ask('POST', url, { payload: { ...exported, ...fault } })
    assert.equal(refused.status, 400)
    assert.match(String(refused.body.detail), says)
  }
  assert.deepEqual((await base.ask('GET', url)).body, [])
})

test('whoever imports code that is not here needs the right to publish', async t => {
  const base = await start(t)
  const [one] = capturing('a', 1) as [Captured]
  await base.capture([one])
  const exported = (await base.ask('GET', `${url}/${one.capsule.id}/export`)).read<ExportedCapsule>()
  const other = await startTestKeeper(t)
  await other.publish('rank', '2.0.0', 'another bundle')
  await other.ask('PUT', '/api/scenes/home', { payload: home })
  for (const [rights, status] of [
    [['capsules'], 403],
    [['capsules', 'publish'], 201],
  ] as const) {
    const { token } = (await other.ask('POST', '/api/tokens', { payload: { rights, label: 'one' } })).body
    const answer = await other.ask('POST', url, { payload: exported, headers: { authorization: `Bearer ${token}` } })
    assert.equal(answer.status, status, answer.text)
  }
})

test('what is deleted by unit, by version or with its scene is gone from the disk when that is answered', async t => {
  const base = await start(t)
  const texts = () => {
    const folder = join(base.data, 'capsules')
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
    return files.map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'utf8')).join('')
  }
  const recordings = [capturing('a', 2, ofUnit('ann')), capturing('b', 1, ofUnit('bob')), capturing('c', 1, ofUnit('cat'))]
  for (const captured of recordings) await base.capture(captured)
  const [a, b] = recordings.map(captured => captured.map(({ capsule }) => capsule.id))
  const deletion = { payload: { unit: 'ann', reason: 'asked for' }, headers: { 'idempotency-key': 'once' } }
  const gone = (await base.ask('POST', `${url}/delete`, deletion)).read<DeletedCapsules>()
  assert.deepEqual(gone.capsules, a)
  assert.doesNotMatch(texts(), /ann/)
  assert.deepEqual((await base.ask('POST', `${url}/delete`, deletion)).body, gone, 'the same key gets the same answer')
  assert.deepEqual((await base.ask('POST', `${url}/delete`, { payload: { unit: 'ann' } })).body, { capsules: [] })
  assert.deepEqual((await base.ask('POST', `${url}/delete`, { payload: { capsules: b } })).read<DeletedCapsules>().capsules, b)
  const [row, ...more] = (await rowsOf(base)).filter(({ action }) => action === 'delete capsules')
  assert.deepEqual([row?.change?.payload, more.length], [{ scene: 'home', of: 'some', count: 1 }, 1])
  assert.doesNotMatch(JSON.stringify(await rowsOf(base)), /ann/)
  assert.match(texts(), /cat/)
  const deleted = await base.ask('POST', '/api/scenes/home/delete', { payload: { evenIfCalled: true } })
  assert.equal(deleted.status, 200, deleted.text)
  assert.equal(texts(), '')
})

test('a keeper that comes back has what was said to be kept, and goes on with the recording', async t => {
  const base = await start(t)
  const [one, two] = capturing('a', 2) as [Captured, Captured]
  await base.capture([one])
  await base.keeper.stop()
  const again = await startTestKeeper(t, base.data)
  const cell = connectCell(t, base.data)
  await cell.ready
  assert.deepEqual(await cell.capture([two]), [true])
  assert.deepEqual(idsOf((await again.ask('GET', url)).read()), [two.capsule.id, one.capsule.id])
})
