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

/** Resolves at the first such signal. When the same one comes again, it ends the process at once. */
export function interruption(): Promise<void> {
  return new Promise(done => {
    const take = (signal: NodeJS.Signals) => {
      process.once(signal, endBy)
      done()
    }
    for (const signal of SIGNALS) process.once(signal, take)
  })
}

/** Ends this process by the signal, as whoever started it expects. */
function endBy(signal: NodeJS.Signals): never {
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
  // Process 1 of a container cannot be ended by a signal of its own.
  process.exit(128 + constants.signals[signal])
}
