/** A cell's line to the keeper: the scene tables that come down it, and what the cell tells. */
import { connect } from 'node:net'
import { keeperSocketPath } from '../folder/paths.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import { type Lines, openLines } from '../wire/lines.ts'
import type { CellToKeeper, KeeperToCell } from '../wire/messages.ts'

const RECONNECT_MS = 200

export interface KeeperLink {
  /** Lost without complaint while the keeper is away: it asks again when it returns, and what must not be lost is kept by who sends it. */
  send(message: CellToKeeper): void
  /** Whether the keeper is there and keeps up: what can wait should, while it does not. */
  readonly keepsUp: boolean
  close(): void
}

/**
 * Connects, and connects again whenever the keeper went away.
 * @param hello is made anew for each connection.
 */
export function linkKeeper(data: string, log: Logger, hello: () => CellToKeeper, onMessage: (message: KeeperToCell) => void): KeeperLink {
  let lines: Lines<CellToKeeper> | undefined
  let retry: NodeJS.Timeout | undefined
  let closed = false
  const open = () => {
    const socket = connect(keeperSocketPath(data))
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
