/** What `sdk test` says of the tests as they end, and at the end. */
import { relative, sep } from 'node:path'
import type { TestEvent } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'
import { colorsFor } from '../terminal/colors.ts'
import type { Output } from '../terminal/output.ts'

export interface TestReport {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly ms: number
  readonly tests: readonly TestOutcome[]
}

export interface TestOutcome {
  /** The name of the module. */
  readonly module: string
  readonly name: string
  readonly file: string
  readonly line: number | undefined
  readonly outcome: 'passed' | 'failed' | 'skipped'
  readonly ms: number
  readonly error?: string
}

interface Module {
  readonly name: string
  /** Absolute. */
  readonly folder: string
}

interface Ended {
  readonly name: string
  readonly nesting: number
  readonly file?: string | undefined
  readonly line?: number | undefined
  readonly skip?: string | boolean | undefined
  readonly todo?: string | boolean | undefined
  readonly details: { readonly duration_ms: number; readonly type?: string | undefined; readonly error?: Error | undefined }
}

export interface Reporter {
  take(event: TestEvent): void
  /** Prints the totals. */
  end(): TestReport
}

export function createReport(out: Output, modules: readonly Module[]): Reporter {
  const colors = colorsFor(process.stdout)
  const tests: TestOutcome[] = []
  const startedAt = performance.now()
  /** What files have written to standard error. For a file that does not run, this says why. */
  const held = new Map<string, string>()
  let file = ''

  function take(event: TestEvent): void {
    if (event.type === 'test:pass') onEnded(event.data, false)
    else if (event.type === 'test:fail') onEnded(event.data, true)
    // The document has no part for what tests print.
    else if (event.type === 'test:stdout') process.stderr.write(event.data.message)
    else if (event.type === 'test:stderr') held.set(event.data.file, (held.get(event.data.file) ?? '') + event.data.message)
  }

  function onEnded(test: Ended, failed: boolean): void {
    const { type, error } = test.details
    // A failed file or suite is reported through its tests, unless it failed by itself.
    const isWhole = type === 'suite' || test.name === test.file
    const byTests = error !== undefined && 'failureType' in error && error.failureType === 'subtestsFailed' && hasFailed(test.file)
    if (isWhole && (!failed || byTests)) return
    sayFile(test.file)
    const outcome = failed && !test.todo ? 'failed' : test.skip || test.todo ? 'skipped' : 'passed'
    const text = outcome === 'failed' ? (isWhole && reasonIn(release(test.file))) || textOf(error) : undefined
    if (!isWhole) process.stderr.write(release(test.file))
    const name = test.name === test.file ? 'the file did not run' : test.name
    const ms = Math.round(test.details.duration_ms)
    const module = moduleOf(test.file)?.name ?? ''
    tests.push({ module, name, file: shown(test.file), line: test.line, outcome, ms, ...(text !== undefined && { error: text }) })
    const mark = { passed: colors.green('✔'), failed: colors.red('✖'), skipped: colors.yellow('–') }[outcome]
    out.say(`${'  '.repeat(test.nesting + 1)}${mark} ${name} ${colors.dim(`${ms} ms`)}`)
    if (text !== undefined) out.say(`\n${text.replaceAll(/^/gm, '      ')}\n`)
  }

  function sayFile(path: string | undefined): void {
    if (path === undefined || path === file) return
    file = path
    out.say(`${colors.bold(moduleOf(path)?.name ?? '')}  ${colors.dim(shown(path))}`)
  }

  function release(path = ''): string {
    const text = held.get(path) ?? ''
    held.delete(path)
    return text
  }

  const hasFailed = (path: string | undefined) => tests.some(({ file, outcome }) => file === shown(path) && outcome === 'failed')
  const moduleOf = (path = '') => modules.find(({ folder }) => path.startsWith(folder + sep))

  function end(): TestReport {
    const count = (wanted: TestOutcome['outcome']) => tests.filter(({ outcome }) => outcome === wanted).length
    const report = {
      passed: count('passed'),
      failed: count('failed'),
      skipped: count('skipped'),
      ms: Math.round(performance.now() - startedAt),
      tests,
    }
    for (const path of [...held.keys()]) process.stderr.write(release(path))
    const { passed, failed, skipped, ms } = report
    const parts = [
      `${passed} passed`,
      ...(failed > 0 ? [colors.red(`${failed} failed`)] : []),
      ...(skipped > 0 ? [`${skipped} skipped`] : []),
    ]
    out.say(`\n${parts.join(', ')} in ${ms} ms`)
    return report
  }

  return { take, end }
}

const shown = (path = ''): string => relative(process.cwd(), path)

/** The error that ended a process of Node.js, without the line that threw it and the version. */
function reasonIn(text: string): string {
  const [, reason = text] = /\n\n((?:\w*Error|\w+ \[)[\s\S]*)$/.exec(text) ?? []
  return shortened(reason.replace(/\n\nNode\.js v.*\s*$/, '').trim())
}

/** The error as the test threw it, without the frames of the test runner, and with paths that a terminal can open. */
function textOf(error: Error | undefined): string {
  const cause: unknown = error?.cause ?? error
  if (!(cause instanceof Error)) return String(cause)
  const text = shortened(cause.stack ?? cause.message)
  return text.includes(cause.message) ? text : `${cause.message}\n${text}`
}

function shortened(text: string): string {
  const lines = text.split('\n').filter(line => !/^\s+at .*\bnode:/.test(line))
  return lines.map(line => line.replace(/file:\/\/[^\s)]+?(?=:\d+:\d+)/, url => shown(fileURLToPath(url)))).join('\n')
}
