/** Publishing modules, defining scenes, making versions: what is refused, and that a refusal changes nothing. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { NewVersion } from '../base/contract/version-api.ts'
import type { ErrorCode } from '../base/kernel/errors.ts'
import type { SceneDefinition } from '../base/traffic/schema.ts'
import { createClient } from '../sdk/api/client.ts'
import { RefusedError } from '../sdk/sdk-error.ts'
import { callScene, launchBase, makeScene, publishCode, publishStages, type RunningBase, startBase } from './support/base.ts'

let base: RunningBase

before(async () => {
  base = await launchBase()
})
after(() => base.kill())

const withCode = (code: ErrorCode, message?: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RefusedError, String(error))
  assert.equal(error.problem.code, code, error.message)
  if (message !== undefined) assert.match(error.message, message)
  return true
}

/** Asserts that `attempt` is refused and that the base is as it was. */
async function refused(attempt: () => Promise<unknown>, code: ErrorCode, message?: RegExp): Promise<void> {
  const state = async () => JSON.stringify([await base.client.modules(), await base.client.scenes(), (await base.client.status()).revision])
  const before = await state()
  await assert.rejects(attempt(), withCode(code, message))
  assert.equal(await state(), before)
}

for (const [what, code, bundle] of [
  ['exports nothing', 'MODULE_EXPORTS_NOTHING', '(() => ({}))()'],
  ['lacks a stage it declares', 'MODULE_EXPORT_MISSING', '(() => ({ recall: () => 1 }))()'],
  ['exports a non-function', 'MODULE_EXPORT_NOT_FUNCTION', '(() => ({ rank: 42 }))()'],
  ['throws at load', 'MODULE_LOAD_THREW', '(() => { throw new Error("no table") })()'],
  ['awaits at load', 'MODULE_LOAD_AWAITS', 'await 1'],
  ['loops at load', 'MODULE_LOAD_KILLED', '(() => { for (;;); })()'],
  ['fills its memory at load', 'MODULE_LOAD_KILLED', '(() => { const all = []; for (;;) all.push(Array(1e5).fill(1.5)) })()'],
  ['ends its process at load', 'MODULE_LOAD_KILLED', '(() => { const m = new Map(); for (let i = 0; ; i++) m.set(i, i) })()'],
  ['is no script', 'BUNDLE_INVALID', 'export const rank = 1'],
] as const) {
  test(`a module that ${what} is refused with ${code}, and nothing else notices`, { timeout: 60_000 }, async () => {
    await refused(() => publishCode(base.client, 'bad', '1.0.0', ['rank'], bundle), code)
    assert.equal((await fetch(`${base.url}/readyz`)).status, 200)
  })
}

test('the same version again is a no-op, with other bytes it is refused', async () => {
  assert.equal(await publishStages(base.client, 'twice', '1.0.0', { rank: 'x => x' }), true)
  assert.equal(await publishStages(base.client, 'twice', '1.0.0', { rank: 'x => x' }), false)
  await refused(() => publishStages(base.client, 'twice', '1.0.0', { rank: 'x => 2' }), 'MODULE_EXISTS', /twice@1\.0\.0/)
})

test('a blob that was not uploaded, or whose bytes were changed on the way, is refused', async () => {
  const digest = createHash('sha256').update('never sent').digest('hex')
  await refused(() => base.client.publishModule({ name: 'gone', version: '1.0.0', stages: ['rank'], bundle: digest }), 'BLOB_NOT_FOUND')
  await refused(() => base.client.putBlob(digest, 'other bytes'), 'BLOB_DIGEST_MISMATCH')
})

const scene = (id: string, group: unknown, more = {}) => ({ id, group, ...more }) as SceneDefinition

