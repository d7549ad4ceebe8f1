import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { BlackBox, closeBlackBox, openBlackBox, readBlackBox } from './black-box.ts'

test('how long a slot had been running does not depend on the wall clock, which was set meanwhile', t => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  let time = Date.parse('2026-06-01')
  t.mock.method(Date, 'now', () => time)
  for (const step of [3_600_000, -3_600_000]) {
    const fd = openBlackBox(join(folder, 'box'))
    new BlackBox(fd, error => assert.fail(String(error))).begin({}, 'home', 'v1')
    time += step
    const startedAt = performance.now()
    while (performance.now() - startedAt < 3);
    const [suspect] = closeBlackBox(fd)
    assert.equal(suspect?.scene, 'home')
    assert.ok(suspect.runningMs >= 3 && suspect.runningMs < 1_000_000, `${suspect.runningMs} ms`)
  }
})

test('a black box says where code was seen in this turn, not where it was in an earlier one', t => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const fd = openBlackBox(join(folder, 'box'))
  const box = new BlackBox(fd, error => assert.fail(String(error)))
  const [slot, other] = [{}, {}]
  const running = () => readBlackBox(fd).map(({ runningMs, ...rest }) => rest)
  box.begin(slot, 'home', 'v1')
  box.see(slot, { stage: 'rank', module: 'ranker@1.0.0' })
  box.begin(other, 'away', 'v2')
  box.see(other, { module: 'loader@1.0.0' })
  const away = { scene: 'away', version: 'v2', module: 'loader@1.0.0' }
  assert.deepEqual(running(), [{ scene: 'home', version: 'v1', stage: 'rank', module: 'ranker@1.0.0' }, away])
  box.begin(slot, 'home', 'v1')
  assert.deepEqual(new Set(running()), new Set([{ scene: 'home', version: 'v1' }, away]))
  box.see(slot, { stage: 'x'.repeat(2000) })
  box.end(other)
  assert.deepEqual(running(), [{ scene: 'home', version: 'v1', stage: 'x'.repeat(344) }])
  box.end(slot)
  assert.deepEqual(closeBlackBox(fd), [])
})

test('a slot that has come to rest leaves its row to another when all are taken, and one that runs does not', t => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const fd = openBlackBox(join(folder, 'box'))
  const box = new BlackBox(fd, error => assert.fail(String(error)))
  const slots = Array.from({ length: 300 }, (_, i) => ({ version: `v${i}` }))
  for (const slot of slots) box.begin(slot, 'home', slot.version)
  const running = () => readBlackBox(fd).map(({ version }) => version)
  assert.equal(running().length, 256)
  const [first, last] = [slots[0], slots.at(-1)]
  assert(first !== undefined && last !== undefined)
  assert(!running().includes(last.version))
  box.end(first)
  box.begin(last, 'home', last.version)
  // The place of the first is taken: when it runs again there is none for it.
  box.begin(first, 'home', first.version)
  assert.deepEqual(
    [first, last].map(({ version }) => running().includes(version)),
    [false, true],
  )
  box.end(first)
  assert.equal(closeBlackBox(fd).length, 256)
})
