/** Makes folders, and files that are for their owner only. */
import { chmodSync, closeSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a folder and every folder above it that is missing. Node's own option `recursive` is not used, because it never returns on a file
 * system that answers ENOENT when a folder cannot be made there, as /proc does.
 * @param mode permissions of the folders that are made
 * @returns the topmost folder that was made, or undefined when the folder existed
 * @throws the error of the system
 */
export function makeFolderSync(path: string, mode = 0o777): string | undefined {
  if (isFolder(path)) return undefined
  const above = dirname(path)
  const first = above === path ? undefined : makeFolderSync(above, mode)
  try {
    mkdirSync(path, { mode })
    return first ?? path
  } catch (error) {
    // Another process may have made it in the meantime.
    if (!isFolder(path)) throw error
    return first
  }
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

/**
 * Makes the file, empty, for its owner only, or closes one that is there to everybody else. SQLite gives the files that it makes beside a database the
 * mode of that. What the system refuses is left as it is: whoever opens the file finds out whether they can use it.
 */
export function makePrivateSync(path: string): void {
  try {
    const mode = statSync(path, { throwIfNoEntry: false })?.mode
    if (mode === undefined) closeSync(openSync(path, 'a', 0o600))
    else if ((mode & 0o077) !== 0) chmodSync(path, 0o600)
  } catch {
    // The folder cannot be written, or the file belongs to another user.
  }
}
