/** The logs of the versions. Lines that the cells send are numbered, kept, and passed on to those who follow. */
import type { LogEntry } from '../../contract/log-api.ts'
import { limits } from '../../kernel/limits.ts'
import { Once } from '../../kernel/once.ts'
import type { LogRecord } from '../../wire/messages.ts'
import type { LogFiles } from './log-files.ts'

export interface LogFilter {
  /** All versions when undefined. */
  readonly version?: string | undefined
  /** The lowest level that passes. */
  readonly level: LogRecord['level']
  /** The name of a module, or `name@version`. */
  readonly module?: string | undefined
}

export interface LogQuery extends LogFilter {
  /** How many of the last lines to read. */
  readonly limit: number
  /** Only lines after this number. */
  readonly after?: number | undefined
}

interface Follower {
  readonly filter: LogFilter
  readonly onEntry: (entry: LogEntry) => void
  readonly onEnd: (why: FollowEnd) => void
}

/** Why there will be no more lines: what was followed is deleted, or the keeper ends. */
export type FollowEnd = 'deleted' | 'closing'

/** What there is to have a log. */
export interface Logged {
  readonly hasScene: (scene: string) => boolean
  readonly hasVersion: (scene: string, version: string) => boolean
}

/**
 * Numbers begin at the microseconds since the epoch, so that a keeper that finds no lines any more still gives higher numbers than the one
 * before.
 */
const SEQ_PER_MS = 1000
const rank = { debug: 0, info: 1, warn: 2, error: 3 } as const
const RECORD_CHARS_MAX = 64 * 1024
const MESSAGE_CHARS = 1000

export class Logs {
  readonly #files: LogFiles
  readonly #logged: Logged
  readonly #followers = new Map<string, Set<Follower>>()
  readonly #once = new Once(limits.log.onceMax)
  /** The number of the last line. The clock may have been set back since. */
  #seq: number

  /** @param logged what there is; lines of other versions are not kept */
  constructor(files: LogFiles, logged: Logged) {
    this.#files = files
    this.#seq = files.last
    this.#logged = logged
  }

