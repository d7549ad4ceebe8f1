/** Writes files that are either whole or absent, even if the power fails at any moment. */
import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeFolderSync } from '../kernel/folders.ts'

export interface WriteOptions {
  /** Path of the unfinished file, which must be on the same file system. @default beside `path` */
  readonly temporary?: string
  /** @default 0o600 */
  readonly mode?: number
}

/**
 * Puts `content` at `path` in one durable step: the file is written beside it, synced and renamed, and then the folder is synced. Content that comes
 * in parts and throws leaves nothing behind.
 */
export async function writeWhole(
  path: string,
  content: string | Uint8Array | AsyncIterable<Uint8Array>,
  options: WriteOptions = {},
): Promise<void> {
  const temporary = options.temporary ?? `${path}.${randomUUID()}.part`
  try {
    const file = await open(temporary, 'wx', options.mode ?? 0o600)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncFolder(dirname(path))
}

/** Whether a folder has room for a file of so many bytes. */
export async function hasRoom(folder: string, bytes: number): Promise<boolean> {
  const probe = join(folder, `.room-${randomUUID()}`)
  try {
    await writeWhole(probe, Buffer.alloc(bytes))
    await rm(probe, { force: true })
    return true
  } catch {
    // Whatever is wrong with the disk, those who write there say it.
    return false
  }
}

/** Makes the names of files that were created or renamed in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  // Windows cannot open a folder as a file; NTFS writes renames to its journal by itself.
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Makes a folder if it is not there, and makes its entry in the folder above durable. */
export async function makeFolder(path: string): Promise<void> {
  const first = makeFolderSync(path)
  if (first !== undefined) await syncFolder(dirname(first))
}
