/** The connections on the scene port of a cell: how many there may be, how many are its share, and how they end when the cell retires. */
import type { Server as HttpServer } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { limits } from '../kernel/limits.ts'

/** A cell sheds connections when it has more than this multiple of the mean of all cells, and a few on top. */
const SHARE_FACTOR = 1.25
const SHARE_SLACK = 4
/** A cell above its share ends a connection with one in this many of its answers. */
const SHED_EVERY = 8

/** One in so many connections is closed to make room for others: several at a time, because to find them takes a look at all. */
const CLOSED_OF = 64

/** A request to a scene, from its head until its answer has left. */
export interface Exchange {
  /** Called when its connection has closed. */
  end(): void
}

/** What is known of a connection. */
interface Connection {
  readonly exchanges: Set<Exchange>
  /** The one whose request came last. */
  newest: Exchange | undefined
  /** Whether an answer has said that no more follow on it. */
  isEnding: boolean
  /** When its last exchange ended, or else when it was opened; by `performance.now()`. */
  idleSince: number
  /** Whether it has had an answer. */
  isUsed: boolean
}

export class Connections {
  readonly #max: number
  readonly #open = new Map<Socket, Connection>()
  #server: HttpServer | undefined
  #share = { cells: 1, others: 0 }
  #answersOverShare = 0
  #endsEach = false

  /** @param max so many may be open; of more, idle ones are closed */
  constructor(max: number) {
    this.#max = max
  }

  get count(): number {
    return this.#open.size
  }

  /** Looks after the connections of this server from now on. */
  listen(server: HttpServer, handle: unknown, onListening: () => void): void {
    this.#server = server
    server.on('connection', (socket: Socket) => this.#onOpen(socket))
    server.listen(handle, onListening)
  }

  /** @returns how many exchanges the connection has under way now; 0 when it takes no more, and this one must not begin */
  begin(socket: Socket, exchange: Exchange): number {
    const connection = this.#open.get(socket)
    if (connection === undefined) return 1
    if (connection.isEnding) return 0
    connection.newest = exchange
    return connection.exchanges.add(exchange).size
  }

  /** Whether no request came after this one. The answers to those would be lost with the connection. */
  isNewest(socket: Socket, exchange: Exchange): boolean {
    return this.#open.get(socket)?.newest === exchange
  }

  /** An answer says that it is the last one on the connection: a request that comes after that must not be executed. */
  takeNoMore(socket: Socket): void {
    const connection = this.#open.get(socket)
    if (connection !== undefined) connection.isEnding = true
  }

  end(socket: Socket, exchange: Exchange): void {
    const connection = this.#open.get(socket)
    if (connection === undefined) return
    connection.exchanges.delete(exchange)
    connection.idleSince = performance.now()
    connection.isUsed = true
  }

  #onOpen(socket: Socket): void {
    const connection: Connection = {
      exchanges: new Set(),
      newest: undefined,
      isEnding: false,
      idleSince: performance.now(),
      isUsed: false,
    }
    this.#open.set(socket, connection)
    socket.once('close', () => {
      this.#open.delete(socket)
      for (const exchange of connection.exchanges) exchange.end()
    })
    if (this.#open.size > this.#max) this.#makeRoom(socket)
  }

  /**
   * Closes the connections that have been without a request the longest, first those that have never had one. When all have a request, the
   * new connection is closed. Otherwise somebody who keeps many connections open would leave none for others, and then no files.
   */
  #makeRoom(opened: Socket): void {
    const idle = [...this.#open].filter(([socket, { exchanges }]) => exchanges.size === 0 && socket !== opened)
    idle.sort(([, a], [, b]) => Number(a.isUsed) - Number(b.isUsed) || a.idleSince - b.idleSince)
    const closed = idle.length === 0 ? [opened] : idle.slice(0, Math.ceil(this.#max / CLOSED_OF)).map(([socket]) => socket)
    for (const socket of closed) {
      this.#open.delete(socket)
      socket.destroy()
    }
  }

  /** Takes how many ready cells there are, and how many connections the others have. */
  share(cells: number, others: number): void {
    this.#share = { cells, others }
  }

  /** Whether the answer that is about to be given should end its connection. Ask once for each answer. */
  shouldClose(): boolean {
    if (this.#endsEach) return true
    const mean = (this.#share.others + this.#open.size) / this.#share.cells
    if (this.#open.size <= mean * SHARE_FACTOR + SHARE_SLACK) return false
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
    setTimeout(() => setInterval(() => this.#server?.closeIdleConnections(), limits.process.heartbeatMs), limits.cell.retireIdleMsMax)
    const server = this.#server
    const closed = new Promise<void>(resolve =>
      server === undefined ? resolve() : NetServer.prototype.close.call(server, () => resolve()),
    )
    await Promise.race([closed, delay(limits.cell.retireLingerMsMax)])
    for (const socket of this.#open.keys()) socket.destroy()
  }
}
