/** The capsules that a base keeps: takes what cells capture, within bounds, and gives it to those who replay, validate, warm up or look. */
import { hash } from 'node:crypto'
import type { Capsule, Captured, Entry, KeptCapsule, RecordingHead } from '../../capsule/capsule.ts'
import { BerthError, messageOf } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import { storeFault } from '../../store/faults.ts'
import type { CapsuleSettings } from '../../traffic/schema.ts'
import { type CapsuleSummary, entriesOf, type IndexedCapsule, type Recording, type RecordingFiles } from './recording-files.ts'
import { compareTexts, isWanted, surplus } from './retention.ts'

/** What a scene keeps, see the settings of scenes. */
export type CapsuleBounds = Pick<CapsuleSettings, 'kept' | 'bytes' | 'ageDays'>

/** A capsule with nothing of its recording but the load: what a fresh slot needs to answer it. */
export interface AloneCapsule {
  readonly head: RecordingHead
  readonly load: Entry
  /** Those of the capsule, and of what others have left behind meanwhile. */
  readonly entries: readonly Entry[]
  readonly capsule: Capsule
}

export interface WholeRecording {
  readonly head: RecordingHead
  readonly entries: readonly Entry[]
  readonly capsules: readonly Capsule[]
}

export interface CapsuleFilter {
  readonly version?: string | undefined
  readonly why?: Capsule['why'] | undefined
  readonly failed?: boolean | undefined
  readonly unit?: string | undefined
  readonly requestId?: string | undefined
}

/** What there is to have capsules. */
export interface CapturedScenes {
  /** Undefined when there is no such scene. */
  readonly boundsOf: (scene: string) => CapsuleBounds | undefined
  readonly hasVersion: (scene: string, version: string) => boolean
}

interface Found {
  readonly recording: Recording
  readonly indexed: IndexedCapsule
}

interface Tally {
  /** Of all its files. */
  bytes: number
  /** Of each version, how many capsules are kept; never 0. */
  readonly counts: Map<string, number>
}

const DAY_MS = 86_400_000
/** Over its bound, a version goes this part below it, since to find out which capsules go takes a look at all of them. */
const SLACK_PART = 1 / 16

export class Capsules {
  readonly #files: RecordingFiles
  readonly #scenes: CapturedScenes
  readonly #onFailed: (error: unknown, path?: string) => void
  readonly #recordings = new Map<string, Recording>()
  /** By the id of the capsule. Those that had to make room are not among them, though their recording may still be there. */
  readonly #kept = new Map<string, Found>()
  /** By scene: what `#recordings` and `#kept` have of it. */
  readonly #tallies = new Map<string, Tally>()
  #onEnded: (recording: string) => void = () => undefined
  #bytes = 0
  #failed = false

