/** The unit ids of a whitelist are in a blob: neither tables nor commits carry them. */
import type { Blobs } from '../../store/blobs.ts'
import type { Whitelist } from '../../traffic/rules.ts'
import type { WhitelistEntry } from '../../traffic/table.ts'

/** Unit ids by version. @throws DATA_DAMAGED, BLOB_NOT_FOUND */
export async function readWhitelist(blobs: Blobs, entry: WhitelistEntry | undefined): Promise<Whitelist> {
  if (entry === undefined) return {}
  return JSON.parse((await blobs.read(entry.digest)).toString('utf8')) as Whitelist
}
