/** Which slot a cell kills for its memory, by a clock and a resident memory that the tests move. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CellMemory, type GrowingSlot } from './cell-memory.ts'

const MB = 2 ** 20

/** A cell that may use 1000 MB and has 200 to begin with. */
function makeCell() {
  let [now, rssMB] = [0, 200]
  const memory = new CellMemory(1000, { now: () => now, rss: () => rssMB * MB })
  const killed: string[] = []
  const makeSlot = (key: string, memoryMB = 64): GrowingSlot => ({ plan: { key, memoryMB }, killForMemory: () => killed.push(key) })
  const run = (...slots: GrowingSlot[]) => {
    for (const slot of slots) memory.onRunning(slot, true)
  }
  const rest = (...slots: GrowingSlot[]) => {
    for (const slot of slots) memory.onRunning(slot, false)
  }
  /** Lets ten milliseconds go by in which the process grows by so much, then looks. */
  const grow = (growthMB: number): void => {
    now += 10
    rssMB += growthMB
    memory.look()
  }
  return { memory, killed, makeSlot, run, rest, grow }
}

test('the slot that grew goes before the cell is out of memory, not the one that runs beside it for a moment', () => {
  const { killed, makeSlot, run, rest, grow } = makeCell()
  const [hog, other] = [makeSlot('hog'), makeSlot('other')]
  run(hog)
  for (let i = 0; i < 7; i++) {
    run(other)
    grow(100)
    rest(other)
  }
  assert.deepEqual(killed, [])
  run(other)
  grow(10)
  assert.deepEqual(killed, ['hog'])
  for (let i = 0; i < 4; i++) grow(10)
  assert.deepEqual(killed, ['hog'])
})

test('while a killed slot gives its memory back no other is killed, and then the next that grew', () => {
  const { killed, makeSlot, run, rest, grow } = makeCell()
  const hogs = ['a', 'b', 'c'].map(key => makeSlot(key))
  run(...hogs)
  grow(0)
  grow(720)
  assert.equal(killed.length, 1)
  for (const hog of hogs) if (killed.includes(hog.plan.key)) rest(hog)
  grow(-100)
  grow(100)
  assert.equal(killed.length, 1)
  for (let i = 0; i < 4; i++) grow(0)
  assert.equal(killed.length, 2)
})

test('a slot that grows within its limit, or over many requests, is not killed: such a cell is replaced', () => {
  const { memory, killed, makeSlot, run, rest, grow } = makeCell()
  const slow = makeSlot('slow')
  for (let i = 0; i < 30; i++) {
    run(slow)
    grow(0)
    grow(60)
    rest(slow)
    grow(0)
  }
  assert.ok(memory.isShort)
  assert.deepEqual(killed, [])
  assert.equal(memory.refusal(slow.plan), undefined)
})

test('once idle slots were let go, others stay until their memory should be back, unless the cell is about to be full', () => {
  const { memory, grow } = makeCell()
  grow(650)
  assert.equal(memory.isShort, true)
  memory.onEvicted()
  assert.equal(memory.isShort, false)
  grow(60)
  assert.equal(memory.isShort, true)
  memory.onEvicted()
  grow(-60)
  assert.equal(memory.isShort, false)
  for (let i = 0; i < 500; i++) grow(0)
  assert.equal(memory.isShort, true)
})

test('what grows while nothing runs is on no account', () => {
  const { killed, makeSlot, run, rest, grow } = makeCell()
  const late = makeSlot('late')
  run(late)
  grow(0)
  rest(late)
  grow(800)
  run(late)
  for (let i = 0; i < 10; i++) grow(1)
  assert.deepEqual(killed, [])
})

test('a version that has grown beyond its limit gets no work while memory is short, and others do', () => {
  const { memory, makeSlot, run, rest, grow } = makeCell()
  const [hog, other] = [makeSlot('hog'), makeSlot('other')]
  run(hog)
  grow(0)
  grow(100)
  assert.equal(memory.refusal(hog.plan), undefined)
  grow(550)
  assert.match(memory.refusal(hog.plan) ?? '', /its cell is short of memory/)
  assert.equal(memory.refusal(other.plan), undefined)
  grow(-550)
  assert.equal(memory.refusal(hog.plan), undefined)
  rest(hog)
  run(other)
  for (let i = 0; i < 3100; i++) grow(0)
  grow(700)
  assert.equal(memory.refusal(hog.plan), undefined)
})

test('versions that take much memory in one go do so one after the other', () => {
  const { memory, makeSlot, run, rest, grow } = makeCell()
  const [first, second, light] = [makeSlot('first'), makeSlot('second'), makeSlot('light')]
  for (const [slot, growthMB] of [
    [first, 400],
    [second, 300],
    [light, 100],
  ] as const) {
    run(slot)
    grow(0)
    grow(growthMB)
    rest(slot)
    grow(-growthMB)
  }
  assert.equal(memory.refusal(second.plan), undefined)
  run(first)
  assert.match(memory.refusal(second.plan) ?? '', /another version that takes much memory is at work in its cell, and it has taken 300 MB/)
  assert.equal(memory.refusal(first.plan), undefined)
  assert.equal(memory.refusal(light.plan), undefined)
  rest(first)
  assert.equal(memory.refusal(second.plan), undefined)
})
