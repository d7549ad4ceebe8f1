/** The last request that "sdk invoke" sent to a scene, for "sdk dev" to send again. */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { launcher } from '../../../base/kernel/installation.ts'

/** A folder for files that the sdk can do without. */
const folder = join(launcher().cacheFolder(), 'requests')

/** Only this user can read the file. When nothing can be written, nothing is remembered. */
export async function rememberRequest(base: URL, scene: string, body: string): Promise<void> {
  const path = pathOf(base, scene)
  const unfinished = `${path}.${process.pid}`
  await mkdir(dirname(path), { recursive: true })
    .then(() => writeFile(unfinished, body, { mode: 0o600 }))
    .then(() => rename(unfinished, path))
    // The request itself has succeeded; that it cannot be sent again is no reason to fail.
    .catch(() => undefined)
}

/** The last request; undefined when there was none. */
export function lastRequest(base: URL, scene: string): Promise<string | undefined> {
  return readFile(pathOf(base, scene), 'utf8').catch(() => undefined)
}

function pathOf(base: URL, scene: string): string {
  return join(folder, `${createHash('sha256').update(`${base.origin} ${scene}`).digest('hex').slice(0, 32)}.json`)
}
