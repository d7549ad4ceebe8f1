/** How a process ends that runs isolates. An orderly end waits for their threads, and a thread in a loop that cannot be stopped never comes back. */

/** Ends this process at once. Write out first what must not be lost: nothing runs any more. */
export function endProcess(): void {
  process.kill(process.pid, 'SIGKILL')
}

/**
 * Is to be called before anything else. When to end is the decision of the process that started this one: it ends with that one, and not for the signals of
 * a terminal, which reach the whole process group. An error that nobody catches ends it by SIGABRT.
 */
export function endWithParent(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
  process.on('disconnect', endProcess)
  process.on('uncaughtException', error => {
    console.error(error)
    process.kill(process.pid, 'SIGABRT')
  })
}
