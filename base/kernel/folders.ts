/** Makes folders. */
import { mkdirSync, statSync } from 'node:fs'
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
