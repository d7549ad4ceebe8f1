import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Pending, pendingOf } from './slot-call.ts'
import { Turns } from './slot-turns.ts'

const ends = { resolve: () => undefined, reject: () => undefined }
const request = (body: string, alone = false): Pending =>
  pendingOf({ requestId: body, body, unit: undefined, deadlineAt: 0, cpuMs: 1, params: '{}', chain: [] }, ends, alone)

function turnsWith(requests: readonly Pending[], bodyCharsMax = 100): Turns {
  const turns = new Turns(bodyCharsMax)
  for (const each of requests) turns.push(each)
  return turns
}

const bodies = (turn: { readonly requests: readonly (Pending | undefined)[] } | undefined) => turn?.requests.map(each => each?.call.body)

test('a turn takes as many requests as it may, and no more of their bodies than fit, but one at least', () => {
  const turns = turnsWith(['a'.repeat(200), 'b'.repeat(60), 'c'.repeat(60)].map(body => request(body)))
  const [first, second] = [turns.next(8, 1), turns.next(8, 1)]
  assert.deepEqual([first?.size, second?.size, turns.queued], [1, 1, 1])
  assert.equal(turns.next(8, 1), undefined, 'two turns are under way')
})

test('a request that runs alone waits until nothing else is in the isolate, and nothing is sent until it is over', () => {
  const alone = request('alone', true)
  const turns = turnsWith([request('a'), alone, request('b')])
  const first = turns.next(8, 1)
  assert.deepEqual(bodies(first), ['a'])
  assert.equal(turns.next(8, 1), undefined)
  turns.answer(1)
  assert.equal(first && turns.end(first), true)
  assert.deepEqual(bodies(turns.next(8, 1)), ['alone'])
  turns.answer(2)
  assert.equal(turns.next(8, 1), undefined)
  alone.done = true
  assert.deepEqual(bodies(turns.next(8, 1)), ['b'])
})

test('a turn is whole when each of its requests was answered or is known to wait', () => {
  const turns = turnsWith([request('a'), request('b'), request('c')])
  const turn = turns.next(8, 1)
  assert.ok(turn)
  assert.equal(turns.answer(1)?.call.body, 'a')
  assert.equal(turns.answer(1), undefined, 'it has been answered')
  assert.equal(turns.wait(2), undefined)
  assert.deepEqual([turns.pending, turns.waitingForThread], [2, 1], 'no request counts twice, and none that was answered')
  assert.equal(turns.end(turn), false, 'nothing was heard of the third')
  assert.equal(turns.find(2)?.call.body, 'b')
  assert.deepEqual(
    turns.takeAll().map(({ call }) => call.body),
    ['b', 'c'],
    'who ends the slot finds those that have no answer',
  )
})
