/** Content-addressed files: written once, found by the sha256 of their bytes, never changed. */
import { randomUUID } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { blobPath, digestOf, readBlob } from '../folder/blob-files.ts'
import { blobsPath } from '../folder/paths.ts'
import { guardedAsync } from './faults.ts'
import { makeFolder, writeWhole } from './files.ts'

const DIGEST = /^[0-9a-f]{64}$/

export class Blobs {
  readonly #data: string
  readonly #unfinished: string
  /** What nothing referred to at the last look, and nobody has put or asked for since. */
  readonly #unused = new Set<string>()

  constructor(data: string) {
    this.#data = data
    this.#unfinished = join(blobsPath(data), 'unfinished')
  }

  /**
   * Keeps the bytes; when this resolves they survive a power loss. Idempotent, and mends a blob that was damaged on disk.
   * @returns their digest.
   * @throws STORE_FULL, DATA_UNWRITABLE; there is no blob then, never a wrong one.
   */
  async put(bytes: Uint8Array): Promise<string> {
    const digest = await digestOf(bytes)
    this.#unused.delete(digest)
    if (await this.#isWhole(digest)) return digest
    const path = blobPath(this.#data, digest)
    await guardedAsync(`keep blob "${digest}"`, async () => {
      await makeFolder(this.#unfinished)
      await makeFolder(dirname(path))
      await writeWhole(path, bytes, { temporary: join(this.#unfinished, randomUUID()) })
    })
    return digest
  }

  /** @throws BLOB_NOT_FOUND, or DATA_DAMAGED (naming the file) when the bytes have changed on disk. */
  read(digest: string): Promise<Buffer> {
    return readBlob(this.#data, digest)
  }

  /** Bytes of a blob, undefined when there is none. The content is not verified. */
  async size(digest: string): Promise<number | undefined> {
    this.#unused.delete(digest)
    try {
      return (await stat(blobPath(this.#data, digest))).size
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async has(digest: string): Promise<boolean> {
    return (await this.size(digest)) !== undefined
  }

  /**
   * Removes blobs that nothing refers to, once two looks in a row have found them so and nobody has put or asked for them in between: what is
   * written before something refers to it, or copied after nothing does, has as long as that.
   * @param referenced the digests that something refers to
   * @returns how many it removed
   */
  async removeUnused(referenced: () => ReadonlySet<string>): Promise<number> {
    const paths = existsSync(blobsPath(this.#data)) ? await readdir(blobsPath(this.#data), { recursive: true }) : []
    const used = referenced()
    const unused = paths.map(path => basename(path)).filter(name => DIGEST.test(name) && !used.has(name))
    const removed = unused.filter(digest => this.#unused.delete(digest))
    // Nothing may come between the look and the removal: whoever puts one of them from now on does not find it, and writes it.
    for (const digest of removed) rmSync(blobPath(this.#data, digest), { force: true })
    this.#unused.clear()
    for (const digest of new Set(unused).difference(new Set(removed))) this.#unused.add(digest)
    return removed.length
  }

  /** Removes what interrupted writes have left. Only for the one process that writes blobs here, before it does. */
  async sweep(): Promise<void> {
    await rm(this.#unfinished, { recursive: true, force: true })
  }

  // Whatever keeps it from being read, writing it again either mends or reports.
  #isWhole(digest: string): Promise<boolean> {
    return this.read(digest).then(
      () => true,
      () => false,
    )
  }
}
