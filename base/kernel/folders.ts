/** Making folders. */
import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a folder, and those above it that are missing. Node's own `recursive` never returns where a file system says that an entry it cannot
 * make is not there, as /proc does.
 * @param mode of those that are made
 * @returns the first that was made, undefined when there was nothing to do
 * @throws what the system says
 */
export function makeFolderSync(path: string, mode = 0o777): string | undefined {
  if (isFolder(path)) return undefined
  const above = dirname(path)
  const first = above === path ? undefined : makeFolderSync(above, mode)
  try {
    mkdirSync(path, { mode })
    return first ?? path
  } catch (error) {
    // Another process may have been faster.
    if (!isFolder(path)) throw error
    return first
  }
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
