/** The log of a process: JSON lines, or readable ones on a terminal. */
import pino, { type Logger } from 'pino'
import pretty from 'pino-pretty'

export type { Logger }

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/**
 * Lines go to standard output, written at once, so that a killed process loses none.
 * @param process `base`, `keeper`, `cell-1` …: the member `process` of every line.
 */
export function createLog(process: string, level: string): Logger {
  const options = { level, base: { process }, timestamp: pino.stdTimeFunctions.isoTime }
  if (!globalThis.process.stdout.isTTY) return pino(options, pino.destination({ dest: 1, sync: true }))
  return pino(
    options,
    pretty({
      destination: 1,
      sync: true,
      ignore: 'process,pid',
      singleLine: true,
      messageFormat: '{process}: {msg}',
      translateTime: 'HH:MM:ss.l',
    }),
  )
}
