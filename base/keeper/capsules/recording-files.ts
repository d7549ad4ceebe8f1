/**
 * Recordings on the disk. Each has two files: `ID.ndjson` holds its head, its entries and its capsules in the order in which they came, and `ID.index`
 * says of each capsule where it is. Bytes count only once a line of the index names them: whatever comes after the last named byte was torn when a process
 * ended, and is cut off. Nothing is synced but what is taken away: recordings survive the end of every process, but not of the machine.
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Capsule, CaptureReason, Entry, Inexactness, RecordingHead } from '../../capsule/capsule.ts'
import { CAPSULE_FORMAT } from '../../capsule/capsule.ts'
import { lockedModules } from '../../traffic/table.ts'

/** What is said of a capsule without reading it. */
export interface CapsuleSummary {
  readonly id: string
  readonly recording: string
  readonly scene: string
  readonly version: string
  /** ISO 8601, when it was answered. */
  readonly at: string
  readonly requestId: string
  readonly why: CaptureReason
  /** Whether it was captured by another base. */
  readonly imported: boolean
  /** The code of the failure, where it was answered with one. */
  readonly failed?: string | undefined
  readonly unit?: string | undefined
  readonly because: string
  readonly tookMs: number
  readonly cpuMs: number
  readonly inexact: readonly Inexactness[]
}

/** A capsule of a recording, and where it is in the file. */
export interface IndexedCapsule {
  readonly summary: CapsuleSummary
  /** The bytes from its first entry to the end of its own line. */
  readonly from: number
  readonly to: number
  /** How many entries the recording has up to there. */
  readonly entries: number
}

interface Top {
  readonly format: typeof CAPSULE_FORMAT
  readonly scene: string
  readonly version: string
  /** ISO 8601. */
  readonly startedAt: string
  readonly imported: boolean
  /** The bundles and source maps that a replay needs. */
  readonly digests: readonly string[]
  /** Where the entry of the load ends, which is after the head. */
  readonly loadEnd: number
}

export interface Recording extends Top {
  readonly id: string
  /** In the order in which they came; never empty. */
  readonly capsules: readonly IndexedCapsule[]
  /** Bytes of both files. */
  readonly bytes: number
  /** Whether it takes no more, because a part of it could not be kept or was taken away. */
  readonly isEnded: boolean
}

interface Files extends Recording {
  capsules: IndexedCapsule[]
  indexBytes: number
  bytes: number
  isEnded: boolean
}

const RECORDING_ID = /^[0-9a-f]{16}$/
const DATA = '.ndjson'
const INDEX = '.index'

const lineOf = (value: unknown): string => `${JSON.stringify(value)}\n`
const bytesOf = (recording: Recording): number => recording.capsules.at(-1)?.to ?? 0
/** How many entries are kept of a recording. */
export const entriesOf = (recording: Recording): number => recording.capsules.at(-1)?.entries ?? 0

/** How many recordings have their files kept open, so that a capsule costs no opening and closing: about as many as cells make at a time. */
const OPEN_MAX = 16

/** The files of a recording that grows, by their descriptors. */
interface OpenFiles {
  readonly data: number
  readonly index: number
}

export class RecordingFiles {
  readonly #root: string
  /** By the id of the recording; the one that has grown last comes last. */
  readonly #open = new Map<string, OpenFiles>()

  constructor(root: string) {
    this.#root = root
  }

