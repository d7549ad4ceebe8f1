import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFileSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { nodeFlags, root, tempFolder } from '../test/support/base.ts'

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function stress(...args: readonly string[]): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>()
  // With this variable a runner takes itself for one that a test has started, and runs nothing.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const child = execFile(process.execPath, [...nodeFlags, 'scripts/stress.ts', ...args], { cwd: root, env }, (_error, stdout, stderr) =>
    resolve({ code: child.exitCode, stdout, stderr }),
  )
  return promise
}

test('files run again and again on busy processors, and failures are counted and kept', async () => {
  const file = join(await tempFolder(), 'fails-once.ts')
  copyFileSync(join(root, 'scripts/check/fixtures/fails-once.ts'), file)
  const { code, stdout, stderr } = await stress(file, '--times', '2', '--busy')
  assert.equal(code, 1, stdout + stderr)
  assert.match(stdout, new RegExp(`^${availableParallelism()} processes keep the processors busy$`, 'm'))
  assert.match(stdout, /fails-once\.ts +│ 2 +│ 1 +│ +\d+\.\d +│ +\d+\.\d +│/)
  const kept = /^All that it printed is in (.+)$/m.exec(stdout)?.[1] ?? assert.fail(stdout)
  assert.match(readFileSync(kept, 'utf8'), /^ℹ fail 1$[\s\S]*this is the first run/m)
  rmSync(dirname(kept), { recursive: true })
})

test('the first failure can be the last run, and files that all pass exit 0', async () => {
  const [failing, passing] = await Promise.all([
    stress('scripts/check/fixtures/fails.ts', '--times', '5', '--bail'),
    stress('scripts/check/fixtures/skips.ts', '--times', '1'),
  ])
  assert.match(failing.stdout, /fails\.ts +│ 1 +│ 1 +│/)
  assert.equal(failing.code, 1)
  assert.equal(passing.code, 0, passing.stdout + passing.stderr)
})

test('what cannot be run is wrong usage', async () => {
  for (const { code, stderr } of await Promise.all([stress(), stress('scripts/check/fixtures/skips.ts', '--times', 'often')])) {
    assert.equal(code, 2)
    assert.match(stderr, /^npm run test:stress -- FILE… /m)
  }
})
