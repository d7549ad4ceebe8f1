/**
 * The code of a base as it was when the base started. All its processes are started from it: what changes on disk meanwhile cannot mix old and new code.
 * Of a clone, it is the sources without their types, which a process then need not strip again: a third of what its start costs. Of a package, it is all
 * of the package that a process needs, and processes run there.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { clone, codeFolder, launcher, release } from '../kernel/installation.ts'

/** Names the snapshot to a process of a base. In a clone, that loads `from-snapshot.cjs` before anything else. */
export const SNAPSHOT_VARIABLE = 'BERTH_CODE_SNAPSHOT'

const given = process.env[SNAPSHOT_VARIABLE]

/** Where processes keep what was compiled, for later starts. */
export const cacheFolder = given === undefined ? launcher().cacheFolder() : dirname(given)

/** What a snapshot is a copy of. */
const copied = clone === undefined ? release : codeFolder

/** Of the snapshots that no base has said it uses for `UNUSED_MS`, only the newest are kept. */
const SNAPSHOTS_KEPT = 10
const UNUSED_MS = 3_600_000

let found: Code | undefined

interface Code {
  /** Of the snapshot. */
  readonly path: string | undefined
  readonly digest: string | undefined
}

/**
 * The folder with the snapshot that this process was started from, or else with one of what is on disk at the first call. Undefined where none can be
 * written: then processes read the code from disk.
 */
export function codeSnapshot(): string | undefined {
  return code().path
}

/** Of the code in the snapshot, and where none can be written, of the code on disk at the first call: 32 hexadecimal digits. Undefined where it cannot be read. */
export function codeDigest(): string | undefined {
  return code().digest
}

function code(): Code {
  if (found === undefined) {
    found = given === undefined ? takeSnapshot() : { path: given, digest: basename(given).slice(PREFIX.length) }
    holdSnapshot()
  }
  return found
}

/** Of the name of a snapshot; its digest follows. */
const PREFIX = 'code-'

/** Says that the snapshot is still used. A base that says it less than once in `UNUSED_MS` may lose the snapshot, and reads the code from disk. */
export function holdSnapshot(): void {
  if (found?.path === undefined) return
  try {
    utimesSync(found.path, new Date(), new Date())
  } catch {
    // It is gone, or belongs to another user, whose base has made it.
  }
}

function takeSnapshot(): Code {
  let digest: string | undefined
  try {
    const names = readdirSync(copied, { recursive: true, encoding: 'utf8' }).filter(isCopied)
    const files = names.sort().map((name): CodeFile => [name, readFileSync(join(copied, name))])
    digest = digestOf([[process.version, Buffer.of()], ...files]).slice(0, 32)
    const path = join(cacheFolder, PREFIX + digest)
    if (!isWhole(path, names)) write(path, files)
    return { path, digest }
  } catch {
    // The folder cannot be written, or a file was removed just now.
    return { path: undefined, digest }
  }
}

/** The code, and the scripts that isolates run, which are built from it; of a package all but its documents and types. */
const isCopied = (name: string): boolean =>
  clone === undefined
    ? /^(bin|lib|native|static)\W.*\.\w+$|^(package|provenance)\.json$/.test(name)
    : /(?<!\.test)\.ts$|^inside\Wbuilt\W.*\.js$/.test(name) && !/\bfixtures\b/.test(name)

type CodeFile = readonly [name: string, contents: Buffer]

function digestOf(files: readonly CodeFile[]): string {
  const hash = createHash('sha256')
  for (const [name, contents] of files) hash.update(`${name}\0${contents.length}\0`).update(contents)
  return hash.digest('hex')
}

/** In a snapshot, the digest of its files. */
const DIGEST_FILE = 'digest'

/** Whether the snapshot is there, as it was written: a power cut may have left files of it empty. One of another user is not trusted. */
function isWhole(path: string, names: readonly string[]): boolean {
  const owner = statSync(path, { throwIfNoEntry: false })?.uid
  if (owner === undefined || (owner !== 0 && owner !== process.getuid?.())) return false
  try {
    return readFileSync(join(path, DIGEST_FILE), 'utf8') === digestOf(names.map(name => [name, readFileSync(join(path, name))]))
  } catch {
    return false
  }
}

function write(path: string, sources: readonly CodeFile[]): void {
  const files = sources.map(([name, source]): CodeFile => [name, name.endsWith('.ts') ? withoutTypes(source) : source])
  const names = files.map(([name]) => name)
  const draft = `${path}.${process.pid}`
  try {
    for (const [name, contents] of [...files, [DIGEST_FILE, digestOf(files)] as const]) {
      mkdirSync(dirname(join(draft, name)), { recursive: true })
      writeFileSync(join(draft, name), contents)
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

const withoutTypes = (source: Buffer): Buffer => Buffer.from(stripTypeScriptTypes(source.toString('utf8')))

/** Removes old snapshots, and what is left of those that a process was killed over. */
function removeUnused(): void {
  const entries = readdirSync(cacheFolder).filter(name => /^code-\w+(\.\d+)?$/.test(name))
  const byAge = entries
    .map(name => ({ name, usedAt: statSync(join(cacheFolder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => a.usedAt - b.usedAt)
  for (const { name, usedAt } of byAge.slice(0, -SNAPSHOTS_KEPT))
    if (Date.now() - usedAt > UNUSED_MS) rmSync(join(cacheFolder, name), { recursive: true, force: true })
}
