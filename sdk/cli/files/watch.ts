/** Watches folders and calls back when files in them were saved. */
import { stat } from 'node:fs/promises'
import { basename, join, relative, resolve, sep } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type FSWatcher, watch } from 'chokidar'
import { messageOf } from '../../../base/kernel/errors.ts'

export interface SaveWatch {
  /** Acts as if the subject had been saved just now; resolves when the call about it has settled. */
  saved(subject: string): Promise<void>
  /** Resolves when the call that is under way has settled; there is none after that. */
  close(): Promise<void>
}

/**
 * What to do about a save; it never rejects.
 * @param savedAt when the first of the saves that came together was noticed, on the clock of `performance.now()`
 * @returns files outside the watched folders whose saves count for the subject from now on
 */
export type OnSave = (subject: string, savedAt: number) => Promise<readonly string[]>

/**
 * What happened to a watched folder as a whole. While it is gone, nothing is called about what belongs to it. When it is back, all that is in it
 * counts as saved. `unwatched`, of a folder or a file, says that later saves may go unnoticed.
 */
export interface RootEvent {
  readonly type: 'gone' | 'back' | 'unwatched'
  readonly root: string
  /** Why it is unwatched. */
  readonly error?: Error
}

/** Says it to the user. */
export function describeRoot({ type, root, error }: RootEvent): string {
  const path = relative(process.cwd(), root) || 'This folder'
  if (type === 'gone') return `${path} is gone, as in a checkout of a branch without it. It is run again when it is back.`
  return type === 'back' ? `${path} is back` : `Saves in ${path} may go unnoticed: ${messageOf(error)}`
}

/** What to watch, and whom to tell. */
export interface SaveWatchSettings {
  /** Absolute paths of folders and files. */
  readonly roots: readonly string[]
  /** The path of what a file below the roots belongs to, such as its module; undefined when the file does not matter. */
  readonly subjectOf: (path: string) => string | undefined
  readonly onSave: OnSave
  readonly onRoot: (event: RootEvent) => void
}

/** Milliseconds that files saved together may lie apart, as when an editor saves all files or in a checkout. */
const GATHER_MS = 10
/** Milliseconds between two looks whether the watched folders are still the same. */
const LOOK_MS = 250

/**
 * Watches folders and files, but not `node_modules`, names that begin with a dot, and logs: the output of this very command may be in one. Saves are dealt
 * with one at a time.
 */
export async function watchSaves(settings: SaveWatchSettings): Promise<SaveWatch> {
  const watching = new Watch(settings)
  await watching.open()
  return watching
}

/** A root, or a file elsewhere. */
interface Place {
  readonly path: string
  /** Undefined while nothing is there. */
  identity: string | undefined
  /** Whether a folder is there, or was there last. */
  isFolder: boolean
  watcher: FSWatcher | undefined
}

class Watch implements SaveWatch {
  readonly #settings: SaveWatchSettings
  readonly #due = new Map<string, number>()
  /** The subjects of files outside the roots. */
  readonly #elsewhere = new Map<string, Set<string>>()
  readonly #places = new Map<string, Place>()
  #working: Promise<void> | undefined
  #looking: Promise<void> | undefined
  #looks: NodeJS.Timeout | undefined
  #closed = false

  constructor(settings: SaveWatchSettings) {
    this.#settings = settings
  }

