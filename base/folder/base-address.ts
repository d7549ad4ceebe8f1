/** Where a base can be reached: it says so in its data folder for as long as it runs. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { addressPath } from './paths.ts'

export interface BaseAddress {
  /** Of this run of the base; `GET /` of its control API says it too. So a file that was left behind is not taken for the base that answers now. */
  readonly id: string
  /** URL of the control API, as it is reached on this machine. */
  readonly control: string
  /** URL of the scene port, as it is reached on this machine. */
  readonly scenes: string
  /** The process of the supervisor. */
  readonly pid: number
  readonly mode: string
  /** ISO 8601. */
  readonly startedAt: string
}

/** The URL of a port on this machine. A host that stands for all addresses is reached at the loopback address. */
export function urlOf(host: string, port: number): string {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

/** Writes the file whole or not at all. It is readable by the owner only, as the token beside it. @throws as the file system */
export function writeAddress(data: string, address: Omit<BaseAddress, 'startedAt'>): void {
  const path = addressPath(data)
  const unfinished = `${path}.${address.pid}`
  try {
    writeFileSync(unfinished, `${JSON.stringify({ ...address, startedAt: new Date().toISOString() }, null, 2)}\n`, { mode: 0o600 })
    renameSync(unfinished, path)
  } catch (error) {
    rmSync(unfinished, { force: true })
    throw error
  }
}

/** Idempotent. Never throws: a file that stays behind is found out, since nobody answers with its id. */
export function removeAddress(data: string): void {
  try {
    rmSync(addressPath(data), { force: true })
  } catch {
    // The folder cannot be written any more, and the base ends all the same.
  }
}

/** What the file says; undefined when there is none, or none that this user can read. Whether its base still runs must be asked at the address. */
export function readAddress(data: string): BaseAddress | undefined {
  try {
    const address = Object(JSON.parse(readFileSync(addressPath(data), 'utf8'))) as Partial<BaseAddress>
    return typeof address.id === 'string' && URL.canParse(address.control ?? '') ? (address as BaseAddress) : undefined
  } catch {
    return undefined
  }
}
