/** What the test runner reports, sorted by file, and what that amounts to: the counts, which files to run again, which are flaky. Pure. */
import type { EventData } from 'node:test'
import type { TestEvent } from 'node:test/reporters'
import { stripVTControlCharacters } from 'node:util'

/** The names and the order in which the test runner closes its report. */
export const countNames = ['tests', 'suites', 'pass', 'fail', 'cancelled', 'skipped', 'todo'] as const
export type Counts = Readonly<Record<(typeof countNames)[number], number>>

export interface Failure {
  /** The name of the test, or `the process` when the file failed outside of its tests. */
  readonly test: string
  readonly message: string
}

/** One run of one file. */
export interface FileRun {
  readonly file: string
  readonly counts: Counts
  readonly durationMs: number
  /** In the order in which they were reported; none when the file has passed. */
  readonly failures: readonly Failure[]
}

export interface Verdict {
  /** Each file as it ended: a file that ran twice counts as it did the second time. */
  readonly counts: Counts
  /** The first runs of those files that passed the second time. */
  readonly flaky: readonly FileRun[]
  /** The last runs of those files that failed each time. */
  readonly failed: readonly FileRun[]
  readonly passed: boolean
}

/** So many files fail together because something is broken: the rest of them does not run again. */
export const AGAIN_MAX = 8
/** So many flaky files fail the whole run. */
export const FLAKY_FAIL = 3
const REASON_LENGTH_MAX = 240

const hasFailed = ({ failures }: FileRun): boolean => failures.length > 0

/** The files that are to run once more, alone. */
export function filesToRunAgain(first: readonly FileRun[]): string[] {
  return first
    .filter(hasFailed)
    .slice(0, AGAIN_MAX)
    .map(({ file }) => file)
}

/** @param second runs of some of the files of `first`; a file that is not among them ended as it did the first time */
export function judge(first: readonly FileRun[], second: readonly FileRun[]): Verdict {
  const again = new Map(second.map(run => [run.file, run]))
  const last = first.map(run => again.get(run.file) ?? run)
  const failed = last.filter(hasFailed)
  const flaky = first.filter((run, index) => hasFailed(run) && !hasFailed(last[index] ?? run))
  return { counts: sum(last.map(({ counts }) => counts)), flaky, failed, passed: failed.length === 0 && flaky.length < FLAKY_FAIL }
}

function sum(all: readonly Counts[]): Counts {
  const total = noCounts()
  for (const counts of all) for (const name of countNames) total[name] += counts[name]
  return total
}

export const noCounts = (): Record<keyof Counts, number> => ({
  tests: 0,
  suites: 0,
  pass: 0,
  fail: 0,
  cancelled: 0,
  skipped: 0,
  todo: 0,
})

/** Why a file failed, in one line: its first failure. */
export function reasonOf({ failures }: FileRun): string {
  const [first] = failures
  if (first === undefined) return ''
  const text = `${first.test}: ${stripVTControlCharacters(first.message).replaceAll(/\s+/g, ' ').trim()}`
  return text.length > REASON_LENGTH_MAX ? `${text.slice(0, REASON_LENGTH_MAX - 1)}…` : text
}

/** The lines before the closing ones: the files that failed each time, and the flaky ones. */
export function remarks({ flaky, failed }: Verdict): string[] {
  const list = (runs: readonly FileRun[]) => runs.flatMap(run => [`  ${run.file}`, `    ${reasonOf(run)}`])
  const lines = failed.length > 0 ? [`failed: ${files(failed)}`, ...list(failed)] : []
  if (flaky.length === 0) return lines
  const consequence = flaky.length < FLAKY_FAIL ? '' : `; ${FLAKY_FAIL} or more fail the run`
  return [...lines, `flaky: ${files(flaky)} failed at first and passed when run again alone${consequence}`, ...list(flaky)]
}

const files = ({ length }: readonly FileRun[]): string => (length === 1 ? '1 file' : `${length} files`)

interface Draft {
  readonly counts: Record<keyof Counts, number>
  readonly failures: Failure[]
  durationMs: number
}

type Ended = EventData.TestPass | EventData.TestFail

/** The failures of a run of files, and its counts as the runner counts them, by the file that was run. */
export class Tally {
  readonly #drafts = new Map<string, Draft>()

  take(event: TestEvent): void {
    if (event.type === 'test:pass') this.#takeEnded(event.data, undefined)
    else if (event.type === 'test:fail') this.#takeEnded(event.data, event.data.details.error)
    else if (event.type === 'test:summary' && event.data.file !== undefined) this.#of(event.data.file).durationMs = event.data.duration_ms
  }

  /** The files in the order in which they ended. */
  get runs(): FileRun[] {
    return [...this.#drafts].map(([file, draft]) => ({ file, ...draft }))
  }

  #of(file: string): Draft {
    const draft = this.#drafts.get(file) ?? { counts: noCounts(), failures: [], durationMs: 0 }
    this.#drafts.set(file, draft)
    return draft
  }

  #takeEnded(data: Ended, error: EventData.Error | undefined): void {
    // `file` is where the test is defined, which may be a helper; a file that fails outside of its tests has no `entryFile`.
    const draft = this.#of(data.entryFile ?? data.file ?? '')
    draft.counts[countOf(data, error)]++
    if (data.details.type !== 'suite') draft.counts.tests++
    if (error !== undefined && data.todo === undefined) addFailure(draft, data, error)
  }
}

function countOf({ skip, todo, details }: Ended, error: EventData.Error | undefined): keyof Counts {
  if (details.type === 'suite') return 'suites'
  if (skip !== undefined) return 'skipped'
  if (todo !== undefined) return 'todo'
  if (error === undefined) return 'pass'
  return cancelled.has(failureType(error)) ? 'cancelled' : 'fail'
}

const cancelled: ReadonlySet<unknown> = new Set(['cancelledByParent', 'testAborted', 'testTimeoutFailure'])
const failureType = (error: EventData.Error): unknown => ('failureType' in error ? error.failureType : undefined)

function addFailure({ failures }: Draft, { name }: Ended, error: EventData.Error): void {
  // A parent fails because of its subtests, which are reported before it.
  if (failures.length > 0 && failureType(error) === 'subtestsFailed') return
  if (isOfProcess(error)) failures.push({ test: 'the process', message: `ended with ${error.exitCode ?? error.signal}` })
  else failures.push({ test: name, message: error.cause instanceof Error ? error.cause.message : String(error.cause ?? error.message) })
}

/** Whether it says how the process of a file ended, and not what a test threw. */
function isOfProcess(error: object): error is { readonly exitCode: unknown; readonly signal: unknown } {
  return 'exitCode' in error && 'signal' in error
}
