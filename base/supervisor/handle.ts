/** The listening handle that all cells accept on, and errors for ports that an operator can act on. */
import { lookup } from 'node:dns/promises'
import net from 'node:net'
import { getSystemErrorName } from 'node:util'
import { BerthError, messageOf } from '../kernel/errors.ts'

/** A bound socket. The supervisor accepts no connection on it, so connections wait in its queue while a cell is replaced. */
export interface ListenHandle {
  getsockname(out: { port?: number }): number
  close(): void
}

/** The function that node:cluster binds shared sockets with. It returns a negative error number when that fails. No public function binds without accepting. */
interface HandleMaker {
  _createServerHandle(address: string, port: number, addressType: number, fd: number, flags: number): ListenHandle | number
}

/**
 * Checks that a port is free by listening on it for a moment: the system reports a taken port only when a socket listens, which a bound handle does not.
 * @param option that sets the port, for the message
 * @throws {BerthError} `PORT_TAKEN` or `PORT_DENIED`.
 */
export async function probePort(option: string, port: number, host: string): Promise<void> {
  const server = net.createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ port, host, exclusive: true }, resolve)
    })
  } catch (error) {
    throw portError(option, port, host, reasonOf(error), error)
  }
  await new Promise(resolve => server.close(resolve))
}

/**
 * Binds without listening: the first cell that listens opens the port.
 * @returns the handle and its port, which the system chose when `port` is 0.
 * @throws {BerthError} `PORT_TAKEN` or `PORT_DENIED`.
 */
export async function bindHandle(option: string, port: number, host: string): Promise<{ handle: ListenHandle; port: number }> {
  const { address, family } = await lookup(host).catch(error => {
    throw portError(option, port, host, reasonOf(error), error)
  })
  const maker = net as typeof net & HandleMaker
  const handle = maker._createServerHandle(address, port, family, -1, 0)
  if (typeof handle === 'number') throw portError(option, port, host, getSystemErrorName(handle))
  const name: { port?: number } = {}
  const failure = handle.getsockname(name)
  // libuv reports a taken address only when the socket listens. Until then the socket has no port, or another one.
  if (failure === 0 && name.port !== undefined && (port === 0 ? name.port > 0 : name.port === port)) return { handle, port: name.port }
  handle.close()
  throw portError(option, port, host, 'EADDRINUSE')
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there',
  EACCES: 'this user may not listen there',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'the host has no address',
}

const reasonOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? messageOf(error)

function portError(option: string, port: number, host: string, reason: string, cause?: unknown): BerthError {
  const code = reason === 'EADDRINUSE' ? 'PORT_TAKEN' : 'PORT_DENIED'
  return new BerthError(code, `Cannot listen on port ${port} of ${host} (${option}): ${reasons[reason] ?? reason}`, { cause })
}
