/** Proves that this release can work on a data folder, while the keeper of another release does. */
import { existsSync, rmSync, statfsSync, statSync } from 'node:fs'
import { databasePath, upgradeCheckPath } from '../folder/paths.ts'
import { BerthError } from '../kernel/errors.ts'
import { makeFolderSync } from '../kernel/folders.ts'
import { openBaseStore, referencedBlobs } from '../store/base-store.ts'
import { copyDatabase } from '../store/sqlite.ts'
import { Book } from './book/book.ts'

/**
 * Copies the database, upgrades the copy if it is of an older format, and makes everything of it that a keeper has at its start. The copy is removed.
 * It takes as much room as the database has, and a second or two for each 100 MB.
 * @returns what it has found, for people
 * @throws STORE_FULL when there is no room for the copy; DATA_FORMAT_NEWER, DATA_DAMAGED, DATA_UNWRITABLE
 */
export async function proveFolder(data: string): Promise<string> {
  const copy = upgradeCheckPath(data)
  // One that was killed has left its copy.
  rmSync(copy, { recursive: true, force: true })
  requireRoom(data)
  try {
    makeFolderSync(copy, 0o700)
    copyDatabase(data, databasePath(copy))
    return prove(copy)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

function prove(data: string): string {
  const store = openBaseStore(data)
  try {
    const book = new Book(store)
    const { scenes } = book.tables.build()
    book.tokens.list()
    return `revision ${book.revision}, ${scenes.length} scenes, ${referencedBlobs(store).size} blobs`
  } finally {
    store.close()
  }
}

/** The copy of a database that has to be upgraded is copied once more. */
function requireRoom(data: string): void {
  const path = databasePath(data)
  const bytes = [path, `${path}-wal`].reduce((sum, file) => sum + (existsSync(file) ? statSync(file).size : 0), 0)
  const { bavail, bsize } = statfsSync(data)
  if (bavail * bsize > 2 * bytes) return
  const [needed, free] = [2 * bytes, bavail * bsize].map(size => Math.ceil(size / 2 ** 20))
  throw new BerthError('STORE_FULL', `Cannot check the data folder "${data}" on a copy: that takes ${needed} MB, and ${free} MB are free`)
}
