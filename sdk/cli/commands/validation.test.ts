import assert from 'node:assert/strict'
import { test } from 'node:test'
import { validated } from './validation.ts'

test('a change that is validated for long says so once, and a quick one says nothing', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const said: string[] = []
  const out = { next: (line: string) => said.push(line) }
  await validated(out, Promise.resolve())
  t.mock.timers.tick(60_000)
  assert.deepEqual(said, [])
  const slow = Promise.withResolvers<string>()
  const waiting = validated(out, slow.promise)
  t.mock.timers.tick(60_000)
  slow.resolve('done')
  assert.equal(await waiting, 'done')
  assert.equal(said.length, 1)
  assert.match(said[0] ?? '', /captured requests/)
})
