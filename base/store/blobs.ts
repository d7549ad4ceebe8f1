/** Content-addressed files: written once, found by the sha256 of their bytes, never changed. */
import { randomUUID } from 'node:crypto'
import { rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { blobPath, digestOf, readBlob } from '../wire/blobs.ts'
import { blobsPath } from '../wire/paths.ts'
import { guardedAsync } from './faults.ts'
import { makeFolder, writeWhole } from './files.ts'

export class Blobs {
  readonly #data: string
  readonly #unfinished: string

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
