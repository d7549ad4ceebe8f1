/**
 * The tsconfig.json of a module. Only one in its own folder counts when it is compiled, with all that it extends: what is above the folder must not
 * change the bundle.
 */
import { existsSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

export interface TypeScriptConfig {
  /** Absolute path. */
  readonly path: string
  /** Its file and those that it extends, absolute. */
  readonly files: readonly string[]
  readonly compilerOptions: Readonly<Record<string, unknown>>
  /** The paths, absolute and without regard to what exists, to which its `paths` lead an import. */
  pathsOf(specifier: string): readonly string[]
}

/** A file that cannot be read counts as an empty one. The compilers say what is wrong with it. */
export async function readTypeScriptConfig(path: string): Promise<TypeScriptConfig> {
  // Few modules have a tsconfig.json, so the parser is not loaded before.
  const { createPathsMatcher, parseTsconfig } = await import('get-tsconfig')
  // The parser remembers here, under `readFileSync:PATH:utf8`, what it has read.
  const reads = new Map<string, string>()
  try {
    const config = parseTsconfig(path, reads)
    const { compilerOptions = {} } = config
    const matcher = compilerOptions.paths === undefined ? null : createPathsMatcher({ path, config })
    return { path, files: filesIn(reads), compilerOptions: { ...compilerOptions }, pathsOf: specifier => matcher?.(specifier) ?? [] }
  } catch {
    return { path, files: [path, ...filesIn(reads)], compilerOptions: {}, pathsOf: () => [] }
  }
}

function filesIn(reads: ReadonlyMap<string, string>): string[] {
  return [...reads.keys()].flatMap(key => /^readFileSync:(.*\.json):utf8$/s.exec(key)?.[1] ?? [])
}

/** The tsconfig.json of a module: the one nearest to its entry, within its folder. Undefined when it has none. */
export function ownTypeScriptConfig(folder: string, entry: string): string | undefined {
  const found = nearestTypeScriptConfig(dirname(resolve(folder, entry)))
  return found !== undefined && !relative(folder, found).startsWith('..') ? found : undefined
}

/** The tsconfig.json in the folder or in the nearest folder above it, as the compiler of TypeScript finds it. */
export function nearestTypeScriptConfig(folder: string): string | undefined {
  const path = join(folder, 'tsconfig.json')
  if (existsSync(path)) return path
  return dirname(folder) === folder ? undefined : nearestTypeScriptConfig(dirname(folder))
}

/** How to make what a tsconfig.json above the folder says count for the module. */
export function adviseExtending(folder: string, above: string): string {
  const path = relative(folder, above).replaceAll('\\', '/')
  return `Only a tsconfig.json in the folder of the module counts; write one there: { "extends": "${path}" }.`
}
