/** Stores content-addressed files: each is written once, is named by the sha256 of its bytes, and never changes. */
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { blobPath, digestOf, readBlob } from '../folder/blob-files.ts'
import { blobsPath } from '../folder/paths.ts'
import { BerthError } from '../kernel/errors.ts'
import { guardedAsync } from './faults.ts'
import { makeFolder, writeWhole } from './files.ts'

const DIGEST = /^[0-9a-f]{64}$/

export class Blobs {
  readonly #data: string
  readonly #unfinished: string
  /** Digests to which nothing referred at the last look, and which nobody has stored or asked for since. */
  readonly #unused = new Set<string>()

  constructor(data: string) {
    this.#data = data
    this.#unfinished = join(blobsPath(data), 'unfinished')
  }

  /**
   * Stores the bytes. When this resolves, they survive a power loss. It is idempotent, and replaces a blob that is damaged on disk.
   * @returns the digest of the bytes
   * @throws STORE_FULL, DATA_UNWRITABLE; nothing is stored then
   */
  async put(bytes: Uint8Array): Promise<string> {
    const digest = await digestOf(bytes)
    this.#unused.delete(digest)
    if (!(await this.#isWhole(digest))) await this.#write(digest, bytes)
    return digest
  }

  /**
   * Stores bytes that come in parts, of which only one is in memory at a time, otherwise as `put` does.
   * @param digest that the bytes must have
   * @returns how many bytes there are
   * @throws BLOB_DIGEST_MISMATCH; BODY_TOO_LARGE when there are more than `bytesMax`; what `parts` throws; nothing is stored then
   */
  async putParts(digest: string, parts: AsyncIterable<Uint8Array>, bytesMax: number): Promise<number> {
    this.#unused.delete(digest)
    const action = `Cannot keep blob ${digest}`
    let bytes = 0
    async function* checked() {
      const hash = createHash('sha256')
      for await (const part of parts) {
        bytes += part.length
        if (bytes > bytesMax) throw new BerthError('BODY_TOO_LARGE', `${action}: it has more than ${bytesMax} bytes`)
        hash.update(part)
        yield part
      }
      const actual = hash.digest('hex')
      if (actual !== digest) throw new BerthError('BLOB_DIGEST_MISMATCH', `${action}: the bytes have the digest ${actual}`)
    }
    await this.#write(digest, checked())
    return bytes
  }

  #write(digest: string, content: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    const path = blobPath(this.#data, digest)
    return guardedAsync(`keep blob "${digest}"`, async () => {
      await makeFolder(this.#unfinished)
      await makeFolder(dirname(path))
      await writeWhole(path, content, { temporary: join(this.#unfinished, randomUUID()) })
    })
  }

  /** @throws BLOB_NOT_FOUND, or DATA_DAMAGED (naming the file) when the bytes have changed on disk */
  read(digest: string): Promise<Buffer> {
    return readBlob(this.#data, digest)
  }

  /** The number of bytes of a blob, undefined when there is none. The content is not verified. */
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
   * Removes blobs to which nothing referred at this call and the one before, and which nobody has stored or asked for in between. The time between
   * two calls is therefore how long an upload may precede the commit that refers to it, and how long a backup may take to copy an old blob.
   * @param referenced returns the digests to which something refers
   * @returns how many blobs were removed
   */
  async removeUnused(referenced: () => ReadonlySet<string>): Promise<number> {
    const paths = existsSync(blobsPath(this.#data)) ? await readdir(blobsPath(this.#data), { recursive: true }) : []
    const used = referenced()
    const unused = paths.map(path => basename(path)).filter(name => DIGEST.test(name) && !used.has(name))
    const removed = unused.filter(digest => this.#unused.delete(digest))
    // No `await` may come between the look and the removal, so that a `put` runs either before both or after both, and then stores the blob anew.
    for (const digest of removed) rmSync(blobPath(this.#data, digest), { force: true })
    this.#unused.clear()
    for (const digest of new Set(unused).difference(new Set(removed))) this.#unused.add(digest)
    return removed.length
  }

  /** Removes what interrupted writes have left. Only the one process that writes blobs here may call this, before its first write. */
  async sweep(): Promise<void> {
    await rm(this.#unfinished, { recursive: true, force: true })
  }

  // Any error counts as "not whole": writing the blob again then either repairs it or fails with the true reason.
  #isWhole(digest: string): Promise<boolean> {
    return this.read(digest).then(
      () => true,
      () => false,
    )
  }
}
