/**
 * Compares answers field by field. Pure. A field is a JSON pointer with `*` for the items of a list, and for the members of an object that is used as a map,
 * so that the same field of many answers is one field. What a field may be is learned from the answers of the baseline.
 */
import type { FieldTolerance } from '../traffic/schema.ts'

export type Tolerances = Readonly<Record<string, FieldTolerance>>

/** Numbers with fractions that differ by less than this part of themselves are equal: the order of a sum changes that much. */
export const RELATIVE_TOLERANCE = 1e-9
/** An object that has had more different members than this, in all answers, is a map. */
const MEMBERS_MAX = 64

/**
 * What is different about a field. `type`: it has a type that it never had with the baseline; `missing`: it is not there, though with the baseline it always was;
 * `new`: with the baseline it never was there; `list`: items were moved, added or lost; `value`: all else.
 */
export type DifferenceKind = 'value' | 'type' | 'missing' | 'new' | 'list'

export interface ListChanges {
  readonly moved: number
  readonly added: number
  readonly missing: number
}

/** How one field differs in two answers. Where it stands in several items, this is all of them together. */
export interface FieldDifference {
  readonly path: string
  readonly kind: DifferenceKind
  /** Where it differs first; undefined: it is not there. */
  readonly before: unknown
  readonly after: unknown
  /** Of numbers: the largest difference, and what all of them come to, with their signs. */
  readonly absolute?: number
  readonly relative?: number
  readonly shift?: number
  readonly list?: ListChanges
}

type JsonObject = Readonly<Record<string, unknown>>
type JsonType = 'null' | 'boolean' | 'number' | 'string' | 'list' | 'object'

const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value)

function typeOf(value: unknown): JsonType {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'list'
  return typeof value as JsonType
}

const escaped = (member: string): string => member.replaceAll('~', '~0').replaceAll('/', '~1')

/** What the baseline answers look like. */
export class Layout {
  readonly #tolerances: Tolerances
  readonly #maps = new Set<string>()
  readonly #objects = new Map<string, number>()
  /** How often a member of an object was there, by its path. */
  readonly #members = new Map<string, number>()
  readonly #types = new Map<string, Set<JsonType>>()
  /** The members that may tell the items of a list apart, by the path of the list. */
  readonly #keys = new Map<string, Set<string>>()
  /** Lists of scalars in which one stood twice. */
  readonly #repeating = new Set<string>()

  /** @param answers of the baseline, parsed */
  constructor(answers: readonly unknown[], tolerances: Tolerances) {
    this.#tolerances = tolerances
    // The members of a map have one path only when it is known to be one, so maps inside of maps are found one after the other.
    for (let known = -1; known < this.#maps.size; ) {
      known = this.#maps.size
      this.#findMaps(answers)
    }
    for (const answer of answers) this.#learn(answer, '')
  }

  tolerance(path: string): FieldTolerance {
    return this.#tolerances[path] ?? {}
  }

  /** The path of a member of an object. */
  member(path: string, name: string): string {
    return `${path}/${this.#maps.has(path) ? '*' : escaped(name)}`
  }

  hasMember(path: string, name: string): boolean {
    return this.#members.has(this.member(path, name))
  }

  /** Whether the member was in every one of these objects. */
  isAlwaysThere(path: string, name: string): boolean {
    return !this.#maps.has(path) && this.#members.get(this.member(path, name)) === this.#objects.get(path)
  }

  /** Whether the field had this type in any answer. */
  hasType(path: string, value: unknown): boolean {
    return this.#types.get(path)?.has(typeOf(value)) === true
  }

