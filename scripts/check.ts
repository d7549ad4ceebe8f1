/**
 * The one gate, here and in CI: types, formatting and lint, layers and cycles, tests. Extra arguments name the files of tests, or folders of
 * them, to run instead of everything (`npm test -- base/slot/slot.test.ts`); those with a dash are flags of Node.js for each file, such as
 * `--test-name-pattern=promote`.
 *
 * A file that fails runs once more, alone. One that passes then is flaky: it is listed, and does not fail the check unless there are three.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { messageOf } from '../base/kernel/errors.ts'
import { CONCURRENCY, reportCounts, root, runFiles, testFiles } from './check/run-files.ts'
import { type FileRun, filesToRunAgain, judge, remarks } from './check/verdict.ts'

const SLOWEST = 10

const args = process.argv.slice(2)
const patterns = args.filter(arg => !arg.startsWith('-'))
const flags = args.filter(arg => arg.startsWith('-'))

function runTool(name: string, command: string, args: readonly string[]): boolean {
  console.log(`── ${name}`)
  const windows = process.platform === 'win32'
  const path = join(root, 'node_modules', '.bin', windows ? `${command}.cmd` : command)
  const { status, error } = spawnSync(path, args, { cwd: root, stdio: 'inherit', shell: windows })
  if (error !== undefined) console.error(`Cannot run ${command}: ${error.message}`)
  return status === 0
}

async function runTests(): Promise<boolean> {
  console.log('── tests')
  const begin = performance.now()
  const first = await runFiles(testFiles(patterns), CONCURRENCY, flags)
  const again = filesToRunAgain(first)
  if (again.length > 0) console.log(`\n── once more, one at a time: ${again.join(', ')}`)
  const second = again.length > 0 ? await runFiles(testFiles(again), 1, flags) : []
  const verdict = judge(first, second)
  if (first.length > SLOWEST) printSlowest(first)
  for (const line of remarks(verdict)) console.log(line)
  await reportCounts(verdict.counts, performance.now() - begin)
  return verdict.passed
}

function printSlowest(runs: readonly FileRun[]): void {
  console.log('── slowest files')
  for (const { file, durationMs } of runs.toSorted((a, b) => b.durationMs - a.durationMs).slice(0, SLOWEST))
    console.log(`${(durationMs / 1000).toFixed(1).padStart(6)} s  ${file}`)
}

const failed: string[] = []
if (args.length === 0) {
  if (!runTool('types', 'tsc', ['--noEmit'])) failed.push('types')
  if (!runTool('format and lint', 'biome', ['check', '--error-on-warnings', '.'])) failed.push('format and lint')
}
const tested = await runTests().catch((error: unknown) => {
  console.error(messageOf(error))
  return false
})
if (!tested) failed.push('tests')
if (failed.length > 0) {
  console.error(`failed: ${failed.join(', ')}`)
  process.exitCode = 1
}
