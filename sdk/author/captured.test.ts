/** Captured requests as samples of tests. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Capsule, Entry, ExportedCapsule } from '../../base/capsule/capsule.ts'
import { bundle, capsuleOf, entryOf, headOf } from '../../base/keeper/fixtures/captured.ts'
import { moduleFolder } from '../../test/support/module-folder.ts'
import { bodyIn } from '../cli/files/sample.ts'
import { readLog } from '../cli/replay/log.ts'
import { openSlot, readCapsule } from './testing.ts'

const body = '{"id":"a"}'

/** A request that asked twice for the same row, called a scene that failed, and fetched. */
function exportedWith(more: Partial<ExportedCapsule> = {}): ExportedCapsule {
  const turn = entryOf('turn', 1, ['r1', body, 'u1', 5000, '{"topK":2}', -1])
  const rows = ['calls', 1, 1, 'features', 'get', '["items","a"]', 2, 1, 'features', 'get', '["items","a"]', 3, 1, '', 'other', '{"x":1}']
  const fetched = ['fetch', 4, 1, 1, 'GET', '{"url":"https://x.example/p","redirect":"follow","headers":[]}']
  const settled = entryOf('settleCalls', [
    1,
    1,
    '{"price":1}',
    2,
    1,
    '{"price":2}',
    3,
    0,
    '{"code":"SCENE_NOT_FOUND","message":"no such scene"}',
  ])
  const head = '{"status":201,"statusText":"","headers":[["x-kind","new"]],"url":"https://x.example/p","redirected":false}'
  const entries: Entry[] = [
    entryOf('load'),
    { ...turn, asked: [rows, fetched] },
    settled,
    entryOf('settleFetch', 4, head, 'text:base64: is not meant'),
  ]
  const capsule: Capsule = { ...capsuleOf('a', 0), entries: [1, 3], unit: 'u1', answer: { json: '["1,2"]' } }
  const blobs = { [bundle.digest]: bundle.text }
  return {
    format: 1,
    head: { ...headOf('a'), services: { features: ['get', 'getMany', 'version'], shop: ['buy'] } },
    entries,
    capsule,
    blobs,
    ...more,
  }
}

async function fileOf(t: TestContext, exported: ExportedCapsule): Promise<string> {
  const file = join(await moduleFolder(t, {}), 'one.capsule.json')
  await writeFile(file, JSON.stringify(exported))
  return file
}

const index = `export async function rank(input, ctx) {
  const { features } = ctx.services
  const rows = [await features.get('items', input.id), await features.get('items', input.id)]
  const failure = await ctx.call('other', { x: 1 }).catch(error => error.code)
  const response = await fetch('https://x.example/p')
  return [rows.map(row => row.price).join(), failure, response.status, response.headers.get('x-kind'), await response.text(), ctx.params, ctx.unit]
}`

test('a stage that runs with a captured request gets its parameters and the recorded replies, in their order, each time that it runs', async t => {
  const captured = await readCapsule(await fileOf(t, exportedWith()))
  assert.deepEqual([captured.body, captured.unit, captured.answer], [{ id: 'a' }, 'u1', ['1,2']])
  const berth = { stages: ['rank'], services: ['features'], fetch: ['x.example'] }
  const folder = await moduleFolder(t, {
    'package.json': JSON.stringify({ name: 'ranker', version: '1.0.0', main: 'index.ts', berth }),
    'index.ts': index,
  })
  const slot = await openSlot(folder, { capsule: captured, params: { slope: 1 } })
  const expected = ['1,2', 'SCENE_NOT_FOUND', 201, 'new', 'base64: is not meant', { topK: 2, slope: 1 }, 'u1']
  for (let run = 0; run < 2; run++) {
    assert.deepEqual((await slot.run('rank', captured.body, { unit: captured.unit })).output, expected)
  }
  await assert.rejects(slot.run('rank', { id: 'b' }), /The capsule has no reply to features\.get with \["items","b"\]/)
})

test('an exported capsule is a log of one request for "sdk replay", and a body for "sdk dev" and "sdk invoke"', async t => {
  const file = await fileOf(t, exportedWith())
  assert.deepEqual(await readLog([file], { limit: 9 }), [{ scene: 'home', body, headers: { 'x-unit-id': 'u1' }, shown: undefined }])
  assert.equal(await bodyIn(file), body)
})

test('a file that is no whole capsule is refused with what is wrong in it', async t => {
  const { head: _, ...headless } = exportedWith()
  const file = await fileOf(t, headless as ExportedCapsule)
  await assert.rejects(readCapsule(file), /one\.capsule\.json" as an exported capsule: it lacks head/)
  await assert.rejects(bodyIn(file), { code: 'CAPSULE_INVALID', message: /it lacks head/ })
})