test('a scene that cannot be served is refused, each fault with its code', async () => {
  await publishStages(base.client, 'ranker', '1.2.0', { rank: 'x => x' })
  const put =
    (group: unknown, more = {}) =>
    () =>
      base.client.putScene(scene('faulty', group, more), undefined)
  const rank = { stage: 'rank', modules: ['ranker@^1'] }
  await refused(put([{ stage: 'rank', modules: ['nobody@^1'] }]), 'MODULE_NOT_FOUND', /nobody/)
  await refused(put([{ stage: 'rank', modules: ['ranker@^2'] }]), 'MODULE_RANGE_UNSATISFIED', /\^2.*1\.2\.0/)
  await refused(put([{ stage: 'rank', modules: ['ranker@not-a-range'] }]), 'MODULE_RANGE_UNSATISFIED')
  await refused(put([{ stage: 'recall', modules: ['ranker@^1'] }]), 'MODULE_LACKS_STAGE', /recall/)
  await refused(put([rank, rank]), 'STAGE_DUPLICATE', /"rank"/)
  await refused(put([]), 'SCENE_INVALID', /group/)
  await refused(put([rank], { traffic: { deadlineMs: 0 } }), 'SCENE_INVALID', /deadlineMs/)
  await refused(put([rank], { colour: 'red' }), 'SCENE_INVALID', /colour/)
  await refused(() => base.client.putScene(scene('Not An Id', [rank]), undefined), 'SCENE_INVALID')
})

test('a version keeps the lock it starts from and replaces only what is named', async () => {
  const { client } = base
  for (const name of ['first', 'second']) await publishStages(client, name, '1.0.0', { [name]: `x => [...x, "${name} 1.0"]` })
  await client.putScene(
    scene('locked', [
      { stage: 'first', modules: ['first@^1'] },
      { stage: 'second', modules: ['second@^1'] },
    ]),
    undefined,
  )
  await client.createVersion('locked', { as: 'baseline' })
  for (const name of ['first', 'second']) await publishStages(client, name, '1.1.0', { [name]: `x => [...x, "${name} 1.1"]` })
  const ask = async () => (await callScene(base, 'locked', [])).json()
  assert.deepEqual(await ask(), ['first 1.0', 'second 1.0'])
  await client.createVersion('locked', { modules: ['second@1.1.0'], as: 'baseline' })
  assert.deepEqual(await ask(), ['first 1.0', 'second 1.1'])
  await client.createVersion('locked', { resolve: true, as: 'baseline' })
  assert.deepEqual(await ask(), ['first 1.1', 'second 1.1'])
  await client.promote('locked', 'v1', { to: 'baseline', reason: 'back' })
  assert.deepEqual(await ask(), ['first 1.0', 'second 1.0'])
  assert.deepEqual((await client.versions('locked')).map(({ id }) => id).toSorted(), ['v1', 'v2', 'v3'])
})

test('a new scene takes the newest release that is or was in a baseline, and says so when there is none', async () => {
  const { client } = base
  const group = [{ stage: 'rank', modules: ['proven@^1'] }]
  const firstOf = async (id: string, settings: NewVersion = {}) => {
    await client.putScene({ id, group }, undefined)
    const { lock, warnings } = await client.createVersion(id, settings)
    return [lock[0]?.modules[0]?.version, warnings]
  }
  for (const version of ['1.0.0', '1.1.0']) await publishStages(client, 'proven', version, { rank: `() => "${version}"` })
  const unproven = 'no baseline has had proven@1.1.0 before, nor another release that fits'
  assert.deepEqual(await firstOf('proven-1', { as: 'dev' }), ['1.1.0', [unproven]])
  await client.createVersion('proven-1', { modules: ['proven@1.0.0'], as: 'baseline' })
  assert.deepEqual(await firstOf('proven-2'), ['1.0.0', []])
  const { version } = await client.createVersion('proven-1', { modules: ['proven@1.1.0'], as: 'baseline' })
  await client.rollback('proven-1', { from: version.id })
  await client.setOnline('proven-1', version.id, false, {})
  assert.deepEqual(await firstOf('proven-3'), ['1.1.0', []], 'it was a baseline once')
  const [first, second] = await client.modules('proven')
  assert.ok((first?.firstBaselineAt ?? '') < (second?.firstBaselineAt ?? ''))
})

