/**
 * The code of a base as it was when the base started, without its types. All its processes are started from it: what changes on disk meanwhile cannot mix
 * old and new code, and a process need not strip the types again, which is a third of what its start costs.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = dirname(dirname(fileURLToPath(import.meta.url)))

/** Where processes keep what was compiled, for later starts. */
export const cacheFolder = process.env.NODE_COMPILE_CACHE ?? join(dirname(folder), 'node_modules/.cache/berth')

/** Names the snapshot to a process of a base, which loads `from-snapshot.cjs` before anything else. */
export const SNAPSHOT_VARIABLE = 'BERTH_CODE_SNAPSHOT'

/** A base whose snapshot has been removed for newer ones starts its processes from the code on disk. */
const SNAPSHOTS_KEPT = 10

let found: { readonly path: string | undefined } | undefined

/**
 * The folder with the snapshot that this process was started from, or else with one of what is on disk at the first call. Undefined where none can be
 * written: then processes read the code from disk.
 */
export function codeSnapshot(): string | undefined {
  found ??= { path: process.env[SNAPSHOT_VARIABLE] ?? takeSnapshot() }
  return found.path
}

function takeSnapshot(): string | undefined {
  try {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(isCode)
    const sources = names.sort().map(name => [name, readFileSync(join(folder, name), 'utf8')] as const)
    const digest = createHash('sha256').update(process.version).update(JSON.stringify(sources)).digest('hex')
    const path = join(cacheFolder, `code-${digest.slice(0, 32)}`)
    if (!existsSync(path)) write(path, sources)
    return path
  } catch {
    // The folder cannot be written, or a file was removed just now.
    return undefined
  }
}

const isCode = (name: string): boolean => /(?<!\.test)\.ts$/.test(name) && !/\bfixtures\b/.test(name)

function write(path: string, sources: readonly (readonly [name: string, source: string])[]): void {
  // Another base may be writing the same.
  const draft = `${path}.${process.pid}`
  for (const [name, source] of sources) {
    mkdirSync(dirname(join(draft, name)), { recursive: true })
    writeFileSync(join(draft, name), stripTypeScriptTypes(source))
  }
  if (existsSync(path)) rmSync(draft, { recursive: true })
  else renameSync(draft, path)
  for (const old of snapshotsByAge().slice(0, -SNAPSHOTS_KEPT)) rmSync(old, { recursive: true, force: true })
}

/** The oldest first. */
function snapshotsByAge(): string[] {
  const paths = readdirSync(cacheFolder).flatMap(name => (/^code-\w+$/.test(name) ? [join(cacheFolder, name)] : []))
  const ages = new Map(paths.map(path => [path, statSync(path).mtimeMs]))
  return paths.sort((a, b) => (ages.get(a) ?? 0) - (ages.get(b) ?? 0))
}
