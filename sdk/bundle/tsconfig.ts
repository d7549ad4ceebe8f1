/**
 * The tsconfig.json of a module. Only one in its own folder counts when it is compiled, with all that it extends: what is above the folder must not
 * change the bundle.
 */
import { existsSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { createPathsMatcher, parseTsconfig } from 'get-tsconfig'

export interface TypeScriptConfig {
  /** Absolute path. */
  readonly path: string
  /** Its file and those that it extends, absolute. */
  readonly files: readonly string[]
  readonly compilerOptions: Readonly<Record<string, unknown>>
  /** The paths, absolute and without regard to what exists, to which its `paths` lead an import. */
  pathsOf(specifier: string): readonly string[]
}

/** @returns undefined when the file cannot be read; whoever uses it says why */
export function readTypeScriptConfig(path: string): TypeScriptConfig | undefined {
  // The parser remembers here under `readFileSync:PATH:utf8` what it has read.
  const reads = new Map<string, string>()
  try {
    const config = parseTsconfig(path, reads)
    const { compilerOptions = {} } = config
    const matcher = compilerOptions.paths === undefined ? null : createPathsMatcher({ path, config })
    const files = [...reads.keys()].flatMap(key => /^readFileSync:(.*\.json):utf8$/s.exec(key)?.[1] ?? [])
    return { path, files, compilerOptions: { ...compilerOptions }, pathsOf: specifier => matcher?.(specifier) ?? [] }
  } catch {
    return undefined
  }
}

/** The tsconfig.json of a module itself; undefined when it has none. */
export function ownTypeScriptConfig(folder: string): string | undefined {
  const path = join(folder, 'tsconfig.json')
  return existsSync(path) ? path : undefined
}

/** The tsconfig.json in the folder or in the nearest folder above it, as the compiler of TypeScript finds it. */
export function nearestTypeScriptConfig(folder: string): string | undefined {
  return ownTypeScriptConfig(folder) ?? (dirname(folder) === folder ? undefined : nearestTypeScriptConfig(dirname(folder)))
}

/** How to make what the tsconfig.json above the folder says count for the module. */
export function adviseExtending(folder: string, above: string): string {
  const path = relative(folder, above).replaceAll('\\', '/')
  return `Only a tsconfig.json in the folder of the module counts; write one there: { "extends": "${path}" }.`
}
