/** The log of a process: JSON lines, or readable text on a terminal. */
import { writeSync } from 'node:fs'
import pino, { type Logger } from 'pino'
import pretty from 'pino-pretty'
import { limits } from './limits.ts'

export type { Logger }

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/**
 * Creates a log that writes each line to standard output at once, so that a killed process loses none. The process never waits for the reader
 * of a pipe: lines that the pipe does not take are kept in memory, and are dropped beyond `limits.log.sinkBytesMax`. A terminal is waited for.
 * @param process `base`, `keeper`, `cell-1` …: the member `process` of every line
 */
export function createLog(process: string, level: string): Logger {
  const options = { level, base: { process }, timestamp: pino.stdTimeFunctions.isoTime }
  if (!globalThis.process.stdout.isTTY) {
    sink ??= new Sink(dropped => log.warn({ dropped }, 'lines of this log were dropped: they could not be written'))
    const log = pino(options, sink)
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

/** Of all logs of this process: the rest of a line that was written in part is followed by no line of another log. */
let sink: Sink | undefined

/** The internal handle of a stream on a pipe or socket on POSIX systems. No public function switches blocking writes off. */
interface BlockingHandle {
  readonly _handle?: { setBlocking?(blocking: boolean): number } | null
}

/** Writes lines to standard output. When it refuses them (a pipe that nobody reads, a full disk), lines are lost, and nothing else happens. */
class Sink {
  readonly #onDropped: (lines: number) => void
  #waiting: Buffer[] = []
  #bytes = 0
  #dropped = 0
  #timer: NodeJS.Timeout | undefined

  /** @param onDropped is called with the number of dropped lines once lines can be written again */
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

  /** Writes as many waiting lines as standard output takes now, and tries again later with the rest. */
  flushSync(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    try {
      makeNonBlocking()
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

/**
 * Makes writes to standard output fail with EAGAIN instead of blocking. This has to be done before each write: a child process that inherits
 * the output switches it back to blocking, for every process that shares it.
 */
function makeNonBlocking(): void {
  if (process.platform === 'win32') return
  const stdout: NodeJS.WriteStream & BlockingHandle = process.stdout
  stdout._handle?.setBlocking?.(false)
}
