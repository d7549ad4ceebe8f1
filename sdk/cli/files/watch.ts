/** Watches folders and calls back when files in them were saved. */
import { once } from 'node:events'
import { basename, join, relative, sep } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type FSWatcher, watch } from 'chokidar'

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

/** Milliseconds that files saved together may lie apart, as when an editor saves all files or in a checkout. */
const GATHER_MS = 10

/**
 * Watches folders and files, but not `node_modules` and names that begin with a dot. Saves are dealt with one at a time.
 * @param subjectOf what a file below `roots` belongs to, such as its module; undefined when the file does not matter
 */
export async function watchSaves(
  roots: readonly string[],
  subjectOf: (path: string) => string | undefined,
  onSave: OnSave,
): Promise<SaveWatch> {
  const due = new Map<string, number>()
  const elsewhere = new Map<string, Set<string>>()
  const watchers: FSWatcher[] = []
  let working: Promise<void> | undefined
  let closed = false
  const work = async () => {
    await delay(GATHER_MS)
    for (const [subject, savedAt] of due) {
      due.delete(subject)
      if (closed) return
      follow(await onSave(subject, savedAt), subject)
    }
    working = undefined
  }
  const note = (subject: string) => {
    if (!due.has(subject)) due.set(subject, performance.now())
    working ??= work()
    return working
  }
  const onChange = (path: string) => {
    for (const subject of elsewhere.get(path) ?? []) note(subject)
    // For a root that does not exist yet, its folder is watched, with everything beside the root.
    const matters = !closed && rootOf(roots, path) !== undefined && !isHidden(roots, path)
    const subject = matters ? subjectOf(path) : undefined
    if (subject !== undefined) note(subject)
  }
  const open = async (paths: readonly string[]) => {
    const watcher = watch([...paths], { ignoreInitial: true, ignored: path => isHidden(roots, path) })
    watchers.push(watcher)
    watcher.on('all', (event, path) => event === 'addDir' || event === 'unlinkDir' || onChange(path))
    // chokidar reports only the first of two saves of a file within 50 ms, and a formatter saves right after its editor.
    watcher.on('raw', (_, name, details) => {
      const { watchedPath } = details as { readonly watchedPath: string }
      // Some systems report a change without the name of the file.
      onChange(!name || basename(watchedPath) === name ? watchedPath : join(watchedPath, name))
    })
    await once(watcher, 'ready')
  }
  const follow = (files: readonly string[], subject: string) => {
    const added = files.filter(file => !elsewhere.has(file))
    for (const file of files) elsewhere.set(file, (elsewhere.get(file) ?? new Set()).add(subject))
    // Files may have been saved before they were watched. To look once more finds these saves.
    if (added.length > 0) open(added).then(() => void (closed || note(subject)))
  }
  await open(roots)
  return {
    saved: note,
    close: async () => {
      closed = true
      await Promise.all(watchers.map(watcher => watcher.close()))
      await working
    },
  }
}

function rootOf(roots: readonly string[], path: string): string | undefined {
  return roots.find(root => path === root || path.startsWith(root + sep))
}

/** A root that is itself below such a name is watched all the same. */
function isHidden(roots: readonly string[], path: string): boolean {
  const root = rootOf(roots, path)
  if (root === undefined || roots.includes(path)) return false
  return relative(root, path)
    .split(sep)
    .some(part => part === 'node_modules' || part.startsWith('.'))
}
