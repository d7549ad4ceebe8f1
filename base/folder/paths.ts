/** The paths inside a data folder. */
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** The system limits the address of a socket (`sun_path`) to 104 bytes on macOS and 108 on Linux. */
const SOCKET_PATH_MAX = 100

export const databasePath = (data: string): string => join(data, 'berth.db')
export const blobsPath = (data: string): string => join(data, 'blobs')
/** The last scene table, for cells that start while the keeper is away. */
export const tablePath = (data: string): string => join(data, 'table.json')
/** Feature tables, which whoever runs the base puts there. */
export const featuresPath = (data: string): string => join(data, 'features')
/** The last log lines of modules, by scene and version. */
export const logsPath = (data: string): string => join(data, 'logs')
/** Requests that were captured, by scene. */
export const capsulesPath = (data: string): string => join(data, 'capsules')
/** The token that is made at the first start; only its owner may read the file. */
export const tokenPath = (data: string): string => join(data, 'token')
/** Where the base that runs on the folder can be reached. */
export const addressPath = (data: string): string => join(data, 'base.json')
/** Which release shall take over the base that runs on the folder, and how that goes or went the last time. */
export const upgradePath = (data: string): string => join(data, 'upgrade.json')
export const upgradeLogPath = (data: string): string => join(data, 'upgrade-log.json')
/** A copy of the database, on which another release proves that it can read it. */
export const upgradeCheckPath = (data: string): string => join(data, 'upgrade-check')
/** The supervisor holds this database in an exclusive transaction for as long as it lives. */
export const lockPath = (data: string): string => join(data, 'lock.db')

/**
 * The socket on which the keeper listens for cells. It is in a folder of its own, which can be shown to a process that must not see the rest. If the
 * path in the data folder is too long for a socket, that folder is in the temporary folder.
 */
export function keeperSocketPath(data: string, generation: Generation = 0): string {
  const folder = resolve(data)
  const digest = createHash('sha256').update(folder).digest('hex').slice(0, 16)
  const suffix = generation === 0 ? '' : '-1'
  if (process.platform === 'win32') return `\\\\.\\pipe\\berth-${digest}${suffix}`
  const name = `keeper${suffix}.sock`
  const inside = join(folder, 'run', name)
  return Buffer.byteLength(inside) <= SOCKET_PATH_MAX ? inside : join(tmpdir(), `berth-${digest}`, name)
}

/** While one release takes over from another, each has a keeper's socket of its own: cells never talk to the keeper of another release. */
export type Generation = 0 | 1
