import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { FairQueue, type QueueRules } from './fair-queue.ts'

/** A queue whose jobs end when the test says so. */
function start(rules: Partial<QueueRules> = {}) {
  const queue = new FairQueue({ lanes: 2, lanesPerOwner: 2, ...rules })
  const started: string[] = []
  const ends = new Map<string, () => void>()
  const add = (name: string, isUrgent = false) =>
    queue.add(name.slice(0, 1), isUrgent, () => {
      started.push(name)
      return new Promise<string>(resolve => ends.set(name, () => resolve(name)))
    })
  const end = async (name: string) => {
    ends.get(name)?.()
    await nextTurn()
  }
  return { queue, started, add, end }
}

test('no more jobs run than there are lanes, and none of an owner beyond its own', async () => {
  const { queue, started, add, end } = start({ lanes: 3, lanesPerOwner: 2 })
  for (const name of ['a1', 'a2', 'a3', 'b1', 'b2']) add(name)
  assert.deepEqual([started, queue.running], [['a1', 'a2', 'b1'], 3])
  await end('b1')
  assert.deepEqual(started.slice(3), ['b2'])
})

test('owners take turns, however many jobs one of them has brought first', async () => {
  const { started, add, end } = start({ lanes: 1 })
  for (const name of ['a1', 'a2', 'a3', 'b1', 'c1']) add(name)
  for (const name of ['a1', 'b1', 'c1', 'a2']) await end(name)
  assert.deepEqual(started, ['a1', 'b1', 'c1', 'a2', 'a3'])
})

test('an urgent job goes first, one that becomes urgent too, and a lane is kept for them', async () => {
  const { started, add, end } = start({ lanes: 2, lanesForUrgent: 1 })
  add('a')
  const later = add('b')
  add('c')
  assert.deepEqual(started, ['a'])
  add('d', true)
  later.hurry()
  await end('d')
  await end('a')
  assert.deepEqual(started, ['a', 'd', 'b'])
  await end('b')
  assert.deepEqual(started, ['a', 'd', 'b', 'c'])
})

test('jobs in overtime hold up no others, until there are too many of them', async (t: TestContext) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { started, add, end } = start({ lanes: 1, overtime: { msMax: 100, jobsMax: 1 } })
  const [slow, slower] = ['a', 'b', 'c'].map(name => add(name))
  t.mock.timers.tick(100)
  assert.deepEqual(started, ['a', 'b'])
  await slow?.awaited
  t.mock.timers.tick(100)
  assert.deepEqual(started, ['a', 'b'])
  await slower?.awaited
  await end('a')
  assert.deepEqual(started, ['a', 'b', 'c'])
  assert.equal(await slow?.done, 'a')
})

test('the failure of a job is for whoever waits for its end, and makes room like any other end', async () => {
  const { queue, started, add } = start({ lanes: 1 })
  const failing = queue.add('x', false, () => Promise.reject(new Error('no')))
  add('a')
  await failing.awaited
  await nextTurn()
  assert.deepEqual(started, ['a'])
  await assert.rejects(failing.done, /no/)
})

test('a job that waits for something else to end takes no lane meanwhile, and then has its turn', async () => {
  const { queue, started, add, end } = start({ lanes: 1 })
  const ended = Promise.withResolvers<void>()
  const later = queue.add('x', true, async () => started.push('x'), ended.promise)
  add('a')
  add('b')
  assert.deepEqual(started, ['a'])
  ended.resolve()
  await nextTurn()
  await end('a')
  await later.done
  assert.deepEqual(started, ['a', 'x', 'b'])
})
