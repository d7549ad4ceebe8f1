/**
 * The one gate, here and in CI: types, formatting and lint, layers and cycles, tests. Extra arguments go to the test runner, and name what
 * to run instead of everything: `npm test -- base/slot/slot.test.ts`.
 */
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = (name: string) => join(root, 'node_modules', '.bin', process.platform === 'win32' ? `${name}.cmd` : name)
/** With it the tests of modules find `#sdk/testing`, as under `sdk test`. */
const testHook = new URL('../sdk/author/test-hook.ts', import.meta.url).href
/** With it a test that hangs tells what it was waiting for. */
const lateHook = new URL('../test/support/late.ts', import.meta.url).href
const globs = [
  'base/**/*.test.ts',
  'sdk/**/*.test.ts',
  'modules/**/*.test.ts',
  'fixtures/**/*.test.ts',
  'scripts/**/*.test.ts',
  'test/**/*.test.ts',
]

/** Each file of tests is a process that compiles much the same code. */
const env = { NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'berth'), ...process.env }

const chosen = process.argv.slice(2)
const steps: readonly (readonly [string, string, readonly string[]])[] = [
  ['types', bin('tsc'), ['--noEmit']],
  ['format and lint', bin('biome'), ['check', '--error-on-warnings', '.']],
  [
    'tests',
    process.execPath,
    [
      '--no-node-snapshot',
      '--disable-warning=ExperimentalWarning',
      '--import',
      testHook,
      '--import',
      lateHook,
      '--test',
      // For those that name none: a test that hangs fails.
      '--test-timeout=120000',
      // Most tests wait for processes more than they compute: one file at a time leaves half of two processors idle.
      `--test-concurrency=${Math.max(2, availableParallelism() - 1)}`,
      ...(chosen.length > 0 ? chosen : globs),
    ],
  ],
]

const failed: string[] = []
for (const [name, command, args] of chosen.length > 0 ? steps.slice(-1) : steps) {
  console.log(`── ${name}`)
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32', env })
  if (error !== undefined) console.error(`Cannot run ${command}: ${error.message}`)
  if (status !== 0) failed.push(name)
}
if (failed.length > 0) {
  console.error(`failed: ${failed.join(', ')}`)
  process.exitCode = 1
}
