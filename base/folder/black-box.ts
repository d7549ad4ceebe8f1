/**
 * The black box of a cell: a file that records which slots are running code. When the cell has died, the supervisor reads it. The supervisor
 * also opens it, and passes it on as a file descriptor, because a cell is not allowed to open files for writing.
 */
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs'

/** A slot that is running code, or was when its cell died. */
export interface RunningSlot extends Whereabouts {
  readonly scene: string
  readonly version: string
  /** Milliseconds since its turn, or the load of its module, began. */
  readonly runningMs: number
}

/** Where code of a slot was last seen, as far as that is known: the stage, or the module that was being loaded. */
export interface Whereabouts {
  readonly stage?: string | undefined
  readonly module?: string | undefined
}

/** The descriptor of the black box in a cell. Lower ones are taken by the standard streams and IPC. */
export const BLACK_BOX_FD = 4

/**
 * Bytes of a row: the start of the turn (float64, milliseconds by `machineTime`, 0 for an unused row), then `scene version`; then, at `SEEN_AT`,
 * the start of the turn in which code was seen last, and where that was, `stage module`. Texts are in UTF-8, cut off at the end of their space
 * and padded with zeros.
 */
const ROW_BYTES = 512
const NAME_AT = 8
const SEEN_AT = 160
const PLACE_AT = SEEN_AT + 8
const ROWS_MAX = 256

/** The beginning of `performance.now()` of this process on the monotonic clock of the machine, in milliseconds. */
const beganAt = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/** Milliseconds by the monotonic clock of the machine, which is the same in all of its processes. */
const machineTime = (): number => beganAt + performance.now()

interface Row {
  readonly index: number
  readonly bytes: Buffer
  isRunning: boolean
  /** Whether another slot has the place now. */
  isLost: boolean
}

export class BlackBox {
  readonly #fd: number
  readonly #onFailed: (error: unknown) => void
  /**
   * By slot. A killed slot that still runs and its successor have one row each. A slot that has come to rest keeps its row until another needs the place: to
   * take one for each turn would cost more than to write it.
   */
  readonly #rows = new WeakMap<object, Row>()
  /** By index. */
  readonly #all: Row[] = []
  #failed = false

  /** @param onFailed is called at the first write that fails; requests are then served without a record */
  constructor(fd: number, onFailed: (error: unknown) => void) {
    this.#fd = fd
    this.#onFailed = onFailed
  }

  /** Records that the slot begins to run code, which takes about a microsecond. Slots beyond the number of rows are not recorded. */
  begin(slot: object, scene: string, version: string): void {
    const row = this.#rowOf(slot) ?? this.#take(slot, `${scene} ${version}`)
    if (row === undefined) return
    row.isRunning = true
    row.bytes.writeDoubleLE(machineTime())
    this.#write(row, 0, SEEN_AT)
  }

  /** Records where the code of a slot is that has been running for a while. */
  see(slot: object, { stage = '', module = '' }: Whereabouts): void {
    const row = this.#rowOf(slot)
    if (row === undefined) return
    row.bytes.copy(row.bytes, SEEN_AT, 0, NAME_AT)
    row.bytes.fill(0, PLACE_AT)
    row.bytes.write(`${stage} ${module}`, PLACE_AT)
    this.#write(row, SEEN_AT, ROW_BYTES - SEEN_AT)
  }

  /** Records that the slot runs no code any more. */
  end(slot: object): void {
    const row = this.#rowOf(slot)
    if (row === undefined) return
    row.isRunning = false
    row.bytes.fill(0, 0, NAME_AT)
    this.#write(row, 0, NAME_AT)
  }

  #rowOf(slot: object): Row | undefined {
    const row = this.#rows.get(slot)
    return row?.isLost ? undefined : row
  }

  #take(slot: object, name: string): Row | undefined {
    const isFull = this.#all.length === ROWS_MAX
    const rested = isFull ? this.#all.find(({ isRunning }) => !isRunning) : undefined
    if (isFull && rested === undefined) return undefined
    if (rested !== undefined) rested.isLost = true
    const row = { index: rested?.index ?? this.#all.length, bytes: Buffer.alloc(ROW_BYTES), isRunning: false, isLost: false }
    row.bytes.write(name, NAME_AT, SEEN_AT - NAME_AT)
    this.#all[row.index] = row
    this.#rows.set(slot, row)
    return row
  }

  #write({ bytes, index }: Row, from: number, length: number): void {
    try {
      writeSync(this.#fd, bytes, from, length, index * ROW_BYTES + from)
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
export function closeBlackBox(fd: number): RunningSlot[] {
  const running = readBlackBox(fd)
  closeSync(fd)
  return running
}

/** @returns the slots that are running code, the longest running first */
export function readBlackBox(fd: number): RunningSlot[] {
  const rows = Buffer.alloc(ROW_BYTES * ROWS_MAX)
  const bytes = readSync(fd, rows, 0, rows.length, 0)
  const running: RunningSlot[] = []
  for (let at = 0; at + ROW_BYTES <= bytes; at += ROW_BYTES) {
    const row = rows.subarray(at, at + ROW_BYTES)
    if (row.readDoubleLE() > 0) running.push(readRow(row))
  }
  return running.sort((a, b) => b.runningMs - a.runningMs)
}

function readRow(row: Buffer): RunningSlot {
  const startedAt = row.readDoubleLE()
  const [scene = '', version = ''] = wordsIn(row.subarray(NAME_AT, SEEN_AT))
  // What was seen in an earlier turn says nothing about this one.
  const [stage = '', module = ''] = row.readDoubleLE(SEEN_AT) === startedAt ? wordsIn(row.subarray(PLACE_AT)) : []
  // The clocks of two processes may differ by a little.
  const runningMs = Math.max(0, Math.round(machineTime() - startedAt))
  const place = { ...(stage !== '' && { stage }), ...(module !== '' && { module }) }
  return { scene, version, runningMs, ...place }
}

const wordsIn = (bytes: Buffer): string[] => bytes.toString('utf8').replace(/\0+$/, '').split(' ')
