/** Errors of modules in the words of their sources: stacks, the place that threw with its lines, and the npm package that it belongs to. */
import { frozenAdviceFor, missingGlobalIn } from './missing-globals.ts'
import { contentIn, placeIn, type SourceMap, type SourcePlace } from './source-map.ts'

/** A frame of a module. Lines and columns count from 1: a module may write a frame with a 0, which no source map has a place for. */
const FRAME = /berth:\/\/\/([a-z0-9-]+@[^/\s]+)\.js:([1-9]\d{0,8}):([1-9]\d{0,8})/
/** A line of a stack that is a frame, and not a part of the message. */
const FRAME_LINE = /^\s+at /
/** What follows in a stack that crossed into an isolate is the host's. */
const BOUNDARY = '(<isolated-vm boundary>)'
/** Characters of a stack that are looked at, and that are shown. A module may pass off a text of any length as its stack; the frames that matter come first. */
const STACK_CHARS_MAX = 64 * 1024
/** Lines before and after the one that threw, and characters of a line, that a code frame shows. */
const LINES_BEFORE = 2
const LINES_AFTER = 1
const LINE_CHARS_MAX = 100
/** Characters of a path or a name in a source map that are shown. A publisher may upload any text as a source map. */
const NAME_CHARS_MAX = 300

/** A module whose frames may be in a stack. Without a source map they stay as they are. */
export interface MappedModule {
  readonly name: string
  readonly version: string
  /** Digest of the source map. */
  readonly sourceMap?: string | undefined
}

export interface ModuleWithMap extends MappedModule {
  readonly sourceMap: string
}

