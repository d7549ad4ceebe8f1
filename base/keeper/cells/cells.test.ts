import assert from 'node:assert/strict'
import { existsSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { keeperSocketPath } from '../../folder/paths.ts'
import { limits } from '../../kernel/limits.ts'
import { createLog } from '../../kernel/log.ts'
import { temporaryFolder } from '../../store/fixtures/folder.ts'
import { emptyTable } from '../../traffic/table.ts'
import { openLines } from '../../wire/lines.ts'
import type { CellStatus, CellToKeeper, KeeperToCell, SceneFailure } from '../../wire/messages.ts'
import { connectCell } from '../fixtures/keeper.ts'
import { CellConnections } from './cells.ts'

const plan = { key: 'home/v1@128', scene: 'home', version: 'v1', memoryMB: 128, lock: [] }

async function listen(t: TestContext) {
  const data = temporaryFolder(t)
  const log = createLog('keeper', 'silent')
  const errors = t.mock.method(log, 'error').mock
  const stale: number[] = []
  const cells = await CellConnections.listen(keeperSocketPath(data), emptyTable, log, { onStale: pid => stale.push(pid) })
  t.after(() => cells.close())
  return { data, cells, stale, errors: () => errors.calls.map(call => call.arguments[0]) }
}

test('an upgrade waits for the first cell to connect', async t => {
  const { data, cells } = await listen(t)
  const preparing = cells.prepare(plan)
  const cell = connectCell(t, data)
  assert.equal(await preparing, 1)
  assert.deepEqual(cell.plans, [plan])
})

test('an upgrade is refused when no cell connects in time', async t => {
  const { cells } = await listen(t)
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const refused = assert.rejects(cells.prepare(plan), { code: 'NO_CELLS', retryAfterSeconds: 5 })
  t.mock.timers.tick(limits.keeper.cellAwaitMsMax)
  await refused
})

test('a cell that does not take a table holds up its publication no longer than the bound', async t => {
  const { data, cells } = await listen(t)
  const socket = connect(keeperSocketPath(data))
  t.after(() => socket.destroy())
  const received = new Promise<KeeperToCell>(resolve => {
    const lines = openLines<KeeperToCell, CellToKeeper>(socket, resolve, () => undefined)
    lines.send({ type: 'hello', cell: 1, pid: 1, revision: 0, failures: [] })
  })
  await received
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const published = cells.publish({ ...emptyTable, revision: 1 })
  t.mock.timers.tick(limits.keeper.tableAckMsMax)
  assert.deepEqual(await published, { applied: 0, connected: 1 })
})

test('a publication is done when the cell it waits for has gone', async t => {
  const { data, cells } = await listen(t)
  const mute = connect(keeperSocketPath(data))
  const received = new Promise<KeeperToCell>(resolve => {
    const lines = openLines<KeeperToCell, CellToKeeper>(mute, resolve, () => undefined)
    lines.send({ type: 'hello', cell: 1, pid: 1, revision: 0, failures: [] })
  })
  await received
  const published = cells.publish({ ...emptyTable, revision: 1 })
  mute.destroy()
  assert.deepEqual(await published, { applied: 0, connected: 0 })
})

test('only the user of the base may connect, and a socket that a killed keeper has left is replaced', async t => {
  const data = temporaryFolder(t)
  const path = keeperSocketPath(data)
  const log = createLog('keeper', 'silent')
  const killed = await CellConnections.listen(path, emptyTable, log)
  t.after(() => killed.close())
  const next = await CellConnections.listen(path, { ...emptyTable, revision: 7 }, log)
  t.after(() => next.close())
  assert.equal(statSync(path).mode & 0o777, 0o600)
  const cell = connectCell(t, data)
  await cell.ready
  assert.equal(cell.tables[0]?.revision, 7)
})

test('cells find a keeper whose socket was removed, once it has looked', async t => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const { data, cells } = await listen(t)
  const stays = connectCell(t, data)
  await stays.ready
  rmSync(keeperSocketPath(data))
  t.mock.timers.tick(limits.keeper.socketLookMs)
  while (!existsSync(keeperSocketPath(data))) await new Promise(resolve => setImmediate(resolve))
  await connectCell(t, data, 2).ready
  assert.deepEqual(
    cells.connected.map(({ cell }) => cell),
    [1, 2],
  )
})

/** The number of the keeper's first request to this cell, and a function that answers over the same connection. */
async function asked(t: TestContext, data: string) {
  const socket = connect(keeperSocketPath(data))
  t.after(() => socket.destroy())
  const question = Promise.withResolvers<number>()
  const onMessage = (message: KeeperToCell) => message.type === 'prepare' && question.resolve(message.request)
  const lines = openLines<KeeperToCell, CellToKeeper>(socket, onMessage, () => undefined)
  lines.send({ type: 'hello', cell: 1, pid: 1, revision: 0, failures: [] })
  const answer = (request: number, failure?: SceneFailure) => lines.send({ type: 'prepared', request, ...(failure && { failure }) })
  const send = (message: unknown) => lines.send(message as CellToKeeper)
  return { request: await question.promise, answer, send }
}

test('what a cell still owed to a keeper that was killed is no answer to the next one', async t => {
  const killed = await listen(t)
  const lost = assert.rejects(killed.cells.prepare(plan), { code: 'UPGRADE_FAILED' })
  const before = await asked(t, killed.data)
  await killed.cells.close()
  await lost
  const { data, cells } = await listen(t)
  const failure = { scene: 'home', version: 'v1', code: 'MODULE_THREW', message: 'boom' } as const
  const refused = assert.rejects(cells.prepare(plan), { code: 'UPGRADE_FAILED', message: /boom/ })
  const { request, answer } = await asked(t, data)
  answer(before.request)
  answer(request, failure)
  await refused
})

