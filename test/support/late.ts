/**
 * Imported ahead of every file of tests. A test that fails tells what this process was waiting for, after its error; and a file ends in any
 * case, though what a test has left open would keep it: then it fails.
 */
import type { ChildProcess } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'
import { after, afterEach, type EventData } from 'node:test'

/** What helps to understand why a test hangs or has failed; nothing when it does not any more. Published on the channel `berth:test:teller`. */
export type Teller = () => string | undefined

/** Milliseconds that a file may take to end by itself once its tests are over, and one with a test out of time. */
const LINGER_MS = 30_000
const LATE_LINGER_MS = 5000

/** Of what is under way, as many are told: the bodies of answers that nobody reads stay so. */
const TOLD_MAX = 20

/** What is under way, by what it is known by, and since when. */
const underWay = new Map<unknown, { readonly what: string; readonly since: number }>()

/** What else is known, such as what a base has logged. */
const tellers: Teller[] = []

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
  // It is told of before it is spawned.
  setImmediate(() => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    begin(child, `process ${child.pid}: ${child.spawnargs.join(' ')}`)
    child.once('exit', () => underWay.delete(child))
  })
})

subscribe('berth:test:teller', teller => void tellers.push(teller as Teller))

function tell(): string {
  const now = performance.now()
  const open = [...underWay.values()].slice(-TOLD_MAX).map(({ what, since }) => `${((now - since) / 1000).toFixed(1)} s: ${what}`)
  const lines = [...open, process.getActiveResourcesInfo().join(' '), ...tellers.flatMap(teller => teller() ?? [])]
  return `Under way then:\n${lines.join('\n')}`
}

/** Adds to what is shown of an error, in the summary too. */
function addTo(error: EventData.Error, text: string): void {
  const { cause } = error
  // A text would be shown in one line.
  if (typeof cause === 'string') error.cause = Object.assign(new Error(cause), { stack: `${cause}\n${text}` })
  else if (cause instanceof Error) cause.stack = `${cause.stack}\n${text}`
}

let isLate = false
// The runner, which imports this too, has no tests of its own.
if (process.env.NODE_TEST_CONTEXT !== undefined) {
  afterEach(context => {
    if (context.passed || !('error' in context) || context.error === null) return
    isLate ||= 'failureType' in context.error && context.error.failureType === 'testTimeoutFailure'
    addTo(context.error, tell())
  })
  after(() => {
    const end = () => {
      if (!isLate) console.error(`The tests of this file are over, and it does not end. ${tell()}`)
      process.exit(1)
    }
    setTimeout(end, isLate ? LATE_LINGER_MS : LINGER_MS).unref()
  })
}
