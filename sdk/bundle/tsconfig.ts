/**
 * The tsconfig.json of a module. Only one in its own folder counts when it is compiled, with all that it extends: what is above the folder must not
 * change the bundle.
 */
import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
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

/**
 * The file that esbuild has to read instead of this one. With "strict" or "alwaysStrict", esbuild would put all JavaScript into strict mode, packages
 * included, which Node.js does not. ES modules and TypeScript are in strict mode anyway.
 */
export async function withoutStrictMode({ path, compilerOptions: { strict, alwaysStrict } }: TypeScriptConfig): Promise<string> {
  const isStrict = alwaysStrict ?? strict
  return isStrict === true ? writeTypeScriptConfig(path, { extends: path, compilerOptions: { alwaysStrict: false } }) : path
}

/**
 * Writes a tsconfig.json that stands for another one. It is written beside the installed packages, because the compiler of TypeScript searches for
 * packages that options name (such as `types`) from the folder of the configuration upwards; or, when nothing can be written there, with other
 * temporary files.
 * @param config path of the other one
 * @returns the path of the file; that of the same contents is always the same
 */
export function writeTypeScriptConfig(config: string, contents: object): Promise<string> {
  return writeBeside(config, 'tsconfig', 'json', JSON.stringify(contents))
}

/** Writes a file for the compiler of TypeScript, where `writeTypeScriptConfig` would write one. @returns its path */
export async function writeBeside(config: string, prefix: string, ending: string, text: string): Promise<string> {
  const name = `.cache/berth/${prefix}-${createHash('sha256').update(text).digest('hex').slice(0, 16)}.${ending}`
  const packages = upwards(dirname(config), 'node_modules')
  const temporary = join(tmpdir(), name)
  if (packages === undefined) return writeOnce(temporary, text)
  return writeOnce(join(packages, name), text).catch(() => writeOnce(temporary, text))
}

async function writeOnce(path: string, text: string): Promise<string> {
  if (existsSync(path)) return path
  await mkdir(dirname(path), { recursive: true })
  // The file is renamed into place, because another process may be about to read it.
  const unfinished = `${path}.${randomUUID()}`
  await writeFile(unfinished, text)
  await rename(unfinished, path)
  return path
}

/** The nearest file or folder of that name in `folder` or a folder above it. */
export function upwards(folder: string, name: string): string | undefined {
  const path = join(folder, name)
  if (existsSync(path)) return path
  return dirname(folder) === folder ? undefined : upwards(dirname(folder), name)
}

/** The tsconfig.json of a module: the one nearest to its entry, within its folder. Undefined when it has none. */
export function ownTypeScriptConfig(folder: string, entry: string): string | undefined {
  const found = nearestTypeScriptConfig(dirname(resolve(folder, entry)))
  return found !== undefined && !relative(folder, found).startsWith('..') ? found : undefined
}

/** The tsconfig.json in the folder or in the nearest folder above it, as the compiler of TypeScript finds it. */
export function nearestTypeScriptConfig(folder: string): string | undefined {
  return upwards(folder, 'tsconfig.json')
}

/** How to make what a tsconfig.json above the folder says count for the module. */
export function adviseExtending(folder: string, above: string): string {
  const path = relative(folder, above).replaceAll('\\', '/')
  return `Only a tsconfig.json in the folder of the module counts; write one there: { "extends": "${path}" }.`
}