  async open(): Promise<void> {
    const { roots } = this.#settings
    const covered = (path: string) => roots.some(root => path.startsWith(root + sep) && !isHidden([root], path))
    await Promise.all(roots.filter(root => !covered(root)).map(root => this.#add(root)))
    this.#looks = setInterval(() => void this.#look(), LOOK_MS)
  }

  saved(subject: string): Promise<void> {
    if (!this.#due.has(subject)) this.#due.set(subject, performance.now())
    this.#working ??= this.#work()
    return this.#working
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#looks)
    await this.#looking
    await Promise.all([...this.#places.values()].map(place => place.watcher?.close()))
    await this.#working
  }

  async #work(): Promise<void> {
    await delay(GATHER_MS)
    // A folder that is removed is first noticed as files that are.
    await this.#look()
    for (const [subject, savedAt] of this.#due) {
      this.#due.delete(subject)
      if (this.#closed) return
      if (!this.#isGone(subject)) this.#follow(await this.#settings.onSave(subject, savedAt), subject)
    }
    this.#working = undefined
  }

  #isGone(subject: string): boolean {
    const root = rootOf(this.#settings.roots, resolve(subject))
    const place = this.#places.get(root ?? '')
    return place?.isFolder === true && place.identity === undefined
  }

  #follow(files: readonly string[], subject: string): void {
    const added = files.filter(file => !this.#elsewhere.has(file))
    for (const file of files) this.#elsewhere.set(file, (this.#elsewhere.get(file) ?? new Set()).add(subject))
    // Files may have been saved before they were watched. To look once more finds these saves.
    if (added.length > 0) Promise.all(added.map(file => this.#add(file))).then(() => void (this.#closed || this.saved(subject)))
  }

  async #add(path: string): Promise<void> {
    const identity = await identify(path)
    const place: Place = { path, identity, isFolder: isFolder(identity), watcher: undefined }
    if (this.#closed) return
    this.#places.set(path, place)
    if (place.identity !== undefined) await this.#watch(place, true)
  }

  /**
   * Compares every place with what it was. The system watches a folder by its inode and not by its path, so that a folder that is removed, renamed
   * or replaced, itself or with a folder above it, is not watched any more, and nothing says so.
   */
  #look(): Promise<void> {
    this.#looking ??= Promise.all([...this.#places.values()].map(place => this.#lookAt(place))).then(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #lookAt(place: Place): Promise<void> {
    const before = place.identity
    const identity = await identify(place.path)
    if (identity === before || this.#closed) return
    place.identity = identity
    if (identity !== undefined) place.isFolder = isFolder(identity)
    await place.watcher?.close()
    const isReported = place.isFolder && this.#settings.roots.includes(place.path) && (before === undefined || identity === undefined)
    if (isReported) this.#settings.onRoot({ type: identity === undefined ? 'gone' : 'back', root: place.path })
    if (identity !== undefined) await this.#watch(place, false)
  }

  /** @param isKnown whether what is there now needs no call */
  async #watch(place: Place, isKnown: boolean): Promise<void> {
    const { roots } = this.#settings
    const watcher = watch(place.path, { ignoreInitial: isKnown, ignored: path => isHidden(roots, path) })
    place.watcher = watcher
    watcher.on('error', error => this.#settings.onRoot({ type: 'unwatched', root: place.path, error: error as Error }))
    watcher.on('all', (event, path) => {
      // A file that was removed is not watched any more. The next look finds the one that takes its place.
      if (event === 'unlink' && path === place.path) place.identity = undefined
      if (event !== 'addDir' && event !== 'unlinkDir') this.#onChange(path)
    })
    // chokidar reports only the first of two saves of a file within 50 ms, and a formatter saves right after its editor.
    watcher.on('raw', (_, name, details) => {
      const { watchedPath } = details as { readonly watchedPath: string }
      // Some systems report a change without the name of the file.
      this.#onChange(!name || basename(watchedPath) === name ? watchedPath : join(watchedPath, name))
    })
    await new Promise<void>(done => watcher.once('ready', done))
  }

  #onChange(path: string): void {
    const { roots, subjectOf } = this.#settings
    if (this.#closed) return
    for (const subject of this.#elsewhere.get(path) ?? []) this.saved(subject)
    const matters = rootOf(roots, path) !== undefined && !isHidden(roots, path)
    const subject = matters ? subjectOf(path) : undefined
    if (subject !== undefined) this.saved(subject)
  }
}

/** A text that differs for another folder at the same path. An inode alone may be given away again at once. Undefined when nothing is there. */
async function identify(path: string): Promise<string | undefined> {
  const stats = await stat(path, { bigint: true }).catch(() => undefined)
  // chokidar itself follows a file that is replaced by another.
  return stats?.isDirectory() ? `${stats.dev} ${stats.ino} ${stats.birthtimeNs}` : stats && FILE
}

const FILE = 'file'
const isFolder = (identity: string | undefined): boolean => identity !== undefined && identity !== FILE

function rootOf(roots: readonly string[], path: string): string | undefined {
  return roots.find(root => path === root || path.startsWith(root + sep))
}

/** A root that is itself below such a name is watched all the same. */
function isHidden(roots: readonly string[], path: string): boolean {
  const root = rootOf(roots, path)
  if (root === undefined || roots.includes(path)) return false
  return relative(root, path)
    .split(sep)
    .some(part => part === 'node_modules' || part.startsWith('.') || part.endsWith('.log'))
}
