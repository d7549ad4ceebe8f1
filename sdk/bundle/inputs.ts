/** The names that esbuild gives to what a bundle is made of. Those of files are paths relative to the folder of the module. */

import { isBuiltin } from 'node:module'

/** The entry that the bundler makes: it exports the stages. */
export const ENTRY = 'berth.stages'

/** The namespaces of what else the bundler makes. They come before the name, with a colon. */
export const INJECT = 'berth-inject'
export const STAND_IN = 'berth-stand-in'
export const MISSING = 'berth-missing'
export const LINK = 'berth-link'

/** Whether an input is a file, and not a text that the bundler or esbuild has made. */
export function isFile(input: string): boolean {
  return input !== ENTRY && !/^(\(disabled\)|<define|berth-[a-z-]+):/.test(input)
}

/** The file of an input. A file that is imported with and without attributes is two inputs. */
export const fileOf = (input: string): string => input.replace(/ with \{ type: '[^']*' \}$/, '')

/** The npm package that a file belongs to; undefined for the module's own files. */
export function dependencyOf(file: string): string | undefined {
  const at = file.lastIndexOf('node_modules/')
  return at < 0 ? undefined : packageOf(file.slice(at + 'node_modules/'.length))
}

/** The package in `@scope/name/folder/file`. */
export function packageOf(path: string): string {
  return path
    .split('/')
    .slice(0, path.startsWith('@') ? 2 : 1)
    .join('/')
}

/** The text of the line before the place of a message. esbuild counts columns in bytes of UTF-8. */
export function textBefore({ lineText, column }: { readonly lineText: string; readonly column: number }): string {
  return Buffer.from(lineText).subarray(0, column).toString()
}

/** The name without `node:`, where the built-in has it without. Such as `sqlite`, an npm package, is another thing than `node:sqlite`. */
export const bareName = (name: string): string => (isBuiltin(name.replace(/^node:/, '')) ? name.replace(/^node:/, '') : name)
