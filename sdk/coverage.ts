/**
 * From what V8 counted in bundles to lines of their sources. Only what is compiled counts: types, comments and blank lines are in no bundle,
 * so they are neither run nor missed.
 */
import { join } from 'node:path'
import { decodedMappings, TraceMap } from '@jridgewell/trace-mapping'
import type { Counted } from './rehearsal.ts'

export interface FileCoverage {
  /** Absolute. */
  readonly path: string
  /** How often each line that has code was run, by its number from 1. */
  readonly lines: ReadonlyMap<number, number>
  /** Lines that were run, but not in all their parts. */
  readonly partly: readonly number[]
  readonly functions: readonly FunctionCoverage[]
}

export interface FunctionCoverage {
  readonly name: string
  readonly line: number
  readonly count: number
}

/** A place in the bundle that stands for one in a source. */
interface Segment {
  readonly offset: number
  readonly path: string
  readonly line: number
  readonly column: number
}

interface Tally {
  readonly lines: Map<number, number>
  /** Parts of lines that V8 counts by themselves, and functions, by where they start. */
  readonly parts: Map<string, { readonly line: number; count: number }>
  readonly functions: Map<string, { readonly name: string; readonly line: number; count: number }>
}

/** Adds up the counts of all slots; sorted by path. Packages and data are left out. */
export function coverageOf(counted: readonly Counted[]): FileCoverage[] {
  const tallies = new Map<string, Tally>()
  for (const slot of counted) addSlot(tallies, slot)
  return [...tallies].sort(([a], [b]) => (a < b ? -1 : 1)).map(([path, tally]) => finished(path, tally))
}

function finished(path: string, { lines, parts, functions }: Tally): FileCoverage {
  const missed = [...parts.values()].filter(({ line, count }) => count === 0 && (lines.get(line) ?? 0) > 0)
  const byNumber = (a: number, b: number) => a - b
  return {
    path,
    lines: new Map([...lines].sort(([a], [b]) => a - b)),
    partly: [...new Set(missed.map(({ line }) => line))].sort(byNumber),
    functions: [...functions.values()].sort((a, b) => a.line - b.line),
  }
}

function addSlot(tallies: Map<string, Tally>, slot: Counted): void {
  const segments = segmentsOf(slot)
  const counts = countsOf(slot)
  const tallyOf = (path: string): Tally => {
    const tally = tallies.get(path) ?? { lines: new Map(), parts: new Map(), functions: new Map() }
    tallies.set(path, tally)
    return tally
  }
  for (const { offset, path, line } of firstOfEachLine(segments)) add(tallyOf(path).lines, line, counts[offset] ?? 0)
  const [first] = segments
  for (const { functionName, ranges } of slot.functions) {
    const [whole, ...parts] = ranges
    // What starts before all sources is what the bundler put around them.
    if (whole === undefined || first === undefined || whole.startOffset < first.offset) continue
    const start = firstWithin(segments, whole)
    if (start === undefined) continue
    const { functions } = tallyOf(start.path)
    const key = `${start.line}:${start.column}`
    const known = functions.get(key) ?? { name: functionName, line: start.line, count: 0 }
    known.count += whole.count
    functions.set(key, known)
    for (const part of parts) addPart(tallies, segments, part)
  }
}

function addPart(tallies: Map<string, Tally>, segments: readonly Segment[], part: Range & { readonly count: number }): void {
  const start = firstWithin(segments, part)
  const parts = start && tallies.get(start.path)?.parts
  if (start === undefined || parts === undefined) return
  // Of a part with lines of its own, those tell.
  if (within(segments, part).some(({ line }) => line !== start.line)) return
  const key = `${start.line}:${start.column}`
  const known = parts.get(key) ?? { line: start.line, count: 0 }
  known.count += part.count
  parts.set(key, known)
}

interface Range {
  readonly startOffset: number
  readonly endOffset: number
}

const add = (lines: Map<number, number>, line: number, count: number) => lines.set(line, (lines.get(line) ?? 0) + count)

/** How often each character of the bundle was run: the innermost range around it says. */
function countsOf({ code, functions }: Counted): Float64Array {
  const counts = new Float64Array(code.length)
  const ranges = functions.flatMap(({ ranges }) => ranges)
  const size = ({ startOffset, endOffset }: Range) => endOffset - startOffset
  for (const { startOffset, endOffset, count } of ranges.sort((a, b) => size(b) - size(a))) counts.fill(count, startOffset, endOffset)
  return counts
}

/** In the order of the bundle. */
function segmentsOf({ folder, code, sourceMap }: Counted): Segment[] {
  const map = new TraceMap(sourceMap)
  const sources = map.sources.map((source, i) => ({ path: join(folder, source ?? ''), texts: map.sourcesContent?.[i]?.split('\n') ?? [] }))
  let lineStart = 0
  const starts = code.split('\n').map(text => {
    const start = lineStart
    lineStart += text.length + 1
    return start
  })
  return decodedMappings(map).flatMap((segments, generatedLine) =>
    segments.flatMap(([column, source, line, originalColumn]) => {
      const { path, texts } = sources[source ?? -1] ?? {}
      if (path === undefined || line === undefined || !isOwnCode(path) || isClosing(texts?.[line])) return []
      return [{ offset: (starts[generatedLine] ?? 0) + column, path, line: line + 1, column: originalColumn ?? 0 }]
    }),
  )
}

const isOwnCode = (path: string) => /\.[cm]?[jt]sx?$/.test(path) && !/[\\/]node_modules[\\/]/.test(path)

/** A line of brackets runs nothing. */
const isClosing = (text = '') => /^[\s)}\];,]*$/.test(text)

/** A line is run as often as what stands first in it. */
function firstOfEachLine(segments: readonly Segment[]): Segment[] {
  const first = new Map<string, Segment>()
  for (const segment of segments) {
    const key = `${segment.path}:${segment.line}`
    const known = first.get(key)
    if (known === undefined || segment.column < known.column) first.set(key, segment)
  }
  return [...first.values()]
}

const firstWithin = (segments: readonly Segment[], range: Range): Segment | undefined => within(segments, range)[0]

function within(segments: readonly Segment[], { startOffset, endOffset }: Range): readonly Segment[] {
  return segments.slice(indexFrom(segments, startOffset), indexFrom(segments, endOffset))
}

/** Of the first segment at or after an offset: there may be a hundred thousand of them, and as many ranges. */
function indexFrom(segments: readonly Segment[], offset: number): number {
  let [low, high] = [0, segments.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((segments[middle]?.offset ?? 0) < offset) low = middle + 1
    else high = middle
  }
  return low
}

/** `3-5, 9` of `[3, 4, 5, 9]`. `gaps` are lines without code, which part nothing. */
export function ranges(lines: readonly number[], hasCode: (line: number) => boolean): string {
  const found: [number, number][] = []
  for (const line of lines) {
    const last = found.at(-1)
    const joins = last !== undefined && !range(last[1] + 1, line).some(hasCode)
    if (last !== undefined && joins) last[1] = line
    else found.push([line, line])
  }
  return found.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ')
}

const range = (from: number, to: number): number[] => Array.from({ length: Math.max(to - from, 0) }, (_, i) => from + i)