test('a version that the cells cannot load is refused and the running one serves on', { timeout: 60_000 }, async () => {
  const { client } = base
  await makeScene(client, 'steady', { rank: '() => "fine"' })
  // The module passes the trial, which has 128 MB, but the scene grants its slots 16.
  await publishCode(
    client,
    'm-steady',
    '1.1.0',
    ['rank'],
    '(() => { const all = Array.from({ length: 1e6 }, (_, i) => ({ i })); return { rank: () => all.length } })()',
  )
  const definition = scene('steady', [{ stage: 'rank', modules: ['m-steady@^1'] }], { traffic: { spec: { memoryMB: 16 } } })
  await client.putScene(definition, (await client.scene('steady')).revision)
  const before = await client.scene('steady')
  await assert.rejects(
    client.createVersion('steady', { modules: ['m-steady@1.1.0'], as: 'baseline' }),
    withCode('UPGRADE_FAILED', /memory limit of 16 MB/),
  )
  assert.equal((await client.scene('steady')).baseline, before.baseline)
  assert.equal(await (await callScene(base, 'steady', 1)).json(), 'fine')
})

test('a write that did not see the last change is refused with what changed', async () => {
  const { client } = base
  await publishStages(client, 'ranker2', '1.0.0', { rank: 'x => x' })
  const first = await client.putScene(scene('contested', [{ stage: 'rank', modules: ['ranker2@^1'] }]), undefined)
  await client.putScene(scene('contested', [{ stage: 'rank', modules: ['ranker2@^1'] }], { params: { mine: 1 } }), first.revision)
  await refused(
    () => client.putScene(scene('contested', [{ stage: 'rank', modules: ['ranker2@^1'] }], { params: { theirs: 1 } }), first.revision),
    'REVISION_CONFLICT',
  )
  assert.deepEqual((await client.scene('contested')).definition.params, { mine: 1 })
})

test('params of a scene change without touching its code, and reach the next request', async () => {
  const { client } = base
  await makeScene(
    client,
    'tuned',
    { rank: '(x, ctx) => [ctx.params.k, globalThis.loads = (globalThis.loads ?? 0) + 1]' },
    { params: { k: 1 } },
  )
  assert.deepEqual(await (await callScene(base, 'tuned', 0)).json(), [1, 1])
  const { definition, revision } = await client.scene('tuned')
  await client.putScene({ ...definition, params: { k: 2 } }, revision)
  assert.deepEqual(await (await callScene(base, 'tuned', 0)).json(), [2, 2], 'the slot is still the one that served before')
})

test('every write is in the audit log: who, what, before, after and why', async () => {
  const { client } = base
  await makeScene(client, 'audited', { rank: 'x => x' })
  await client.createVersion('audited', { label: 'second' })
  await client.promote('audited', 'v2', { to: 'baseline', reason: 'trying the second' })
  const [last] = await client.audit(1)
  assert.equal(last?.target, 'audited')
  assert.equal(last?.reason, 'trying the second')
  assert.match(JSON.stringify(last?.before), /v1/)
  assert.match(JSON.stringify(last?.after), /v2/)
  assert.ok(last?.who)
  const { whoLabel } = await base.logged(({ msg }) => msg === 'set baseline audited')
  assert.deepEqual([last.whoLabel, whoLabel], ['the first token', 'the first token'], 'people read a name')
  assert.ok(Math.abs(Date.parse(last?.at ?? '') - Date.now()) < 60_000)
})

