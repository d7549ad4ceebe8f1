/** Captured requests at the front door: a caller asks, the keeper keeps. One base for the file. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { callScene, launchBase, makeScene, publishStages, type RunningBase, until } from './support/base.ts'
import { ended, sdkIn } from './support/cli.ts'

let base: RunningBase

before(async () => {
  base = await launchBase()
  await makeScene(base.client, 'ranked', { rank: '(x, ctx) => { if (x.fails) throw new Error("no"); return [x.items, ctx.unit ?? null] }' })
  await makeScene(base.client, 'private', { rank: 'x => [x.user.name, x.items]' }, { capsules: { redact: ['/user', '/0'] } })
  await makeScene(base.client, 'uncaptured', { rank: 'x => x' }, { capsules: { off: true } })
})
after(() => base.kill())

const ask = (scene: string, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
  callScene(base, scene, body, { 'x-scene-capture': '1', authorization: `Bearer ${base.token}`, ...headers })

async function emptyFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-capsules-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

/** The capsule of a request, once the keeper has it. */
async function capsuleOf(scene: string, response: Response) {
  const id = response.headers.get('x-scene-capsule') ?? ''
  assert.match(id, /^[0-9a-f]{16}$/)
  await until(async () => (await base.client.capsules(scene, {})).some(capsule => capsule.id === id))
  return base.client.exportCapsule(scene, id)
}

test('a request that asks to be captured is answered as ever, names its capsule, and can be exported with all that entered its slot', async () => {
  const response = await ask('ranked', { items: [1, 2] }, { 'x-unit-id': 'u1', 'x-request-id': 'mine' })
  assert.deepEqual(await response.json(), [[1, 2], 'u1'])
  const { capsule, entries, head } = await capsuleOf('ranked', response)
  assert.deepEqual([capsule.requestId, capsule.unit, capsule.why], ['mine', 'u1', 'asked'])
  assert.deepEqual(capsule.answer, { json: '[[1,2],"u1"]' })
  assert.deepEqual([head.scene, head.version, entries.length], ['ranked', 'v1', 2])
})

test('a request that fails and was captured names its capsule too', async () => {
  const response = await ask('ranked', { fails: true })
  assert.equal(response.status, 500)
  const { capsule } = await capsuleOf('ranked', response)
  assert.ok('failure' in capsule.answer)
  assert.equal(capsule.answer.failure.code, 'MODULE_THREW')
})

test('a request that asks in vain is answered, and says why it has no capsule', async () => {
  const response = await ask('uncaptured', { a: 1 })
  assert.deepEqual(await response.json(), { a: 1 })
  assert.equal(response.headers.get('x-scene-capsule'), 'none; off')
})

test('a request that does not ask says nothing of capsules', async () => {
  assert.equal((await callScene(base, 'ranked', { items: [] })).headers.get('x-scene-capsule'), null)
})

test('without a token with the right to pin, nobody has a request captured', async () => {
  const response = await callScene(base, 'ranked', { items: [] }, { 'x-scene-capture': '1' })
  assert.equal(response.status, 401)
  assert.match(((await response.json()) as { detail: string }).detail, /x-scene-capture/)
})

test('what a scene takes out of its capsules is not in them any more', async () => {
  const response = await ask('private', { user: { name: 'Wilhelmina' }, items: ['shown'] })
  assert.deepEqual(await response.json(), ['Wilhelmina', ['shown']])
  const exported = await capsuleOf('private', response)
  assert.deepEqual([exported.capsule.redacted, exported.capsule.inexact], [['/user', '/0'], ['redacted']])
  const text = JSON.stringify(exported)
  assert.ok(text.includes('shown') && !text.includes('Wilhelmina'))
  // Without the name it is answered otherwise, which is no fault of the code.
  const { same, impure, inexact } = await base.client.runCapsule('private', exported.capsule.id, {})
  assert.deepEqual([same, impure, inexact], [false, false, ['redacted']])
})

test('the base counts what it has captured, and what it has not and why', async () => {
  await (await ask('ranked', { items: [] })).json()
  await (await ask('uncaptured', {})).json()
  const metrics = await (await fetch(`${base.controlUrl}/metrics`, { headers: { authorization: `Bearer ${base.token}` } })).text()
  assert.match(metrics, /^berth_capsules_captured_total\{.*why="asked".*\} [1-9]/m)
  assert.match(metrics, /^berth_capsules_skipped_total\{.*reason="off".*\} [1-9]/m)
})

