/** How a peer says where it listens. */
import type { Server } from 'node:http'

export interface Announcement {
  readonly port: number
  /** The processes that answer. */
  readonly pids: readonly number[]
}

export function announce(server: Server): void {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The server listens on no port')
  print({ port: address.port, pids: [process.pid] })
}

export function print(announcement: Announcement): void {
  process.stdout.write(`${JSON.stringify(announcement)}\n`)
}