/** A place in a source of a module. Lines and columns count from 1. */
export interface SourceAt {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** What the stack of an error says. */
export interface Located {
  /** The stack with every frame of a module replaced by its place in the source, and the frames of the slot itself left out; cut off at 64 KB. */
  readonly stack: string
  /**
   * Where it was thrown, `index.ts:3:9`; in a dependency also the package and how the module came by it: `node_modules/b/b.js:1:7 of the npm
   * package b@2.0.0, which index.ts imports`. Undefined when no frame is in a source.
   */
  readonly place?: string
  /** The same place for programs. */
  readonly at?: SourceAt
  /** The npm package that it was thrown in, `b@2.0.0`; undefined when that was the module itself. */
  readonly package?: string
  /** The place, and the lines around it with a mark under the column. Undefined when the source map does not have the source. */
  readonly frame?: string
}

/** An npm package in a bundle, as the bundler writes it into the source map. */
export interface BundledPackage {
  readonly version?: string | undefined
  /** The file of the module that imports it, or that imports the package `through` which it came. */
  readonly importedBy?: string | undefined
  readonly through?: string | undefined
}

interface Place extends SourcePlace {
  readonly module: string
  readonly map: SourceMap
}

/** Reads stacks by the source maps of their modules. */
export interface Stacks {
  /** Takes time and memory within bounds, whatever the stack and the maps are. A stack that cannot be read is as it was, and says why. */
  locate(stack: string, modules: Iterable<MappedModule>): Promise<Located>
}

/**
 * Reads a stack.
 * @param mapOf gives a source map by its digest
 * @throws what `mapOf` throws
 */
export function locate(stack: string, modules: Iterable<MappedModule>, mapOf: (digest: string) => SourceMap | undefined): Located {
  const lines = linesOf(stack)
  const places = withoutScript(placesOf(lines, modules, mapOf))
  const mapped = cutStack(lines.flatMap((line, i) => lineInSource(line, places[i]) ?? []).join('\n'))
  const thrown = places.find((place, i): place is Place => typeof place === 'object' && FRAME_LINE.test(lines[i] ?? ''))
  if (thrown === undefined) return { stack: mapped }
  const located = describePlace(thrown)
  const code = codeFrame(thrown)
  return { stack: mapped, ...located, ...(code !== undefined && { frame: `${located.place}\n${code}` }) }
}

/** The modules by whose source maps a stack is read, of those that may have a part in it. */
export function modulesIn(stack: string, modules: Iterable<MappedModule>): ModuleWithMap[] {
  const shown = cutStack(stack)
  return [...modules].filter(
    (module): module is ModuleWithMap => module.sourceMap !== undefined && shown.includes(`berth:///${module.name}@${module.version}.js:`),
  )
}

/** A stack as it was, with why it could not be read. */
export function unread(stack: string, why: string): Located {
  return { stack: `${locate(stack, [], () => undefined).stack}\n    (lines and columns are those of the bundle: ${why})` }
}

export const cutStack = (stack: string): string => stack.slice(0, STACK_CHARS_MAX)

/** The place of each line in its source: undefined when it is in no source, `nowhere` when the bundler made the code. */
function placesOf(
  lines: readonly string[],
  modules: Iterable<MappedModule>,
  mapOf: (digest: string) => SourceMap | undefined,
): (Place | 'nowhere' | undefined)[] {
  const digests = new Map<string, string>()
  for (const { name, version, sourceMap } of modules) if (sourceMap !== undefined) digests.set(`${name}@${version}`, sourceMap)
  return lines.map(line => {
    const [, key = '', row, column] = FRAME.exec(line) ?? []
    const digest = digests.get(key)
    const map = digest === undefined ? undefined : mapOf(digest)
    if (map === undefined) return undefined
    const found = placeIn(map, Number(row), Number(column) - 1)
    if (found === undefined || isGenerated(found.source)) return 'nowhere'
    return { ...found, module: key.slice(0, key.indexOf('@')), map }
  })
}

/** The error that something has, in the words of its sources. */
export interface Explained extends Partial<Located> {
  readonly message: string
  /** What to do, when more is known than what the code of the error says. */
  readonly advice: string | undefined
}

/**
 * Why a module cannot be loaded: the message with the place that threw.
 * @param stack as V8 made it; undefined when nothing was thrown
 */
export async function explainLoad(
  stacks: Stacks,
  { message, stack }: { readonly message: string; readonly stack?: string | undefined },
  modules: Iterable<MappedModule>,
): Promise<Explained> {
  const located = stack === undefined ? undefined : await stacks.locate(stack, modules)
  const where = located?.place === undefined ? '' : ` (${located.place})`
  return { ...located, message: `${message}${where}`, advice: adviceFor(message) ?? adviceForPackage(located?.package) }
}

/** What to do about an error of a module, when its message says that a global is missing or that a built-in cannot be changed. */
export function adviceFor(message: string): string | undefined {
  const missing = missingGlobalIn(message)
  const advice = missing ? `There is no "${missing.name}" where modules run. ${missing.advice}` : frozenAdviceFor(message)
  return advice?.replaceAll(/`([^`]*)`/g, quoted)
}

/** Code without Markdown; it needs no quotes when it has some of its own. */
const quoted = (_: string, code: string): string => (code.includes('"') ? code : `"${code}"`)

function adviceForPackage(name: string | undefined): string | undefined {
  return (
    name &&
    `It is the code of ${name} that throws: import only the files of it that are needed, or another build or version, or another package.`
  )
}

function linesOf(stack: string): string[] {
  const lines = cutStack(stack).split('\n')
  const boundary = lines.findIndex(line => line.includes(BOUNDARY))
  return (boundary < 0 ? lines : lines.slice(0, boundary)).filter(line => !line.includes('berth:///inside.js'))
}

/**
 * The last frames of an error at load are in the code that the bundler has put around the sources. For the first of them, which calls the function with
 * all the code, the source map gives the place before it.
 */
function withoutScript(places: readonly (Place | 'nowhere' | undefined)[]): readonly (Place | 'nowhere' | undefined)[] {
  const last = places.findLastIndex(place => typeof place === 'object')
  const isScript = last < places.length - 1 && places.slice(last + 1).every(place => place === 'nowhere')
  const isOnly = places.findIndex(place => typeof place === 'object') === last
  return isScript && !isOnly ? places.with(last, 'nowhere') : places
}

/** The line as it is shown; undefined for a frame in code that the bundler made, such as what wraps a CommonJS file. */
function lineInSource(line: string, place: Place | 'nowhere' | undefined): string | undefined {
  if (place === undefined) return line
  if (place === 'nowhere') return FRAME_LINE.test(line) ? undefined : line
  return line.replace(FRAME, () => `${place.module}/${at(place)}`)
}

const at = ({ source, line, column }: SourcePlace): string => `${source.slice(-NAME_CHARS_MAX)}:${line}:${column + 1}`

const sourceAt = ({ source, line, column }: SourcePlace): SourceAt => ({ file: source.slice(-NAME_CHARS_MAX), line, column: column + 1 })

function describePlace(place: Place): Pick<Located, 'package'> & { readonly place: string; readonly at: SourceAt } {
  const folder = packageFolderOf(place.source)
  if (folder === undefined) return { place: at(place), at: sourceAt(place) }
  const known: Readonly<Record<keyof BundledPackage, unknown>> = Object(place.map.packages[folder])
  const [version, importedBy, through] = [known.version, known.importedBy, known.through].map(shortText)
  const name = `${nameIn(folder).slice(0, NAME_CHARS_MAX)}${version === undefined ? '' : `@${version}`}`
  const way = importedBy === undefined ? '' : `, which ${importedBy} imports${through === undefined ? '' : ` through ${through}`}`
  // How the folder of packages is reached from the module says nothing to a reader.
  const shown = { ...place, source: place.source.slice(folder.lastIndexOf('node_modules/')) }
  return { place: `${at(shown)} of the npm package ${name}${way}`, at: sourceAt(shown), package: name }
}

const shortText = (value: unknown): string | undefined => (typeof value === 'string' ? value.slice(0, NAME_CHARS_MAX) : undefined)

/** Whether a source is none, but a text that the bundler has put around the sources. */
export const isGenerated = (source: string): boolean => /^berth[.-](stages|common|link)/.test(source)

/** The folder of the npm package that a source is in, `node_modules/@scope/name`; undefined for the module's own sources. */
export function packageFolderOf(source: string): string | undefined {
  const [folder] = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(source) ?? []
  return folder
}

export const nameIn = (folder: string): string => folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length)

/** The lines around a place; undefined when the source map does not have them. */
function codeFrame({ map, source, line, column }: Place): string | undefined {
  const content = contentIn(map, source)
  if (content === undefined) return undefined
  const lines = content.trimEnd().split('\n', line + LINES_AFTER)
  if (lines.length < line) return undefined
  // In a minified file all is on one line: only a part around the column is shown.
  const from = Math.max(0, column - LINE_CHARS_MAX / 2)
  const start = column < LINE_CHARS_MAX ? 0 : from
  const first = Math.max(1, line - LINES_BEFORE)
  const width = String(lines.length).length
  return lines
    .slice(first - 1)
    .flatMap((text, i) => {
      const no = first + i
      const shown = text
        .replaceAll('\t', ' ')
        .trimEnd()
        .slice(start, start + LINE_CHARS_MAX + LINE_CHARS_MAX / 2)
      const row = `${no === line ? '>' : ' '} ${String(no).padStart(width)} | ${shown}`.trimEnd()
      return no === line ? [row, `  ${' '.repeat(width)} | ${' '.repeat(column - start)}^`] : [row]
    })
    .join('\n')
}
