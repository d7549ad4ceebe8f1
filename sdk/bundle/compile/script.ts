/** The text of a bundle around what esbuild has made. */
import type { EncodedSourceMap } from '@jridgewell/trace-mapping'

export interface Script {
  readonly code: string
  readonly sourceMap: string
}

/** The variable that holds how the parts of a bundle load each other's files. */
export const REGISTRY = '__berth'

/** The code that makes the error about what is not in the bundle. Packages look at its code to find out that they have to do without. */
export const notFound = (path: string, code: string): string =>
  `Object.assign(new Error("Cannot find module '"+${path}+"': a slot has only what is in the bundle"),{code:"${code}"})`

/** The function that `require` is for what is not in the bundle. */
const REQUIRE = `path=>{throw ${notFound('path', 'MODULE_NOT_FOUND')}}`

/** Puts the variables around a strict script that it uses as globals, if there are any. One line comes before it. */
export function withGlobals({ code, sourceMap }: Script, injected: readonly string[]): Script {
  if (injected.length === 0 && !/\bvar __require ?=/.test(code)) return { code, sourceMap }
  const around = `((${['require', ...injected].join(',')})=>\n${code.trimEnd()}\n)(${REQUIRE})\n`
  return { code: around, sourceMap: sourceMap.replace(/"mappings": ?"/, '$&;') }
}

/** Puts two parts into one function in sloppy mode; the second returns the stages. */
export function joinParts(first: Script, second: Script, injected: readonly string[]): Script {
  const head = `((${[REGISTRY, 'require', ...injected].join(',')})=>{\n${first.code}`
  const code = `${head}${second.code.trimEnd()}\n})({},${REQUIRE})\n`
  const map = joinMaps(JSON.parse(first.sourceMap), JSON.parse(second.sourceMap), 1, head.split('\n').length - 1)
  return { code, sourceMap: JSON.stringify(map) }
}

/**
 * Joins two source maps of esbuild, which have no names. Libraries decode each mapping for this, and encode it again, which takes longer than
 * bundling does; but only the first mapping of the second map changes, because each says how far it is from the one before.
 * @param firstLine the line at which the part of the first map starts; lines count from 0
 */
export function joinMaps(first: EncodedSourceMap, second: EncodedSourceMap, firstLine: number, secondLine: number): EncodedSourceMap {
  const lines = first.mappings.split(';').length
  const [, source, line, column] = endOf(first.mappings)
  const moved = moveStart(second.mappings, [0, first.sources.length - source, -line, -column])
  return {
    version: 3,
    sources: [...first.sources, ...second.sources],
    sourcesContent: [...(first.sourcesContent ?? []), ...(second.sourcesContent ?? [])],
    mappings: `${';'.repeat(firstLine)}${first.mappings}${';'.repeat(secondLine - firstLine - lines + 1)}${moved}`,
    names: [],
  }
}

// Mappings are written as variable-length quantities in base 64: five bits a digit, the lowest first, a sixth bit if more follow; bit 0 is the sign.

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const digitOf = Uint8Array.from({ length: 128 }, (_, code) => Math.max(0, DIGITS.indexOf(String.fromCharCode(code))))

type Fields = [generated: number, source: number, line: number, column: number]

/** The sums of the fields of all mappings: source, line and column of the last one. */
function endOf(mappings: string): Fields {
  const sums: Fields = [0, 0, 0, 0]
  let [field, value, shift] = [0, 0, 0]
  for (let at = 0; at < mappings.length; at++) {
    const char = mappings.charCodeAt(at)
    if (char === 0x2c || char === 0x3b) {
      field = 0
      continue
    }
    const digit = digitOf[char] ?? 0
    value |= (digit & 31) << shift
    shift += 5
    if (digit & 32) continue
    sums[field] = (sums[field] ?? 0) + (value & 1 ? -(value >>> 1) : value >>> 1)
    field++
    value = shift = 0
  }
  return sums
}

/** Adds to the fields of the first mapping. */
function moveStart(mappings: string, by: Readonly<Fields>): string {
  return mappings.replace(/[^,;]+/, segment =>
    endOf(segment)
      .map((field, i) => encode(field + (by[i] ?? 0)))
      .join(''),
  )
}

function encode(number: number): string {
  let rest = number < 0 ? (-number << 1) | 1 : number << 1
  let text = ''
  do {
    text += DIGITS[(rest & 31) | (rest > 31 ? 32 : 0)]
    rest >>>= 5
  } while (rest > 0)
  return text
}