  /**
   * What tells the items of two lists apart, an id for each; undefined when only their places do. Items that have the same id get numbers.
   */
  identities(path: string, lists: readonly (readonly unknown[])[]): string[][] | undefined {
    const key = this.#keyOf(path)
    const found = lists.map(list => list.map(item => identityOf(item, key)))
    if (key === undefined && (this.#repeating.has(path) || lists.some(hasRepeats))) return undefined
    return found.every(ids => ids.every(id => id !== undefined)) ? found.map(ids => numbered(ids as string[])) : undefined
  }

  #keyOf(path: string): string | undefined {
    const { key } = this.tolerance(path)
    if (key !== undefined) return key
    const candidates = [...(this.#keys.get(path) ?? [])]
    return candidates.find(name => name === 'id') ?? candidates[0]
  }

  #findMaps(answers: readonly unknown[]): void {
    const members = new Map<string, Set<string>>()
    const walk = (value: unknown, path: string): void => {
      if (Array.isArray(value)) for (const item of value) walk(item, `${path}/*`)
      else if (isObject(value)) {
        for (const [name, member] of Object.entries(value)) {
          if (!this.#maps.has(path)) addTo(members, path, name)
          walk(member, this.member(path, name))
        }
      }
    }
    for (const answer of answers) walk(answer, '')
    for (const [path, names] of members) if (names.size > MEMBERS_MAX) this.#maps.add(path)
  }

  #learn(value: unknown, path: string): void {
    addTo(this.#types, path, typeOf(value))
    if (Array.isArray(value)) this.#learnList(value, path)
    else if (isObject(value)) {
      increase(this.#objects, path)
      for (const [name, member] of Object.entries(value)) {
        increase(this.#members, this.member(path, name))
        this.#learn(member, this.member(path, name))
      }
    }
  }

  #learnList(list: readonly unknown[], path: string): void {
    for (const item of list) this.#learn(item, `${path}/*`)
    if (hasRepeats(list)) this.#repeating.add(path)
    if (list.length === 0) return
    const here = keysOf(list)
    const before = this.#keys.get(path)
    this.#keys.set(path, before === undefined ? here : before.intersection(here))
  }
}

/** Names by which members say what an object is. */
const KEY_NAME = /^(id|key|sku|slug|uuid|code|name)$|(Id|ID|Key|Sku|_id|_key|_sku)$/

/** The members that every item has, and none has the same value as another. */
function keysOf(list: readonly unknown[]): Set<string> {
  const [first] = list
  if (!isObject(first)) return new Set()
  const names = Object.keys(first).filter(name => KEY_NAME.test(name))
  return new Set(names.filter(name => areDistinct(list.map(item => identityOf(item, name)))))
}

const areDistinct = (ids: readonly (string | undefined)[]): boolean => !ids.includes(undefined) && new Set(ids).size === ids.length
const hasRepeats = (list: readonly unknown[]): boolean => new Set(list).size < list.length

/** Numbers with a fraction are measured, and are no ids. */
function identityOf(item: unknown, key: string | undefined): string | undefined {
  const value = key === undefined ? item : isObject(item) && Object.hasOwn(item, key) ? item[key] : undefined
  return typeof value === 'string' || Number.isSafeInteger(value) ? JSON.stringify(value) : undefined
}

function numbered(ids: readonly string[]): string[] {
  const seen = new Map<string, number>()
  return ids.map(id => {
    increase(seen, id)
    const count = seen.get(id) ?? 1
    return count === 1 ? id : `${id}#${count}`
  })
}

const increase = (counts: Map<string, number>, key: string): Map<string, number> => counts.set(key, (counts.get(key) ?? 0) + 1)

function addTo<V>(sets: Map<string, Set<V>>, key: string, value: V): void {
  const set = sets.get(key)
  if (set === undefined) sets.set(key, new Set([value]))
  else set.add(value)
}

/** The fields in which two answers differ, each once for each kind of difference. */
export function compareAnswers(before: unknown, after: unknown, layout: Layout): FieldDifference[] {
  const comparison = new Comparison(layout)
  comparison.compare(before, after, '')
  return [...comparison.found.values()]
}

class Comparison {
  readonly found = new Map<string, FieldDifference>()
  readonly #layout: Layout

  constructor(layout: Layout) {
    this.#layout = layout
  }

  compare(before: unknown, after: unknown, path: string): void {
    const tolerance = this.#layout.tolerance(path)
    if (Object.is(before, after) || tolerance.ignore) return
    if (typeof before === 'number' && typeof after === 'number') this.#compareNumbers(before, after, path, tolerance)
    else if (Array.isArray(before) && Array.isArray(after)) this.#compareLists(before, after, path, tolerance)
    else if (isObject(before) && isObject(after)) this.#compareObjects(before, after, path)
    else if (typeOf(before) !== typeOf(after) && !this.#layout.hasType(path, after)) this.#note({ path, kind: 'type', before, after })
    else if (before !== after) this.#note({ path, kind: 'value', before, after })
  }

  #compareNumbers(before: number, after: number, path: string, { absolute = 0, relative }: FieldTolerance): void {
    const shift = after - before
    const size = Math.max(Math.abs(before), Math.abs(after))
    const by = Math.abs(shift)
    const areCounted = Number.isInteger(before) && Number.isInteger(after)
    if (by <= Math.max(absolute, (relative ?? (areCounted ? 0 : RELATIVE_TOLERANCE)) * size)) return
    this.#note({ path, kind: 'value', before, after, absolute: by, relative: by / size, shift })
  }

  #compareObjects(before: JsonObject, after: JsonObject, path: string): void {
    for (const [name, value] of Object.entries(before)) {
      const member = this.#layout.member(path, name)
      if (Object.hasOwn(after, name)) this.compare(value, after[name], member)
      else this.#noteMember(member, this.#layout.isAlwaysThere(path, name) ? 'missing' : 'value', value, undefined)
    }
    for (const [name, value] of Object.entries(after)) {
      if (Object.hasOwn(before, name)) continue
      this.#noteMember(this.#layout.member(path, name), this.#layout.hasMember(path, name) ? 'value' : 'new', undefined, value)
    }
  }

  #noteMember(path: string, kind: DifferenceKind, before: unknown, after: unknown): void {
    if (!this.#layout.tolerance(path).ignore) this.#note({ path, kind, before, after })
  }

  #compareLists(before: readonly unknown[], after: readonly unknown[], path: string, { order }: FieldTolerance): void {
    const ids = this.#layout.identities(path, [before, after])
    if (ids === undefined) this.#compareByPlace(before, after, path)
    else this.#compareById(before, after, path, { order, ids })
  }

  #compareById(before: readonly unknown[], after: readonly unknown[], path: string, { order, ids }: Identified): void {
    const [idsBefore = [], idsAfter = []] = ids
    const places = new Map(idsAfter.map((id, place) => [id, place]))
    const kept: number[] = []
    for (const [at, id] of idsBefore.entries()) {
      const place = places.get(id)
      if (place === undefined) continue
      kept.push(place)
      this.compare(before[at], after[place], `${path}/*`)
    }
    const moved = order === 'any' ? 0 : kept.length - longestRise(kept)
    this.#noteList(path, before, after, { moved, added: after.length - kept.length, missing: before.length - kept.length })
  }

  #compareByPlace(before: readonly unknown[], after: readonly unknown[], path: string): void {
    const both = Math.min(before.length, after.length)
    for (let at = 0; at < both; at++) this.compare(before[at], after[at], `${path}/*`)
    this.#noteList(path, before, after, { moved: 0, added: after.length - both, missing: before.length - both })
  }

