/** Where blobs are, and how to read one: all that a process needs which stores none. */
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { BerthError } from '../kernel/errors.ts'
import { blobsPath } from './paths.ts'

/** Blobs are spread over 256 folders by the first two digits of their digest. */
export const blobPath = (data: string, digest: string): string => join(blobsPath(data), digest.slice(0, 2), digest)

/** sha256 in lower-case hex. Hashes on a thread of the pool, so that 64 MB do not hold up the event loop. */
export async function digestOf(bytes: Uint8Array): Promise<string> {
  // A view on memory that may be shared is no BufferSource to the type checker; the bytes of a file or a request never are.
  const hash = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)
  return Buffer.from(hash).toString('hex')
}

/**
 * The bytes of a blob, verified against its digest at every read. Its errors may reach callers of a scene, so they name the file from the
 * data folder on, and not where that is.
 * @throws BLOB_NOT_FOUND; DATA_DAMAGED when the file cannot be read or its bytes have changed on disk.
 */
export async function readBlob(data: string, digest: string): Promise<Buffer> {
  const path = blobPath(data, digest)
  const action = `Cannot read blob "${digest}"`
  const file = relative(data, path)
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new BerthError('BLOB_NOT_FOUND', `${action}: there is no "${file}" in the data folder`)
    throw new BerthError('DATA_DAMAGED', `${action}: "${file}" in the data folder cannot be read (${error.code})`, { cause: error })
  })
  const actual = await digestOf(bytes)
  if (actual === digest) return bytes
  throw new BerthError('DATA_DAMAGED', `${action}: the bytes of "${file}" in the data folder have the digest ${actual}`)
}
