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
    process.kill(process.pid, signal)
  }
  const leave = () => {
    for (const signal of SIGNALS) process.off(signal, take)
  }
  for (const signal of SIGNALS) process.on(signal, take)
  return leave
}
