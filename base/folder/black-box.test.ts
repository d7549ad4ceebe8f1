import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { BlackBox, closeBlackBox, openBlackBox } from './black-box.ts'

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
