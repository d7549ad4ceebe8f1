/** Finds and reads blobs. This is all that a process needs which does not store any; `store/blobs.ts` writes them. */
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { BerthError } from '../kernel/errors.ts'
import { blobsPath } from './paths.ts'

/** Blobs are spread over 256 folders by the first two digits of their digest. */
export const blobPath = (data: string, digest: string): string => join(blobsPath(data), digest.slice(0, 2), digest)

/** The sha256 in lower-case hex. It is computed in the thread pool, so that 64 MB do not block the event loop. */
export async function digestOf(bytes: Uint8Array): Promise<string> {
  // The type of `digest` excludes views of shared memory. The bytes of a file or a request never are in shared memory.
  const hash = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)
  return Buffer.from(hash).toString('hex')
}

/**
 * Reads a blob, and verifies its bytes against the digest at every read. Errors may reach callers of a scene, so they show the path of the file
 * within the data folder, but not the path of the data folder.
 * @throws BLOB_NOT_FOUND
 * @throws DATA_DAMAGED when the file cannot be read or its bytes have changed on disk
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
