/**
 * A cell's black box: a file that says which slots were running code, read by the supervisor when the cell has died. The supervisor opens it
 * and hands it over as a file descriptor, since a cell may open no file to write.
 */
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs'

/** A slot that was running code when its cell died. */
export interface Suspect {
  readonly scene: string
  readonly version: string
  /** Milliseconds from the begin of its turn to when the cell was found dead. */
  readonly runningMs: number
}

/** Descriptor of the black box in a cell: after standard streams and IPC. */
export const BLACK_BOX_FD = 4

/** Bytes of a row: when the turn began (float64, milliseconds since the epoch, 0 for none), then `scene version`, UTF-8, padded with zeros. */
const ROW_BYTES = 160
const NAME_AT = 8
const ROWS_MAX = 256

interface Row {
  readonly place: number
  readonly bytes: Buffer
}

export class BlackBox {
  readonly #fd: number
  readonly #onFailed: (error: unknown) => void
  /** By slot: one that was killed and its successor have a row each. */
  readonly #rows = new Map<object, Row>()
  readonly #free: number[] = []
  readonly #none = Buffer.alloc(NAME_AT)
  #failed = false

  /** @param onFailed is told once that the box cannot be written; requests go on without a record */
  constructor(fd: number, onFailed: (error: unknown) => void) {
    this.#fd = fd
    this.#onFailed = onFailed
  }

  /** Says that the slot begins to run code; about a microsecond. Slots beyond the number of rows go unrecorded. */
  begin(slot: object, scene: string, version: string): void {
    const row = this.#rows.get(slot) ?? this.#take(slot, `${scene} ${version}`)
    if (row === undefined) return
    row.bytes.writeDoubleLE(Date.now())
    this.#write(row.bytes, ROW_BYTES, row.place)
  }

  /** Says that it runs none any more. */
  end(slot: object): void {
    const row = this.#rows.get(slot)
    if (row === undefined) return
    this.#write(this.#none, NAME_AT, row.place)
    this.#rows.delete(slot)
    this.#free.push(row.place)
  }

  #take(slot: object, name: string): Row | undefined {
    const place = this.#free.pop() ?? this.#rows.size
    if (place >= ROWS_MAX) return undefined
    const row = { place, bytes: Buffer.alloc(ROW_BYTES) }
    row.bytes.write(name, NAME_AT)
    this.#rows.set(slot, row)
    return row
  }

  #write(bytes: Buffer, length: number, place: number): void {
    try {
      writeSync(this.#fd, bytes, 0, length, place * ROW_BYTES)
    } catch (error) {
      if (!this.#failed) this.#onFailed(error)
      this.#failed = true
    }
  }
}

/**
 * A new black box, with its room on the disk taken ahead. Its file has no name any more where the system allows that, so that none is left behind.
 * Throws what the system says when there can be none.
 */
export function openBlackBox(path: string): number {
  const fd = openSync(path, 'w+', 0o600)
  try {
    if (process.platform !== 'win32') rmSync(path)
    writeSync(fd, Buffer.alloc(ROW_BYTES * ROWS_MAX), 0, ROW_BYTES * ROWS_MAX, 0)
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** What the black box of a dead cell says, the longest running first. It is closed then. */
export function closeBlackBox(fd: number): Suspect[] {
  const rows = Buffer.alloc(ROW_BYTES * ROWS_MAX)
  const bytes = readSync(fd, rows, 0, rows.length, 0)
  closeSync(fd)
  const suspects: Suspect[] = []
  for (let at = 0; at + ROW_BYTES <= bytes; at += ROW_BYTES) {
    const startedAt = rows.readDoubleLE(at)
    const [scene = '', version = ''] = rows
      .toString('utf8', at + NAME_AT, at + ROW_BYTES)
      .replace(/\0+$/, '')
      .split(' ')
    if (startedAt > 0) suspects.push({ scene, version, runningMs: Math.round(Date.now() - startedAt) })
  }
  return suspects.sort((a, b) => b.runningMs - a.runningMs)
}