  /** How many followers there are. */
  get followers(): number {
    let sum = 0
    for (const { size } of this.#followers.values()) sum += size
    return sum
  }

  /** Takes what a cell sends, in order: once it returns the lines are kept. */
  take(cell: number, records: readonly LogRecord[]): void {
    const entries: LogEntry[] = []
    const byVersion = new Map<string, { scene: string; version: string; lines: string[]; last: number }>()
    for (const { once, ...record } of records) {
      const { scene, version } = record
      if (once !== undefined && !this.#once.isFirst(`${scene}/${version} ${once}`)) continue
      if (!this.#files.has(scene, version) && !this.#logged.hasVersion(scene, version)) continue
      const { entry, line } = bounded({ seq: this.#nextSeq(), cell, ...record, ...(record.fields && { fields: parsed(record.fields) }) })
      const lines = byVersion.get(`${scene}/${version}`) ?? { scene, version, lines: [], last: 0 }
      lines.lines.push(line)
      lines.last = entry.seq
      byVersion.set(`${scene}/${version}`, lines)
      entries.push(entry)
    }
    for (const { scene, version, lines, last } of byVersion.values()) this.#files.append(scene, version, lines, last)
    // Followers get lines only after these are kept: a reader that was shown a line goes on after it when the keeper comes back.
    for (const entry of entries) {
      for (const { filter, onEntry } of this.#followers.get(entry.scene) ?? []) if (passes(entry, filter)) onEntry(entry)
    }
  }

  /** The last kept lines that pass, oldest first. */
  async read(scene: string, query: LogQuery): Promise<LogEntry[]> {
    let found: LogEntry[] = []
    // A number that has not been given out is of lines that are lost, from a time when the clock was ahead. All lines are after those.
    const after = query.after === undefined || query.after > this.#seq ? 0 : query.after
    for (const version of query.version === undefined ? this.#files.versions(scene) : [query.version]) {
      const oldest = found[0]
      // Versions come in the order of their last lines: once enough lines are newer than that, no other version has anything to add.
      if (found.length >= query.limit && oldest !== undefined && oldest.seq > this.#files.lastOf(scene, version)) break
      const entries = this.#files.read(scene, version).flatMap(line => parseEntry(line) ?? [])
      found.push(...entries.filter(entry => passes(entry, query) && entry.seq > after))
      found = found.sort((a, b) => a.seq - b.seq).slice(-query.limit)
      // Many versions are many files, so other work has its turn in between.
      await new Promise(resolve => setImmediate(resolve))
    }
    return found
  }

  /**
   * Calls back for every line from now on that passes.
   * @param onEnd is called when there will be no more, because what is followed was deleted or the keeper ends
   * @returns a function that stops the calls
   */
  follow(scene: string, filter: LogFilter, onEntry: Follower['onEntry'], onEnd: Follower['onEnd']): () => void {
    const follower = { filter, onEntry, onEnd }
    const followers = this.#followers.get(scene) ?? new Set()
    this.#followers.set(scene, followers.add(follower))
    return () => {
      followers.delete(follower)
      if (followers.size === 0 && this.#followers.get(scene) === followers) this.#followers.delete(scene)
    }
  }

  /** Removes what is kept of versions that were deleted, and ends those who follow a scene or a version that was. */
  removeDeleted(): void {
    const { hasScene, hasVersion } = this.#logged
    this.#files.retain(hasVersion)
    for (const [scene, followers] of [...this.#followers]) {
      const isThere = ({ filter: { version } }: Follower) => (version === undefined ? hasScene(scene) : hasVersion(scene, version))
      for (const follower of [...followers]) if (!isThere(follower)) follower.onEnd('deleted')
    }
  }

  /** Ends every follower. */
  close(): void {
    for (const follower of [...this.#followers.values()].flatMap(all => [...all])) follower.onEnd('closing')
  }

  #nextSeq(): number {
    this.#seq = Math.max(this.#seq + 1, Date.now() * SEQ_PER_MS)
    return this.#seq
  }
}

/** A count of dropped lines passes every filter, because the dropped lines may have passed. */
function passes({ version, level, module, dropped }: LogEntry, filter: LogFilter): boolean {
  if (filter.version !== undefined && version !== filter.version) return false
  if (dropped !== undefined) return true
  if (rank[level] < rank[filter.level]) return false
  return filter.module === undefined || module === filter.module || module?.slice(0, module.indexOf('@')) === filter.module
}

/** The number of a line as it is kept; undefined for one that was torn. */
export function numberOf(line: string): number | undefined {
  const seq = parseEntry(line)?.seq
  return Number.isSafeInteger(seq) ? seq : undefined
}

/** Undefined when the line is torn. */
function parseEntry(line: string): LogEntry | undefined {
  try {
    const entry: unknown = JSON.parse(line)
    return typeof entry === 'object' && entry !== null && 'seq' in entry ? (entry as LogEntry) : undefined
  } catch {
    // The line is torn because a process ended while it was written, or it is damaged. The other lines can still be read.
    return undefined
  }
}

/** Texts are bounded where they are written. This bound holds however many escapes they need, and whatever a broken cell sends. */
function bounded(entry: LogEntry): { entry: LogEntry; line: string } {
  const line = JSON.stringify(entry)
  if (line.length <= RECORD_CHARS_MAX) return { entry, line }
  const { fields: _, stack: __, frame: ___, ...rest } = entry
  const cut = { ...rest, message: `${String(entry.message).slice(0, MESSAGE_CHARS)}… (cut off: the line was too long to keep)` }
  return { entry: cut, line: JSON.stringify(cut) }
}

/** Text that was cut off at the limit is no JSON any more, and stays text. */
function parsed(fields: string): unknown {
  try {
    return JSON.parse(fields)
  } catch {
    return fields
  }
}
