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

export class BlackBox {
  readonly #fd: number
  readonly #rows = new Map<string, Buffer>()
  readonly #free: number[] = []
  readonly #places = new Map<string, number>()
  readonly #none = Buffer.alloc(NAME_AT)

  constructor(fd: number) {
    this.#fd = fd
  }

  /** Says that the slot begins to run code; about a microsecond. Slots beyond the number of rows go unrecorded. */
  begin(scene: string, version: string): void {
    const name = `${scene} ${version}`
    const place = this.#places.get(name) ?? this.#take(name)
    if (place === undefined) return
    const row = this.#rowOf(name)
    row.writeDoubleLE(Date.now())
    writeSync(this.#fd, row, 0, ROW_BYTES, place * ROW_BYTES)
  }

  /** Says that it runs none any more. */
  end(scene: string, version: string): void {
    const name = `${scene} ${version}`
    const place = this.#places.get(name)
    if (place === undefined) return
    writeSync(this.#fd, this.#none, 0, NAME_AT, place * ROW_BYTES)
    this.#places.delete(name)
    this.#rows.delete(name)
    this.#free.push(place)
  }

  #take(name: string): number | undefined {
    const place = this.#free.pop() ?? this.#places.size
    if (place >= ROWS_MAX) return undefined
    this.#places.set(name, place)
    return place
  }

  #rowOf(name: string): Buffer {
    let row = this.#rows.get(name)
    if (row === undefined) {
      row = Buffer.alloc(ROW_BYTES)
      row.write(name, NAME_AT)
      this.#rows.set(name, row)
    }
    return row
  }
}

/** A new black box. Its file has no name any more where the system allows that, so that none is ever left behind. */
export function openBlackBox(path: string): number {
  const fd = openSync(path, 'w+', 0o600)
  if (process.platform !== 'win32') rmSync(path)
  return fd
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