test('a token does what its rights say, until it is revoked', async () => {
  const { client } = base
  const { id, token } = await client.createToken(['publish'], 'engineer')
  const engineer = createClient({ base: base.controlUrl, token })
  await publishStages(engineer, 'by-engineer', '1.0.0', { rank: 'x => x' })
  await assert.rejects(engineer.createToken(['admin'], 'more'), withCode('FORBIDDEN'))
  await client.revokeToken(id)
  await assert.rejects(engineer.scenes(), withCode('UNAUTHENTICATED'))
  await assert.rejects(createClient({ base: base.controlUrl, token: 'wrong' }).scenes(), withCode('UNAUTHENTICATED'))
  await assert.rejects(client.revokeToken(id), withCode('TOKEN_NOT_FOUND'))
})

test('no token is in the log, the database or what the control API answers', { timeout: 60_000 }, async () => {
  const { token } = await base.client.createToken(['call'], 'canary')
  const shown = JSON.stringify([await base.client.tokens(), await base.client.audit(100), base.log])
  assert.doesNotMatch(shown, new RegExp(`${token}|${base.token}`))
  for (const file of readdirSync(base.data, { withFileTypes: true, recursive: true })) {
    if (!file.isFile() || file.name === 'token') continue
    const bytes = readFileSync(join(file.parentPath, file.name), 'latin1')
    assert.ok(!bytes.includes(token) && !bytes.includes(base.token), file.name)
  }
})

test('a bundle whose file was changed on the disk is not loaded', { timeout: 60_000 }, async t => {
  const own = await startBase(t)
  await makeScene(own.client, 'rotten', { rank: '() => 1' })
  await publishStages(own.client, 'm-rotten', '1.1.0', { rank: '() => 2' })
  const [{ bundle } = { bundle: '' }] = (await own.client.modules('m-rotten')).filter(({ version }) => version === '1.1.0')
  writeFileSync(join(own.data, 'blobs', bundle.slice(0, 2), bundle), '(() => ({ rank: () => 3 }))()')
  await assert.rejects(
    own.client.createVersion('rotten', { modules: ['m-rotten@1.1.0'], as: 'baseline' }),
    withCode('UPGRADE_FAILED', /digest/),
  )
  assert.equal(await (await callScene(own, 'rotten', 0)).json(), 1)
})

test('the control API describes itself', async () => {
  const document = (await (await fetch(`${base.controlUrl}/docs/json`)).json()) as { openapi: string; paths: Record<string, unknown> }
  assert.match(document.openapi, /^3\./)
  for (const path of [
    '/api/modules',
    '/api/scenes/{id}',
    '/api/scenes/{id}/versions',
    '/api/scenes/{id}/versions/{version}/promote',
    '/api/status',
    '/api/audit',
  ]) {
    assert.ok(document.paths[path], path)
  }
  assert.equal((await fetch(`${base.controlUrl}/docs/`)).status, 200)
})

test('the control API refuses what it does not understand, as problem documents', async () => {
  const send = (path: string, body: string, headers = {}) =>
    fetch(`${base.controlUrl}${path}`, {
      method: 'POST',
      body,
      headers: { authorization: `Bearer ${base.token}`, 'content-type': 'application/json', ...headers },
    })
  for (const [response, status, code] of [
    [await send('/api/modules', '{"name":'), 400, 'BODY_MALFORMED'],
    [await send('/api/modules', '{"name":"a","surprise":1}'), 400, 'REQUEST_INVALID'],
    [await send('/api/modules', '{"__proto__":{"a":1}}'), 400, undefined],
    [await send('/api/modules', '<a/>', { 'content-type': 'text/xml' }), 415, 'CONTENT_TYPE_UNSUPPORTED'],
    [await fetch(`${base.controlUrl}/api/nothing`), 404, 'ROUTE_NOT_FOUND'],
    [await fetch(`${base.controlUrl}/api/scenes`), 401, 'UNAUTHENTICATED'],
  ] as const) {
    const problem = (await response.json()) as { code: string; fix: string }
    assert.equal(response.status, status, JSON.stringify(problem))
    assert.equal(response.headers.get('content-type')?.split(';')[0], 'application/problem+json')
    if (code !== undefined) assert.equal(problem.code, code)
    assert.ok(problem.fix)
  }
})
