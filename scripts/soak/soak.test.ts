/** Runs the soak once with every kind of fault and operation, so that it cannot rot. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { faults, operations } from './schedule.ts'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

function soak(...args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number | null; stdout: string; stderr: string }>()
  const command = [join(root, 'bin/launch.cjs'), 'scripts/soak/main.ts', ...args]
  const child = execFile(process.execPath, command, { cwd: root }, (_, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }))
  return promise
}

const supported = process.platform === 'linux' ? false : 'it reads /proc'

test('a soak does every kind of fault and operation, and finds every promise kept', { timeout: 240_000, skip: supported }, async () => {
  const { code, stdout, stderr } = await soak('--minutes', '0.1', '--every', '0.2', '--rate', '40', '--seed', '5', '--json')
  assert.equal(code, 0, `${stdout}\n${stderr}`)
  const report = JSON.parse(stdout)
  assert.equal(report.seed, 5)
  assert.deepEqual(report.violations, [])
  for (const kind of faults) assert.ok(report.faults[kind] > 0, kind)
  for (const kind of operations) assert.ok(report.operations[kind] > 0, kind)
  assert.equal(report.ends.injected, report.faults['kill cell'])
  assert.ok(report.ends.retired >= report.faults['retire cell'], JSON.stringify(report.ends))
  // Growth cannot be measured in so short a time.
  const { memory: _, handles: __, threads: ___, ...checked } = report.checked
  for (const [name, { checks }] of Object.entries(checked as Record<string, { checks: number }>)) assert.ok(checks > 0, name)
  assert.ok(report.requests.routed.OK > 20, JSON.stringify(report.requests))
})

test('a wrong option of the soak is refused before anything starts', async () => {
  const { code, stderr } = await soak('--minutes', 'long')
  assert.equal(code, 2)
  assert.match(stderr, /--minutes.*'long' is invalid\. It has to be a number from 0 on/)
})
