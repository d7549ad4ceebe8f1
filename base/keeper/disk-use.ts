/** What takes the disk: bytes by kind, the largest modules, and what is free. Files are only looked at, never read. */
import { readdir, stat, statfs } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { ModuleRecord } from '../change/records.ts'
import { blobsPath, databasePath, featuresPath } from '../folder/paths.ts'
import { limits } from '../kernel/limits.ts'
import { type BaseStore, kindsOfBlobs } from '../store/base-store.ts'

const kinds = ['bundles', 'sourceMaps', 'whitelists', 'featureTables', 'unusedBlobs', 'store', 'logs', 'capsules', 'other'] as const
export type DiskKind = (typeof kinds)[number]

export interface DiskUsed {
  readonly bytes: Readonly<Record<DiskKind, number>>
  /** Bytes of the store that hold nothing; they are among its bytes. */
  readonly storeFreeBytes: number
  /** Bytes that the base may still write. */
  readonly freeBytes: number
  /** The modules whose versions together take most, the largest first. Versions that share a blob share its bytes. */
  readonly largest: readonly { readonly module: string; readonly versions: number; readonly bytes: number }[]
}

type Kept = Readonly<Record<'logs' | 'capsules', number>>

const LARGEST_SHOWN = 5

export class DiskUse {
  readonly #data: string
  readonly #store: BaseStore
  readonly #kept: () => Kept
  #looking: Promise<DiskUsed> | undefined
  #lookedAt = Number.NEGATIVE_INFINITY
  #last: DiskUsed | null = null

  /** @param kept the bytes of what others keep count of */
  constructor(data: string, store: BaseStore, kept: () => Kept) {
    this.#data = data
    this.#store = store
    this.#kept = kept
  }

  /**
   * What is used, looked at anew when the last look is older than `diskLookMsMin`. A look that takes longer than `diskLookMsMax` is not waited
   * for: until it has ended, the one before is given.
   * @returns null when no look has succeeded yet
   */
  async look(): Promise<DiskUsed | null> {
    if (this.#looking === undefined && performance.now() - this.#lookedAt >= limits.keeper.diskLookMsMin) this.#begin()
    if (this.#looking === undefined) return this.#last
    const { promise: late, resolve } = Promise.withResolvers<null>()
    const timer = setTimeout(resolve, limits.keeper.diskLookMsMax, null)
    const seen = await Promise.race([this.#looking.catch(() => null), late])
    clearTimeout(timer)
    return seen ?? this.#last
  }

  #begin(): void {
    this.#lookedAt = performance.now()
    const looking = this.#measure()
    this.#looking = looking
    const end = () => {
      this.#looking = undefined
    }
    looking.then(used => {
      this.#last = used
      end()
    }, end)
  }

  async #measure(): Promise<DiskUsed> {
    const modules = this.#store.list('module').map(({ value }) => value)
    const kindOf = kindsOfBlobs(this.#store)
    const sizes = await sizesBelow(blobsPath(this.#data))
    const bytes = { ...(Object.fromEntries(kinds.map(kind => [kind, 0])) as Record<DiskKind, number>) }
    for (const [name, size] of sizes) bytes[kindOf.get(name) ?? 'unusedBlobs'] += size
    const { bytes: store, freeBytes: storeFreeBytes } = this.#store.size()
    bytes.featureTables += sum(await sizesBelow(featuresPath(this.#data)))
    Object.assign(bytes, { store, ...this.#kept(), other: await this.#otherBytes() })
    const { bavail, bsize } = await statfs(this.#data)
    return { bytes, storeFreeBytes, freeBytes: bavail * bsize, largest: largestOf(modules, new Map(sizes)) }
  }

  /** Files of the data folder itself, but for the database. */
  async #otherBytes(): Promise<number> {
    const entries = await readdir(this.#data, { withFileTypes: true })
    const files = entries.filter(entry => entry.isFile()).map(({ name }) => join(this.#data, name))
    return sum(await sizesOf(files.filter(path => path !== databasePath(this.#data))))
  }
}

const sum = (sizes: readonly (readonly [string, number])[]): number => sizes.reduce((total, [, size]) => total + size, 0)

function largestOf(modules: readonly ModuleRecord[], sizes: ReadonlyMap<string, number>): DiskUsed['largest'] {
  const all = [...Map.groupBy(modules, ({ name }) => name)].map(([module, versions]) => {
    const digests = new Set(versions.flatMap(({ bundle, sourceMap }) => [bundle, sourceMap ?? bundle]))
    const bytes = [...digests].reduce((total, digest) => total + (sizes.get(digest) ?? 0), 0)
    return { module, versions: versions.length, bytes }
  })
  return all.sort((a, b) => b.bytes - a.bytes).slice(0, LARGEST_SHOWN)
}

/** The files below a folder, by their names, with their bytes; empty when there is no such folder. */
async function sizesBelow(folder: string): Promise<(readonly [name: string, bytes: number])[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return sizesOf(entries.filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name)))
}

/** How many files are looked at in one go, so that other work of the thread pool has its turn. */
const AT_ONCE = 64

async function sizesOf(paths: readonly string[]): Promise<(readonly [name: string, bytes: number])[]> {
  const sizes: (readonly [string, number])[] = []
  for (let from = 0; from < paths.length; from += AT_ONCE) {
    const some = paths.slice(from, from + AT_ONCE).map(async path => {
      // It may have been removed meanwhile.
      const size = await stat(path).then(
        stats => stats.size,
        () => 0,
      )
      return [basename(path), size] as const
    })
    sizes.push(...(await Promise.all(some)))
  }
  return sizes
}
