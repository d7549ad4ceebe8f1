/**
 * The code of a base as it was when the base started, without its types. All its processes are started from it: what changes on disk meanwhile cannot mix
 * old and new code, and a process need not strip the types again, which is a third of what its start costs.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { clone, codeFolder, launcher } from '../kernel/installation.ts'

/** Where processes keep what was compiled, for later starts. */
export const cacheFolder = launcher().cacheFolder()

/** Names the snapshot to a process of a base, which loads `from-snapshot.cjs` before anything else. */
export const SNAPSHOT_VARIABLE = 'BERTH_CODE_SNAPSHOT'

/** Of the snapshots that no base has said it uses for `UNUSED_MS`, only the newest are kept. */
const SNAPSHOTS_KEPT = 10
const UNUSED_MS = 3_600_000

let found: { readonly path: string | undefined } | undefined

/**
 * The folder with the snapshot that this process was started from, or else with one of what is on disk at the first call. Undefined where none can be
 * written: then processes read the code from disk.
 */
export function codeSnapshot(): string | undefined {
  if (found === undefined) {
    found = { path: process.env[SNAPSHOT_VARIABLE] ?? takeSnapshot() }
    holdSnapshot()
  }
  return found.path
}

/** Of the code in the snapshot, 32 hexadecimal digits. Undefined where there is none. */
export function codeDigest(): string | undefined {
  const path = codeSnapshot()
  return path === undefined ? undefined : basename(path).slice('code-'.length)
}

/** Says that the snapshot is still used. A base that says it less than once in `UNUSED_MS` may lose the snapshot, and reads the code from disk. */
export function holdSnapshot(): void {
  if (found?.path === undefined) return
  try {
    utimesSync(found.path, new Date(), new Date())
  } catch {
    // It is gone, or belongs to another user, whose base has made it.
  }
}

function takeSnapshot(): string | undefined {
  try {
    const names = readdirSync(codeFolder, { recursive: true, encoding: 'utf8' }).filter(isCode)
    const sources = names.sort().map(name => [name, readFileSync(join(codeFolder, name), 'utf8')] as const)
    const digest = digestOf([process.version, ...sources.flat()])
    const path = join(cacheFolder, `code-${digest.slice(0, 32)}`)
    if (!isWhole(path, names)) write(path, sources)
    return path
  } catch {
    // The folder cannot be written, or a file was removed just now.
    return undefined
  }
}

/** The code, and the scripts that isolates run, which are built from it. A package has nothing else. */
const isCode = (name: string): boolean =>
  clone === undefined ? name.endsWith('.js') : /(?<!\.test)\.ts$|^inside\Wbuilt\W.*\.js$/.test(name) && !/\bfixtures\b/.test(name)

const digestOf = (texts: readonly string[]): string => createHash('sha256').update(JSON.stringify(texts)).digest('hex')

/** In a snapshot, the digest of its files. */
const DIGEST_FILE = 'digest'

/** Whether the snapshot is there, as it was written: a power cut may have left files of it empty. One of another user is not trusted. */
function isWhole(path: string, names: readonly string[]): boolean {
  const owner = statSync(path, { throwIfNoEntry: false })?.uid
  if (owner === undefined || (owner !== 0 && owner !== process.getuid?.())) return false
  try {
    return readFileSync(join(path, DIGEST_FILE), 'utf8') === digestOf(names.map(name => readFileSync(join(path, name), 'utf8')))
  } catch {
    return false
  }
}

function write(path: string, sources: readonly (readonly [name: string, source: string])[]): void {
  const files = sources.map(([name, source]) => [name, name.endsWith('.ts') ? stripTypeScriptTypes(source) : source] as const)
  const names = files.map(([name]) => name)
  const draft = `${path}.${process.pid}`
  try {
    for (const [name, text] of [...files, [DIGEST_FILE, digestOf(files.map(([, text]) => text))] as const]) {
      mkdirSync(dirname(join(draft, name)), { recursive: true })
      writeFileSync(join(draft, name), text)
    }
    // Another base may have written the same meanwhile, and uses it.
    if (isWhole(path, names)) return
    rmSync(path, { recursive: true, force: true })
    renameSync(draft, path)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
  removeUnused()
}

/** Removes old snapshots, and what is left of those that a process was killed over. */
function removeUnused(): void {
  const entries = readdirSync(cacheFolder).filter(name => /^code-\w+(\.\d+)?$/.test(name))
  const byAge = entries
    .map(name => ({ name, usedAt: statSync(join(cacheFolder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => a.usedAt - b.usedAt)
  for (const { name, usedAt } of byAge.slice(0, -SNAPSHOTS_KEPT))
    if (Date.now() - usedAt > UNUSED_MS) rmSync(join(cacheFolder, name), { recursive: true, force: true })
}
