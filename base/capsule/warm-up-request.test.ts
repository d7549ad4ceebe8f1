import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Capsule, Entry } from './capsule.ts'
import { Replies, warmUpRequest } from './warm-up-request.ts'

const capsule: Capsule = {
  format: 1,
  id: 'c'.repeat(16),
  recording: 'r'.repeat(16),
  no: 2,
  entries: [3, 6],
  at: '2026-01-01T00:00:00.000Z',
  requestId: 'r2',
  scene: 'home',
  version: 'v1',
  why: 'sampled',
  unit: 'ada',
  bucket: 7,
  because: 'baseline',
  arms: [],
  deadlineMs: 200,
  answer: { json: '1' },
  tookMs: 3,
  cpuMs: 1,
  stageMs: [],
  logs: [],
  inexact: [],
  redacted: [],
}

function entry(kind: Entry['kind'], values: readonly unknown[], asked: Entry['asked'] = []): Entry {
  return { kind, atMs: 0, values, readings: [], wallMinusMonotonic: 0, asked, said: '' }
}

/** The second request of a slot asks a service, a scene, a host and the features; the first one still asks a service. */
const calls = ['calls', 8, 2, 'profiles', 'get', '["ada"]', 9, 2, '', 'prices', '{"of":1}', 10, 2, 'features', 'get', '["users","ada"]']
const left = ['calls', 7, 1, 'profiles', 'get', '["eve"]']
const fetched = ['fetch', 11, 2, 1, 'POST', '{"url":"https://a.example/"}', 'base64:AAE=']
const turn = entry('turn', [2, ['r2', '{"q":1}', 'ada', 1000, '{"old":true}', 7]], [calls, left, fetched])
const settled = entry('settleCalls', [[8, 1, '{"age":36}', 10, 1, '{}', 9, 1, '12', 7, 0, '{}']])
const arrived = entry('settleFetch', [11, '{"status":200}', 'yes'])

test('a capsule becomes a request with the replies that were recorded for it, but not those of the features', () => {
  assert.deepEqual(warmUpRequest({ capsule, entries: [turn, settled, arrived] }, '{"k":2}'), {
    requestId: 'r2',
    body: '{"q":1}',
    unit: 'ada',
    bucket: 7,
    deadlineMs: 200,
    params: '{"k":2}',
    replies: [
      { kind: 'call', service: 'profiles', method: 'get', input: '["ada"]', answer: '{"age":36}' },
      { kind: 'call', service: '', method: 'prices', input: '{"of":1}', answer: '12' },
      { kind: 'fetch', method: 'POST', head: '{"url":"https://a.example/"}', body: 'base64:AAE=', answer: ['{"status":200}', 'yes'] },
    ],
  })
})

test('no slot warms up with a capsule that failed, that got a failure or no reply for something, or whose replies were redacted', () => {
  const of = (entries: readonly Entry[], changes: Partial<Capsule> = {}) =>
    warmUpRequest({ capsule: { ...capsule, ...changes }, entries }, '{}')
  const whole = [turn, settled, arrived]
  assert.equal(of(whole, { answer: { failure: { code: 'MODULE_THREW', message: 'no' } } }), undefined)
  assert.equal(of(whole, { redacted: ['/user/phone'] }), undefined)
  assert.equal(of([turn, settled]), undefined, 'the fetch has no reply')
  const failed = [8, 9, 10].map(no => entry('settleCalls', [[8, 9, 10].flatMap(other => [other, other === no ? 0 : 1, '{}'])]))
  for (const one of failed) assert.equal(of([turn, one, arrived]), undefined)
  const fetchFailed = entry('settleCalls', [[11, 0, '{"code":"FETCH_FAILED"}']])
  assert.equal(of([turn, settled, fetchFailed]), undefined)
  const asksNothing = [entry('turn', turn.values)]
  assert.deepEqual(of(asksNothing, { redacted: ['/user/phone'] })?.replies, [])
})

test('equal calls get the replies of equal calls in their order, each once', () => {
  const call = (answer: string) => ({ kind: 'call', service: 'clock', method: 'next', input: '[]', answer }) as const
  const fetched = { kind: 'fetch', method: 'GET', head: '{}', body: undefined, answer: ['{}', ''] } as const
  const replies = new Replies([call('1'), fetched, call('2')])
  assert.equal(replies.toCall('clock', 'next', '[1]'), undefined)
  assert.equal(replies.toCall('clock', 'next', '[]'), '1')
  assert.equal(replies.toCall('clock', 'next', '[]'), '2')
  assert.equal(replies.toCall('clock', 'next', '[]'), undefined)
  assert.equal(replies.toFetch('GET', '{}', ''), undefined)
  assert.deepEqual(replies.toFetch('GET', '{}', undefined), ['{}', ''])
  assert.equal(replies.toFetch('GET', '{}', undefined), undefined)
})
