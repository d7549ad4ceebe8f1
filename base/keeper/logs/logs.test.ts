import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { LogEntry } from '../../contract/log-api.ts'
import type { LogRecord } from '../../wire/messages.ts'
import { LogFiles, type LogFilesLimits } from './log-files.ts'
import { Logs, numberOf } from './logs.ts'

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-logs-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

function open(root: string, bounds?: LogFilesLimits): Logs {
  const fail = (error: unknown) => assert.fail(String(error))
  return new Logs(new LogFiles(root, numberOf, fail, bounds), { hasScene: () => true, hasVersion: (_, version) => /^v\d+$/.test(version) })
}

const record = (message: string, more: Partial<LogRecord> = {}): LogRecord => ({
  at: '2026-01-01T00:00:00.000Z',
  level: 'info',
  scene: 'home',
  version: 'v1',
  message,
  ...more,
})

const all = { level: 'debug', limit: 1000 } as const
const messages = (entries: readonly LogEntry[]) => entries.map(({ message }) => message)

test('lines are read back in order over all versions, also by those that come after a restart', async t => {
  const root = await makeFolder(t)
  const first = open(root)
  first.take(1, [record('a'), record('b', { version: 'v2', fields: '{"n":1}' }), record('c')])
  first.close()
  const second = open(root)
  second.take(2, [record('d', { version: 'v2' })])
  const entries = await second.read('home', all)
  assert.deepEqual(messages(entries), ['a', 'b', 'c', 'd'])
  assert.deepEqual(
    entries.map(({ cell }) => cell),
    [1, 1, 1, 2],
  )
  assert.deepEqual(entries[1]?.fields, { n: 1 })
  assert.deepEqual(messages(await second.read('home', { ...all, limit: 2 })), ['c', 'd'])
  assert.deepEqual(messages(await second.read('home', { ...all, after: entries[2]?.seq })), ['d'])
  assert.deepEqual(await second.read('other', all), [])
})

test('lines stay in order when the clock is set back, while the keeper runs and while it does not', async t => {
  const root = await makeFolder(t)
  let time = Date.parse('2026-06-01')
  t.mock.method(Date, 'now', () => time)
  const first = open(root)
  first.take(1, [record('a'), record('b', { version: 'v2' })])
  time -= 3_600_000
  first.take(1, [record('c', { version: 'v3' })])
  assert.deepEqual(messages(await first.read('home', { ...all, limit: 1 })), ['c'])
  time -= 3_600_000
  const second = open(root)
  const seen = (await second.read('home', all)).at(-1)?.seq
  second.take(1, [record('d', { version: 'v2' })])
  assert.deepEqual(messages(await second.read('home', all)), ['a', 'b', 'c', 'd'])
  assert.deepEqual(messages(await second.read('home', { ...all, after: seen })), ['d'])
})

test('who goes on after a line that was lost, from a time when the clock was ahead, gets every line', async t => {
  let time = Date.parse('2026-06-01')
  t.mock.method(Date, 'now', () => time)
  const first = open(await makeFolder(t))
  first.take(1, [record('lost')])
  const seen = (await first.read('home', all)).at(-1)?.seq
  time -= 3_600_000
  const second = open(await makeFolder(t))
  second.take(1, [record('a'), record('b')])
  assert.deepEqual(messages(await second.read('home', { ...all, after: seen })), ['a', 'b'])
})

test('lines of a version that does not exist are not kept', async t => {
  const root = await makeFolder(t)
  const logs = open(root)
  logs.take(1, [record('a', { version: '../../x' }), record('b')])
  assert.deepEqual(messages(await logs.read('home', all)), ['b'])
  assert.deepEqual(readdirSync(root), ['home'])
})

test('a torn last line costs that line only', async t => {
  const root = await makeFolder(t)
  const first = open(root)
  first.take(1, [record('whole'), record('torn')])
  first.close()
  const file = join(root, 'home', 'v1.ndjson')
  writeFileSync(file, readFileSync(file, 'utf8').slice(0, -30))
  const second = open(root)
  second.take(1, [record('next')])
  assert.deepEqual(messages(await second.read('home', all)), ['whole', 'next'])
})

test('a log whose folder was removed goes on in a new one', async t => {
  const root = await makeFolder(t)
  const logs = open(root)
  logs.take(1, [record('gone')])
  await rm(join(root, 'home'), { recursive: true })
  logs.take(1, [record('kept')])
  assert.deepEqual(messages(await logs.read('home', all)), ['kept'])
})

test('a version keeps its last lines within its bytes, and all versions within theirs: the longest silent goes', async t => {
  const root = await makeFolder(t)
  const logs = open(root, { fileBytesMax: 4000, totalBytesMax: 9000, versionsMax: 1000 })
  for (const version of ['v1', 'v2', 'v3', 'v4']) {
    for (let i = 0; i < 100; i++) {
      logs.take(1, [record(`${version} ${i}`, { version })])
    }
    // The milliseconds of the last writes decide their order.
    for (const now = Date.now(); Date.now() === now; ) await new Promise(resolve => setImmediate(resolve))
  }
  const bytes = readdirSync(join(root, 'home')).reduce((sum, file) => sum + statSync(join(root, 'home', file)).size, 0)
  assert.ok(bytes <= 9000, `${bytes} bytes`)
  assert.deepEqual(await logs.read('home', { ...all, version: 'v1' }), [])
  const kept = messages(await logs.read('home', { ...all, version: 'v4' }))
  assert.ok(kept.length >= 10 && kept.length < 100, `${kept.length} lines`)
  assert.deepEqual(
    kept,
    Array.from({ length: kept.length }, (_, i) => `v4 ${100 - kept.length + i}`),
  )
})

test('only so many versions have a log, however short each is: the longest silent goes', async t => {
  const root = await makeFolder(t)
  const logs = open(root, { fileBytesMax: 4000, totalBytesMax: 90_000, versionsMax: 3 })
  for (let i = 1; i <= 9; i++) logs.take(1, [record('a line', { version: `v${i}` })])
  assert.deepEqual(readdirSync(join(root, 'home')).sort(), ['v7.ndjson', 'v8.ndjson', 'v9.ndjson'])
})

test('who follows hears what passes from then on, and that it is over', async t => {
  const logs = open(await makeFolder(t))
  const heard: string[] = []
  let ended = false
  const filter = { level: 'warn', version: 'v1' } as const
  logs.follow(
    'home',
    filter,
    ({ message }) => heard.push(message),
    () => {
      ended = true
    },
  )
  const unfollow = logs.follow(
    'home',
    filter,
    () => assert.fail('It follows no more'),
    () => undefined,
  )
  unfollow()
  const warned = { level: 'warn' } as const
  logs.take(1, [record('a'), record('b', warned), record('c', { ...warned, version: 'v2' }), record('d', { dropped: 3 })])
  assert.deepEqual(heard, ['b', 'd'])
  assert.equal(logs.followers, 1)
  logs.close()
  assert.ok(ended)
})
