/** Messages over a local socket, one JSON object a line. */
import type { Socket } from 'node:net'

export interface Lines<Out> {
  send(message: Out): void
  /** Bytes sent that the other side has not taken yet. */
  readonly backlog: number
  /** Idempotent. */
  close(): void
}

/**
 * Reads messages of type `In` off the socket until it closes.
 * @param onMessage is called for each, in order. When it throws, the socket is closed with that error.
 * @param onClose is called once, with the error when there was one
 */
export function openLines<In, Out>(socket: Socket, onMessage: (message: In) => void, onClose: (error?: Error) => void): Lines<Out> {
  let failure: Error | undefined
  const take = (line: string) => {
    if (socket.destroyed) return
    try {
      onMessage(JSON.parse(line) as In)
    } catch (error) {
      failure = error as Error
      socket.destroy()
    }
  }
  socket.on('data', splitLines(take))
  socket.on('error', error => {
    failure = error
  })
  socket.on('close', () => onClose(failure))
  return {
    send: message => {
      if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`)
    },
    get backlog() {
      return socket.writableLength
    },
    close: () => socket.destroy(),
  }
}

const LINE_FEED = 10

/**
 * Takes bytes and gives each line in them as soon as its line feed is there. `node:readline` would not do: it also ends a line at U+2028, which
 * may stand in a JSON text.
 */
export function splitLines(take: (line: string) => void): (chunk: Buffer) => void {
  let begun: Buffer[] = []
  return chunk => {
    let from = 0
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      const line = Buffer.concat([...begun, chunk.subarray(from, end)]).toString('utf8')
      begun = []
      from = end + 1
      take(line)
    }
    if (from < chunk.length) begun.push(chunk.subarray(from))
  }
}
