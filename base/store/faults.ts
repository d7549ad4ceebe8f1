/** Turns errors of the system and of SQLite into errors of the error table. */
import { BerthError, type ErrorCode, messageOf } from '../kernel/errors.ts'

/** Primary result codes of SQLite, https://sqlite.org/rescode.html. An extended result code has the primary one in its low byte. */
const sqliteCodes: Readonly<Record<number, ErrorCode>> = {
  8: 'DATA_UNWRITABLE', // READONLY
  10: 'STORE_FAILED', // IOERR
  11: 'DATA_DAMAGED', // CORRUPT
  13: 'STORE_FULL', // FULL
  14: 'DATA_UNWRITABLE', // CANTOPEN
  26: 'DATA_DAMAGED', // NOTADB
}

const systemCodes: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'STORE_FULL',
  EDQUOT: 'STORE_FULL',
  EACCES: 'DATA_UNWRITABLE',
  EPERM: 'DATA_UNWRITABLE',
  EROFS: 'DATA_UNWRITABLE',
  ENOTDIR: 'DATA_UNWRITABLE',
  EEXIST: 'DATA_UNWRITABLE',
  ENOENT: 'DATA_UNWRITABLE',
  EIO: 'STORE_FAILED',
}

/**
 * The error of the table for what was thrown. A `BerthError`, or an error that has no row, is returned unchanged.
 * @param action completes the sentence "Cannot …"
 */
export function storeFault(action: string, thrown: unknown): unknown {
  if (thrown instanceof BerthError || !(thrown instanceof Error)) return thrown
  const { errcode, code } = thrown as { errcode?: number; code?: string }
  const row = errcode === undefined ? systemCodes[code ?? ''] : sqliteCodes[errcode & 0xff]
  return row === undefined ? thrown : new BerthError(row, `Cannot ${action}: ${messageOf(thrown)}`, { cause: thrown })
}

export function guarded<T>(action: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw storeFault(action, error)
  }
}

export async function guardedAsync<T>(action: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw storeFault(action, error)
  }
}
