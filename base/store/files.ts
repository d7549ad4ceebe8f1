/** Files that are either whole or not there, whenever the power goes. */
import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeFolderSync } from '../kernel/folders.ts'

export interface WriteOptions {
  /** Where the unfinished file is: on the same file system. @default beside `path` */
  readonly temporary?: string
  /** @default 0o600 */
  readonly mode?: number
}

/** Puts `content` at `path` in one step that survives a power loss: written beside, synced, renamed, folder synced. */
export async function writeWhole(path: string, content: string | Uint8Array, options: WriteOptions = {}): Promise<void> {
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

/** Makes what was created or renamed in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  // Windows opens no folders as files; NTFS journals renames by itself.
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Makes a folder, and its entry in the one above durable when it was not there. */
export async function makeFolder(path: string): Promise<void> {
  const first = makeFolderSync(path)
  if (first !== undefined) await syncFolder(dirname(first))
}