  /**
   * @param onFailed is called once each time that the disk begins to refuse, and with what cannot be read at the start
   * @param onEnded is called with a recording that takes no more though its cell may still make it: nobody should capture in vain
   */
  constructor(
    files: RecordingFiles,
    scenes: CapturedScenes,
    onFailed: (error: unknown, path?: string) => void,
    onEnded: (recording: string) => void = () => undefined,
  ) {
    this.#files = files
    this.#scenes = scenes
    this.#onFailed = onFailed
    this.#try(() => {
      for (const recording of files.scan((path, error) => onFailed(error, path))) this.#know(recording)
    })
    this.removeDeleted()
    // No cell is connected before.
    this.#onEnded = onEnded
  }

  /** Bytes of everything that is kept. */
  get bytes(): number {
    return this.#bytes
  }

  /** The bundles and source maps of all recordings. */
  digests(): Set<string> {
    return new Set(this.#recordings.values().flatMap(({ digests }) => digests))
  }

  /**
   * Takes what a cell has captured.
   * @returns whether it outlives the process now. If not, the recording takes no more: it had to make room, was deleted, lacks what came before, or could
   * not be written
   */
  take(captured: Captured): boolean {
    const { capsule, entries } = captured
    if (this.#kept.has(capsule.id)) return true
    const known = this.#recordings.get(captured.recording)
    if (!isNext(captured, known === undefined ? 0 : entriesOf(known)) || known?.isEnded) return false
    const { head = undefined } = captured
    if (known === undefined && (head === undefined || !this.#isThere(head))) return false
    const isDone = this.#try(() => {
      if (known !== undefined) this.#grow(known, entries, capsule)
      else if (head !== undefined) this.#know(this.#files.begin(head, entries, capsule, false))
    })
    if (!isDone) return false
    this.#makeRoom(capsule.scene)
    return this.#kept.has(capsule.id)
  }

  /** The newest capsules of a version, the newest first. Those of other bases are not among them. */
  newest(scene: string, version: string, count: number): CapsuleSummary[] {
    const own = this.#summaries(scene).filter(summary => summary.version === version && !summary.imported)
    return own.sort(byAge).slice(0, count)
  }

  /** The capsules of a scene that pass, the newest first. */
  list(scene: string, filter: CapsuleFilter): CapsuleSummary[] {
    return this.#summaries(scene)
      .filter(summary => passes(summary, filter))
      .sort(byAge)
  }

  find(id: string): CapsuleSummary | undefined {
    return this.#kept.get(id)?.indexed.summary
  }

  /** The bytes of its entries and its answer on disk; 0 when there is no such capsule. */
  bytesOf(id: string): number {
    const found = this.#kept.get(id)
    return found === undefined ? 0 : found.indexed.to - found.indexed.from
  }

  /** @throws CAPSULE_NOT_FOUND when the scene has none with this id, or none any more */
  get(scene: string, id: string): CapsuleSummary {
    const summary = this.find(id)
    if (summary?.scene === scene) return summary
    throw notFound(id, `scene "${scene}" has none with this id`)
  }

  /** A capsule, with its recording up to its last entry. @throws CAPSULE_NOT_FOUND */
  async read(id: string): Promise<KeptCapsule> {
    const { recording, indexed } = this.#found(id)
    const { head, entries, capsules } = await this.#files.read(recording, indexed).catch(error => this.#gone(id, recording, error))
    const capsule = capsules.at(-1)
    if (capsule?.id !== id) throw notFound(id, 'it was deleted at this moment')
    return { head, entries: entries.slice(0, capsule.entries[1] + 1), capsule }
  }

  /** Capsules without the rest of their recordings. Those that are gone by now are left out. */
  async readAlone(ids: readonly string[]): Promise<AloneCapsule[]> {
    const read: AloneCapsule[] = []
    for (const id of ids) {
      const found = this.#kept.get(id)
      const alone = found && (await this.#files.readAlone(found.recording, found.indexed).catch(() => undefined))
      const capsule = alone?.capsules[0]
      if (alone === undefined || capsule?.id !== id) continue
      const [first, last] = capsule.entries
      read.push({ head: alone.head, load: alone.load, entries: alone.entries.slice(0, last - first + 1), capsule })
    }
    return read
  }

  /** The ids of the recordings of a version, or of all of a scene, the newest first, as many as take no more bytes than these, and one at least. */
  recordings(scene: string, version?: string, bytesMax = Number.POSITIVE_INFINITY): string[] {
    const own = this.#of(scene).filter(recording => version === undefined || recording.version === version)
    let bytes = 0
    return own
      .sort((a, b) => compareTexts(b.startedAt, a.startedAt))
      .filter((recording, place) => {
        bytes += recording.bytes
        return bytes <= bytesMax || place === 0
      })
      .map(({ id }) => id)
  }

  /** A recording up to its last capsule, with all its capsules. @throws CAPSULE_NOT_FOUND when it is gone */
  async readRecording(id: string): Promise<WholeRecording> {
    const recording = this.#recordings.get(id)
    const last = recording?.capsules.at(-1)
    if (recording === undefined || last === undefined) throw notFound(id, 'there is no recording with this id any more')
    return this.#files.read(recording, last).catch(error => this.#gone(id, recording, error))
  }

  /**
   * Keeps a capsule of another base, as a recording of its own. The blobs that it needs are there already.
   * @returns whether it was not here before
   * @throws STORE_FULL, DATA_UNWRITABLE
   */
  import({ head, entries, capsule }: KeptCapsule): boolean {
    if (this.#kept.has(capsule.id)) return false
    // Another capsule of the same recording may be here, or come later.
    const id = hash('sha256', `${head.id}/${capsule.id}`, 'hex').slice(0, 16)
    const known = this.#recordings.get(id)
    if (known !== undefined) this.#drop(known)
    try {
      this.#know(this.#files.begin({ ...head, id }, entries, { ...capsule, recording: id }, true))
    } catch (error) {
      throw storeFault(`keep capsule "${capsule.id}"`, error)
    }
    this.#makeRoom(capsule.scene)
    return true
  }

  /**
   * Deletes capsules, also from the disk. What came after one of them in its recording goes with it, since the slot may have remembered something of it.
   * @param isMeant decides on the capsules of the scene, those too that had to make room and whose recording is still there
   * @returns the ids of all that are gone
   * @throws STORE_FAILED, DATA_UNWRITABLE; some may be gone then
   */
  delete(scene: string, isMeant: (summary: CapsuleSummary) => boolean): string[] {
    return this.#cutAll(scene, recording => {
      const first = recording.capsules.findIndex(({ summary }) => isMeant(summary))
      return first < 0 ? recording.capsules.length : first
    })
  }

  /**
   * Deletes every capsule of a unit, and whatever else mentions its id. @returns as `delete` @throws as `delete`
   */
  async deleteUnit(scene: string, unit: string): Promise<string[]> {
    const gone = this.delete(scene, summary => summary.unit === unit)
    for (const recording of this.#of(scene)) {
      const before = await this.#files.capsulesBefore(recording, unit).catch((error: unknown) => {
        throw storeFault(`search recording "${recording.id}"`, error)
      })
      // It may have grown or been cut while it was read; what comes later is not of the past.
      gone.push(...this.#cutAll(scene, one => (one === recording ? before : one.capsules.length)))
    }
    return gone
  }

  /** Removes the recordings of scenes and versions that there are no more, and those that are too old. */
  removeDeleted(now = Date.now()): void {
    for (const [scene, recordings] of Map.groupBy(this.#recordings.values(), ({ scene }) => scene)) {
      const ageDays = this.#scenes.boundsOf(scene)?.ageDays ?? 0
      const isTooOld = ({ startedAt }: Recording) => Date.parse(startedAt) < now - ageDays * DAY_MS
      const gone = recordings.filter(recording => isTooOld(recording) || !this.#isThere(recording))
      for (const recording of gone) this.#try(() => this.#drop(recording))
      this.#makeRoom(scene)
    }
    for (const [scene, { counts, bytes }] of this.#tallies) if (counts.size === 0 && bytes === 0) this.#tallies.delete(scene)
  }

  /** Versions of other bases mean nothing here, so nothing here deletes them but the end of the scene. */
  #isThere({ scene, version, imported = false }: Pick<Recording, 'scene' | 'version'> & { readonly imported?: boolean }): boolean {
    return this.#scenes.boundsOf(scene) !== undefined && (imported || this.#scenes.hasVersion(scene, version))
  }

  #know(recording: Recording): void {
    this.#recordings.set(recording.id, recording)
    this.#addBytes(recording, recording.bytes)
    for (const indexed of recording.capsules) this.#keep({ recording, indexed })
  }

  #grow(recording: Recording, entries: readonly Entry[], capsule: Capsule): void {
    const before = recording.bytes
    try {
      this.#files.append(recording, entries, capsule)
    } catch (error) {
      // Somebody has removed its files.
      if (isMissing(error)) this.#drop(recording)
      throw error
    }
    this.#addBytes(recording, recording.bytes - before)
    const indexed = recording.capsules.at(-1)
    if (indexed !== undefined) this.#keep({ recording, indexed })
  }

  #addBytes({ scene }: Recording, bytes: number): void {
    this.#bytes += bytes
    this.#tallyOf(scene).bytes += bytes
  }

  #keep(found: Found): void {
    const { id, scene, version } = found.indexed.summary
    const { counts } = this.#tallyOf(scene)
    if (!this.#kept.has(id)) counts.set(version, (counts.get(version) ?? 0) + 1)
    this.#kept.set(id, found)
  }

  #unkeep(id: string): void {
    const found = this.#kept.get(id)
    if (found === undefined) return
    this.#kept.delete(id)
    const { scene, version } = found.indexed.summary
    const { counts } = this.#tallyOf(scene)
    const count = (counts.get(version) ?? 0) - 1
    if (count > 0) counts.set(version, count)
    else counts.delete(version)
  }

  #tallyOf(scene: string): Tally {
    const known = this.#tallies.get(scene)
    const tally = known ?? { bytes: 0, counts: new Map() }
    if (known === undefined) this.#tallies.set(scene, tally)
    return tally
  }

  #drop(recording: Recording): void {
    this.#forget(recording, 0)
    if (!recording.isEnded) this.#onEnded(recording.id)
    this.#files.remove(recording)
  }

  /** @returns the ids of the capsules that are forgotten with it */
  #forget(recording: Recording, kept: number): string[] {
    const ids = recording.capsules.slice(kept).map(({ summary }) => summary.id)
    for (const id of ids) this.#unkeep(id)
    if (kept > 0) return ids
    this.#recordings.delete(recording.id)
    this.#addBytes(recording, -recording.bytes)
    return ids
  }

  #cutAll(scene: string, keptOf: (recording: Recording) => number): string[] {
    return this.#of(scene).flatMap(recording => {
      const kept = keptOf(recording)
      if (kept >= recording.capsules.length) return []
      const before = recording.bytes
      const gone = this.#forget(recording, kept)
      if (!recording.isEnded) this.#onEnded(recording.id)
      try {
        this.#files.cut(recording, kept)
      } catch (error) {
        throw storeFault(`delete capsules of scene "${scene}"`, error)
      }
      if (kept > 0) this.#addBytes(recording, recording.bytes - before)
      return gone
    })
  }

  #of(scene: string): Recording[] {
    return [...this.#recordings.values()].filter(recording => recording.scene === scene)
  }

  #summaries(scene: string): CapsuleSummary[] {
    return [...this.#kept.values()].flatMap(({ indexed: { summary } }) => (summary.scene === scene ? [summary] : []))
  }

  /** Keeps a scene and the base within their bounds. A recording goes when none of its capsules is kept. What is within them costs a few look-ups. */
  #makeRoom(scene: string): void {
    const bounds = this.#scenes.boundsOf(scene)
    const tally = this.#tallies.get(scene)
    if (bounds === undefined || tally === undefined) return
    for (const [version, count] of tally.counts) if (count > bounds.kept) this.#keepCount(scene, version, lessSlack(bounds.kept))
    if (tally.bytes > bounds.bytes) this.#keepBytes(this.#of(scene), bounds.bytes)
    const over = this.#kept.size - limits.capsule.keptMax
    if (over > 0) {
      const all = [...this.#tallies].flatMap(([scene, { counts }]) => [...counts].map(([version, count]) => ({ scene, version, count })))
      const largest = all.reduce((a, b) => (b.count > a.count ? b : a))
      this.#keepCount(largest.scene, largest.version, lessSlack(Math.max(0, largest.count - over)))
    }
    if (this.#bytes > limits.capsule.filesBytesMax) this.#keepBytes([...this.#recordings.values()], limits.capsule.filesBytesMax)
  }

  #keepCount(scene: string, version: string, max: number): void {
    const ofVersion = this.#summaries(scene).filter(summary => summary.version === version)
    for (const id of surplus(ofVersion, max)) {
      const { recording } = this.#found(id)
      this.#unkeep(id)
      if (!recording.capsules.some(({ summary }) => this.#kept.has(summary.id))) this.#try(() => this.#drop(recording))
    }
  }

  /** Of the version that has most bytes, recordings go in which nothing is wanted, then the others, the oldest first. */
  #keepBytes(recordings: readonly Recording[], max: number): void {
    let bytes = sum(recordings)
    const left = Map.groupBy(bytes > max ? recordings : [], versionOf)
    for (const ofVersion of left.values()) ofVersion.sort(this.#byWorth)
    while (bytes > max) {
      const largest = [...left.values()].reduce((a, b) => (sum(b) > sum(a) ? b : a))
      const first = largest.shift()
      if (first === undefined) return
      bytes -= first.bytes
      this.#try(() => this.#drop(first))
    }
  }

  readonly #byWorth = (a: Recording, b: Recording): number => {
    const worth = ({ capsules }: Recording) => Number(capsules.some(({ summary }) => this.#kept.has(summary.id) && isWanted(summary)))
    return worth(a) - worth(b) || compareTexts(a.startedAt, b.startedAt)
  }

  #found(id: string): Found {
    const found = this.#kept.get(id)
    if (found !== undefined) return found
    throw notFound(id, 'there is none with this id any more')
  }

  /** Reading fails when the recording was cut or removed meanwhile, also by somebody else, or the disk has failed. */
  #gone(id: string, recording: Recording, error: unknown): never {
    if (isMissing(error) && this.#recordings.has(recording.id)) this.#drop(recording)
    throw new BerthError('CAPSULE_NOT_FOUND', `Cannot read capsule "${id}": ${messageOf(error)}`, { cause: error })
  }

  #try(work: () => void): boolean {
    try {
      work()
      this.#failed = false
      return true
    } catch (error) {
      if (!this.#failed) this.#onFailed(error)
      this.#failed = true
      return false
    }
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'

const notFound = (id: string, why: string): BerthError => new BerthError('CAPSULE_NOT_FOUND', `Cannot find capsule "${id}": ${why}`)

/** Whether nothing is missing between what is kept of the recording and what has come, and the capsule is in what has come. */
function isNext({ from, entries, capsule, head }: Captured, kept: number): boolean {
  const [first, last] = capsule.entries
  if (from !== kept || (kept === 0 && (head === undefined || entries[0]?.kind !== 'load'))) return false
  return first >= from && first <= last && last < from + entries.length
}

function passes(summary: CapsuleSummary, { version, why, failed, unit, requestId }: CapsuleFilter): boolean {
  if (version !== undefined && summary.version !== version) return false
  if (why !== undefined && summary.why !== why) return false
  if (failed !== undefined && (summary.failed !== undefined) !== failed) return false
  if (unit !== undefined && summary.unit !== unit) return false
  return requestId === undefined || summary.requestId === requestId
}

const versionOf = ({ scene, version }: Pick<CapsuleSummary, 'scene' | 'version'>): string => `${scene}/${version}`
const lessSlack = (count: number): number => count - Math.floor(count * SLACK_PART)
const sum = (recordings: readonly Recording[]): number => recordings.reduce((total, { bytes }) => total + bytes, 0)
const byAge = (a: CapsuleSummary, b: CapsuleSummary): number => compareTexts(b.at, a.at) || compareTexts(b.id, a.id)
