import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from './log.ts'

test('all logs of a process write through one sink, so that none tears the lines of another', () => {
  createLog('base', 'silent')
  const before = process.listenerCount('exit')
  for (let i = 0; i < 20; i++) createLog('base', 'silent')
  assert.equal(process.listenerCount('exit'), before)
})
