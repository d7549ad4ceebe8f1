/**
 * The black box of a cell: a file that records which slots are running code. When the cell has died, the supervisor reads it. The supervisor
 * also opens it, and passes it on as a file descriptor, because a cell is not allowed to open files for writing.
 */
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs'

/** A slot that was running code when its cell died. */
export interface Suspect {
  readonly scene: string
  readonly version: string
  /** Milliseconds between the start of its turn and the moment when the cell was found dead. */
  readonly runningMs: number
}

/** The descriptor of the black box in a cell. Lower ones are taken by the standard streams and IPC. */
export const BLACK_BOX_FD = 4

/** Bytes of a row: the start of the turn (float64, milliseconds by `machineTime`, 0 for an unused row), then `scene version` in UTF-8, zero-padded. */
const ROW_BYTES = 160
const NAME_AT = 8
const ROWS_MAX = 256

/** The beginning of `performance.now()` of this process on the monotonic clock of the machine, in milliseconds. */
const beganAt = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/** Milliseconds by the monotonic clock of the machine, which is the same in all of its processes. */
const machineTime = (): number => beganAt + performance.now()

interface Row {
  readonly index: number
  readonly bytes: Buffer
}

export class BlackBox {
  readonly #fd: number
  readonly #onFailed: (error: unknown) => void
  /** The rows in use, by slot. A killed slot that still runs and its successor have one row each. */
  readonly #rows = new Map<object, Row>()
  readonly #free: number[] = []
  /** A start of 0, which marks a row as unused. */
  readonly #unused = Buffer.alloc(NAME_AT)
  #failed = false

  /** @param onFailed is called at the first write that fails; requests are then served without a record */
  constructor(fd: number, onFailed: (error: unknown) => void) {
    this.#fd = fd
    this.#onFailed = onFailed
  }

  /** Records that the slot begins to run code, which takes about a microsecond. Slots beyond the number of rows are not recorded. */
  begin(slot: object, scene: string, version: string): void {
    const row = this.#rows.get(slot) ?? this.#take(slot, `${scene} ${version}`)
    if (row === undefined) return
    row.bytes.writeDoubleLE(machineTime())
    this.#write(row.bytes, ROW_BYTES, row.index)
  }

  /** Records that the slot runs no code any more. */
  end(slot: object): void {
    const row = this.#rows.get(slot)
    if (row === undefined) return
    this.#write(this.#unused, NAME_AT, row.index)
    this.#rows.delete(slot)
    this.#free.push(row.index)
  }

  #take(slot: object, name: string): Row | undefined {
    const index = this.#free.pop() ?? this.#rows.size
    if (index >= ROWS_MAX) return undefined
    const row = { index, bytes: Buffer.alloc(ROW_BYTES) }
    row.bytes.write(name, NAME_AT)
    this.#rows.set(slot, row)
    return row
  }

  #write(bytes: Buffer, length: number, index: number): void {
    try {
      writeSync(this.#fd, bytes, 0, length, index * ROW_BYTES)
    } catch (error) {
      if (!this.#failed) this.#onFailed(error)
      this.#failed = true
    }
  }
}

/**
 * Creates a black box, with its space on the disk reserved in advance. Where the system allows it, the name of the file is removed at once, so that
 * no file is left behind however the processes end.
 * @returns its file descriptor
 * @throws the error of the system when it cannot be created
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

/** Reads the black box of a dead cell and closes it. @returns the slots that were running code, the longest running first */
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
    if (startedAt > 0) suspects.push({ scene, version, runningMs: Math.round(machineTime() - startedAt) })
  }
  return suspects.sort((a, b) => b.runningMs - a.runningMs)
}
