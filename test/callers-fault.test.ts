/** What a caller does wrong is told to the caller, and costs the version, its breaker and other callers nothing. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { publishBundle, uploadBundle } from '../sdk/api/publish-steps.ts'
import { bundleModule } from '../sdk/bundle/bundle.ts'
import { createClient } from '../sdk/caller/index.ts'
import { moduleFiles } from '../sdk/cli/files/templates.ts'
import { callScene, launchBase, makeScene, publishStages, type RunningBase, tempFolder, until } from './support/base.ts'

let base: RunningBase

before(async () => {
  base = await launchBase()
})
after(() => base.kill())

type Body = Readonly<Record<string, unknown>> & { readonly detail?: string; readonly faults?: readonly unknown[] }

async function ask(scene: string, body: unknown, headers = {}): Promise<{ status: number; body: Body }> {
  const response = await callScene(base, scene, body, headers)
  return { status: response.status, body: (await response.json()) as Body }
}

const list = {
  type: 'object',
  required: ['items'],
  properties: { items: { type: 'array', minItems: 1, items: { $ref: '#/$defs/item' } } },
  $defs: { item: { type: 'object', required: ['id'], properties: { id: { type: 'string', maxLength: 8 } }, additionalProperties: false } },
}
const takesItems = '(x, ctx) => x.items.length === 0 ? ctx.reject("ITEMS_EMPTY", "There must be an item", { at: "/items" }) : x.items[0].id'
const breaker = { enabled: true, minRequests: 3, failureRatio: 0.1, windowMs: 10_000, openMs: 600_000, probes: 1 }

test('a stage that rejects a request ends it with 422, and the caller gets the code, the message and the details of the module', async () => {
  await makeScene(base.client, 'rejects', { rank: takesItems })
  const { status, body } = await ask('rejects', { items: [] }, { 'x-request-id': 'mine' })
  const { fix, title, ...rest } = body
  assert.equal(status, 422)
  assert.ok(fix && title)
  assert.deepEqual(rest, {
    type: 'urn:berth:error:REQUEST_REJECTED',
    status: 422,
    code: 'REQUEST_REJECTED',
    reason: 'ITEMS_EMPTY',
    detail: 'There must be an item',
    details: { at: '/items' },
    blame: 'caller',
    ...{ scene: 'rejects', version: 'v1', stage: 'rank', module: 'm-rejects@1.0.0', requestId: 'mine' },
  })
})

test('the client for callers says with which code a module has rejected the input, or where it does not fit, and does not try again', async () => {
  await makeScene(
    base.client,
    'typed',
    { rank: takesItems },
    { schemas: { request: { ...list, properties: { items: { type: 'array' } } } } },
  )
  const { call } = createClient({ url: base.url })
  await assert.rejects(call('typed', { items: [] }), {
    code: 'REQUEST_REJECTED',
    reason: 'ITEMS_EMPTY',
    details: { at: '/items' },
    attempts: 1,
  })
  const faults = [{ pointer: '', expected: 'must have "items"' }]
  await assert.rejects(call('typed', {}), { code: 'REQUEST_INVALID', blame: 'caller', faults, attempts: 1 })
})

test('a rejection ends the request wherever it is thrown, whatever onFailure says, and a module that catches it has not rejected', async () => {
  const stages = {
    awaits: 'async (x, ctx) => { await null; return ctx.reject("LATE", "after an await") }',
    catches: '(x, ctx) => { try { ctx.reject("CAUGHT", "not meant") } catch ({ code, message }) { return { code, message } } }',
    rethrows: '(x, ctx) => { try { ctx.reject("AGAIN", "meant") } catch (error) { throw error } }',
    forges: '() => { throw Object.assign(new Error("no rejection"), { name: "RequestRejected", code: "FORGED", details: 1 }) }',
    fine: 'x => [x]',
  }
  await publishStages(base.client, 'm-many', '1.0.0', stages)
  const make = async (id: string, stage: object) => {
    await base.client.putScene({ id, group: [stage as never], traffic: { deadlineMs: 10_000 } }, undefined)
    await base.client.createVersion(id, { as: 'baseline' })
  }
  for (const stage of Object.keys(stages)) await make(stage, { stage, modules: ['m-many@^1'] })
  await make('skips', { stage: 'awaits', modules: ['m-many@^1'], onFailure: 'skip' })
  await make('falls-back', { stage: 'rethrows', modules: ['m-many@^1'], onFailure: 'fallback', fallback: { value: 1 } })
  const both = { awaits: 'x => [x]', rank: 'x => x' }
  await publishStages(base.client, 'm-beside', '1.0.0', both)
  await make('beside', { stage: 'awaits', modules: ['m-beside@^1', 'm-many@^1'], parallel: true, onFailure: 'skip' })
  for (const [scene, reason] of [
    ['awaits', 'LATE'],
    ['rethrows', 'AGAIN'],
    ['skips', 'LATE'],
    ['falls-back', 'AGAIN'],
    ['beside', 'LATE'],
  ] as const) {
    const { status, body } = await ask(scene, {})
    assert.deepEqual([scene, status, body.reason], [scene, 422, reason])
  }
  assert.deepEqual(await ask('catches', {}), { status: 200, body: { code: 'CAUGHT', message: 'not meant' } })
  const forged = await ask('forges', {})
  assert.deepEqual([forged.status, forged.body.code, forged.body.blame, forged.body.reason], [500, 'MODULE_THREW', 'module', undefined])
})

test('a code that could be taken for another is the mistake of the module, and details that JSON cannot hold are left out and logged', async () => {
  const odd = { rank: '(x, ctx) => ctx.reject(x.code, "no", x.big ? "x".repeat(x.big) : x.odd ? { a: 1n } : undefined)' }
  await makeScene(base.client, 'odd', odd)
  for (const code of ['items_empty', '', 'A'.repeat(65), 'A B', 7]) {
    const { status, body } = await ask('odd', { code })
    assert.deepEqual([status, body.code], [500, 'MODULE_THREW'])
    assert.match(body.detail ?? '', /ctx\.reject: the code must be a name in capitals/)
  }
  for (const more of [{ odd: true }, { big: 8192 }]) {
    const { status, body } = await ask('odd', { code: 'NO', ...more })
    assert.deepEqual([status, body.reason, 'details' in body], [422, 'NO', false])
  }
  await base.logged(({ msg }) => /ctx\.reject: the details were left out: .*BigInt/.test(msg))
  await base.logged(({ msg }) => /left out: they have 8194 characters of JSON, over 8192/.test(msg))
})

test('of a scene that refuses what another scene sends it, the calling module is to blame, and learns the reason', async () => {
  await makeScene(base.client, 'called', { rank: takesItems }, { schemas: { request: list } })
  await makeScene(base.client, 'called-freely', { rank: takesItems })
  await makeScene(base.client, 'calls', { rank: '(x, ctx) => ctx.call(x.scene, x.input)' })
  await makeScene(base.client, 'handles', {
    rank: '(x, ctx) => ctx.call(x.scene, x.input).catch(({ code, reason, details, faults }) => ({ code, reason, details, faults }))',
  })
  const lets = await ask('calls', { scene: 'called-freely', input: { items: [] } })
  const uncaught = lets.body.uncaught as { code: string; blame: string }
  assert.deepEqual([lets.status, lets.body.code, lets.body.blame], [500, 'MODULE_THREW', 'module'])
  assert.deepEqual([uncaught.code, uncaught.blame], ['REQUEST_REJECTED', 'module'])
  const rejected = await ask('handles', { scene: 'called-freely', input: { items: [] } })
  assert.deepEqual(rejected.body, { code: 'REQUEST_REJECTED', reason: 'ITEMS_EMPTY', details: { at: '/items' } })
  const unfit = await ask('handles', { scene: 'called', input: { items: [] } })
  assert.deepEqual(unfit.body, { code: 'REQUEST_INVALID', faults: [{ pointer: '/items', expected: 'must have at least 1 item' }] })
})

test('a body that does not fit the schema of its scene is refused with the places at fault, and no stage sees it', async () => {
  await makeScene(base.client, 'fits', { rank: '(x, ctx) => { ctx.log.warn("reached"); return x }' }, { schemas: { request: list } })
  const { status, body } = await ask('fits', { items: [{ id: 'long enough' }, { id: 'a', odd: 1 }, {}] })
  assert.deepEqual([status, body.code, body.blame, body.version], [400, 'REQUEST_INVALID', 'caller', 'v1'])
  assert.deepEqual(body.faults, [
    { pointer: '/items/0/id', expected: 'must have at most 8 characters' },
    { pointer: '/items/1/odd', expected: 'must not be there' },
    { pointer: '/items/2', expected: 'must have "id"' },
  ])
  assert.match(body.detail ?? '', /does not fit the schema of the scene: \/items\/0\/id must have at most 8 characters; /)
  for (const [wrong, expected] of [
    ['null', 'must be an object'],
    ['[]', 'must be an object'],
    ['7', 'must be an object'],
    ['{}', 'must have "items"'],
  ]) {
    const refused = await ask('fits', wrong)
    assert.deepEqual([refused.status, refused.body.faults], [400, [{ pointer: '', expected }]])
  }
  assert.equal((await ask('fits', { items: Array(100_000).fill(0) })).body.faults?.length, 8)
  assert.deepEqual((await ask('fits', { items: [{ id: 'a' }] })).body, { items: [{ id: 'a' }] })
  await base.logged(({ msg }) => msg === 'reached')
  assert.equal(base.log.filter(({ msg }) => msg === 'reached').length, 1)
})

test('requests that callers get wrong open no breaker, count as what they are, and leave few lines in the log', async () => {
  const settings = { traffic: { breaker } }
  await makeScene(base.client, 'rejecting', { rank: takesItems }, settings)
  await makeScene(base.client, 'checking', { rank: takesItems }, { ...settings, schemas: { request: list } })
  for (const scene of ['rejecting', 'checking']) {
    const code = scene === 'rejecting' ? 'REQUEST_REJECTED' : 'REQUEST_INVALID'
    const wrong = await Promise.all(Array.from({ length: 50 }, () => ask(scene, { items: [] })))
    assert.deepEqual(new Set(wrong.map(({ body }) => body.code)), new Set([code]))
    assert.deepEqual((await ask(scene, { items: [{ id: 'a' }] })).body, 'a')
    assert.match(
      await base.client.metrics(),
      new RegExp(`berth_requests_total\\{scene="${scene}",version="v1",code="${code}",cell="1"\\} 50\n`),
    )
    // A line takes a moment from the slot to the keeper.
    let refusals: readonly { readonly level: string; readonly code?: string }[] = []
    await until(async () => {
      const lines = (await (await base.client.open(`/api/scenes/${scene}/logs`, {})).json()) as typeof refusals
      refusals = lines.filter(line => line.code === code)
      return refusals.length > 0
    })
    assert.ok(refusals.length < 100 && refusals.every(({ level }) => level === 'info'), JSON.stringify(refusals))
  }
})

test('no number of wrong requests keeps a scene with the module that init makes from answering others', async () => {
  const folder = join(await tempFolder(), 'shop-rank')
  for (const [path, text] of moduleFiles('shop-rank', ['rank'], undefined)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  const bundle = await bundleModule(folder)
  await uploadBundle(base.client, bundle)
  await publishBundle(base.client, bundle)
  await base.client.putScene(
    { id: 'shop', group: [{ stage: 'rank', modules: ['shop-rank@^1'] }], traffic: { deadlineMs: 10_000, breaker } },
    undefined,
  )
  await base.client.createVersion('shop', { as: 'baseline' })
  const wrong = await Promise.all(Array.from({ length: 50 }, () => ask('shop', { items: [] })))
  assert.deepEqual(new Set(wrong.map(({ status }) => status)), new Set([422]))
  assert.deepEqual(await ask('shop', [{ id: 'a', score: 1 }]), { status: 200, body: [{ id: 'a', score: 1 }] as never })
})

test('a caller that has little time left for a call opens no breaker of the scene that it calls', async () => {
  const slow = { rank: '(x, ctx) => new Promise(done => setTimeout(done, x.ms, x))' }
  await makeScene(base.client, 'slow', slow, { traffic: { breaker } })
  await makeScene(base.client, 'in-a-hurry', { rank: '(x, ctx) => ctx.call("slow", x)' }, { traffic: { deadlineMs: 50 } })
  for (let i = 0; i < 5; i++) assert.equal((await ask('in-a-hurry', { ms: 1000 })).status, 504)
  assert.equal((await ask('slow', { ms: 0 })).status, 200)
})

test('a schema that cannot be enforced is refused with the place, and the scene stays as it was', async () => {
  await makeScene(base.client, 'kept', { rank: 'x => x' })
  const before = await base.client.scene('kept')
  const { definition } = before
  for (const [schema, fault] of [
    [{ properties: { a: { minimun: 1 } } }, '/properties/a/minimun is a keyword that is not supported'],
    [{ properties: { 'a/b': { $ref: 'https://example.com/s' } } }, '/properties/a~1b/$ref must be a reference such as "#/$defs/NAME"'],
    [{ $ref: '#/$defs/a' }, '/$ref refers to "#/$defs/a", which is not there'],
    [{ items: { pattern: '(' } }, '/items/pattern is no regular expression'],
    [{ $ref: '#/$defs/a', $defs: { a: { anyOf: [{ $ref: '#/$defs/a' }] } } }, 'it refers to itself for the same value'],
    [{ description: 'x'.repeat(65_536) }, 'characters as JSON, the limit is 65536'],
  ] as const) {
    const refused = base.client.putScene({ ...definition, schemas: { request: schema } }, before.revision)
    await assert.rejects(
      refused,
      (error: Error) => error.message.includes(`(schemas.request) cannot be used: `) && error.message.includes(fault),
    )
  }
  assert.deepEqual(await base.client.scene('kept'), before)
})

test('what a schema says runs no code', async () => {
  const hostile = [`'`, '"', '`', '\\', `$\{globalThis.x=1}`, '\u2028', ')];globalThis.x=1//', 'value']
  const properties = JSON.parse(`{${hostile.map(name => `${JSON.stringify(name)}:{"const":${JSON.stringify(name)}}`).join(',')}}`)
  const request = {
    type: 'object',
    properties,
    required: hostile,
    patternProperties: { '^[\'"`]/': false },
  }
  await makeScene(base.client, 'hostile', { rank: 'x => [typeof globalThis.x, Object.keys(x).length]' }, { schemas: { request } })
  const good = `{${hostile.map(name => `${JSON.stringify(name)}:${JSON.stringify(name)}`).join(',')}}`
  assert.deepEqual(await ask('hostile', good), { status: 200, body: ['undefined', hostile.length] })
  const wrong = await ask('hostile', good.replace('"value":"value"', '"value":{"__proto__":1}'))
  assert.deepEqual([wrong.status, wrong.body.faults], [400, [{ pointer: '/value', expected: 'must be "value"' }]])
})

test('a pattern that takes for ever costs its own slot, no module is blamed, and other callers of the scene are answered', async () => {
  const schemas = { request: { type: 'string', pattern: '^(a+)+$' } }
  await makeScene(base.client, 'regexp', { rank: 'x => x.length' }, { schemas, traffic: { cpuMs: 50 } })
  const [bad, good] = await Promise.all([ask('regexp', `"${'a'.repeat(60)}!"`), ask('regexp', '"aa"')])
  assert.deepEqual([bad.status, bad.body.code, bad.body.blame], [400, 'REQUEST_INVALID', 'caller'])
  assert.match(bad.body.detail ?? '', /Cannot check the body against the schema of scene "regexp": .*50 ms of CPU/)
  assert.deepEqual(good, { status: 200, body: 2 as never })
  for (let i = 0; i < 4; i++) await ask('regexp', `"${'a'.repeat(60)}!"`)
  assert.deepEqual(await ask('regexp', '"aaa"'), { status: 200, body: 3 as never })
  assert.deepEqual((await base.client.status()).quarantined, [])
})

test('a body that is nested deeper than its schema can be followed is refused, and the slot goes on', async () => {
  const request = { $ref: '#/$defs/tree', $defs: { tree: { type: 'array', items: { $ref: '#/$defs/tree' } } } }
  await makeScene(base.client, 'tree', { rank: '() => 1' }, { schemas: { request } })
  const { status, body } = await ask('tree', '['.repeat(30_000) + ']'.repeat(30_000))
  assert.deepEqual([status, body.code], [400, 'REQUEST_INVALID'])
  assert.match(body.detail ?? '', /must not be nested so deeply/)
  assert.equal((await ask('tree', '[[],[[]]]')).status, 200)
  assert.deepEqual((await ask('tree', '[[],[[1]]]')).body.faults, [{ pointer: '/1/0/0', expected: 'must be an array' }])
})

test('a schema that changes holds from the answer of the base on, for the version that is there', async () => {
  await makeScene(base.client, 'changes', { rank: 'x => x' })
  assert.equal((await ask('changes', 1)).status, 200)
  const { definition, revision } = await base.client.scene('changes')
  await base.client.putScene({ ...definition, schemas: { request: { type: 'string' } } }, revision)
  const { status, body } = await ask('changes', 1)
  assert.deepEqual([status, body.version], [400, 'v1'])
  await base.client.putScene(definition, (await base.client.scene('changes')).revision)
  assert.equal((await ask('changes', 1)).status, 200)
})

test('an answer that does not fit the schema is sent all the same, counted, and told once in the log of its version', async () => {
  const answer = { type: 'array', items: { type: 'object', required: ['id'], properties: { id: { type: 'string' } } } }
  await makeScene(base.client, 'unfit', { rank: 'x => x' }, { schemas: { answer } })
  for (let i = 0; i < 3; i++) assert.deepEqual(await ask('unfit', [{ id: i }]), { status: 200, body: [{ id: i }] as never })
  assert.equal((await ask('unfit', [{ id: 'a' }])).status, 200)
  assert.match(await base.client.metrics(), /berth_answers_unfit_total\{scene="unfit",version="v1",cell="1"\} 3\n/)
  await base.logged(({ msg }) => msg.includes('does not fit the schema of the scene'))
  const told = base.log.filter(({ msg }) => msg.includes('does not fit the schema of the scene'))
  assert.deepEqual(
    told.map(({ msg, scene, version }) => [msg, scene, version]),
    [['The answer of stage "rank" of module "m-unfit@1.0.0" does not fit the schema of the scene: /0/id must be a string', 'unfit', 'v1']],
  )
})

test('of a stage whose results a module merges, that module is named when the answer does not fit', async () => {
  await publishStages(base.client, 'm-one', '1.0.0', { rank: 'x => [1]' })
  await publishStages(base.client, 'm-merges', '1.0.0', { rank: 'lists => lists.length' })
  const stage = { stage: 'rank', modules: ['m-one@^1', 'm-one@^1.0'], parallel: true, merge: 'm-merges@^1' } as const
  const settings = { traffic: { deadlineMs: 10_000 }, schemas: { answer: { type: 'array' } } }
  await base.client.putScene({ id: 'merged', group: [{ ...stage, modules: [...stage.modules] }], ...settings }, undefined)
  await base.client.createVersion('merged', { as: 'baseline' })
  assert.equal((await ask('merged', {})).status, 200)
  const { msg } = await base.logged(line => line.scene === 'merged' && line.msg.includes('does not fit'))
  assert.match(msg, /^The answer of stage "rank" of module "m-merges@1\.0\.0" does not fit/)
})
