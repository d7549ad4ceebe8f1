/** Writes that are sent with an `Idempotency-Key`, over HTTP, on a real store. */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { databasePath } from '../../folder/paths.ts'
import { createLog } from '../../kernel/log.ts'
import { temporaryFolder } from '../../store/fixtures/folder.ts'
import { startDriver } from '../fixtures/driver.ts'
import { connectCell, startTestKeeper } from '../fixtures/keeper.ts'
import { type Scene, startScene } from '../fixtures/scene.ts'
import { Idempotency } from './idempotency.ts'
import { ok } from './route.ts'

const keyed = (key: string) => ({ 'idempotency-key': key })

/** From now on it is as if the keeper were killed after each commit of a request with a key, before it keeps the answer. */
function loseAnswers(data: string): void {
  const db = new DatabaseSync(databasePath(data), { timeout: 5000 })
  db.exec('create trigger lose_answers before update on keyed begin select raise(ignore); end')
  db.close()
}

const cellStatus = (cell: number) => ({
  ...{ cell, pid: 1000 + cell, state: 'ready' as const, rssMB: 90, connections: 0, startedAt: '2026-01-01T00:00:00.000Z', crashes: 0 },
})

const baseline = async ({ ask }: Pick<Scene, 'ask'>) => (await ask('GET', '/api/scenes/home')).body.baseline

/** Three versions that have been the baseline one after the other. */
async function startWithHistory(t: Parameters<typeof startScene>[0]): Promise<Scene> {
  const scene = await startScene(t, 3)
  for (const version of ['v2', 'v3']) await scene.home('POST', `versions/${version}/promote`, { to: 'baseline' })
  return scene
}

test('a rollback that is sent twice with one key goes back once, and is answered with the same bytes', async t => {
  const scene = await startWithHistory(t)
  const first = await scene.home('POST', 'rollback', { from: 'v3', reason: 'slow' }, keyed('k-1'))
  const again = await scene.home('POST', 'rollback', { from: 'v3', reason: 'slow' }, keyed('k-1'))
  assert.deepEqual([first.status, first.body.baseline], [200, 'v2'])
  assert.deepEqual([again.status, again.text, again.headers.get('etag')], [200, first.text, first.headers.get('etag')])
  assert.equal(await baseline(scene), 'v2')
  assert.equal((await scene.home('POST', 'rollback', { from: 'v2', reason: 'slow' }, keyed('k-2'))).body.baseline, 'v3')
})

test('a request that comes again while the first is under way waits for its answer, and nothing is done twice', async t => {
  const scene = await startWithHistory(t)
  const asked = Promise.withResolvers<void>()
  const loaded = Promise.withResolvers<'load'>()
  scene.cell.onPrepare = () => {
    asked.resolve()
    return loaded.promise
  }
  const make = () => scene.home('POST', 'versions', { as: 'dev' }, keyed('k-1'))
  const first = make()
  await asked.promise
  const again = make()
  loaded.resolve('load')
  assert.equal((await first).text, (await again).text)
  assert.equal((await scene.home('GET', 'versions')).body.length, 4)
})

test('the first answer is given again by a keeper that was started again, and the audit log has the key', async t => {
  const data = temporaryFolder(t)
  const first = await startTestKeeper(t, data)
  connectCell(t, data)
  const define = (base: typeof first, params: object) =>
    base.ask('PUT', '/api/scenes/home', {
      payload: { id: 'home', group: [{ stage: 'rank', modules: ['rank@^1'] }], params },
      headers: keyed('k-1'),
    })
  await first.publish('rank', '1.0.0')
  const made = await define(first, { topK: 1 })
  assert.equal(made.status, 201)
  await first.keeper.stop()
  const second = await startTestKeeper(t, data)
  const again = await define(second, { topK: 1 })
  assert.deepEqual([again.status, again.text], [201, made.text])
  const [row] = (await second.ask('GET', '/api/audit?limit=1')).read<{ action: string; key: string }[]>()
  assert.deepEqual([row?.action, row?.key], ['define scene', 'k-1'])
})

test('a write whose answer was lost with the keeper is answered with what it came to, whatever was changed since', async t => {
  const data = temporaryFolder(t)
  const first = await startTestKeeper(t, data)
  connectCell(t, data)
  await first.publish('rank', '1.0.0')
  const define = (base: typeof first, topK: number, key: string) =>
    base.ask('PUT', '/api/scenes/home', {
      payload: { id: 'home', group: [{ stage: 'rank', modules: ['rank@^1'] }], params: { topK } },
      headers: keyed(key),
    })
  loseAnswers(data)
  const made = await define(first, 1, 'k-1')
  await first.keeper.stop()
  const second = await startTestKeeper(t, data)
  await define(second, 2, 'k-2')
  const again = await define(second, 1, 'k-1')
  const { cells: _, ...answered } = made.body
  const { cells: __, ...repeated } = again.body
  assert.deepEqual([again.status, again.headers.get('etag'), repeated], [201, made.headers.get('etag'), answered])
  assert.deepEqual(((await second.ask('GET', '/api/scenes/home')).body.definition as { params: object }).params, { topK: 2 })
})

