/** A connection to the scene port on which each byte is sent when it is meant to be: no HTTP client sends ahead, or in pieces, or at the wrong moment. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  readonly body: string
  /** Whether the base says that no more answers follow on the connection. */
  readonly isLast: boolean
}

export class Wire {
  readonly #socket: Socket
  #received = ''
  #ended = false

  private constructor(socket: Socket) {
    this.#socket = socket.setEncoding('utf8').setNoDelay()
    // What is sent must not be held back until the other side has ended.
    socket.on('data', (text: string) => {
      this.#received += text
      socket.emit('more')
    })
    for (const end of ['end', 'close'])
      socket.once(end, () => {
        this.#ended = true
        socket.emit('more')
      })
    // The event `close` follows.
    socket.on('error', () => undefined)
  }

  static async open(url: string): Promise<Wire> {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    return new Wire(socket)
  }

  /** Whether the base has closed it. */
  get isEnded(): boolean {
    return this.#ended
  }

  write(text: string): void {
    this.#socket.write(text)
  }

  /** The next answer; undefined when the connection ends before one is whole. */
  async answer(): Promise<RawAnswer | undefined> {
    for (;;) {
      const answer = this.#take()
      if (answer !== undefined || this.#ended) return answer
      await once(this.#socket, 'more')
    }
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(): RawAnswer | undefined {
    const end = this.#received.indexOf('\r\n\r\n')
    if (end < 0) return undefined
    const head = this.#received.slice(0, end).toLowerCase()
    const length = Number(/^content-length: (\d+)$/m.exec(head)?.[1])
    // The bodies that are sent here have one byte a character.
    const body = this.#received.slice(end + 4, end + 4 + length)
    if (body.length < length) return undefined
    this.#received = this.#received.slice(end + 4 + length)
    return { status: Number(head.slice(9, 12)), body, isLast: /^connection: close$/m.test(head) }
  }
}

export const headOf = (path: string, length: number): string =>
  `POST ${path} HTTP/1.1\r\nHost: berth\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
