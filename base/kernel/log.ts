/** The log of a process: JSON lines, or readable ones on a terminal. */
import { writeSync } from 'node:fs'
import pino, { type Logger } from 'pino'
import pretty from 'pino-pretty'
import { limits } from './limits.ts'

export type { Logger }

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/**
 * Lines go to standard output, written at once, so that a killed process loses none; but nobody waits for whoever reads them, unless it is a
 * terminal: what it does not take waits in memory, and is dropped beyond a bound.
 * @param process `base`, `keeper`, `cell-1` …: the member `process` of every line.
 */
export function createLog(process: string, level: string): Logger {
  const options = { level, base: { process }, timestamp: pino.stdTimeFunctions.isoTime }
  if (!globalThis.process.stdout.isTTY) {
    const log = pino(options, new Sink(dropped => log.warn({ dropped }, 'lines of this log were dropped: they could not be written')))
    return log
  }
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

/** What a stream on a pipe or socket has on POSIX systems; no public function says whether writing waits. */
interface Waits {
  readonly _handle?: { setBlocking?(blocking: boolean): number } | null
}

/** Writes lines to standard output, which may refuse them: a pipe that nobody reads, a disk that is full. That costs lines, and nothing else. */
class Sink {
  readonly #onDropped: (lines: number) => void
  #waiting: Buffer[] = []
  #bytes = 0
  #dropped = 0
  #timer: NodeJS.Timeout | undefined

  /** @param onDropped is told how many lines were, once others can be written again */
  constructor(onDropped: (lines: number) => void) {
    this.#onDropped = onDropped
    process.on('exit', () => this.flushSync())
  }

  write(line: string): void {
    if (this.#bytes > limits.log.sinkBytesMax) {
      this.#dropped++
      return
    }
    const bytes = Buffer.from(line)
    this.#waiting.push(bytes)
    this.#bytes += bytes.length
    if (this.#timer === undefined) this.flushSync()
  }

  /** Writes what is taken at once, and the rest later. */
  flushSync(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    try {
      refuseToWait()
      for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) this.#take(writeSync(1, next), next)
    } catch (error) {
      this.#refused((error as NodeJS.ErrnoException).code)
      return
    }
    const dropped = this.#dropped
    this.#dropped = 0
    if (dropped > 0) this.#onDropped(dropped)
  }

  #take(written: number, line: Buffer): void {
    this.#bytes -= written
    if (written < line.length) this.#waiting[0] = line.subarray(written)
    else this.#waiting.shift()
  }

  #refused(code: string | undefined): void {
    if (code === 'EAGAIN') {
      this.#timer = setTimeout(() => this.flushSync(), limits.log.sinkAgainMs).unref()
      return
    }
    this.#dropped += this.#waiting.length
    this.#waiting = []
    this.#bytes = 0
  }
}

/** Before each write: a process that is started with our output makes it wait for its reader again, for all who share it. */
function refuseToWait(): void {
  if (process.platform === 'win32') return
  const stdout: NodeJS.WriteStream & Waits = process.stdout
  stdout._handle?.setBlocking?.(false)
}
