/** One JSON object a line over a local socket. */
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'

export interface Lines<Out> {
  send(message: Out): void
  /** Bytes sent that the other side has not taken yet. */
  readonly backlog: number
  /** Idempotent. */
  close(): void
}

/**
 * Reads messages of type `In` off the socket until it closes.
 * @param onMessage is called for each, in order.
 * @param onClose is called once, with the error when there was one.
 */
export function openLines<In, Out>(socket: Socket, onMessage: (message: In) => void, onClose: (error?: Error) => void): Lines<Out> {
  const reader = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })
  let failure: Error | undefined
  reader.on('line', line => {
    try {
      onMessage(JSON.parse(line) as In)
    } catch (error) {
      failure = error as Error
      socket.destroy()
    }
  })
  // The reader emits the errors of its socket again, and one that nobody hears ends the process.
  reader.on('error', error => {
    failure = error
  })
  socket.on('error', error => {
    failure = error
  })
  socket.on('close', () => {
    reader.close()
    onClose(failure)
  })
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
