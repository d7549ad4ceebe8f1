/** Files of tests, and how they run: each in a process of its own, by the runner of Node.js. */
import { globSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import type { Transform } from 'node:stream'
import { finished } from 'node:stream/promises'
import { run } from 'node:test'
import { spec, type TestEvent } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'
import { type Counts, countNames, type FileRun, Tally } from './verdict.ts'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Those that wait for processes the longest come first, so that no long file is left over at the end. */
const allTests = ['test', 'scripts', 'sdk', 'base', 'fixtures', 'modules'].map(folder => `${folder}/**/*.test.ts`)

/** Flags of Node.js for a process that runs a file of tests. */
export const testFlags = [
  // With it the tests of modules find `@berth/sdk/testing`, as under `sdk test`.
  `--import=${new URL('../../sdk/author/test-hook.ts', import.meta.url).href}`,
  // With it, a test that hangs shows what it was waiting for.
  `--import=${new URL('../../test/support/late.ts', import.meta.url).href}`,
]

/** Milliseconds for a test that names no other time: one that hangs fails. */
export const TEST_TIMEOUT_MS = 120_000

// Messages name commands as whoever has started the program types them. In tests that does not depend on who has started the tests.
const { npm_config_user_agent: _, ...environment } = process.env

/** Each file of tests is a process that compiles much the same code. */
export const testEnvironment = { NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'berth'), ...environment }

/** Files at a time. Most tests wait for processes more than they compute: two files leave a part of two processors idle. */
export const CONCURRENCY = availableParallelism() + 1

/**
 * Paths of the files that `patterns` mean: files, globs, or folders with all their tests. No pattern means every test of the project.
 * @throws Error for a pattern that no file matches
 */
export function testFiles(patterns: readonly string[]): string[] {
  const found = (patterns.length > 0 ? patterns : allTests).flatMap(pattern => {
    const folder = statSync(resolve(root, pattern), { throwIfNoEntry: false })?.isDirectory() === true
    const files = globSync(folder ? `${pattern}/**/*.test.ts` : pattern, { cwd: root, exclude: ['**/node_modules/**'] })
    if (files.length === 0) throw new Error(`Cannot run "${pattern}": no such file`)
    return files.sort().map(file => resolve(root, file))
  })
  return [...new Set(found)]
}

/** Runs `files`, and reports on standard output all but the closing counts. @param flags more flags of Node.js for each file */
export async function runFiles(files: readonly string[], concurrency: number, flags: readonly string[]): Promise<FileRun[]> {
  const report = startReport()
  const tally = new Tally()
  const execArgv = [...testFlags, ...flags]
  const events: AsyncIterable<TestEvent> = run({ files, concurrency, timeout: TEST_TIMEOUT_MS, cwd: root, execArgv, env: testEnvironment })
  for await (const event of events) {
    tally.take(event)
    if (!isClosing(event)) report.write(event)
  }
  await end(report)
  return tally.runs.map(result => ({ ...result, file: relative(root, result.file).replaceAll('\\', '/') }))
}

/** Reports counts as the runner closes its own report. */
export async function reportCounts(counts: Counts, durationMs: number): Promise<void> {
  const report = startReport()
  const lines = [...countNames.map(name => `${name} ${counts[name]}`), `duration_ms ${durationMs}`]
  for (const message of lines) report.write({ type: 'test:diagnostic', data: { message, nesting: 0, level: 'info' } })
  await end(report)
}

function startReport(): Transform {
  const report = new spec()
  report.pipe(process.stdout, { end: false })
  return report
}

async function end(report: Transform): Promise<void> {
  report.end()
  await finished(report)
}

/** The counts of the whole run; those of a file never come as far as here. */
function isClosing({ type, data }: TestEvent): boolean {
  return type === 'test:diagnostic' && data.entryFile === undefined && closing.test(data.message)
}

const closing = new RegExp(`^(${countNames.join('|')}|duration_ms) [\\d.]+$`)