test('a message of an unknown type is reported once, and is no answer to what the keeper asked', async t => {
  const { data, cells, errors } = await listen(t)
  const refused = assert.rejects(cells.prepare(plan), { code: 'UPGRADE_FAILED', message: /boom/ })
  const { request, answer, send } = await asked(t, data)
  send({ type: 'gossip', request })
  send({ type: 'gossip', request })
  answer(request, { scene: 'home', version: 'v1', code: 'MODULE_THREW', message: 'boom' })
  await refused
  assert.deepEqual(errors(), ['the keeper ignores messages of the unknown type "gossip"'])
})

test('a keeper that was started again knows at once which baselines cannot answer in a cell', async t => {
  const { data, cells } = await listen(t)
  const failures = [{ scene: 'home', version: 'v1', code: 'MODULE_THREW', message: 'boom' }] as const
  const socket = connect(keeperSocketPath(data))
  t.after(() => socket.destroy())
  await new Promise<KeeperToCell>(resolve => {
    const lines = openLines<KeeperToCell, CellToKeeper>(socket, resolve, () => undefined)
    lines.send({ type: 'hello', cell: 1, pid: 1, revision: 0, failures })
  })
  assert.deepEqual(cells.connected, [{ cell: 1, pid: 1, revision: 0, failures, serviceFaults: [], tables: [] }])
})

/** A cell that is connected, takes no tables and answers nothing. */
async function connectMute(t: TestContext, data: string, pid: number, isLost = false) {
  const socket = connect(keeperSocketPath(data))
  t.after(() => socket.destroy())
  const welcomed = Promise.withResolvers<void>()
  const asked: KeeperToCell['type'][] = []
  const lines = openLines<KeeperToCell, CellToKeeper>(
    socket,
    ({ type }) => {
      asked.push(type)
      welcomed.resolve()
    },
    () => undefined,
  )
  lines.send({ type: 'hello', cell: pid, pid, revision: 0, failures: [], isLost })
  await welcomed.promise
  return { asked, send: (message: CellToKeeper) => lines.send(message), end: () => socket.destroy() }
}

test('a lost cell that does not take a table is made to end, and the table is in force once it has gone', async t => {
  const { data, cells, stale } = await listen(t)
  const [lost, slow] = [await connectMute(t, data, 1, true), await connectMute(t, data, 2)]
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  const published = cells.publish({ ...emptyTable, revision: 1 })
  slow.send({ type: 'applied', revision: 1, failures: [] })
  while (cells.connected[1]?.revision !== 1) await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(stale, [])
  t.mock.timers.tick(limits.keeper.lostAckMsMax)
  assert.deepEqual(stale, [1])
  lost.end()
  assert.deepEqual(await published, { applied: 1, connected: 1 })
})

test('a cell that is not lost is given its time to take a table', async t => {
  const { data, cells, stale } = await listen(t)
  const slow = await connectMute(t, data, 1)
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  const published = cells.publish({ ...emptyTable, revision: 1 })
  t.mock.timers.tick(limits.keeper.tableAckMsMax - 1)
  slow.send({ type: 'applied', revision: 1, failures: [] })
  assert.deepEqual([await published, stale], [{ applied: 1, connected: 1 }, []])
})

test('a lost cell is asked for nothing, and what it was asked before is waited for no more', async t => {
  const { data, cells } = await listen(t)
  const lost = await connectMute(t, data, 1)
  const refused = assert.rejects(cells.prepare(plan), { code: 'UPGRADE_FAILED', message: /every cell ended or fell silent/ })
  lost.send({ type: 'lost' })
  await refused
  await connectCell(t, data, 2).ready
  assert.deepEqual([await cells.prepare(plan), (await cells.collectMetrics()).length], [1, 1])
  assert.deepEqual(lost.asked, ['table', 'prepare'])
})

/** Whether it is published at once, without waiting for anything from outside. */
async function isPublishedAtOnce(cells: CellConnections, revision: number): Promise<boolean> {
  let isDone = false
  cells.publish({ ...emptyTable, revision }).finally(() => {
    isDone = true
  })
  await new Promise(resolve => setImmediate(resolve))
  return isDone
}

test('a table is not in force before every cell that answers has connected to the keeper, unless it has left again as cells do that retire', async t => {
  const { data, cells } = await listen(t)
  const status = { rssMB: 1, connections: 0, startedAt: '', crashes: 0 }
  const expect = (state: CellStatus['state']) =>
    cells.expect([
      { ...status, cell: 1, pid: 1001, state },
      { ...status, cell: 2, pid: 1002, state: 'starting' },
    ])
  expect('retiring')
  t.mock.timers.enable({ apis: ['setTimeout'] })
  assert.equal(await isPublishedAtOnce(cells, 1), false)
  const cell = connectCell(t, data)
  await cell.ready
  while (cells.connected[0]?.revision !== 1) await new Promise(resolve => setImmediate(resolve))
  await cell.close()
  while (cells.connected.length > 0) await new Promise(resolve => setImmediate(resolve))
  assert.equal(await isPublishedAtOnce(cells, 2), true)
  expect('ready')
  assert.equal(await isPublishedAtOnce(cells, 3), false)
  expect('retiring')
})
