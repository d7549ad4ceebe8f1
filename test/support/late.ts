/**
 * Is imported before every test file. When a test fails, its error also shows what this process was waiting for. When a test has left something
 * open that keeps the process running, the file is ended after a while, and fails.
 */
import type { ChildProcess } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'
import { after, afterEach, type EventData } from 'node:test'

/**
 * Returns what helps to understand why a test hangs or has failed, or undefined when there is nothing to say. Helpers of tests publish such
 * functions on the channel `berth:test:reporter`.
 */
export type Reporter = () => string | undefined

/** Milliseconds that a file may take to end by itself after its tests, and the same for a file in which a test timed out. */
const LINGER_MS = 30_000
const LATE_LINGER_MS = 5000

/** At most so many of the latest operations are shown, because a response whose body nobody reads counts as open for ever. */
const SHOWN_MAX = 20

/** The requests and processes that have not ended, by their objects, with the time of their start. */
const underWay = new Map<unknown, { readonly what: string; readonly since: number }>()

/** Functions that report more, such as the last log lines of a base. */
const reporters: Reporter[] = []

function begin(key: unknown, what: string): void {
  underWay.set(key, { what, since: performance.now() })
}

interface FetchMessage {
  readonly request: { readonly method: string; readonly origin: string; readonly path: string }
}

subscribe('undici:request:create', message => {
  const { request } = message as FetchMessage
  begin(request, `${request.method} ${request.origin}${request.path}`)
})
for (const end of ['undici:request:trailers', 'undici:request:error']) {
  subscribe(end, message => void underWay.delete((message as FetchMessage).request))
}
subscribe('child_process', message => {
  const child = (message as { readonly process: ChildProcess }).process
  // The message comes before the process has been spawned.
  setImmediate(() => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    begin(child, `process ${child.pid}: ${child.spawnargs.join(' ')}`)
    child.once('exit', () => underWay.delete(child))
  })
})

subscribe('berth:test:reporter', reporter => void reporters.push(reporter as Reporter))

function report(): string {
  const now = performance.now()
  const open = [...underWay.values()].slice(-SHOWN_MAX).map(({ what, since }) => `${((now - since) / 1000).toFixed(1)} s: ${what}`)
  const lines = [...open, process.getActiveResourcesInfo().join(' '), ...reporters.flatMap(reporter => reporter() ?? [])]
  return `Under way then:\n${lines.join('\n')}`
}

/** Adds a text to what the runner shows of an error, in the summary too. */
function addTo(error: EventData.Error, text: string): void {
  const { cause } = error
  // The runner would show a string on a single line.
  if (typeof cause === 'string') error.cause = Object.assign(new Error(cause), { stack: `${cause}\n${text}` })
  else if (cause instanceof Error) cause.stack = `${cause.stack}\n${text}`
}

let isLate = false
// The runner imports this file too, but has no tests of its own.
if (process.env.NODE_TEST_CONTEXT !== undefined) {
  afterEach(context => {
    if (context.passed || !('error' in context) || context.error === null) return
    isLate ||= 'failureType' in context.error && context.error.failureType === 'testTimeoutFailure'
    addTo(context.error, report())
  })
  after(() => {
    const end = () => {
      if (!isLate) console.error(`The tests of this file are over, and it does not end. ${report()}`)
      process.exit(1)
    }
    setTimeout(end, isLate ? LATE_LINGER_MS : LINGER_MS).unref()
  })
}
