/** Where blobs are, and how to read one: all that a process needs which stores none. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
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
 * The bytes of a blob, verified against its digest at every read.
 * @throws BLOB_NOT_FOUND, or DATA_DAMAGED (naming the file) when the bytes have changed on disk.
 */
export async function readBlob(data: string, digest: string): Promise<Buffer> {
  const path = blobPath(data, digest)
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new BerthError('BLOB_NOT_FOUND', `Cannot read blob "${digest}": there is no "${path}"`)
    throw error
  })
  const actual = await digestOf(bytes)
  if (actual === digest) return bytes
  throw new BerthError('DATA_DAMAGED', `Cannot read blob "${digest}": the bytes of "${path}" have the digest ${actual}`)
}