test('a write that names the revision it was made for does not conflict with itself when it is sent again', async t => {
  const base = await startTestKeeper(t)
  connectCell(t, base.data)
  await base.publish('rank', '1.0.0')
  loseAnswers(base.data)
  const define = (topK: number, headers: Record<string, string>) =>
    base.ask('PUT', '/api/scenes/home', {
      payload: { id: 'home', group: [{ stage: 'rank', modules: ['rank@^1'] }], params: { topK } },
      headers,
    })
  const made = () => define(1, { ...keyed('k-1'), 'if-none-match': '*' })
  assert.deepEqual([(await made()).status, (await made()).status], [201, 201])
  const etag = (await base.ask('GET', '/api/scenes/home')).headers.get('etag') ?? ''
  const changed = () => define(2, { ...keyed('k-2'), 'if-match': etag })
  assert.deepEqual([(await changed()).status, (await changed()).status], [200, 200])
  assert.equal((await define(3, { ...keyed('k-3'), 'if-match': etag })).body.code, 'REVISION_CONFLICT')
})

test('a cell that was replaced for a request whose answer was lost is not replaced again', async t => {
  const base = await startTestKeeper(t)
  loseAnswers(base.data)
  base.keeper.vitals.report({ cells: [cellStatus(1), cellStatus(2)], port: 8080 })
  const retire = () => base.ask('POST', '/api/cells/2/retire', { headers: keyed('k-1') })
  assert.equal((await retire()).status, 202)
  // It has gone, and its replacement is not there yet.
  base.keeper.vitals.report({ cells: [cellStatus(1)], port: 8080 })
  assert.equal((await retire()).status, 202)
  assert.deepEqual(base.sent, [{ type: 'retire', cell: 2 }])
})

test('a request is the same by its bytes and by what it expects, not by what they are read as', async t => {
  const scene = await startScene(t, 2)
  const make = (payload: unknown, headers: Record<string, string> = {}) =>
    scene.home('POST', 'versions', payload, { ...keyed('k-1'), ...headers })
  assert.equal((await make({})).status, 201)
  assert.equal((await make({ resolve: false })).body.code, 'IDEMPOTENCY_KEY_REUSED')
  assert.equal((await make({}, { 'if-match': '"1"' })).body.code, 'IDEMPOTENCY_KEY_REUSED')
  assert.equal((await make({})).body.created, true)
})

test('a key that was sent with another request is refused, and says what to do', async t => {
  const scene = await startWithHistory(t)
  await scene.home('POST', 'rollback', { from: 'v3', reason: 'slow' }, keyed('k-1'))
  const others = [
    ['POST', 'rollback', { from: 'v3', reason: 'another' }],
    ['POST', 'versions/v1/promote', { to: 'baseline', reason: 'slow' }],
    ['PUT', 'params', { params: {} }],
  ] as const
  for (const [method, path, payload] of others) {
    const { status, body } = await scene.home(method, path, payload, keyed('k-1'))
    assert.deepEqual([status, body.code], [422, 'IDEMPOTENCY_KEY_REUSED'], path)
    assert.match(String(body.fix), /key of its own/)
  }
  assert.equal(await baseline(scene), 'v2')
  for (const key of ['', 'x'.repeat(201)]) {
    const { body } = await scene.home('POST', 'rollback', {}, keyed(key))
    assert.equal(body.code, 'REQUEST_INVALID', key)
  }
})

test('what was refused has changed nothing, so the same key may try it again', async t => {
  const scene = await startScene(t, 2)
  scene.cell.onPrepare = () => ({ code: 'MODULE_LOAD_THREW', message: 'it threw' })
  const promote = () => scene.home('POST', 'versions/v2/promote', { to: 'baseline' }, keyed('k-1'))
  assert.equal((await promote()).body.code, 'UPGRADE_FAILED')
  scene.cell.onPrepare = () => 'load'
  assert.equal((await promote()).body.baseline, 'v2')
})

test('tokens have keys of their own, and a token that was made is answered again but kept nowhere', async t => {
  const data = temporaryFolder(t)
  const base = await startTestKeeper(t, data)
  const make = (of: typeof base, headers: Record<string, string> = {}) =>
    of.ask('POST', '/api/tokens', { payload: { rights: ['admin'], label: 'ci' }, headers: { ...keyed('k-1'), ...headers } })
  const first = await make(base)
  assert.equal((await make(base)).text, first.text)
  const other = await make(base, { authorization: `Bearer ${first.body.token}` })
  assert.notEqual(other.body.id, first.body.id)
  await base.keeper.stop()
  const again = await make(await startTestKeeper(t, data))
  assert.deepEqual([again.status, again.body.code, again.body.token], [409, 'ANSWER_LOST', first.body.id])
})

test('what an answer says of capsules, which can be deleted, is not kept with it', async t => {
  const { book } = await startDriver(t)
  const fields = [{ path: '/total', examples: [{ capsule: 'a', before: '1', after: '"secret"' }] }]
  const body = { changed: true, validation: { verdict: 'failed', fields, errors: [{ code: 'MODULE_THREW', message: 'secret' }] } }
  const write = { who: 'ada', key: 'k', digest: 'd', secret: false }
  const answer = await new Idempotency(book, createLog('keeper', 'silent')).answer(write, async key => {
    book.commit(
      [],
      { who: 'ada', keyed: key },
      { kind: 'delete feature table', payload: { table: 'x' }, facts: {}, target: 'x', before: null, after: null },
      () => ({}),
    )
    return ok(body)
  })
  assert.match(JSON.stringify(answer), /secret/)
  const kept = JSON.stringify(book.keyed({ who: 'ada', keyed: write })?.answer)
  assert.match(kept, /MODULE_THREW/)
  assert.doesNotMatch(kept, /secret/)
})