test('a captured request is listed, shown in words, carried to a file and back, and deleted with its unit', async t => {
  const folder = await emptyFolder(t)
  const sdk = sdkIn(folder, base)
  const { capsule } = await capsuleOf('ranked', await ask('ranked', { items: [7] }, { 'x-unit-id': 'carried' }))
  ended(
    await sdk('capsule', 'list', 'ranked', '--unit', 'carried'),
    0,
    new RegExp(`^${capsule.id} +v1 .* asked +carried .* ok +exact$`, 'm'),
  )
  const words = [
    /unit carried/,
    /body +\{"items":\[7\]\}/,
    /decided +v1 because of baseline/,
    /answer +\[\[7\],"carried"\]/,
    /replay +exact/,
  ]
  ended(await sdk('capsule', 'show', 'ranked', capsule.id), 0, ...words)
  ended(await sdk('capsule', 'export', 'ranked', capsule.id), 0, new RegExp(`ranked-${capsule.id}\\.capsule\\.json`))
  ended(await sdk('capsule', 'delete', 'ranked'), 2, /Name capsules, or one of --unit, --version and --all/)
  ended(await sdk('capsule', 'delete', 'ranked', '--unit', 'carried', '--yes'), 0, /deleted .* capsule/)
  ended(await sdk('capsule', 'show', 'ranked', capsule.id), 1, /CAPSULE_NOT_FOUND/)
  ended(await sdk('capsule', 'import', `ranked-${capsule.id}.capsule.json`), 0, new RegExp(`${capsule.id} to ranked`))
  ended(await sdk('replay', `ranked-${capsule.id}.capsule.json`), 0, /by version +v1 1/)
  const [imported] = await base.client.capsules('ranked', { unit: 'carried' })
  assert.deepEqual([imported?.id, imported?.imported], [capsule.id, true])
})

test('a keeper that was killed has every capsule that was listed when it comes back, and takes more', async () => {
  const before = await capsuleOf('ranked', await ask('ranked', { items: ['before'] }))
  const from = base.log.length
  process.kill((await base.client.status()).keeper.pid, 'SIGKILL')
  await base.logged(({ msg }) => msg === 'control API listens', from)
  assert.deepEqual(await base.client.exportCapsule('ranked', before.capsule.id), before)
  // What is captured before the cell has found the keeper again is lost.
  const asked = new Set<string | null>()
  await until(async () => {
    asked.add((await ask('ranked', { items: ['after'] })).headers.get('x-scene-capsule'))
    return (await base.client.capsules('ranked', {})).some(({ id }) => asked.has(id))
  })
})

test('what was captured gives the same bytes again in another process, and who had it replayed is in the audit log', async t => {
  const sdk = sdkIn(await emptyFolder(t), base)
  const { capsule } = await capsuleOf('ranked', await ask('ranked', { items: [5] }))
  const counts = /^ranked: (\d+) of \1 captured requests gave the same bytes again, in \d+ recordings?/m
  ended(await sdk('capsule', 'verify', 'ranked'), 0, counts)
  ended(
    await sdk('capsule', 'run', 'ranked', capsule.id, '--fresh'),
    0,
    /^\[\s+\[\s+5\s+\],\s+null\s+\]$/m,
    /v1: the recorded answer, byte for byte/,
  )
  ended(await sdk('capsule', 'run', 'ranked', capsule.id, '--version', 'v99'), 1, /VERSION_NOT_FOUND/)
  ended(await sdk('capsule', 'run', 'ranked', '0000000000000000', '--fresh'), 1, /CAPSULE_NOT_FOUND/)
  ended(await sdk('capsule', 'run', 'ranked'), 2, /sdk capsule run ranked ID/)
  const actions = (await base.client.audit(10)).map(({ action }) => action)
  assert.ok(actions.includes('verify capsules') && actions.includes('run capsule'))
})

test('the first version and the first change of parameters are found that answer otherwise than they should', async t => {
  const folder = await emptyFolder(t)
  const sdk = sdkIn(folder, base)
  const priced = (more = '') => `(x, ctx) => ({ price: x.n * ctx.params.factor${more}, n: globalThis.n = (globalThis.n ?? 0) + 1 })`
  await makeScene(base.client, 'priced', { price: priced() }, { params: { factor: 2 } })
  await ask('priced', { n: 1 })
  const { capsule } = await capsuleOf('priced', await ask('priced', { n: 5 }))
  for (const [i, more] of ['', ' + 0', ' + 1'].entries()) {
    if (i === 0) continue
    await publishStages(base.client, 'm-priced', `1.0.${i}`, { price: priced(more) })
    await base.client.createVersion('priced', { modules: [`m-priced@1.0.${i}`] })
  }
  for (const factor of [2, 3]) await base.client.setParams('priced', { params: { factor, more: factor } })
  await writeFile(join(folder, 'right.json'), '{"price":10,"n":1}')
  const found = await sdk('bisect', 'priced', '--capsule', capsule.id, '--expect', 'right.json')
  ended(
    found,
    0,
    /^code: v3 is the first to answer otherwise$/m,
    /^parameters: the change of the scene at revision \d+ is the first with which v1/m,
  )
  // What no version and no parameters ever answered is blamed on none of them.
  await writeFile(join(folder, 'never.json'), '{"price":99,"n":1}')
  const never = await sdk('bisect', 'priced', '--capsule', capsule.id, '--expect', 'never.json')
  ended(never, 0, /^code: v1, the oldest, .*: no version has brought it$/m, /^parameters: .* already: no change of them has brought it$/m)
  ended(await sdk('bisect', 'priced', '--capsule', capsule.id, '--expect', 'none.json'), 2, /Cannot read the expected answer "none.json"/)
  // It counts its requests, and has answered another one before.
  ended(
    await sdk('capsule', 'run', 'priced', capsule.id, '--fresh'),
    0,
    /^\{\s+"price": 10,\s+"n": 1\s+\}$/m,
    /v1 is impure: .*, from stage "price" on/,
  )
})
