/** The connections on the scene port of a cell: how many are its share, and how they end when the cell retires. */
import type { Server as HttpServer } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { limits } from '../kernel/limits.ts'

/** A cell sheds connections when it has more than this multiple of the mean of all cells, and a few on top. */
const SHARE_FACTOR = 1.25
const SHARE_SLACK = 4
/** A cell above its share ends a connection with one in this many of its answers. */
const SHED_EVERY = 8

export class Connections {
  readonly #server: HttpServer
  readonly #sockets = new Set<Socket>()
  #share = { cells: 1, others: 0 }
  #answersOverShare = 0
  #endsEach = false

  constructor(server: HttpServer) {
    this.#server = server
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  get count(): number {
    return this.#sockets.size
  }

  listen(handle: unknown, onListening: () => void): void {
    this.#server.listen(handle, onListening)
  }

  /** Takes how many ready cells there are, and how many connections the others have. */
  share(cells: number, others: number): void {
    this.#share = { cells, others }
  }

  /** Whether the answer that is about to be given should end its connection. Ask once for each answer. */
  shouldClose(): boolean {
    if (this.#endsEach) return true
    const mean = (this.#share.others + this.#sockets.size) / this.#share.cells
    if (this.#sockets.size <= mean * SHARE_FACTOR + SHARE_SLACK) return false
    return ++this.#answersOverShare % SHED_EVERY === 0
  }

  /** From now on each connection ends with its next answer, so that its client finds another cell. New ones are still taken. */
  endEach(): void {
    this.#endsEach = true
  }

  /**
   * Stops listening, and resolves when all connections have ended, after `limits.cell.retireLingerMsMax` at the latest. A connection lives until
   * its client has had an answer that says `Connection: close`. To close idle ones at once, as `http.Server.close` does, would lose a request
   * that is on its way on one of them.
   */
  async close(): Promise<void> {
    this.endEach()
    // A client that has sent nothing for so long is not about to send anything: it is a pool that keeps connections, or a person's
    // terminal.
    setTimeout(() => setInterval(() => this.#server.closeIdleConnections(), limits.process.heartbeatMs), limits.cell.retireIdleMsMax)
    const closed = new Promise<void>(resolve => NetServer.prototype.close.call(this.#server, () => resolve()))
    await Promise.race([closed, delay(limits.cell.retireLingerMsMax)])
    for (const socket of this.#sockets) socket.destroy()
  }
}
