/** Server-sent events to one reader, who may be slow or gone: never more than a bounded number of bytes wait for it. */
import { PassThrough } from 'node:stream'
import { limits } from '../../kernel/limits.ts'

export interface EventStreamParts {
  readonly bytesMax: number
  readonly heartbeatMs: number
  /** Asked at every heartbeat; the stream ends when it says no. */
  readonly mayGoOn: () => boolean
  /** Called once, however it ends. */
  readonly onEnd: () => void
}

export class EventStream {
  /** For the answer. */
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

  /** Sends an event; when the reader lags it is dropped, and the next that is not says in an event `dropped` how many were. */
  send(data: unknown, { id, event }: { readonly id?: number; readonly event?: string } = {}): void {
    if (this.body.writableLength > this.#parts.bytesMax) {
      this.#dropped++
      return
    }
    this.#sayDropped()
    const head = `${id === undefined ? '' : `id: ${id}\n`}${event === undefined ? '' : `event: ${event}\n`}`
    this.body.write(`${head}data: ${JSON.stringify(data)}\n\n`)
  }

  /** Counts an event that is not sent at all. */
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
