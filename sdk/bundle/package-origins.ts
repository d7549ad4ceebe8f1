/** Which npm packages a bundle has, of which version, and how the module came by each: errors at run time name them. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Message, Metafile } from 'esbuild'
import { PACKAGES_MEMBER } from '../../base/kernel/source-map.ts'
import { type BundledPackage, isGenerated, nameIn, packageFolderOf } from '../../base/kernel/stacks.ts'

/** How the module came by each package, by the path of its folder. */
export type Origins = ReadonlyMap<string, BundledPackage>

/**
 * The source map with the packages in it, and with every source of a package under the folder of the package.
 * @param folder of the module, which the paths in the metafile are relative to
 */
export async function withPackages(folder: string, sourceMap: string, { outputs }: Metafile, origins: Origins): Promise<string> {
  if (origins.size === 0) return sourceMap
  const packages = await Promise.all(
    [...origins].map(async ([path, origin]) => [path, { version: await versionOf(join(folder, path)), ...origin }] as const),
  )
  const bundled = Object.entries(outputs['bundle.js']?.inputs ?? {}).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? file : []))
  // The map of a big bundle has megabytes, so only the parts that change are parsed.
  const open = withSources(sourceMap.slice(0, sourceMap.lastIndexOf('}')), sources => inPackages(sources, bundled))
  return `${open},${JSON.stringify(PACKAGES_MEMBER)}:${JSON.stringify(Object.fromEntries(packages))}}\n`
}

function withSources(sourceMap: string, change: (sources: readonly string[]) => readonly string[]): string {
  const [head, list = ''] = /^\{\s*"version":\s*3,\s*"sources":\s*(\[(?:\s*"(?:[^"\\]|\\.)*",?)*\s*\])/.exec(sourceMap) ?? []
  if (head === undefined) return sourceMap
  const changed = JSON.stringify(change(JSON.parse(list) as string[]))
  return `${head.slice(0, -list.length)}${changed}${sourceMap.slice(head.length)}`
}

/**
 * Where a package has a source map of its own, its sources are those of that map, whose paths lead anywhere. The bundle has files and sources in one
 * order, so the sources after one that is a file are those of the next files that are no source.
 */
export function inPackages(sources: readonly string[], files: readonly string[]): string[] {
  const written = (text: string): boolean => !isGenerated(text)
  const unlisted = runsAfter(files.filter(written), new Set(sources))
  const renamed = new Map<string, string>()
  for (const [before, strangers] of runsAfter(sources.filter(written), new Set(files))) {
    const owners = unlisted.get(before) ?? []
    for (const [i, stranger] of strangers.entries()) {
      const folder = packageFolderOf(owners[Math.floor((i / strangers.length) * owners.length)] ?? '')
      if (folder !== undefined) renamed.set(stranger, `${folder}/${tailOf(stranger, nameIn(folder))}`)
    }
  }
  return sources.map(source => renamed.get(source) ?? source)
}

/** The items that follow each shared one, up to the next; those at the start are under the empty text. */
function runsAfter(items: readonly string[], shared: ReadonlySet<string>): Map<string, string[]> {
  let run: string[] = []
  const runs = new Map([['', run]])
  for (const item of items) {
    if (shared.has(item)) {
      run = []
      runs.set(item, run)
    } else run.push(item)
  }
  return runs
}

/** A path without the way out of where it started, and without the name of the package. */
function tailOf(source: string, name: string): string {
  const inModules = source.split('node_modules/').at(-1) ?? source
  const parts = inModules.split('/').filter(part => part !== '..')
  const [scope, inScope] = name.split('/')
  for (const part of [scope, inScope]) if (parts[0] === part) parts.shift()
  return parts.join('/')
}

/** Packages that load what was compiled for a kind of machine. */
const nativeLoaders: ReadonlySet<string> = new Set(['bindings', 'node-gyp-build', 'node-pre-gyp', '@mapbox/node-pre-gyp'])

/** A warning for each package that loads native code: what fails then is often something else, such as a missing global. */
export function usesOfNativeCode(origins: Origins): Message[] {
  return [...origins].flatMap(([folder, { through }]) => {
    const name = nameIn(folder)
    if (!nativeLoaders.has(name)) return []
    const text = `The dependency "${through ?? name}" has native code, which "${name}" loads and slots cannot run. Use a package in JavaScript.`
    return { id: '', pluginName: '', text, location: null, notes: [], detail: undefined }
  })
}

/**
 * Of several ways by which a package comes into a bundle, the shortest counts.
 * @param entry the input that everything is imported from, directly or not
 */
export function originsOf({ inputs }: Pick<Metafile, 'inputs'>, entry: string): Origins {
  const origins = new Map<string, BundledPackage>()
  const queue = new Set([entry])
  for (const file of queue) {
    const from = packageFolderOf(file)
    for (const { path, external } of inputs[file]?.imports ?? []) {
      const folder = packageFolderOf(path)
      if (folder !== undefined && folder !== from && !origins.has(folder)) origins.set(folder, originFrom(file, from, origins))
      // A set that grows while it is walked is walked to its end.
      if (external !== true) queue.add(path)
    }
  }
  return origins
}

function originFrom(file: string, from: string | undefined, origins: Origins): BundledPackage {
  if (from === undefined) return { importedBy: file }
  const { importedBy, through = nameIn(from) } = origins.get(from) ?? {}
  return { importedBy, through }
}

async function versionOf(folder: string): Promise<string | undefined> {
  try {
    const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { readonly version?: unknown }
    return typeof version === 'string' ? version : undefined
  } catch {
    // Something else than npm has put the files there. The package is named without its version.
    return undefined
  }
}
