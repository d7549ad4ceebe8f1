import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { limits } from '../kernel/limits.ts'
import { afterFault, type CellView, nextDelay, plan, retirable, type Seat, type Situation, type Step } from './plan.ts'

const NOW = 1_000_000

function cell(view: Partial<CellView> = {}): CellView {
  const fresh = { retiringAt: 0, connections: 0, inFlight: 0, rssMB: 100, leaving: undefined, lostAt: 0, killed: false } as const
  return { id: 1, cell: 1, state: 'ready', startedAt: NOW - 60_000, beatAt: NOW - 100, ...fresh, ...view }
}

const seat = (view: Partial<Seat> = {}): Seat => ({ cell: 1, failures: 0, notBefore: 0, faultAt: 0, vainStarts: 0, ...view })

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
  const other = cell({ id: 2, cell: 2 })
  assert.deepEqual(steps([other], { seats: [seat({ notBefore: NOW + 1 })] }), [])
  assert.deepEqual(steps([other], { seats: [seat({ notBefore: NOW })] }), ['start seat 1'])
})

test('pauses after crashes leave no base without a cell: while none serves, the next start comes soon', () => {
  const { heirMsMax } = limits.process
  const seats = [seat({ notBefore: NOW + 9000, faultAt: NOW - heirMsMax })]
  assert.deepEqual(steps([], { seats }), ['start seat 1'])
  assert.deepEqual(steps([], { seats: [seat({ notBefore: NOW + 9000, faultAt: NOW - heirMsMax + 1 })] }), [])
  assert.deepEqual(steps([cell({ leaving: 'lost', lostAt: NOW })], { seats }), ['start seat 1'])
  assert.deepEqual(steps([cell({ id: 2, cell: 2, state: 'starting', startedAt: NOW })], { seats }), [])
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

test('a cell that ends before it is ready, start after start, is not started without pause although none serves', () => {
  const { heirMsMax, vainStartsMax } = limits.process
  const failing = { notBefore: NOW + 9000, faultAt: NOW - heirMsMax }
  assert.equal(steps([], { seats: [seat({ ...failing, vainStarts: vainStartsMax })] }).length, 1)
  assert.deepEqual(steps([], { seats: [seat({ ...failing, vainStarts: vainStartsMax + 1 })] }), [])
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
  const lost = cell({ leaving: 'lost', lostAt: NOW - 5000 })
  assert.deepEqual(steps([lost, cell({ id: 2 })]), ['retire 1'])
  assert.deepEqual(steps([{ ...lost, beatAt: NOW - 3000 }, cell({ id: 2, state: 'starting', startedAt: NOW })]), ['kill 1'])
  const retiring = { ...lost, state: 'retiring', retiringAt: NOW - 2000 } as const
  assert.deepEqual(steps([{ ...retiring, connections: 1 }, cell({ id: 2 })]), [])
  assert.deepEqual(steps([retiring, cell({ id: 2 })]), ['kill 1'])
})

test('a lost cell has its heir at once, serves until any cell does, and retires then', () => {
  const lost = cell({ leaving: 'lost', lostAt: NOW })
  const seats = [seat(), seat({ cell: 2 })]
  const other = cell({ id: 2, cell: 2 })
  assert.deepEqual(steps([lost]), ['start seat 1'])
  assert.deepEqual(steps([lost, cell({ id: 3, state: 'starting', startedAt: NOW })]), [])
  assert.deepEqual(steps([lost, other], { seats }), ['retire 1', 'start seat 1'])
  assert.deepEqual(steps([lost, { ...other, leaving: 'lost', lostAt: NOW }], { seats }), ['start seat 1', 'start seat 2'])
})

test('a cell that is lost before it is ready is killed at once, and replaced once it has ended', () => {
  const lost = cell({ state: 'starting', startedAt: NOW, leaving: 'lost', lostAt: NOW })
  const serving = cell({ id: 2, leaving: 'lost', lostAt: NOW - 9000 })
  assert.deepEqual(steps([lost, serving]), ['kill 1'])
  assert.deepEqual(steps([{ ...lost, killed: true }, serving]), [])
  assert.deepEqual(steps([serving]), ['start seat 1'])
})

test('of two lost cells of a seat, the one that has been lost for longer is killed', () => {
  const older = cell({ leaving: 'lost', lostAt: NOW - 9000, state: 'retiring', retiringAt: NOW - 100, connections: 1 })
  const newer = cell({ id: 2, leaving: 'lost', lostAt: NOW })
  assert.deepEqual(steps([older, newer]), ['kill 1'])
  assert.deepEqual(steps([{ ...older, killed: true }, newer]), [])
  assert.deepEqual(steps([newer]), ['start seat 1'])
})

test('of more lost cells than a base may have, those that have been lost for longest are killed', () => {
  const most = limits.process.lostMax
  const lost = Array.from({ length: most + 1 }, (_, i) => cell({ id: i + 1, cell: i + 1, leaving: 'lost', lostAt: NOW - 10 * i }))
  const seats = lost.map(one => seat({ cell: one.cell }))
  assert.deepEqual(steps(lost, { seats }), [`kill ${most + 1}`])
  assert.deepEqual(
    steps(lost.slice(0, most), { seats: seats.slice(0, most) }),
    seats.slice(0, most).map(one => `start seat ${one.cell}`),
  )
  assert.deepEqual(steps(lost.slice(0, 2), { seats: seats.slice(0, 2), isThrifty: true }), ['kill 2'])
})

test('a lost cell is not taken for drained by a heartbeat from before its retirement', () => {
  const retiring = cell({ leaving: 'lost', lostAt: NOW, state: 'retiring', retiringAt: NOW - 200, beatAt: NOW - 100 })
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
  assert.deepEqual(second, seat({ failures: 2, faultAt: NOW, notBefore: NOW + nextDelay(2) }))
  const forgiven = seat({ failures: 1, faultAt: NOW, notBefore: NOW + nextDelay(1) })
  assert.deepEqual(afterFault(second, limits.process.restartForgivenAfterMs, NOW), forgiven)
  assert.equal(afterFault(seat({ failures: 9 }), 10, NOW, 500).notBefore, NOW + 500)
})

/** Runs the steps of a base whose cells do as they like, and checks each state. Killed cells end when they like, too. */
function runBase(seatCount: number, isThrifty: boolean, doings: readonly (readonly [number, Doing])[]): void {
  let [now, lastId] = [NOW, 0]
  let cells: CellView[] = []
  let seats = Array.from({ length: seatCount }, (_, i) => seat({ cell: i + 1 }))
  const change = (id: number, view: Partial<CellView>) => {
    cells = cells.map(one => (one.id === id ? { ...one, ...view } : one))
  }
  const fault = (one: CellView, pauseMsMax?: number) => {
    seats = seats.map(was => (was.cell === one.cell ? afterFault(was, now - one.startedAt, now, pauseMsMax) : was))
  }
  const doOne = (step: Step) => {
    if (step.do === 'start') cells = [...cells, cell({ id: ++lastId, cell: step.cell, state: 'starting', startedAt: now, beatAt: now })]
    if (step.do === 'replace') change(step.id, { leaving: step.leaving })
    if (step.do === 'retire') change(step.id, { state: 'retiring', retiringAt: now })
    if (step.do === 'kill') change(step.id, { killed: true })
  }
  const happen: Record<Doing, (one: CellView) => void> = {
    wait: () => undefined,
    ready: one => one.state === 'starting' && !one.killed && change(one.id, { state: 'ready' }),
    lost: one => {
      if (one.leaving === 'lost' || one.killed) return
      change(one.id, { leaving: 'lost', lostAt: now })
      fault(one, limits.process.heirMsMax)
    },
    asked: one => change(retirable(cells, one.cell) ?? 0, { leaving: 'asked' }),
    grow: one => change(one.id, { rssMB: one.rssMB + 600 }),
    end: one => {
      cells = cells.filter(other => other !== one)
      if (one.state !== 'retiring' && one.leaving !== 'lost') fault(one)
    },
  }
  for (const [pick, doing] of doings) {
    now += doing === 'wait' ? 400 : 1
    cells = cells.map(one => ({ ...one, beatAt: now }))
    const one = cells[pick % Math.max(1, cells.length)]
    if (one !== undefined) happen[doing](one)
    for (const step of plan({ seats, cells, cellMemoryMB: 1000, isThrifty, stopping: false }, now)) doOne(step)
    assert.ok(cells.length <= 2 * seatCount + (isThrifty ? 1 : limits.process.lostMax), `${cells.length} processes`)
    for (const { cell: ordinal } of seats) {
      const mine = cells.filter(other => other.cell === ordinal && other.leaving === 'lost' && !other.killed)
      assert.ok(mine.length <= 1, `seat ${ordinal} has ${mine.length} lost cells`)
    }
  }
  // Whatever happened: once the killed cells have ended, a base whose cells behave has one that serves or starts within `heirMsMax`.
  cells = cells.filter(one => !one.killed)
  now += limits.process.heirMsMax
  cells = cells.map(one => ({ ...one, beatAt: now, retiringAt: now, startedAt: now, rssMB: 100 }))
  for (const step of plan({ seats, cells, cellMemoryMB: 1000, isThrifty, stopping: false }, now)) doOne(step)
  assert.ok(
    cells.some(one => !one.killed && (one.state === 'starting' || (one.state === 'ready' && one.leaving !== 'lost'))),
    'no cell serves, and none is started',
  )
}

const doings = ['wait', 'ready', 'lost', 'asked', 'grow', 'end'] as const
type Doing = (typeof doings)[number]

test('whatever cells do, the processes of a base stay within their bound, and one that serves is always on its way', () => {
  // Processes pile up when cells are lost one after the other, so these doings come often.
  const kinds = doings.map(doing => ({ arbitrary: fc.constant(doing), weight: ['wait', 'ready', 'lost'].includes(doing) ? 6 : 1 }))
  const doing = fc.tuple(fc.nat(40), fc.oneof(...kinds))
  const life = fc.array(doing, { minLength: 50, maxLength: 200 })
  fc.assert(fc.property(fc.integer({ min: 1, max: 6 }), fc.boolean(), life, runBase), { numRuns: 150 })
})
