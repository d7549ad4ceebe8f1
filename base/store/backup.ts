/** Makes consistent copies of a data folder, whether a base runs on it or not. */
import { existsSync } from 'node:fs'
import { access, copyFile, mkdtemp, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { databasePath, featuresPath, tokenPath } from '../folder/paths.ts'
import { BerthError } from '../kernel/errors.ts'
import { openBaseStore, referencedBlobs } from './base-store.ts'
import { Blobs } from './blobs.ts'
import { guardedAsync } from './faults.ts'
import { makeFolder, syncFolder } from './files.ts'
import { copyDatabase } from './sqlite.ts'

export interface BackupReport {
  /** Absolute path of the copy. A base can be started on it with `--data`. */
  readonly target: string
  /** Revision of the last commit in the copy. */
  readonly revision: number
  readonly blobs: number
  /** How many feature tables were copied, uploaded ones and files. Modules read them, so a base on the copy needs them. */
  readonly tables: number
}

/**
 * Copies a data folder, as of one revision, to `target`, which must be empty or not exist. The copy appears there whole or not at all.
 * @throws DATA_NOT_FOUND, BACKUP_TARGET_EXISTS, DATA_DAMAGED, DATA_UNWRITABLE, STORE_FULL; the unfinished copy is then removed
 */
export async function backup(data: string, target: string): Promise<BackupReport> {
  const goal = resolve(target)
  await guardedAsync(`back up "${data}"`, () => requireDatabase(data))
  return guardedAsync(`back up to "${goal}"`, async () => {
    await refuseFull(goal)
    await makeFolder(dirname(goal))
    const unfinished = await mkdtemp(join(dirname(goal), `.${basename(goal)}-unfinished-`))
    try {
      const report = await copyData(data, unfinished)
      await replaceEmpty(goal, unfinished)
      return { target: goal, ...report }
    } catch (error) {
      await rm(unfinished, { recursive: true, force: true })
      throw error
    }
  })
}

/** A folder that this user may not look into may well have one. */
async function requireDatabase(data: string): Promise<void> {
  const path = databasePath(data)
  await access(path).catch((error: NodeJS.ErrnoException) => {
    const isThere = error.code !== 'ENOENT' && error.code !== 'ENOTDIR'
    throw isThere ? error : new BerthError('DATA_NOT_FOUND', `Cannot back up "${data}": there is no "${path}"`, { cause: error })
  })
}

async function refuseFull(goal: string): Promise<void> {
  if (!existsSync(goal)) return
  const inside = await readdir(goal).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTDIR') throw error
    return ['it is a file']
  })
  if (inside.length === 0) return
  throw new BerthError('BACKUP_TARGET_EXISTS', `Cannot back up to "${goal}": it is not an empty folder (${inside.slice(0, 3).join(', ')})`)
}

/**
 * Copies the database first and then the blobs that it refers to. All of them are there: a blob is stored before the commit that refers to it, and
 * is kept for at least `limits.keeper.unusedBlobMsMin` after nothing refers to it any more.
 */
async function copyData(data: string, target: string): Promise<Omit<BackupReport, 'target'>> {
  copyDatabase(data, databasePath(target))
  const store = openBaseStore(target)
  // The folder that is copied still is what it was.
  await rm(`${databasePath(target)}.format-1`, { force: true })
  try {
    const digests = referencedBlobs(store)
    const from = new Blobs(data)
    const to = new Blobs(target)
    for (const digest of digests) await to.put(await from.read(digest))
    if (existsSync(tokenPath(data))) await copyFile(tokenPath(data), tokenPath(target))
    const files = await copyTables(featuresPath(data), featuresPath(target))
    return { revision: store.revision, blobs: digests.size, tables: store.list('features').length + files }
  } finally {
    store.close()
  }
}

/**
 * A table is replaced by a rename, so each file is copied whole. A file whose name begins with a dot is not in place yet, and is left out, and so is
 * what no table can be read from, such as a pipe. Of a link, the file that it leads to is copied.
 */
async function copyTables(from: string, to: string): Promise<number> {
  if (!existsSync(from)) return 0
  const entries = (await readdir(from)).filter(name => !name.startsWith('.'))
  const areFiles = await Promise.all(entries.map(name => isFile(join(from, name))))
  const names = entries.filter((_, index) => areFiles[index])
  await makeFolder(to)
  for (const name of names) {
    await copyFile(join(from, name), join(to, name))
    await syncFile(join(to, name))
  }
  await syncFolder(to)
  return names.length
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    stats => stats.isFile(),
    () => false,
  )

/** Makes the copy durable and gives it its name. */
async function replaceEmpty(goal: string, unfinished: string): Promise<void> {
  for (const path of [databasePath(unfinished), tokenPath(unfinished)]) if (existsSync(path)) await syncFile(path)
  await syncFolder(unfinished)
  // `rmdir` removes only an empty folder: it fails if somebody has put a file there in the meantime.
  if (existsSync(goal)) await rmdir(goal)
  await rename(unfinished, goal)
  await syncFolder(dirname(goal))
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
