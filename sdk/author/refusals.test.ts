/** What tests of a module see of requests that are refused, and of answers that do not fit the schema of a scene. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openSlot, StageError } from './testing.ts'

const folder = await mkdtemp(join(tmpdir(), 'berth-refusals-'))
after(() => rm(folder, { recursive: true }))
const stages = ['recall', 'rank']
await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'picker', version: '1.0.0', type: 'module', berth: { stages } }))
await writeFile(
  join(folder, 'index.ts'),
  `export const recall = (items: number[], ctx: any) => items.length === 0 ? ctx.reject('EMPTY', 'There must be an item', { least: 1 }) : items
export const rank = async (items: any, ctx: any) => {
  if (items !== 'call') return items
  return ctx.call('other', items).catch(({ code, reason, details }: any) => [code, reason, details])
}
`,
)
const number = { type: 'array', items: { type: 'number' } }
const slot = await openSlot(folder, {
  schemas: { request: number, answer: number },
})

test('a rejection is told with its code and its details', async () => {
  const rejected = { code: 'REQUEST_REJECTED', reason: 'EMPTY', message: 'There must be an item', details: { least: 1 }, stage: 'recall' }
  await assert.rejects(slot.run('recall', []), rejected)
})

test('a request that does not fit the schema of the scene fails the run, of the stage that takes requests', async () => {
  const refused = { code: 'REQUEST_INVALID', faults: [{ pointer: '/1', expected: 'must be a number' }] }
  await assert.rejects(slot.run('recall', [1, 'x']), refused)
  await assert.rejects(slot.run('rank', [1], { request: [1, 'x'] }), refused)
  assert.deepEqual((await slot.run('recall', [1])).output, [1])
})

test('every answer that does not fit the schema of the scene fails the run, of the stage that makes answers', async () => {
  for (let i = 0; i < 20; i++) {
    await assert.rejects(slot.run('rank', ['x']), (error: unknown) => {
      assert.ok(error instanceof StageError)
      assert.deepEqual([error.code, error.stage, error.faults], ['RESULT_UNFIT', 'rank', [{ pointer: '/0', expected: 'must be a number' }]])
      return true
    })
  }
  assert.deepEqual((await slot.run('rank', [1])).output, [1])
})

test('a fake of another scene rejects as that scene would', async () => {
  const faked = () => {
    throw Object.assign(new Error('no'), { code: 'REQUEST_REJECTED', reason: 'FAKED', details: [1] })
  }
  const free = await openSlot(folder, { call: { other: faked } })
  assert.deepEqual((await free.run('rank', 'call')).output, ['REQUEST_REJECTED', 'FAKED', [1]])
})

test('a schema that a base would refuse is refused here', async () => {
  await assert.rejects(
    openSlot(folder, { schemas: { answer: { minimun: 1 } } }),
    /schema of the answer: \/minimun is a keyword that is not supported/,
  )
})
