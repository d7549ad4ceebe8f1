/** Makes sure that the data folder exists, can be written, and is used by one base alone. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { blobsPath, databasePath, featuresPath, lockPath, tablePath } from '../folder/paths.ts'
import { BerthError, messageOf } from '../kernel/errors.ts'
import { makeFolderSync, makePrivateSync } from '../kernel/folders.ts'

/** The number of the format of the database; undefined when there is none. The write-ahead log is part of the database afterwards. */
export function databaseFormat(data: string): number | undefined {
  if (!existsSync(databasePath(data))) return undefined
  const db = new DatabaseSync(databasePath(data))
  try {
    return Number(db.prepare('pragma user_version').get()?.user_version)
  } finally {
    db.close()
  }
}

/**
 * Puts the copy back in place that a release has made which upgraded the database from this format. What it has written since is lost. Nothing may have the
 * database open.
 * @returns whether it did
 */
export function restoreFormat(data: string, format: number | undefined): boolean {
  const path = databasePath(data)
  const copy = `${path}.format-${format}`
  // Its write-ahead log must not be left beside another database: closing it, as this does, removes the log.
  if (databaseFormat(data) === format || !existsSync(copy)) return false
  // It is of a later revision than the copy, and cells have its tables already.
  rmSync(tablePath(data), { force: true })
  renameSync(copy, path)
  return true
}

export interface FolderLock {
  /** Idempotent. */
  release(): void
}

/** Result codes of SQLite: `SQLITE_BUSY` and `SQLITE_FULL`. */
const BUSY = 5
const FULL = 13

/**
 * Makes the folder if it is missing (readable by its owner only) and locks it. The kernel keeps the lock, so it ends with the process, however that ends.
 * @throws {BerthError} `DATA_UNWRITABLE`, `STORE_FULL`, or at once `DATA_LOCKED` while another base has it.
 */
export function lockFolder(data: string): FolderLock {
  probeFolder(data)
  const holder = holderPath(data)
  const lock = openLock(data, holder)
  return {
    release: () => {
      if (!lock.isOpen) return
      rmSync(holder, { force: true })
      lock.close()
    },
  }
}

/** A file with the id of the process that has the lock, for the error message of the next one. It is not the lock itself. */
const holderPath = (data: string): string => `${lockPath(data)}.pid`

/**
 * Makes the folders that cells read, since a process in bubblewrap sees only what there was when it started. On a full disk they are left out, and a
 * base that had them before has them now.
 */
export function makeShownFolders(data: string): void {
  for (const path of [blobsPath(data), featuresPath(data)]) {
    try {
      makeFolderSync(path, 0o700)
    } catch {
      // The store says what is wrong with the disk.
    }
  }
}

function probeFolder(data: string): void {
  const probe = join(data, `.probe-${process.pid}`)
  try {
    makeFolderSync(data, 0o700)
    writeFileSync(probe, '')
    rmSync(probe)
  } catch (error) {
    if (isFull(error) && existsSync(data)) return
    throw unusable(`Cannot write to the data folder "${data}"`, error)
  }
}

function openLock(data: string, holder: string): DatabaseSync {
  let lock: DatabaseSync | undefined
  // Who can read it could lock it, and keep the base from it.
  makePrivateSync(lockPath(data))
  try {
    lock = new DatabaseSync(lockPath(data))
    // With its journal in memory the lock takes no room: a base starts on a full disk, and serves what it has.
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    noteHolder(holder)
    return lock
  } catch (error) {
    lock?.close()
    if ((error as { errcode?: number }).errcode === BUSY) throw lockedError(data, error)
    throw unusable(`Cannot lock the data folder "${data}"`, error)
  }
}

/** On a full disk the file may be missing or empty, and then the error message of the next base names no process. */
function noteHolder(holder: string): void {
  try {
    writeFileSync(holder, `${process.pid}\n`, { mode: 0o600 })
  } catch (error) {
    if (!isFull(error)) throw error
  }
}

function isFull(error: unknown): boolean {
  const { errcode, code } = error as { errcode?: number; code?: string }
  return errcode === FULL || code === 'ENOSPC' || code === 'EDQUOT'
}

function unusable(action: string, cause: unknown): BerthError {
  return new BerthError(isFull(cause) ? 'STORE_FULL' : 'DATA_UNWRITABLE', `${action}: ${messageOf(cause)}`, { cause })
}

function lockedError(data: string, cause: unknown): BerthError {
  return new BerthError('DATA_LOCKED', `Cannot use the data folder "${data}": another base${holderOf(data)} runs on it`, { cause })
}

function holderOf(data: string): string {
  try {
    const holder = readFileSync(holderPath(data), 'utf8').trim()
    return holder === '' ? '' : ` (process ${holder})`
  } catch {
    // The other base may have taken the lock and not written this file yet.
    return ''
  }
}
