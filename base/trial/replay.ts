/** Replays a recording: the same entries, from the load on, in another isolate. The same bytes come again, or it is said what does not. */
import type { Entry, EntryKind, Inexactness, Origin, RecordingHead } from '../capsule/capsule.ts'
import type { Difference, Replayed } from '../capsule/replayed.ts'
import { limits } from '../kernel/limits.ts'
import { originHere } from '../slot/recorder.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { type Entered, type Showing, type TapedParts, TapedSlot } from './taped-slot.ts'

export interface Recording {
  readonly head: RecordingHead
  readonly entries: readonly Entry[]
}

/** The plan of the slot that was recorded. */
export function planOf({ scene, version, memoryMB, lock, schemas }: RecordingHead): SlotPlan {
  return { key: `${scene}/${version}`, scene, version, memoryMB, lock, ...(schemas !== undefined && { schemas }) }
}

/** For those who follow a replay. */
export interface Following {
  /** Awaited before an entry is put in that is not the load. */
  before?(entry: Entry, place: number): Promise<void> | undefined
  after?(entered: Entered, place: number): void
  /** Whether it goes on after a difference, to the end. */
  readonly goesOn?: boolean
}

/**
 * Puts in all entries in order, up to the first that says something else than it has said when it was recorded.
 * @throws ModuleError when the modules cannot be loaded; errors of `readBundle`
 */
export async function replay({ head, entries }: Recording, parts: TapedParts, following: Following = {}): Promise<Replayed> {
  const [load] = entries
  if (load?.kind !== 'load') throw new TypeError(`Recording "${head.id}" does not begin with a load`)
  const settings = { seed: head.seed, services: head.services, cpuMs: limits.capsule.entryCpuMsMax }
  const { slot, loaded } = await TapedSlot.load(planOf(head), settings, shownIn(load), parts)
  let difference: Difference | undefined
  try {
    for (const [place, entry] of entries.entries()) {
      const entered = entry.kind === 'load' ? loaded : await putInto(slot, entry, entry.kind, place, following)
      following.after?.(entered, place)
      const what = difference === undefined ? differenceOf(entry, entered) : undefined
      if (what !== undefined) difference = { entry: place, kind: entry.kind, what }
      if (!slot.isAlive || (difference !== undefined && !following.goesOn)) break
    }
  } finally {
    slot.end()
  }
  return { same: difference?.entry ?? entries.length, difference, inexact: inexactHere(head.origin) }
}

async function putInto(
  slot: TapedSlot,
  entry: Entry,
  kind: Exclude<EntryKind, 'load'>,
  place: number,
  { before }: Following,
): Promise<Entered> {
  await before?.(entry, place)
  return slot.enter(kind, entry.values, shownIn(entry))
}

/** Why a recording that was made there may give other bytes in this process. */
export function inexactHere(origin: Origin): Inexactness[] {
  const here = originHere()
  return [
    ...(origin.v8 === here.v8 ? [] : (['another V8'] as const)),
    ...(origin.platform === here.platform ? [] : (['another platform'] as const)),
    ...(origin.zone === here.zone && origin.locale === here.locale ? [] : (['another time zone or locale'] as const)),
    ...(origin.inside === here.inside ? [] : (['another release'] as const)),
  ]
}

/** What clocks showed when the entry was recorded. */
export function shownIn({ readings, wallMinusMonotonic, seed }: Entry): Showing {
  return { readings, beyond: readings.at(-1) ?? 0, wallMinusMonotonic, seed }
}

function differenceOf(entry: Entry, entered: Entered): Difference['what'] | undefined {
  // Of an entry over which the slot was killed, and of a redacted recording, it is not known what was said.
  if (entry.said === '') return undefined
  if (entered.killed !== undefined) return `the slot was killed: ${entered.killed}`
  if (entered.readings !== entry.readings.length) return `clocks were read ${entered.readings} times instead of ${entry.readings.length}`
  if (entered.said === entry.said) return undefined
  const [asked, before] = [entered.asked, entry.asked].map(list => JSON.stringify(list)) as [string, string]
  return asked === before ? 'something else was answered or logged' : `it asked the outside for ${cut(asked)} instead of ${cut(before)}`
}

const SHOWN_CHARS = 300
const cut = (text: string): string => (text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text)
