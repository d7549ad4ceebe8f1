import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limits } from '../kernel/limits.ts'
import { afterFault, type CellView, nextDelay, plan, retirable, type Seat, type Situation } from './plan.ts'

const NOW = 1_000_000

function cell(view: Partial<CellView> = {}): CellView {
  const fresh = { retiringAt: 0, connections: 0, inFlight: 0, rssMB: 100, leaving: undefined, killed: false } as const
  return { id: 1, cell: 1, state: 'ready', startedAt: NOW - 60_000, beatAt: NOW - 100, ...fresh, ...view }
}

const seat = (view: Partial<Seat> = {}): Seat => ({ cell: 1, failures: 0, notBefore: 0, ...view })

function steps(cells: CellView[], rest: Partial<Situation> = {}): string[] {
  return plan({ seats: [seat()], cells, cellMemoryMB: 1000, isThrifty: false, stopping: false, ...rest }, NOW).map(step =>
    step.do === 'start' ? `start seat ${step.cell}` : `${step.do} ${step.id}`,
  )
}

test('an empty seat is filled, and a cell that lives in it is let be', () => {
  assert.deepEqual(steps([]), ['start seat 1'])
  assert.deepEqual(steps([cell()]), [])
  assert.deepEqual(steps([cell({ state: 'starting', startedAt: NOW })], { seats: [seat(), seat({ cell: 2 })] }), ['start seat 2'])
})

test('a seat that backs off is filled when its time has come', () => {
  assert.deepEqual(steps([], { seats: [seat({ notBefore: NOW + 1 })] }), [])
  assert.deepEqual(steps([], { seats: [seat({ notBefore: NOW })] }), ['start seat 1'])
})

test('a cell that is not ready in time is killed', () => {
  assert.deepEqual(steps([cell({ state: 'starting', startedAt: NOW - limits.process.readyMsMax })]), [])
  assert.deepEqual(steps([cell({ state: 'starting', startedAt: NOW - limits.process.readyMsMax - 1 })]), ['kill 1'])
})

test('a starting cell needs no heartbeat, a ready one is killed without', () => {
  const beatAt = NOW - limits.process.heartbeatLostMsMax - 1
  assert.deepEqual(steps([cell({ state: 'starting', startedAt: NOW - 25_000, beatAt })]), [])
  assert.deepEqual(steps([cell({ beatAt })]), ['kill 1'])
})

test('a killed cell keeps its seat until it is gone, and is not killed twice', () => {
  assert.deepEqual(steps([cell({ beatAt: 0, killed: true })]), [])
})

test('a leaving cell serves until its replacement is ready, then retires', () => {
  const leaver = cell({ leaving: 'asked' })
  assert.deepEqual(steps([leaver]), ['start seat 1'])
  assert.deepEqual(steps([leaver, cell({ id: 2, state: 'starting', startedAt: NOW })]), [])
  assert.deepEqual(steps([leaver, cell({ id: 2 })]), ['retire 1'])
  assert.deepEqual(steps([{ ...leaver, state: 'retiring', retiringAt: NOW }, cell({ id: 2 })]), [])
})

test('a replacement that crashes is replaced while the leaving cell serves on', () => {
  assert.deepEqual(steps([cell({ leaving: 'memory' })], { seats: [seat({ failures: 1, notBefore: NOW - 1 })] }), ['start seat 1'])
})

test('a cell that outlives its retirement is killed', () => {
  const retiring = cell({ state: 'retiring', connections: 3 })
  const heir = cell({ id: 2 })
  assert.deepEqual(steps([{ ...retiring, retiringAt: NOW - limits.cell.retireLingerMsMax }, heir]), [])
  assert.deepEqual(steps([{ ...retiring, retiringAt: NOW - limits.cell.retireLingerMsMax - 5000 }, heir]), ['kill 1'])
})

