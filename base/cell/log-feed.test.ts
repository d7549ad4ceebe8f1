import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limits } from '../kernel/limits.ts'
import type { CellToKeeper, LogRecord } from '../wire/messages.ts'
import type { KeeperLink } from './keeper-link.ts'
import { LogFeed } from './log-feed.ts'

/** A keeper that comes and goes, a feed to it, and all that it was sent. */
function makeFeed() {
  const records: LogRecord[] = []
  const keeper = {
    keepsUp: true,
    /** Whether the keeper says that it has kept what it was sent. */
    keeps: true,
    records,
    send: (message: CellToKeeper) => {
      if (message.type !== 'logs') return
      records.push(...message.records)
      if (keeper.keeps) feed.kept(message.batch)
    },
    close: () => undefined,
  }
  const feed = new LogFeed(() => keeper satisfies KeeperLink)
  return { feed, keeper }
}

const record = (message: string): LogRecord => ({ at: '2026-01-01T00:00:00.000Z', level: 'info', scene: 'home', version: 'v1', message })

function write(feed: LogFeed, message: string, version = 'v1'): boolean {
  const admitted = feed.admits('home', version, 'info')
  if (admitted) feed.push(record(message))
  return admitted
}

test('what is over the rate of a version is counted and said, and errors have a rate of their own', t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const now = t.mock.method(performance, 'now', () => 5000)
  const { feed, keeper } = makeFeed()
  const admitted = Array.from({ length: limits.log.linesPerSecondMax + 7 }, (_, i) => write(feed, `line ${i}`)).filter(Boolean).length
  assert.equal(admitted, limits.log.linesPerSecondMax)
  assert.ok(feed.admits('home', 'v1', 'error'))
  assert.ok(write(feed, 'of another version', 'v2'))
  now.mock.mockImplementation(() => 6000)
  t.mock.timers.tick(limits.log.batchMs)
  const said = keeper.records.filter(({ dropped }) => dropped !== undefined)
  assert.deepEqual(
    said.map(({ version, dropped }) => [version, dropped]),
    [['v1', 7]],
  )
  assert.ok(write(feed, 'in the next second'))
})

test('while the keeper is away lines wait up to a bound, and what was dropped is said when it is back', t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let time = 0
  t.mock.method(performance, 'now', () => time)
  const { feed, keeper } = makeFeed()
  keeper.keepsUp = false
  const long = 'x'.repeat(8000)
  const sent = 1000
  // In each second there are fewer lines than the rate allows.
  const waiting = Array.from({ length: sent }, (_, i) => {
    time = i * 50
    return write(feed, long)
  }).filter(Boolean).length
  assert.ok(waiting * long.length <= limits.log.queueBytesMax + long.length)
  keeper.keepsUp = true
  for (let i = 0; i < 20; i++) {
    time += limits.log.batchMs
    t.mock.timers.tick(limits.log.batchMs)
  }
  const dropped = keeper.records.reduce((sum, one) => sum + (one.dropped ?? 0), 0)
  assert.equal(keeper.records.filter(({ message }) => message === long).length, waiting)
  assert.equal(waiting + dropped, sent)
})

test('what a keeper took and did not keep goes to the next one, in order, and counts as waiting until then', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { feed, keeper } = makeFeed()
  const sent = () => keeper.records.splice(0).map(({ message }) => message)
  write(feed, 'kept')
  t.mock.timers.tick(limits.log.batchMs)
  keeper.keeps = false
  write(feed, 'lost')
  t.mock.timers.tick(limits.log.batchMs)
  assert.deepEqual(sent(), ['kept', 'lost'])
  write(feed, 'not sent yet')
  keeper.keeps = true
  feed.sendAgain()
  const closed = feed.close()
  assert.deepEqual(sent(), ['lost', 'not sent yet'])
  await closed
  keeper.keeps = false
  const long = 'x'.repeat(8000)
  let count = 0
  for (; count < 1000 && write(feed, long, `v${count}`); count++) t.mock.timers.tick(limits.log.batchMs)
  assert.ok(count * long.length <= limits.log.queueBytesMax + long.length)
})

test('what no keeper has kept is there when the cell ends, in order, whether or not it was sent', t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { feed, keeper } = makeFeed()
  write(feed, 'kept')
  feed.flush()
  keeper.keeps = false
  write(feed, 'sent')
  feed.flush()
  write(feed, 'waiting')
  assert.deepEqual(
    feed.unkept.map(({ message }) => message),
    ['sent', 'waiting'],
  )
})
