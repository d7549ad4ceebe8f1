/** Signals that a person or the system sends to end a command. */
import { constants } from 'node:os'

/** Signals that end this process unless it takes them: Ctrl-C, `kill`, a terminal that is closed. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * When such a signal comes, `work`, which is synchronous, is done before the signal ends the process.
 * @returns a function that stops listening for them
 */
export function whenInterrupted(work: () => void): () => void {
  const take = (signal: NodeJS.Signals) => {
    leave()
    work()
    endBy(signal)
  }
  const leave = () => {
    for (const signal of SIGNALS) process.off(signal, take)
  }
  for (const signal of SIGNALS) process.on(signal, take)
  return leave
}

/**
 * Milliseconds in which the same signal, come again, is taken for the same wish: npm passes on to its command the Ctrl-C that the terminal has
 * already given to every process.
 */
const ECHO_MS = 1000

/** Takes such signals until it is disposed of. */
export interface Interruption extends Disposable {
  /** Is aborted at the first of them. */
  readonly signal: AbortSignal
}

/** When the same signal comes again later than `ECHO_MS`, it ends the process at once. */
export function interruption(): Interruption {
  const interrupted = new AbortController()
  const firstAt = new Map<NodeJS.Signals, number>()
  const take = (signal: NodeJS.Signals) => {
    const now = performance.now()
    if (now - (firstAt.get(signal) ?? now) > ECHO_MS) endBy(signal)
    firstAt.set(signal, firstAt.get(signal) ?? now)
    interrupted.abort()
  }
  for (const signal of SIGNALS) process.on(signal, take)
  const leave = () => {
    for (const signal of SIGNALS) process.off(signal, take)
  }
  return { signal: interrupted.signal, [Symbol.dispose]: leave }
}

/** Ends this process by the signal, as whoever started it expects. */
function endBy(signal: NodeJS.Signals): never {
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
  // Process 1 of a container cannot be ended by a signal of its own.
  process.exit(128 + constants.signals[signal])
}
