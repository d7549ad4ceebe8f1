/** A base whose wall clock is set forward and back while it serves. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogEntry } from '../base/contract/log-api.ts'
import { limits } from '../base/kernel/limits.ts'
import { callScene, makeScene } from './support/base.ts'
import { type ClockedBase, findFaketime, startClockedBase } from './support/settable-clock.ts'

const library = findFaketime()
const skip = library === undefined && 'it needs libfaketime: on Debian, "apt-get install libfaketime"'

/** An interval is open when the clock is set; a request waits for a timer, and says which time it finds. */
const waiting = `(() => {
  setInterval(() => {}, 20_000)
  let answers = 0
  return async (_, ctx) => {
    const startedAt = performance.now()
    await new Promise(done => setTimeout(done, 20))
    ctx.log.info('answer ' + ++answers)
    return { date: Date.now(), sinceStartMs: performance.now(), tookMs: performance.now() - startedAt, leftMs: ctx.deadlineMs() }
  }
})()`

type Times = Readonly<Record<'date' | 'sinceStartMs' | 'tookMs' | 'leftMs', number>>
const DEADLINE_MS = limits.request.deadlineMsMax
/** What the time inside may be off before the cell has noticed that the wall clock was set. */
const OFF_MS = 501

/** Asks once and checks every time in the answer against the true clock. @returns what `performance.now()` was inside */
async function checkTimes(base: ClockedBase, aheadMs: number): Promise<number> {
  const startedAt = performance.now()
  const response = await callScene(base, 'waiting', {})
  const passedMs = performance.now() - startedAt
  assert.equal(response.status, 200, await response.clone().text())
  const { date, sinceStartMs, tookMs, leftMs } = (await response.json()) as Times
  assert.ok(Math.abs(date - Date.now() - aheadMs) < 60_000, `the date is ${new Date(date).toISOString()}`)
  assert.ok(tookMs >= 0 && tookMs <= passedMs + OFF_MS, `it says that it took ${tookMs} of ${passedMs} ms`)
  assert.ok(leftMs <= DEADLINE_MS && leftMs >= DEADLINE_MS - passedMs - OFF_MS, `${leftMs} ms are left after ${passedMs}`)
  const timings = [...(response.headers.get('server-timing') ?? '').matchAll(/(\w+);dur=(-?[\d.]+)/g)]
  for (const [timing, , ms] of timings) assert.ok(Number(ms) >= 0 && Number(ms) <= passedMs + OFF_MS, timing)
  return sinceStartMs
}

async function readLog(base: ClockedBase, count: number): Promise<LogEntry[]> {
  for (;;) {
    const entries = (await (await base.client.open('/api/scenes/waiting/logs?limit=1000', {})).json()) as LogEntry[]
    if (entries.length >= count) return entries
  }
}

/** Ends the keeper and waits for the next one. */
async function restartKeeper(base: ClockedBase): Promise<void> {
  const from = base.log.length
  const ready = base.log.findLast(({ msg }) => msg === 'keeper ready')
  process.kill(Number(ready?.pid), 'SIGKILL')
  await base.logged(({ msg }) => msg === 'cell connected', from)
}

test('while the wall clock is set forward and back, requests, timers, deadlines and durations go on as before', {
  skip,
  timeout: 120_000,
}, async t => {
  const base = await startClockedBase(t, library ?? '')
  await makeScene(base.client, 'waiting', { wait: waiting })
  const startedAt = performance.now()
  let last = await checkTimes(base, 0)
  const steps = [120, -3600, 86_400, -1]
  for (const seconds of steps) {
    base.setClock(seconds)
    const time = await checkTimes(base, seconds * 1000)
    const isPossible = time > last && time - last < performance.now() - startedAt + OFF_MS
    assert.ok(isPossible, `performance.now() was ${last} and is ${time}`)
    last = time
  }

  // What a keeper dates while its clock is an hour behind comes after what the one before it has dated.
  base.setClock(-3600)
  await restartKeeper(base)
  await checkTimes(base, -3_600_000)
  await makeScene(base.client, 'other', { wait: waiting })
  const entries = await readLog(base, steps.length + 2)
  assert.deepEqual(
    entries.map(({ message }) => message),
    entries.map((_, i) => `answer ${i + 1}`),
  )

  const { cells } = await base.client.status()
  assert.deepEqual(
    cells.map(({ state, crashes }) => [state, crashes]),
    [['ready', 0]],
  )
  const negative = (await base.client.metrics()).split('\n').filter(line => /^berth_[^ ]+ -/.test(line))
  assert.deepEqual(negative, [])
  for (const line of base.log) assert.ok(line.ms === undefined || Number(line.ms) >= 0, JSON.stringify(line))
})
