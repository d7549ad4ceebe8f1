import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Captured } from '../capsule/capsule.ts'
import { limits } from '../kernel/limits.ts'
import type { CellToKeeper } from '../wire/messages.ts'
import { CapsuleFeed } from './capsule-feed.ts'

const entry = { kind: 'turn', atMs: 0, readings: [], wallMinusMonotonic: 0, asked: [], said: '' } as const
/** Three of these fill the queue. */
const large = 'x'.repeat(limits.capsule.queueBytesMax * 0.3)

function captured(recording: string, id: string, { tookMs = 1, fails = false, body = large } = {}): Captured {
  const answer = fails ? { failure: { code: 'MODULE_THREW', message: 'no' } } : { json: '1' }
  return {
    recording,
    from: 0,
    entries: [{ ...entry, values: [1, ['r', body]] }],
    capsule: {
      format: 1,
      ...{ id, recording, no: 1, entries: [0, 0], at: '', requestId: 'r', scene: 's', version: 'v1', why: 'sampled', because: 'baseline' },
      ...{ arms: [], deadlineMs: 1000, answer, tookMs, cpuMs: 1, stageMs: [], logs: [], inexact: [], redacted: [] },
    },
  }
}

function feedOf(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const sent: string[] = []
  const lost: string[] = []
  const link = {
    keepsUp: false,
    send: (message: CellToKeeper) =>
      void sent.push(...(message.type === 'captured' ? message.captured.map(({ capsule }) => capsule.id) : [message.type])),
  }
  const feed = new CapsuleFeed({ link: () => link, onLost: recording => lost.push(recording) })
  const sendAll = () => {
    link.keepsUp = true
    // A timer that is set while time passes waits for the next time.
    for (let turn = 0; turn < 10; turn++) t.mock.timers.tick(1000)
    return sent
  }
  return { feed, sent, lost, link, sendAll }
}

test('capsules that the keeper does not take wait, and come to it in order', t => {
  const { feed, sent, sendAll } = feedOf(t)
  for (const id of ['a', 'b', 'c']) feed.push(captured('one', id, { body: '1' }))
  t.mock.timers.tick(1000)
  assert.deepEqual(sent, [])
  assert.deepEqual(sendAll(), ['a', 'b', 'c'])
})

test('a cell that retires sends at once what waits, as far as the keeper takes it', t => {
  const { feed, sent, link } = feedOf(t)
  for (const id of ['a', 'b']) feed.push(captured('one', id))
  feed.close()
  assert.deepEqual(sent, [])
  link.keepsUp = true
  feed.close()
  assert.deepEqual(sent, ['a', 'b'])
})

test('when half of the queue is full, it is behind', t => {
  const { feed } = feedOf(t)
  feed.push(captured('one', 'a'))
  assert.equal(feed.isBehind, false)
  feed.push(captured('one', 'b'))
  assert.equal(feed.isBehind, true)
})

test('when the queue is full, the fastest of those that end a recording is dropped, and errors and the slowest stay', t => {
  const { feed, lost, sendAll } = feedOf(t)
  feed.push(captured('slow', 'slow', { tookMs: 900 }))
  feed.push(captured('fast', 'fast', { tookMs: 1 }))
  feed.push(captured('failed', 'failed', { fails: true }))
  feed.push(captured('other', 'other', { tookMs: 5 }))
  assert.deepEqual(lost, ['fast'])
  assert.deepEqual(sendAll(), ['slow', 'failed', 'other'])
})

test('nothing is dropped from the middle of a recording', t => {
  const { feed, lost, sendAll } = feedOf(t)
  feed.push(captured('one', 'first', { tookMs: 1 }))
  feed.push(captured('one', 'failed', { fails: true }))
  feed.push(captured('two', 'slow', { tookMs: 900 }))
  feed.push(captured('two', 'slower', { tookMs: 950 }))
  assert.deepEqual(lost, ['two'])
  assert.deepEqual(sendAll(), ['first', 'failed', 'slow'])
})

test('when the keeper has not kept a capsule, what waits of its recording is dropped and counted', t => {
  const { feed, lost, sendAll } = feedOf(t)
  for (const id of ['a', 'b']) feed.push(captured('one', id, { body: '1' }))
  feed.push(captured('two', 'c', { body: '1' }))
  feed.drop('one')
  assert.deepEqual(lost, ['one', 'one', 'one'])
  assert.deepEqual(sendAll(), ['c'])
})
