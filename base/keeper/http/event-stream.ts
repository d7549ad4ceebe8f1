/** Server-sent events to one reader, who may be slow or gone. Never more than a bounded number of bytes wait for the reader. */
import { PassThrough } from 'node:stream'
import { limits } from '../../kernel/limits.ts'

export interface EventStreamParts {
  readonly bytesMax: number
  readonly heartbeatMs: number
  /** Is asked at every heartbeat. The stream ends when it returns false. */
  readonly mayGoOn: () => boolean
  /** Is called once, however the stream ends. */
  readonly onEnd: () => void
}

export class EventStream {
  /** The body of the answer. */
  readonly body = new PassThrough()
  readonly #parts: EventStreamParts
  readonly #heartbeat: NodeJS.Timeout
  #dropped = 0

  constructor(parts: Omit<EventStreamParts, 'bytesMax' | 'heartbeatMs'> & Partial<EventStreamParts>) {
    this.#parts = { bytesMax: limits.log.followerBytesMax, heartbeatMs: limits.log.heartbeatMs, ...parts }
    this.#heartbeat = setInterval(() => this.#beat(), this.#parts.heartbeatMs).unref()
    this.body.once('close', () => {
      clearInterval(this.#heartbeat)
      this.#parts.onEnd()
    })
  }

  /**
   * Sends an event, unless the stream has ended. When the reader lags, the event is dropped, and before the next one that is sent an event `dropped`
   * says how many were.
   */
  send(data: unknown, { id, event }: { readonly id?: number; readonly event?: string } = {}): void {
    if (this.body.writableEnded) return
    if (this.body.writableLength > this.#parts.bytesMax) {
      this.#dropped++
      return
    }
    this.#sayDropped()
    const head = `${id === undefined ? '' : `id: ${id}\n`}${event === undefined ? '' : `event: ${event}\n`}`
    this.body.write(`${head}data: ${JSON.stringify(data)}\n\n`)
  }

  /** Counts an event as dropped that is not sent at all. */
  skip(): void {
    this.#dropped++
  }

  /** Resolves once the reader has caught up, or is gone. */
  async caughtUp(): Promise<void> {
    if (!this.body.writableNeedDrain || this.body.destroyed) return
    await new Promise<void>(resolve => {
      const done = () => {
        this.body.off('drain', done).off('close', done)
        resolve()
      }
      this.body.on('drain', done).on('close', done)
    })
  }

  end(): void {
    this.body.end()
  }

  #beat(): void {
    if (!this.#parts.mayGoOn()) this.end()
    else if (this.body.writableLength <= this.#parts.bytesMax) {
      this.#sayDropped()
      this.body.write(':\n\n')
    }
  }

  #sayDropped(): void {
    if (this.#dropped === 0) return
    this.body.write(`event: dropped\ndata: ${JSON.stringify({ dropped: this.#dropped })}\n\n`)
    this.#dropped = 0
  }
}
