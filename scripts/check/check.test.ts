/** The check as a person or CI runs it, on tests that fail once, always or never. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { nodeFlags, root, tempFolder } from '../../test/support/base.ts'

interface Checked {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** What each of the closing lines counts. */
  readonly counts: Readonly<Record<string, number>>
}

/** Copies of these fixtures in a folder of their own: one that is named twice is two files. */
async function copies(...fixtures: readonly string[]): Promise<string[]> {
  const folder = await tempFolder()
  return fixtures.map((fixture, index) => {
    const file = join(folder, `${fixture}-${index}.ts`)
    copyFileSync(join(root, 'scripts/check/fixtures', `${fixture}.ts`), file)
    return file
  })
}

async function check(...files: readonly string[]): Promise<Checked> {
  // With this variable the runner takes itself for one that a test has started, and runs nothing.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const { promise, resolve } = Promise.withResolvers<Checked>()
  const child = execFile(process.execPath, [...nodeFlags, 'scripts/check.ts', ...files], { cwd: root, env }, (_error, stdout, stderr) =>
    resolve({ code: child.exitCode, stdout, stderr, counts: closingCounts(stdout) }),
  )
  return promise
}

function closingCounts(output: string): Record<string, number> {
  const lines = output.trimEnd().split('\n').slice(-8)
  return Object.fromEntries(
    lines.map(line => {
      const [, name = line, count] = /^ℹ (\w+) ([\d.]+)$/.exec(line) ?? []
      return [name, Number(count)]
    }),
  )
}

function closesWith({ counts, stdout }: Checked, expected: Readonly<Record<string, number>>): void {
  const { duration_ms, ...rest } = counts
  assert.ok(duration_ms !== undefined && duration_ms > 0, stdout)
  assert.deepEqual(rest, { suites: 0, cancelled: 0, skipped: 0, todo: 0, ...expected }, stdout)
  assert.equal(stdout.match(/^ℹ tests /gm)?.length, 1, stdout)
}

suite('the check', { concurrency: 2 }, () => {
  test('passes a file that fails once, keeps what it printed, and lists it with the reason', async () => {
    const checked = await check(...(await copies('fails-once', 'skips')))
    assert.equal(checked.code, 0, checked.stdout + checked.stderr)
    closesWith(checked, { tests: 4, suites: 1, pass: 3, fail: 0, skipped: 1 })
    assert.match(checked.stdout, /✖ it has run before[\s\S]*AssertionError[\s\S]*✔ it has run before/)
    assert.match(
      checked.stdout,
      /^flaky: 1 file failed at first and passed when run again alone\n.*fails-once-0\.ts\n.*it has run before: this is the first run/m,
    )
    assert.match(checked.stdout, /﹣ one is skipped .*# the moon is full/)
    assert.equal(checked.stdout.match(/one passes/g)?.length, 1, 'what passed does not run again')
  })

  test('fails for a file that fails twice', async () => {
    const checked = await check(...(await copies('fails', 'skips', 'ends-badly')))
    assert.equal(checked.code, 1, checked.stdout)
    closesWith(checked, { tests: 5, suites: 1, pass: 2, fail: 2, skipped: 1 })
    assert.equal(checked.stdout.match(/said before it fails/g)?.length, 2)
    assert.match(
      checked.stdout,
      /^failed: 2 files\n.*fails-0\.ts\n.*one is two: one is not two.*\n.*ends-badly-2\.ts\n.*the process: ended with 3$/m,
    )
    assert.match(checked.stderr, /^failed: tests$/m)
  })

  test('fails for three flaky files, and its counts tell of no failure', async () => {
    const checked = await check(...(await copies('fails-once', 'fails-once', 'fails-once')))
    assert.equal(checked.code, 1, checked.stdout)
    closesWith(checked, { tests: 6, pass: 6, fail: 0 })
    assert.match(checked.stdout, /^flaky: 3 files failed at first and passed when run again alone; 3 or more fail the run$/m)
  })

  test('fails when there is no such file', async () => {
    const { code, stderr } = await check('scripts/check/fixtures/gone.ts')
    assert.equal(code, 1)
    assert.match(stderr, /^Cannot run "scripts\/check\/fixtures\/gone\.ts": no such file$/m)
  })
})
