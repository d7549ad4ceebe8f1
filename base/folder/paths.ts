/** Where things are inside a data folder. */
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** `sun_path` is 104 bytes on macOS, 108 on Linux. */
const SOCKET_PATH_MAX = 100

export const databasePath = (data: string): string => join(data, 'berth.db')
export const blobsPath = (data: string): string => join(data, 'blobs')
/** The last scene table, for cells that boot while the keeper is away. */
export const tablePath = (data: string): string => join(data, 'table.json')
/** Feature tables, put there by whoever runs the base. */
export const featuresPath = (data: string): string => join(data, 'features')
/** What modules have logged last, by scene and version. */
export const logsPath = (data: string): string => join(data, 'logs')
/** The token made at the first start, readable by the owner only. */
export const tokenPath = (data: string): string => join(data, 'token')
/** Held in an exclusive transaction by the supervisor for as long as it lives. */
export const lockPath = (data: string): string => join(data, 'lock.db')

/** Where the keeper listens for cells. A deep data folder would overflow a socket address, so it gets a place in the temporary folder. */
export function keeperSocketPath(data: string): string {
  const folder = resolve(data)
  const digest = createHash('sha256').update(folder).digest('hex').slice(0, 16)
  if (process.platform === 'win32') return `\\\\.\\pipe\\berth-${digest}`
  const inside = join(folder, 'keeper.sock')
  return Buffer.byteLength(inside) <= SOCKET_PATH_MAX ? inside : join(tmpdir(), `berth-${digest}.sock`)
}
