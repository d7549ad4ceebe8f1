/**
 * Which source maps of source files become part of that of the bundle. A comment `sourceMappingURL` may name any file of the machine, and so may the
 * sources of a map that does not have their texts: esbuild reads them all. Here a map is followed only within the package of its file, and its sources
 * are named and read only there.
 */
import { readFile, realpath, stat } from 'node:fs/promises'
import { basename, dirname, extname, join, relative, resolve, sep } from 'node:path'
import type { Loader, OnLoadResult, Plugin } from 'esbuild'
import { limits } from '../../../base/kernel/limits.ts'
import { packageFolderOf } from '../../../base/kernel/stacks.ts'

const WORD = 'sourceMappingURL='
/** Every comment that esbuild may take for one that names a map, and what only looks like one. */
const comments = /[#@][ \t]*sourceMappingURL=([^\s'"`*\\]*)/g
/** Of several such comments the last counts. One with a scheme that nothing knows names no map. */
const NONE = 'none:'
const loaders: Readonly<Record<string, Loader>> = { js: 'js', jsx: 'jsx', ts: 'ts', tsx: 'tsx' }
const isUrl = /^[a-z][a-z0-9+.-]+:/i

interface RawMap {
  readonly sources?: unknown
  readonly sourcesContent?: unknown
  readonly sourceRoot?: unknown
  readonly sections?: unknown
}

/** @param folder of the module */
export function inputMaps(folder: string): Plugin {
  return {
    name: 'berth-input-maps',
    setup(build) {
      build.onLoad({ filter: /\.[cm]?[jt]sx?$/, namespace: 'file' }, async ({ path }) => {
        // esbuild says why a file cannot be read.
        const bytes = await readFile(path).catch(() => undefined)
        if (bytes === undefined || !bytes.includes(WORD)) return undefined
        return loadWithMap(path, bytes.toString('utf8'), await realpath(rootOf(folder, path)))
      })
    },
  }
}

/** The folder within which the maps of a file are followed: its package, the module, or its own folder when it is in neither. */
function rootOf(folder: string, path: string): string {
  const inPackage = packageFolderOf(path.replaceAll('\\', '/'))
  if (inPackage !== undefined) return inPackage
  return isWithin(folder, path) ? folder : dirname(path)
}

const isWithin = (root: string, path: string): boolean => path === root || path.startsWith(`${root}${sep}`)

/** What esbuild gets in the place of the file; undefined when it may take the file as it is. */
async function loadWithMap(path: string, text: string, root: string): Promise<OnLoadResult | undefined> {
  const urls = [...text.matchAll(comments)].map(([, url = '']) => url)
  const verdicts = await Promise.all(urls.map(url => judge(url, path, root)))
  if (verdicts.every(verdict => verdict === 'as it is')) return undefined
  const last = verdicts.at(-1)
  const url = verdicts.includes('refused') || last === undefined || last === 'as it is' ? NONE : last
  const loader = loaders[extname(path).replace(/^\.[cm]?/, '')] ?? 'js'
  return { contents: `${text}\n//# ${WORD}${url}`, loader }
}

/** Whether a map may be taken as it is, or not at all; else the URL of one that says the same and names nothing outside. */
async function judge(url: string, path: string, root: string): Promise<string> {
  const isData = url.startsWith('data:')
  // esbuild reads files and data only.
  if (url === '' || (!isData && isUrl.test(url) && !/^file:/i.test(url))) return 'as it is'
  const file = isData ? path : resolve(dirname(path), url)
  const found = isData ? dataOf(url) : isPlain(url) ? await readWithin(file, root) : 'outside'
  if (found === 'absent') return 'as it is'
  const map = found === 'outside' ? undefined : parse(found.text)
  if (map === undefined) return 'refused'
  if (isSelfContained(map, dirname(file), root)) return 'as it is'
  const contained = JSON.stringify(await contain(map, dirname(file), dirname(path), root))
  return `data:application/json;base64,${Buffer.from(contained).toString('base64')}`
}

/** Whether a URL is a path from the folder of its file, written without escapes. */
const isPlain = (url: string): boolean => !/[%\\]|^\/|^file:/i.test(url)

/** What was looked for: its text, or why there is none. Of a file that does not exist, as with many packages, nothing can be read. */
type Found = { readonly text: string } | 'absent' | 'outside'

function dataOf(url: string): Found {
  if (url.length > limits.module.sourceMapBytesMax) return 'outside'
  const [, base64, data = ''] = /^data:application\/json(?:;charset=[^;,]*)?(;base64)?,(.*)$/is.exec(url) ?? []
  try {
    return { text: base64 === undefined ? decodeURIComponent(data) : Buffer.from(data, 'base64').toString('utf8') }
  } catch {
    return 'absent'
  }
}

/** The text of a file that really is within the folder, and is a file of bounded size. */
async function readWithin(path: string, root: string): Promise<Found> {
  if (!isWithin(root, path)) return 'outside'
  try {
    const real = await realpath(path)
    const found = await stat(real)
    if (!isWithin(root, real) || !found.isFile() || found.size > limits.module.sourceMapBytesMax) return 'outside'
    return { text: await readFile(real, 'utf8') }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'absent' : 'outside'
  }
}

function parse(text: string): RawMap | undefined {
  try {
    const map = JSON.parse(text.replace(/^\)\]\}'[^\n]*\n/, '')) as unknown
    return typeof map === 'object' && map !== null && 'sources' in map && Array.isArray(map.sources) && !('sections' in map)
      ? map
      : undefined
  } catch {
    return undefined
  }
}

const sourcesOf = ({ sources, sourceRoot }: RawMap): (string | undefined)[] =>
  (sources as readonly unknown[]).map(source =>
    typeof source === 'string' ? `${typeof sourceRoot === 'string' && sourceRoot !== '' ? `${sourceRoot}/` : ''}${source}` : undefined,
  )

const contentsOf = ({ sourcesContent }: RawMap): readonly unknown[] => (Array.isArray(sourcesContent) ? sourcesContent : [])

/** Whether a map has every text, and names no place outside of the folder: esbuild has nothing to read then. */
function isSelfContained(map: RawMap, from: string, root: string): boolean {
  const contents = contentsOf(map)
  return sourcesOf(map).every(
    (source, i) =>
      typeof contents[i] === 'string' && source !== undefined && (isHarmlessUrl(source) || isWithin(root, resolve(from, source))),
  )
}

const isHarmlessUrl = (source: string): boolean => isUrl.test(source) && !/^(?:file|[a-z]):/i.test(source)

/** The map with the texts of sources within the folder, and none of any other; what leads outside keeps its last part for a name. */
async function contain(map: RawMap, from: string, to: string, root: string): Promise<object> {
  const contents = contentsOf(map)
  const sources = sourcesOf(map)
  const read = async (source: string | undefined, i: number) => {
    const given = contents[i]
    if (typeof given === 'string') return given
    const found = source === undefined || isUrl.test(source) ? 'absent' : await readWithin(resolve(from, source), root)
    return typeof found === 'string' ? '' : found.text
  }
  const named = (source: string | undefined) => {
    if (source === undefined) return ''
    if (isHarmlessUrl(source)) return source
    const path = resolve(from, source)
    const inside = isWithin(root, path) ? path : join(root, basename(path))
    return relative(to, inside).replaceAll('\\', '/')
  }
  return { ...map, sourceRoot: undefined, sources: sources.map(named), sourcesContent: await Promise.all(sources.map(read)) }
}
