/**
 * Brings what V8 counted in bundles to lines of their sources. Only what is compiled counts: types, comments and blank lines are in no
 * bundle, so they are neither run nor missed.
 */
import { join } from 'node:path'
import { decodedMappings, TraceMap } from '@jridgewell/trace-mapping'
import type { Counted } from '../../author/rehearsal-process.ts'

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

/** Adds up the counts of all slots, sorted by path. Packages and data are left out. */
export function coverageOf(counted: readonly Counted[]): FileCoverage[] {
  const byBundle = Map.groupBy(counted, ({ folder, code }) => `${folder}\n${code}`)
  return [...byBundle.values()].flatMap(coverageOfBundle).sort((a, b) => (a.path < b.path ? -1 : 1))
}

function coverageOfBundle(slots: readonly Counted[]): FileCoverage[] {
  const [slot] = slots
  if (slot === undefined) return []
  const segments = segmentsOf(slot)
  const counts = sum(slots.map(countsOf))
  const [functions, parts] = [new Map<number, Span>(), new Map<number, Span>()]
  for (const { functionName, ranges } of slots.flatMap(({ functions }) => functions)) {
    const [whole, ...inner] = ranges
    // A function that starts before all sources is one that the bundler put around them.
    if (whole === undefined || whole.startOffset < (segments[0]?.offset ?? 0)) continue
    functions.set(whole.startOffset, { ...whole, name: functionName })
    for (const part of inner) parts.set(part.startOffset, { ...part, name: '' })
  }
  const spans = [...functions.values()].flatMap(span => spansOf(segments, counts, span))
  const missed = [...parts.values()].filter(({ startOffset }) => counts[startOffset] === 0).flatMap(span => onOneLine(segments, span))
  const files = Map.groupBy(firstOfEachLine(segments), ({ path }) => path)
  return [...files].map(([path, firsts]) => {
    const lines = new Map(firsts.map(({ line, offset }): [number, number] => [line, counts[offset] ?? 0]).sort(([a], [b]) => a - b))
    const partly = missed.filter(place => place.path === path && (lines.get(place.line) ?? 0) > 0).map(({ line }) => line)
    return {
      path,
      lines,
      partly: [...new Set(partly)].sort((a, b) => a - b),
      functions: spans
        .filter(place => place.path === path)
        .map(({ name, line, count }) => ({ name, line, count }))
        .sort((a, b) => a.line - b.line),
    }
  })
}

interface Span extends Range {
  readonly name: string
}

function spansOf(segments: readonly Segment[], counts: Float64Array, span: Span): (FunctionCoverage & { readonly path: string })[] {
  const [start] = within(segments, span)
  return start === undefined ? [] : [{ path: start.path, line: start.line, name: span.name, count: counts[span.startOffset] ?? 0 }]
}

/** A part that has lines of its own is not mentioned, because its lines are. */
function onOneLine(segments: readonly Segment[], span: Span): Segment[] {
  const [start, ...rest] = within(segments, span)
  return start === undefined || rest.some(({ line }) => line !== start.line) ? [] : [start]
}

function sum(all: readonly Float64Array[]): Float64Array {
  const [first = new Float64Array(), ...others] = all
  for (const counts of others) for (const [offset, count] of counts.entries()) first[offset] = (first[offset] ?? 0) + count
  return first
}

interface Range {
  readonly startOffset: number
  readonly endOffset: number
}

/** How often each character of the bundle was run. The innermost range around a character says it. */
function countsOf({ code, functions }: Counted): Float64Array {
  const counts = new Float64Array(code.length)
  const ranges = functions.flatMap(({ ranges }) => ranges)
  const size = ({ startOffset, endOffset }: Range) => endOffset - startOffset
  for (const { startOffset, endOffset, count } of ranges.sort((a, b) => size(b) - size(a))) counts.fill(count, startOffset, endOffset)
  return counts
}

/** The segments in the order of the bundle. */
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

/** A line that holds only brackets has no code of its own. */
const isClosing = (text = '') => /^[\s)}\];,]*$/.test(text)

/** The first segment of each line: a line is run as often as what stands first in it. */
function firstOfEachLine(segments: readonly Segment[]): Segment[] {
  const first = new Map<string, Segment>()
  for (const segment of segments) {
    const key = `${segment.path}:${segment.line}`
    const known = first.get(key)
    if (known === undefined || segment.column < known.column) first.set(key, segment)
  }
  return [...first.values()]
}

function within(segments: readonly Segment[], { startOffset, endOffset }: Range): readonly Segment[] {
  return segments.slice(indexFrom(segments, startOffset), indexFrom(segments, endOffset))
}

/**
 * The index of the first segment at or after an offset. It is searched by halves, since there may be a hundred thousand segments, and as
 * many ranges.
 */
function indexFrom(segments: readonly Segment[], offset: number): number {
  let [low, high] = [0, segments.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((segments[middle]?.offset ?? 0) < offset) low = middle + 1
    else high = middle
  }
  return low
}

/** Lines in words: `3-5, 9` for `[3, 4, 5, 9]`. Lines without code do not split a range. */
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