  #noteList(path: string, before: unknown, after: unknown, list: ListChanges): void {
    if (list.moved + list.added + list.missing > 0) this.#note({ path, kind: 'list', before, after, list })
  }

  #note(difference: FieldDifference): void {
    const key = `${difference.kind} ${difference.path}`
    const known = this.found.get(key)
    this.found.set(key, known === undefined ? difference : together(known, difference))
  }
}

/** The ids of the items of both lists, and whether their order means nothing. */
interface Identified {
  readonly order: FieldTolerance['order']
  readonly ids: readonly (readonly string[])[]
}

function together(one: FieldDifference, other: FieldDifference): FieldDifference {
  return {
    ...one,
    ...(one.absolute !== undefined &&
      other.absolute !== undefined && {
        absolute: Math.max(one.absolute, other.absolute),
        relative: Math.max(one.relative ?? 0, other.relative ?? 0),
        shift: (one.shift ?? 0) + (other.shift ?? 0),
      }),
    ...(one.list !== undefined &&
      other.list !== undefined && {
        list: {
          moved: one.list.moved + other.list.moved,
          added: one.list.added + other.list.added,
          missing: one.list.missing + other.list.missing,
        },
      }),
  }
}

/** The length of the longest part of the numbers, in their order, that only rises: those that need not be moved. */
export function longestRise(numbers: readonly number[]): number {
  /** At `n`: the smallest number with which a rise of n + 1 numbers ends. */
  const ends: number[] = []
  for (const number of numbers) {
    let [low, high] = [0, ends.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((ends[middle] ?? 0) < number) low = middle + 1
      else high = middle
    }
    ends[low] = number
  }
  return ends.length
}
