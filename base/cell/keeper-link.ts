/** The connection of a cell to the keeper: scene tables and requests come from there, answers and log lines go there. */
import { connect } from 'node:net'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import { type Lines, openLines } from '../wire/lines.ts'
import type { CellToKeeper, KeeperToCell } from '../wire/messages.ts'

const RECONNECT_MS = 200

export interface KeeperLink {
  /** Sends a message, which is dropped while the keeper is away: a keeper that is back asks again, and whoever must not lose a message keeps it. */
  send(message: CellToKeeper): void
  /** Whether the keeper is there and reads what it is sent. While it does not, do not send what can wait. */
  readonly keepsUp: boolean
  close(): void
}

/**
 * Connects, and connects again whenever the keeper went away.
 * @param path of the socket of the keeper
 * @param hello makes the first message of each connection
 */
export function linkKeeper(path: string, log: Logger, hello: () => CellToKeeper, onMessage: (message: KeeperToCell) => void): KeeperLink {
  let lines: Lines<CellToKeeper> | undefined
  let retry: NodeJS.Timeout | undefined
  let closed = false
  const open = () => {
    const socket = connect(path)
    const opened = openLines<KeeperToCell, CellToKeeper>(socket, onMessage, error => {
      if (lines === opened) log.warn({ err: error }, 'keeper is away: serving on with the table in force')
      lines = lines === opened ? undefined : lines
      if (!closed) retry = setTimeout(open, RECONNECT_MS)
    })
    socket.on('connect', () => {
      lines = opened
      opened.send(hello())
    })
  }
  open()
  return {
    send: message => lines?.send(message),
    get keepsUp() {
      return lines !== undefined && lines.backlog < limits.cell.keeperBacklogBytesMax
    },
    close: () => {
      closed = true
      clearTimeout(retry)
      lines?.close()
    },
  }
}
