/**
 * Source maps of modules. A publisher may upload any text as one, and a few megabytes of text can become a gigabyte of values, so a map is looked over
 * before anything is made of it that grows. Runs in isolates too: it imports nothing of Node.js.
 */
import { decodedMappings, type EncodedSourceMap, originalPositionFor, sourceContentFor, TraceMap } from '@jridgewell/trace-mapping'

/** What a source map may have. */
export interface SourceMapBounds {
  /** Places in the mappings, and lines. */
  readonly segmentsMax: number
  /** Values in the JSON, and how deep they may be nested. */
  readonly valuesMax: number
  readonly depthMax: number
  /** Characters of the path of a source, and of a name. */
  readonly nameCharsMax: number
}

/** The member of a source map that has the packages, by the path of their folder. Members that begin with `x_` are free for extensions. */
export const PACKAGES_MEMBER = 'x_packages'

/** What is wrong with a source map, as the end of a sentence. */
export class SourceMapFault extends Error {}

export interface SourceMap {
  readonly map: TraceMap
  /** By the path of the folder of each npm package, what the bundler says of it. */
  readonly packages: Readonly<Record<string, unknown>>
}

interface Raw {
  readonly version?: unknown
  readonly sources?: unknown
  readonly names?: unknown
  readonly sourcesContent?: unknown
  readonly mappings?: unknown
  readonly sourceRoot?: unknown
  readonly sections?: unknown
  readonly [PACKAGES_MEMBER]?: unknown
}

/** Opens a map that is within the bounds, with its mappings taken apart. Takes time and memory in proportion to the text. @throws {SourceMapFault} */
export function openSourceMap(text: string, bounds: SourceMapBounds): SourceMap {
  const raw = parse(text, bounds)
  const packages = raw[PACKAGES_MEMBER]
  const isRecord = typeof packages === 'object' && packages !== null && !Array.isArray(packages)
  const map = new TraceMap(raw as EncodedSourceMap)
  decodedMappings(map)
  return { map, packages: isRecord ? (packages as SourceMap['packages']) : {} }
}

/** @throws {SourceMapFault} why the map is refused */
export function checkSourceMap(text: string, bounds: SourceMapBounds): void {
  parse(text, bounds)
}

function parse(text: string, bounds: SourceMapBounds): Raw {
  checkStructure(text, bounds)
  const raw = parseJson(text)
  if (raw.version !== 3) throw new SourceMapFault('it has not version 3')
  // Either would make texts that are longer than the map: a map of maps, and a path in front of every source.
  if (raw.sections !== undefined) throw new SourceMapFault('it has sections')
  if (raw.sourceRoot !== undefined && raw.sourceRoot !== '' && raw.sourceRoot !== null) throw new SourceMapFault('it has a sourceRoot')
  checkTexts('sources', raw.sources, bounds.nameCharsMax)
  checkTexts('names', raw.names ?? [], bounds.nameCharsMax)
  checkTexts('sourcesContent', raw.sourcesContent ?? [], Number.POSITIVE_INFINITY)
  checkMappings(raw.mappings, bounds.segmentsMax)
  return raw
}

function parseJson(text: string): Raw {
  try {
    return Object(JSON.parse(text)) as Raw
  } catch {
    throw new SourceMapFault('it is not JSON')
  }
}

/** Counts the values of the JSON without making any. Of texts, only the ends are looked for. */
function checkStructure(text: string, { valuesMax, depthMax }: SourceMapBounds): void {
  let values = 0
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === '"') i = endOfText(text, i)
    else if (char === '{' || char === '[') {
      if (++depth > depthMax) throw new SourceMapFault(`it is nested over ${depthMax} levels deep`)
      values++
    } else if (char === '}' || char === ']') depth--
    else if (char === ',' && ++values > valuesMax) throw new SourceMapFault(`it has over ${valuesMax} values`)
  }
}

/** The place of the quote that ends the text which begins at `start`. */
function endOfText(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0
    while (text[end - 1 - slashes] === '\\') slashes++
    if (slashes % 2 === 0) return end
  }
  return text.length
}

function checkTexts(member: string, texts: unknown, charsMax: number): void {
  if (!Array.isArray(texts)) throw new SourceMapFault(`its ${member} are no list`)
  for (const text of texts) {
    if (text !== null && typeof text !== 'string') throw new SourceMapFault(`its ${member} are not all texts`)
    if (text !== null && text.length > charsMax) throw new SourceMapFault(`one of its ${member} has over ${charsMax} characters`)
  }
}

function checkMappings(mappings: unknown, segmentsMax: number): void {
  if (typeof mappings !== 'string' || !/^[A-Za-z0-9+/,;]*$/.test(mappings))
    throw new SourceMapFault('its mappings are not encoded as they should be')
  let segments = 1
  for (let i = 0; i < mappings.length; i++) {
    const char = mappings[i]
    if ((char === ',' || char === ';') && ++segments > segmentsMax) throw new SourceMapFault(`it maps over ${segmentsMax} places`)
  }
}

/** A place in a source. The line counts from 1, the column from 0. */
export interface SourcePlace {
  readonly source: string
  readonly line: number
  readonly column: number
}

/** Where a place of the bundle comes from; undefined when that is no source. */
export function placeIn({ map }: SourceMap, line: number, column: number): SourcePlace | undefined {
  const { source, line: found, column: at } = originalPositionFor(map, { line, column })
  return typeof source === 'string' && found !== null && at !== null ? { source, line: found, column: at } : undefined
}

/** The text of a source; undefined when the map does not have it. */
export const contentIn = ({ map }: SourceMap, source: string): string | undefined => sourceContentFor(map, source) ?? undefined
