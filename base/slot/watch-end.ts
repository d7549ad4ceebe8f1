/** Finds threads that cannot be stopped: those of isolates that were disposed of while their code ran, and that run on. */
import { limits } from '../kernel/limits.ts'
import { processCpuMs } from './cpu-clock.ts'

/**
 * Calls `onLost` when code goes on after its isolate was disposed of. Loops inside V8's built-ins do, and then only the end of the process gets the thread
 * back. On a busy machine an isolate may take long to end because its thread gets no time, so the process must have used some CPU in between.
 * @param isOver whether the code has come to its end
 */
export function watchEnd(isOver: () => boolean, onLost: () => void): void {
  const since = performance.now()
  const sinceMs = processCpuMs()
  const { stopMsMax, watchdogTickMs } = limits.slot
  const timer = setInterval(() => {
    const isStuck = performance.now() - since >= stopMsMax && processCpuMs() - sinceMs >= stopMsMax / 2
    if (!isOver() && !isStuck) return
    clearInterval(timer)
    if (!isOver()) onLost()
  }, watchdogTickMs)
}