  /**
   * Finds every recording. What no index names is removed from the disk, and so are recordings that this release cannot read.
   * @param onUnreadable is called with what cannot be read, and why
   */
  scan(onUnreadable: (path: string, error: unknown) => void): Recording[] {
    return foldersIn(this.#root).flatMap(scene => {
      const names = readdirSync(join(this.#root, scene))
      const found = names
        .filter(name => name.endsWith(INDEX))
        .flatMap(name => this.#find(scene, name.slice(0, -INDEX.length), onUnreadable))
      const known = new Set(found.flatMap(({ id }) => [id + DATA, id + INDEX]))
      for (const name of names) if (!known.has(name)) rmSync(join(this.#root, scene, name), { force: true })
      return found
    })
  }

  /**
   * Keeps a new recording up to its first capsule.
   * @throws the error of the system; nothing is kept then
   */
  begin(head: RecordingHead, entries: readonly Entry[], capsule: Capsule, imported: boolean): Recording {
    const { id, scene, version, startedAt, lock } = head
    const digests = [...lockedModules(lock)].flatMap(({ bundle, sourceMap }) => (sourceMap === undefined ? [bundle] : [bundle, sourceMap]))
    const loadEnd = Buffer.byteLength(lineOf(head)) + Buffer.byteLength(lineOf({ entry: entries[0] }))
    const top: Top = { format: CAPSULE_FORMAT, scene, version, startedAt, imported, digests: [...new Set(digests)], loadEnd }
    const recording: Files = { id, ...top, capsules: [], indexBytes: 0, bytes: 0, isEnded: imported }
    mkdirSync(join(this.#root, scene), { recursive: true, mode: 0o700 })
    try {
      this.#add(recording, lineOf(head), entries, capsule, lineOf(top))
    } catch (error) {
      this.remove(recording)
      throw error
    }
    return recording
  }

  /**
   * Adds a capsule to a recording, and the entries that came since the one before it.
   * @throws the error of the system; the recording is ended then
   */
  append(recording: Recording, entries: readonly Entry[], capsule: Capsule): void {
    try {
      this.#add(recording as Files, '', entries, capsule, '')
    } catch (error) {
      ;(recording as Files).isEnded = true
      this.#close(recording)
      throw error
    }
  }

  /**
   * Takes away everything after the first capsules of a recording, also from the disk, and ends it.
   * @throws the error of the system
   */
  cut(recording: Recording, kept: number): void {
    const files = recording as Files
    files.isEnded = true
    this.#close(recording)
    if (kept === 0) {
      this.remove(recording)
      return
    }
    const capsules = files.capsules.slice(0, kept)
    const index = Buffer.from(lineOf(topOf(files)) + capsules.map(lineOf).join(''))
    // The index comes first: what it does not name any more is cut off at the next start, should this process end in between.
    const path = this.#path(files, INDEX)
    writeSynced(`${path}.part`, index)
    renameSync(`${path}.part`, path)
    Object.assign(files, { capsules, indexBytes: index.length, bytes: index.length + bytesOf({ ...files, capsules }) })
    const fd = openSync(this.#path(files, DATA), 'r+')
    try {
      ftruncateSync(fd, bytesOf(files))
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  }

  /** @throws the error of the system */
  remove(recording: Recording): void {
    Object.assign(recording as Files, { capsules: [], bytes: 0, isEnded: true })
    this.#close(recording)
    for (const ending of [INDEX, DATA]) rmSync(this.#path(recording, ending), { force: true })
  }

  /**
   * How many capsules of a recording came before anything in it mentions a text, as a string of JSON of its own, also of JSON in a string.
   * @throws the error of the system
   */
  async capsulesBefore(recording: Recording, text: string): Promise<number> {
    const data = await this.#read(recording, 0, bytesOf(recording))
    const quoted = JSON.stringify(text)
    const places = [quoted, JSON.stringify(quoted).slice(1, -1)].map(needle => data.indexOf(needle)).filter(place => place >= 0)
    const first = Math.min(...places, data.length)
    const whole = recording.capsules.findIndex(({ to }) => to > first)
    return whole < 0 ? recording.capsules.length : whole
  }

  /**
   * The head of a recording, and its entries and capsules up to the end of one of its capsules.
   * @throws the error of the system, or what comes of it when the file is cut meanwhile
   */
  async read(recording: Recording, upTo: IndexedCapsule): Promise<{ head: RecordingHead; entries: Entry[]; capsules: Capsule[] }> {
    const [first, ...lines] = linesIn(await this.#read(recording, 0, upTo.to))
    return { head: first as RecordingHead, ...sorted(lines) }
  }

  /** The head of a recording, the entry of its load, and what belongs to one of its capsules. @throws as `read` */
  async readAlone(recording: Recording, { from, to }: IndexedCapsule) {
    const [beginning, own] = await Promise.all([this.#read(recording, 0, recording.loadEnd), this.#read(recording, from, to)])
    const [head, load] = linesIn(beginning) as [RecordingHead, { readonly entry: Entry }]
    return { head, load: load.entry, ...sorted(linesIn(own)) }
  }

  #add(recording: Files, head: string, entries: readonly Entry[], capsule: Capsule, top: string): void {
    const start = bytesOf(recording)
    const kept = entriesOf(recording)
    const lines = entries.map(entry => lineOf({ entry }))
    const before = lines.slice(0, capsule.entries[0] - kept)
    const from = start + Buffer.byteLength(head) + before.reduce((sum, line) => sum + Buffer.byteLength(line), 0)
    const data = Buffer.from(head + lines.join('') + lineOf({ capsule }))
    const { id, imported } = recording
    const summary = summaryOf(capsule, id, imported)
    const indexed: IndexedCapsule = { summary, from, to: start + data.length, entries: kept + entries.length }
    const index = Buffer.from(top + lineOf(indexed))
    const files = this.#openFiles(recording, start === 0 ? 'w' : 'r+')
    writeAt(files.data, data, start)
    writeAt(files.index, index, recording.indexBytes)
    if (imported) this.#close(recording)
    recording.capsules.push(indexed)
    recording.indexBytes += index.length
    recording.bytes = recording.indexBytes + indexed.to
  }

  /** @throws the error of the system: ENOENT too when somebody has removed the files while they were open */
  #openFiles(recording: Recording, flag: 'w' | 'r+'): OpenFiles {
    const known = this.#open.get(recording.id)
    this.#open.delete(recording.id)
    const files = known ?? this.#openAnew(recording, flag)
    this.#open.set(recording.id, files)
    const [oldest] = this.#open.keys()
    if (this.#open.size > OPEN_MAX && oldest !== undefined) this.#close({ id: oldest })
    if (known !== undefined && fstatSync(files.data).nlink === 0)
      throw Object.assign(new Error(`The files of recording "${recording.id}" were removed`), { code: 'ENOENT' })
    return files
  }

  #openAnew(recording: Recording, flag: 'w' | 'r+'): OpenFiles {
    const data = openSync(this.#path(recording, DATA), flag, 0o600)
    try {
      return { data, index: openSync(this.#path(recording, INDEX), flag, 0o600) }
    } catch (error) {
      closeSync(data)
      throw error
    }
  }

  #close({ id }: Pick<Recording, 'id'>): void {
    const files = this.#open.get(id)
    if (files === undefined) return
    this.#open.delete(id)
    closeSync(files.data)
    closeSync(files.index)
  }

  #find(scene: string, id: string, onUnreadable: (path: string, error: unknown) => void): Files[] {
    const path = join(this.#root, scene, `${id}${INDEX}`)
    try {
      const data = join(this.#root, scene, `${id}${DATA}`)
      const { size } = statSync(data)
      const text = readFileSync(path)
      const { top, capsules, bytes } = parseIndex(text.toString('utf8'), size)
      if (top?.format !== CAPSULE_FORMAT)
        throw new Error(`its format is ${top?.format ?? 'not known'}, this release reads ${CAPSULE_FORMAT}`)
      const to = capsules.at(-1)?.to
      // A process ended while it wrote the first capsule.
      if (to === undefined || !RECORDING_ID.test(id)) return []
      if (bytes < text.length) truncateSync(path, bytes)
      if (to < size) truncateSync(data, to)
      return [{ id, ...top, capsules, indexBytes: bytes, bytes: bytes + to, isEnded: top.imported }]
    } catch (error) {
      onUnreadable(path, error)
      return []
    }
  }

  async #read(recording: Recording, from: number, to: number): Promise<Buffer> {
    const file = await open(this.#path(recording, DATA), 'r')
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(to - from), 0, to - from, from)
      return buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  }

  #path({ scene, id }: Pick<Recording, 'scene' | 'id'>, ending: string): string {
    if (!RECORDING_ID.test(id)) throw new Error(`"${id}" is no id of a recording`)
    return join(this.#root, scene, id + ending)
  }
}

/** Of the files of a recording, what the first line of its index says. */
const topOf = ({ format, scene, version, startedAt, imported, digests, loadEnd }: Top): Top => {
  return { format, scene, version, startedAt, imported, digests, loadEnd }
}

function summaryOf(capsule: Capsule, recording: string, imported: boolean): CapsuleSummary {
  const { id, scene, version, at, requestId, why, unit, because, tookMs, cpuMs, inexact, answer } = capsule
  const failed = 'failure' in answer ? answer.failure.code : undefined
  return { id, recording, scene, version, at, requestId, why, imported, failed, unit, because, tookMs, cpuMs, inexact }
}

/** The lines of an index that are whole and whose bytes are there, and how many bytes these lines take. */
function parseIndex(text: string, dataBytes: number): { top: Top | undefined; capsules: IndexedCapsule[]; bytes: number } {
  const values: unknown[] = []
  let bytes = 0
  for (const line of text.split('\n').slice(0, -1)) {
    const value = parseLine(line)
    if (value === undefined || (values.length > 0 && (value as IndexedCapsule).to > dataBytes)) break
    values.push(value)
    bytes += Buffer.byteLength(line) + 1
  }
  const [top, ...capsules] = values as [Top | undefined, ...IndexedCapsule[]]
  return { top, capsules, bytes }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    // A process ended while it was written.
    return undefined
  }
}

const linesIn = (data: Buffer): unknown[] =>
  data
    .toString('utf8')
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as unknown)

function sorted(lines: readonly unknown[]): { entries: Entry[]; capsules: Capsule[] } {
  const both = lines as readonly { readonly entry?: Entry; readonly capsule?: Capsule }[]
  return { entries: both.flatMap(({ entry }) => entry ?? []), capsules: both.flatMap(({ capsule }) => capsule ?? []) }
}

function foldersIn(root: string): string[] {
  try {
    return readdirSync(root, { withFileTypes: true }).flatMap(entry => (entry.isDirectory() ? [entry.name] : []))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** Writes all bytes at a place of a file, or throws and leaves the file as long as it was. */
function writeAt(fd: number, bytes: Buffer, at: number): void {
  try {
    let done = 0
    while (done < bytes.length) done += writeSync(fd, bytes, done, bytes.length - done, at + done)
  } catch (error) {
    ftruncateSync(fd, at)
    throw error
  }
}

function writeSynced(path: string, bytes: Buffer): void {
  const fd = openSync(path, 'w', 0o600)
  try {
    writeAt(fd, bytes, 0)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
