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

/** Exchanges that have ended, on any connection. */
let ended = 0

/** A connection on the scene port. */
export class Connection {
  /** Under way, in the order in which their requests came. */
  readonly #exchanges: Exchange[] = []
  /** The one whose request came last. */
  #newest: Exchange | undefined = undefined
  /** Whether an answer has said that no more follow on it. */
  #isEnding = false
  /** What is smaller has been without a request longer: how many exchanges had ended when its last one did, or else when it was opened. */
  idleSince = ended
  /** Whether it has had an answer. */
  isUsed = false

  get isIdle(): boolean {
    return this.#exchanges.length === 0
  }

  /** @returns how many exchanges are under way now; 0 when the connection takes no more, and this one must not begin */
  begin(exchange: Exchange): number {
    if (this.#isEnding) return 0
    this.#newest = exchange
    return this.#exchanges.push(exchange)
  }

  /** Whether no request came after this one. The answers to those would be lost with the connection. */
  isNewest(exchange: Exchange): boolean {
    return this.#newest === exchange
  }

  /** An answer says that it is the last one: a request that comes after that must not be executed. */
  takeNoMore(): void {
    this.#isEnding = true
  }

  end(exchange: Exchange): void {
    const at = this.#exchanges.indexOf(exchange)
    if (at < 0) return
    if (at === this.#exchanges.length - 1) this.#exchanges.pop()
    else this.#exchanges.splice(at, 1)
    // The connection goes on, and would keep the whole exchange from the collector of young objects.
    if (this.#newest === exchange) this.#newest = undefined
    this.idleSince = ++ended
    this.isUsed = true
  }

  onClose(): void {
    for (const exchange of this.#exchanges.splice(0)) exchange.end()
  }
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

  /** The connection of a socket. */
  of(socket: Socket): Connection {
    return this.#open.get(socket) ?? new Connection()
  }

  #onOpen(socket: Socket): void {
    const connection = new Connection()
    this.#open.set(socket, connection)
    socket.once('close', () => {
      this.#open.delete(socket)
      connection.onClose()
    })
    if (this.#open.size > this.#max) this.#makeRoom(socket)
  }

  /**
   * Closes the connections that have been without a request the longest, first those that have never had one. When all have a request, the
   * new connection is closed. Otherwise somebody who keeps many connections open would leave none for others, and then no files.
   */
  #makeRoom(opened: Socket): void {
    const idle = [...this.#open].filter(([socket, { isIdle }]) => isIdle && socket !== opened)
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