test('a cell over its memory is replaced, and killed when it is a quarter over', () => {
  assert.deepEqual(steps([cell({ rssMB: 1000 })]), [])
  assert.deepEqual(steps([cell({ rssMB: 1001 })]), ['replace 1'])
  assert.deepEqual(steps([cell({ rssMB: 1250 })]), ['replace 1'])
  assert.deepEqual(steps([cell({ rssMB: 1251 })]), ['kill 1'])
  assert.deepEqual(steps([cell({ rssMB: 1251, state: 'retiring', retiringAt: NOW }), cell({ id: 2 })]), ['kill 1'])
})

test('a seat sheds one cell at a time for its memory', () => {
  assert.deepEqual(steps([cell({ state: 'retiring', retiringAt: NOW }), cell({ id: 2, rssMB: 1001 })]), [])
})

test('where memory is short, one cell of the base at a time is replaced for its memory', () => {
  const seats = [seat(), seat({ cell: 2 })]
  const bloated = [cell({ rssMB: 1001 }), cell({ id: 2, cell: 2, rssMB: 1001 })]
  assert.deepEqual(steps(bloated, { seats }), ['replace 1', 'replace 2'])
  assert.deepEqual(steps(bloated, { seats, isThrifty: true }), ['replace 1'])
  const replaced = [cell({ rssMB: 1001, leaving: 'memory' }), cell({ id: 3, state: 'starting', startedAt: NOW }), bloated[1] as CellView]
  assert.deepEqual(steps(replaced, { seats, isThrifty: true }), [])
})

test('a lost cell is killed when it is stuck, and when it has answered all it had', () => {
  const lost = cell({ leaving: 'lost' })
  assert.deepEqual(steps([lost, cell({ id: 2 })]), ['retire 1'])
  assert.deepEqual(steps([{ ...lost, beatAt: NOW - 3000 }, cell({ id: 2, state: 'starting', startedAt: NOW })]), ['kill 1'])
  const retiring = { ...lost, state: 'retiring', retiringAt: NOW - 2000 } as const
  assert.deepEqual(steps([{ ...retiring, connections: 1 }, cell({ id: 2 })]), [])
  assert.deepEqual(steps([retiring, cell({ id: 2 })]), ['kill 1'])
})

test('a lost cell is not taken for drained by a heartbeat from before its retirement', () => {
  const retiring = cell({ leaving: 'lost', state: 'retiring', retiringAt: NOW - 200, beatAt: NOW - 100 })
  assert.deepEqual(steps([retiring, cell({ id: 2 })]), [])
})

test('a stopping base retires what serves, kills what only starts and starts nothing', () => {
  const cells = [
    cell(),
    cell({ id: 2, cell: 2, state: 'starting', startedAt: NOW }),
    cell({ id: 3, cell: 3, state: 'retiring', retiringAt: NOW }),
  ]
  assert.deepEqual(steps(cells, { stopping: true, seats: [1, 2, 3, 4].map(ordinal => seat({ cell: ordinal })) }), ['kill 2', 'retire 1'])
})

test('an ordinal can be retired when its only cell is ready and stays', () => {
  assert.equal(retirable([cell()], 1), 1)
  assert.equal(retirable([cell()], 2), undefined)
  assert.equal(retirable([cell({ state: 'starting' })], 1), undefined)
  assert.equal(retirable([cell({ leaving: 'asked' })], 1), undefined)
  assert.equal(retirable([cell({ state: 'retiring' }), cell({ id: 2 })], 1), undefined)
})

test('the pause before a start doubles from the first fault on, up to its bound', () => {
  assert.equal(nextDelay(0), 0)
  assert.equal(nextDelay(1), limits.process.restartMsMin)
  assert.equal(nextDelay(2), 2 * limits.process.restartMsMin)
  assert.equal(nextDelay(60), limits.process.restartMsMax)
})

test('faults add up while cells die young; one that lived long is forgiven', () => {
  const second = afterFault(afterFault(seat(), 10, NOW), 10, NOW)
  assert.deepEqual(second, seat({ failures: 2, notBefore: NOW + nextDelay(2) }))
  assert.deepEqual(afterFault(second, limits.process.restartForgivenAfterMs, NOW), seat({ failures: 1, notBefore: NOW + nextDelay(1) }))
})
