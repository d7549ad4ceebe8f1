import assert from 'node:assert/strict'
import { test } from 'node:test'
import { needsAgreement } from './agreement.ts'

test('only what sends more units to another version needs agreement, and only on a base that serves', () => {
  const moving = (entering: number, switching: number) => ({ entering, switching, leaving: 7 })
  assert.ok(needsAgreement('serving', moving(1, 0)))
  assert.ok(needsAgreement('serving', moving(0, 1)))
  assert.ok(!needsAgreement('serving', moving(0, 0)), 'units only leave')
  assert.ok(!needsAgreement('serving', undefined), 'nobody had a version before')
  assert.ok(!needsAgreement('development', moving(1, 1)))
})
