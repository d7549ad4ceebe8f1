import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SceneTable } from '../traffic/table.ts'
import { Whitelists } from './whitelists.ts'

/** A table whose scenes have these whitelists. */
function tableWith(digests: Readonly<Record<string, string>>): SceneTable {
  const scenes = Object.entries(digests).map(([id, digest]) => ({
    revision: 1,
    definition: {
      id,
      group: [],
      traffic: { unit: { header: 'x' }, deadlineMs: 1, spec: { memoryMB: 128 } },
      params: {},
      access: 'public' as const,
    },
    baseline: null,
    versions: [],
    whitelist: { digest, units: 1, byVersion: { v1: 1 } },
  }))
  return { format: 1, revision: 1, scenes, tokens: [] }
}

test('a whitelist is read once while tables name it, and again when one does that it was forgotten for', async () => {
  const read: string[] = []
  const whitelists = new Whitelists(
    async digest => {
      read.push(digest)
      return Buffer.from(JSON.stringify({ v1: [`unit of ${digest}`] }))
    },
    () => assert.fail('none is unreadable'),
  )
  const first = await whitelists.read(tableWith({ home: 'a', twin: 'a', other: 'b' }))
  assert.deepEqual([...(first.get('b') ?? [])], [['unit of b', 'v1']])
  await whitelists.read(tableWith({ home: 'a' }))
  assert.deepEqual(read, ['a', 'b'])
  await whitelists.read(tableWith({ home: 'a', other: 'b' }))
  assert.deepEqual(read, ['a', 'b', 'b'])
})

test('a whitelist that cannot be read is reported with its scene, left out, and tried again with the next table', async () => {
  const lost = new Error('the disk is gone')
  let broken = true
  const reported: unknown[] = []
  const whitelists = new Whitelists(
    async () => {
      if (broken) throw lost
      return Buffer.from('{"v1":["u1"]}')
    },
    (scene, error) => reported.push(scene, error),
  )
  assert.equal((await whitelists.read(tableWith({ home: 'a' }))).size, 0)
  assert.deepEqual(reported, ['home', lost])
  broken = false
  assert.equal((await whitelists.read(tableWith({ home: 'a' }))).get('a')?.get('u1'), 'v1')
})
