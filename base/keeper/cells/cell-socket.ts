/** The socket on which cells find the keeper. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, lstat, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { makeFolderSync } from '../../kernel/folders.ts'
import { limits } from '../../kernel/limits.ts'
import type { Logger } from '../../kernel/log.ts'

/** @throws when the folder is not this user's: whoever owned it could take the place of the keeper */
async function makeRoom(path: string): Promise<void> {
  const folder = dirname(path)
  makeFolderSync(folder, 0o700)
  const { uid } = await lstat(folder)
  if (uid !== process.getuid?.()) throw new Error(`${folder} belongs to another user`)
  await rm(path, { force: true })
}

export class CellSocket {
  readonly #path: string
  readonly #log: Logger
  readonly #onConnection: (socket: Socket) => void
  readonly #connections = new Set<Socket>()
  readonly #looks: NodeJS.Timeout
  #looking = Promise.resolve()
  #server: Server | undefined

  private constructor(path: string, log: Logger, onConnection: (socket: Socket) => void) {
    this.#path = path
    this.#log = log
    this.#onConnection = onConnection
    const onFailed = (error: unknown) =>
      log.error({ err: error }, 'the socket for cells cannot be made: cells that start do not find the keeper')
    const look = () => {
      this.#looking = this.#looking.then(() => this.#look()).catch(onFailed)
    }
    this.#looks = setInterval(look, limits.keeper.socketLookMs).unref()
  }

  /**
   * Makes the socket, which only this user may open, in the place of one that a killed keeper has left. It is made again whenever its file
   * is gone, since some programs tidy temporary folders.
   */
  static async open(path: string, log: Logger, onConnection: (socket: Socket) => void): Promise<CellSocket> {
    const opened = new CellSocket(path, log, onConnection)
    try {
      await opened.#listen()
      return opened
    } catch (error) {
      clearInterval(opened.#looks)
      throw error
    }
  }

  /** Ends the socket and every connection. */
  async close(): Promise<void> {
    clearInterval(this.#looks)
    await this.#looking
    const closed = this.#server?.listening ? once(this.#server, 'close') : undefined
    this.#server?.close()
    for (const connection of this.#connections) connection.destroy()
    await closed
  }

  async #look(): Promise<void> {
    if (process.platform === 'win32' || existsSync(this.#path)) return
    this.#log.warn({ path: this.#path }, 'the socket for cells was removed: it is made again')
    // The old server closes first, because closing a server removes whatever file has the name of its socket.
    this.#server?.close()
    await this.#listen()
  }

  async #listen(): Promise<void> {
    const server = createServer(connection => this.#connect(connection))
    if (process.platform !== 'win32') await makeRoom(this.#path)
    server.listen(this.#path)
    await once(server, 'listening')
    try {
      if (process.platform !== 'win32') await chmod(this.#path, 0o600)
    } catch (error) {
      // The file is gone already: no cell could find this server, and nobody else would close it.
      server.close()
      throw error
    }
    this.#server = server
  }

  #connect(connection: Socket): void {
    this.#connections.add(connection)
    connection.once('close', () => this.#connections.delete(connection))
    this.#onConnection(connection)
  }
}
