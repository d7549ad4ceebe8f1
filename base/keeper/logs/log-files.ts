/**
 * The last lines of every version's log, on disk. Each version has a file of NDJSON that is moved aside when it is full, so that at least
 * half of what a version may keep is there. Nothing is synced: lines survive the end of every process, but not of the machine.
 */
import { appendFileSync, closeSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { limits } from '../../kernel/limits.ts'

export interface LogFilesLimits {
  /** Most bytes of one version, in two files of half of that each. */
  readonly fileBytesMax: number
  /** Most bytes of all versions together. */
  readonly totalBytesMax: number
  /** Most versions that have a log: a file takes room on the disk however short it is. */
  readonly versionsMax: number
}

/** The log of one version. */
interface Entry {
  readonly scene: string
  readonly version: string
  /** Bytes of the file that lines are added to, and of the one before it. */
  bytes: number
  olderBytes: number
  /** Number of the last line. */
  last: number
  /** Whether the last line may be torn, because a process ended while it was written. */
  isTorn: boolean
}

/** How much of the end of a file is read to find its last line. When its last lines are longer, or torn, the whole file is read. */
const TAIL_BYTES = 8 * 1024
const ENDING = '.ndjson'
const OLDER_ENDING = '.1.ndjson'

export class LogFiles {
  readonly #root: string
  readonly #limits: LogFilesLimits
  readonly #numberOf: (line: string) => number | undefined
  readonly #onFailed: (error: unknown) => void
  readonly #entries = new Map<string, Entry>()
  #total = 0
  #failed = false

  /**
   * Reads which logs there are; a folder that cannot be read is reported and counts as empty.
   * @param numberOf gives the number of a line, and undefined for a torn one. The numbers of added lines grow. They do not follow the time,
   * since clocks are set back
   * @param onFailed is called once each time that the disk begins to refuse. Only lines are lost then
   */
  constructor(
    root: string,
    numberOf: (line: string) => number | undefined,
    onFailed: (error: unknown) => void,
    bounds: LogFilesLimits = defaults,
  ) {
    this.#root = root
    this.#numberOf = numberOf
    this.#onFailed = onFailed
    this.#limits = bounds
    this.#try(() => this.#scan())
  }

  /**
   * Keeps lines of a version, each without its line feed. Once it returns they outlive the process.
   * @param last the number of the last of them
   */
  append(scene: string, version: string, lines: readonly string[], last: number): void {
    this.#try(() => this.#write(this.#entry(scene, version), `${lines.join('\n')}\n`, last))
    while (this.#isOver() && this.#try(() => this.#dropOldest())) {}
  }

  #isOver(): boolean {
    return this.#total > this.#limits.totalBytesMax || this.#entries.size > this.#limits.versionsMax
  }

  /** Whether a version has a log. */
  has(scene: string, version: string): boolean {
    return this.#entries.has(`${scene}/${version}`)
  }

  /** Removes the logs of versions that there are no more, and the folders of scenes that have none left. */
  retain(isVersion: (scene: string, version: string) => boolean): void {
    const gone = [...this.#entries.values()].filter(({ scene, version }) => !isVersion(scene, version))
    for (const entry of gone) this.#try(() => this.#drop(entry))
    for (const scene of new Set(gone.map(entry => entry.scene))) {
      if (this.versions(scene).length === 0) this.#try(() => rmSync(join(this.#root, scene), { recursive: true, force: true }))
    }
  }

  /** Bytes of all logs. */
  get bytes(): number {
    return this.#total
  }

  /** Versions of a scene that have a log. The one written last comes first. */
  versions(scene: string): string[] {
    const entries = [...this.#entries.values()].filter(entry => entry.scene === scene)
    return entries.sort((a, b) => b.last - a.last).map(({ version }) => version)
  }

  /** Number of the last line of a version, 0 when it has no log. */
  lastOf(scene: string, version: string): number {
    return this.#entries.get(`${scene}/${version}`)?.last ?? 0
  }

  /** Number of the last line of all, 0 when there is none. */
  get last(): number {
    let last = 0
    for (const entry of this.#entries.values()) last = Math.max(last, entry.last)
    return last
  }

  /** The last lines of a version, oldest first. The last may be torn, and some before it: skip what cannot be parsed. */
  read(scene: string, version: string): string[] {
    const texts = [OLDER_ENDING, ENDING].map(ending => this.#readFile(this.#path(scene, version, ending)))
    return texts.join('\n').split('\n').filter(Boolean)
  }

  #entry(scene: string, version: string): Entry {
    const key = `${scene}/${version}`
    const known = this.#entries.get(key)
    if (known !== undefined) return known
    const entry = { scene, version, bytes: 0, olderBytes: 0, last: 0, isTorn: false }
    this.#entries.set(key, entry)
    return entry
  }

  #write(entry: Entry, text: string, last: number): void {
    try {
      this.#add(entry, text, last)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      // Somebody has removed the folder or the file.
      this.#total -= entry.bytes + entry.olderBytes
      Object.assign(entry, { bytes: 0, olderBytes: 0, isTorn: false })
      this.#add(entry, text, last)
    }
  }

  #add(entry: Entry, text: string, last: number): void {
    const { scene, version } = entry
    const path = this.#path(scene, version, ENDING)
    if (entry.bytes > 0 && entry.bytes + text.length > this.#limits.fileBytesMax / 2) {
      renameSync(path, this.#path(scene, version, OLDER_ENDING))
      this.#total -= entry.olderBytes
      Object.assign(entry, { olderBytes: entry.bytes, bytes: 0, isTorn: false })
    }
    if (entry.bytes === 0) mkdirSync(join(this.#root, scene), { recursive: true, mode: 0o700 })
    const bytes = Buffer.from(entry.isTorn ? `\n${text}` : text)
    // The line counts as torn until it is known to be whole.
    entry.isTorn = true
    appendFileSync(path, bytes, { mode: 0o600 })
    this.#total += bytes.length
    Object.assign(entry, { bytes: entry.bytes + bytes.length, last, isTorn: false })
  }

  /** False when no file is left. */
  #dropOldest(): boolean {
    let oldest: Entry | undefined
    for (const entry of this.#entries.values()) if (oldest === undefined || entry.last < oldest.last) oldest = entry
    if (oldest === undefined) return false
    this.#drop(oldest)
    return true
  }

  #drop({ scene, version, bytes, olderBytes }: Entry): void {
    this.#entries.delete(`${scene}/${version}`)
    this.#total -= bytes + olderBytes
    for (const ending of [OLDER_ENDING, ENDING]) rmSync(this.#path(scene, version, ending), { force: true })
  }

  #scan(): void {
    for (const scene of readdirSync(this.#root, { withFileTypes: true })) {
      if (!scene.isDirectory()) continue
      for (const file of readdirSync(join(this.#root, scene.name))) this.#try(() => this.#know(scene.name, file))
    }
  }

  #know(scene: string, file: string): void {
    const [, version, older] = /^(v\d+)(\.1)?\.ndjson$/.exec(file) ?? []
    if (version === undefined) return
    const path = join(this.#root, scene, file)
    const { size } = statSync(path)
    const entry = this.#entry(scene, version)
    this.#total += size
    if (older === undefined) Object.assign(entry, { bytes: size, isTorn: true })
    else entry.olderBytes = size
    entry.last = Math.max(entry.last, this.#lastIn(path, size))
  }

  /** The number of the last line of a file; 0 when none of its lines can be read. */
  #lastIn(path: string, size: number): number {
    for (const bytes of [TAIL_BYTES, size]) {
      const lines = readTail(path, size, bytes).split('\n')
      for (const line of lines.reverse()) {
        const number = this.#numberOf(line)
        if (number !== undefined) return number
      }
    }
    return 0
  }

  #readFile(path: string): string {
    try {
      return readFileSync(path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#fail(error)
      return ''
    }
  }

  #path(scene: string, version: string, ending: string): string {
    return join(this.#root, scene, `${version}${ending}`)
  }

  #try(work: () => unknown): boolean {
    try {
      const outcome = work()
      this.#failed = false
      return outcome === true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#fail(error)
      return false
    }
  }

  #fail(error: unknown): void {
    if (!this.#failed) this.#onFailed(error)
    this.#failed = true
  }
}

const defaults: LogFilesLimits = {
  fileBytesMax: limits.log.fileBytesMax,
  totalBytesMax: limits.log.filesBytesMax,
  versionsMax: limits.log.versionsMax,
}

function readTail(path: string, size: number, bytesMax: number): string {
  const tail = Buffer.alloc(Math.min(size, bytesMax))
  const fd = openSync(path, 'r')
  try {
    return tail.toString('utf8', 0, readSync(fd, tail, 0, tail.length, size - tail.length))
  } finally {
    closeSync(fd)
  }
}
