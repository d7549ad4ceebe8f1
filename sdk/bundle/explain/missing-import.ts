/** What an import that leads nowhere probably meant, and what to do about it. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import type { Message } from 'esbuild'
import { nearest } from '../../../base/kernel/nearest.ts'
import { dependencyOf, packageOf, textBefore } from '../inputs.ts'
import type { ModuleFolder, Package } from '../manifest.ts'
import { adviseExtending, nearestTypeScriptConfig, readTypeScriptConfig } from '../tsconfig.ts'

interface Advice {
  readonly text: string
  readonly hint: string
}

/** What an error of esbuild says could not be found, or, when upper and lower case differ, read. */
export function missingImport({ text, location }: Message): string | undefined {
  if (location !== null && text.startsWith('Cannot read file: ')) {
    return /^(["'`])(.*?)\1/.exec(location.lineText.slice(textBefore(location).length))?.[2]
  }
  return /^Could not resolve "(.+?)"/.exec(text)?.[1]
}

/** @param file the file that imports `path`, relative to the folder of the module */
export async function explainMissing(module: ModuleFolder, contents: Package, path: string, file: string): Promise<Advice> {
  const dependency = dependencyOf(file)
  const text = `${dependency === undefined ? '' : `the dependency "${dependency}" imports what is not there: `}cannot find "${path}"`
  const folder = resolve(module.folder, dirname(file))
  if (path.startsWith('.') || path.startsWith('/')) return { text, hint: adviseFile(path, folder) }
  if (path.startsWith('#')) return { text, hint: `Say in "imports" in the package.json of the module where "${path}" is.` }
  if (packageOf(path) === '@berth/sdk') return { text, hint: `Only types come from "${path}": write "import type".` }
  const ownAdvice =
    dependency === undefined ? ((await adviseTypeScriptPath(module, path)) ?? adviseOwnFile(module, path, folder)) : undefined
  return { text, hint: ownAdvice ?? advisePackage(module, contents, path, folder) }
}

function adviseFile(path: string, folder: string): string {
  const target = resolve(folder, path)
  const written = basename(path)
  const there = namesIn(dirname(target))
  if (there === undefined) return `Check the path: there is no folder ${shown(dirname(target))}.`
  const meant =
    there.find(name => name.toLowerCase() === written.toLowerCase()) ??
    there.find(name => name.toLowerCase().startsWith(`${written.toLowerCase()}.`)) ??
    nearest(written, there)
  if (meant === undefined) return `Check the path, extension included: there is no such file in ${shown(dirname(target))}.`
  return `Write "${path.slice(0, path.length - written.length)}${meant}": the name has to be that of the file, with its extension, in upper and lower case.`
}

/** For a path that `paths` of a tsconfig.json give a meaning. */
async function adviseTypeScriptPath({ folder }: ModuleFolder, path: string): Promise<string | undefined> {
  const config = nearestTypeScriptConfig(folder)
  const targets = config === undefined ? [] : (await readTypeScriptConfig(config)).pathsOf(path)
  const [target] = targets
  if (config === undefined || target === undefined || target.includes('node_modules')) return undefined
  if (relative(folder, config).startsWith('..')) return `"paths" in ${shown(config)} say where it is. ${adviseExtending(folder, config)}`
  return `"paths" in ${shown(config)} lead to ${shown(target)}, and there is no such file. Mend them, or the import.`
}

/** For a path that lacks the `./` at its start. */
function adviseOwnFile({ folder: root }: ModuleFolder, path: string, folder: string): string | undefined {
  for (const from of new Set([folder, root])) {
    const target = ['', '.ts', '.js', '.json'].map(end => join(from, path + end)).find(isFile)
    if (target === undefined) continue
    const relativePath = relative(folder, target).replaceAll('\\', '/')
    return `Write "${relativePath.startsWith('.') ? relativePath : `./${relativePath}`}": a path without "./" at its start is that of a package.`
  }
  if (!/^(@|~|src)\/|\.([cm]?ts|tsx|json)$/.test(path)) return undefined
  return 'It looks like a file: write its path relative to this file, or say in "paths" in a tsconfig.json in the folder of the module where it is.'
}

function advisePackage({ folder: root }: ModuleFolder, { dependencies }: Package, path: string, folder: string): string {
  const name = packageOf(path)
  if (!/^(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/.test(name))
    return `"${name}" is not a name that an npm package can have: check it.`
  const installed = installedPackage(name, folder)
  if (installed !== undefined) return adviseExports(name, path, installed)
  if (dependencies.includes(name)) return `package.json lists "${name}", but it is not installed: run "npm install" in ${shown(root)}.`
  return `Install it with "npm install ${name}" where the module can find it.`
}

/** The folder of the package that an import in `folder` would find. */
function installedPackage(name: string, folder: string): string | undefined {
  const found = join(folder, 'node_modules', name)
  if (isFile(join(found, 'package.json'))) return found
  return dirname(folder) === folder ? undefined : installedPackage(name, dirname(folder))
}

function adviseExports(name: string, path: string, folder: string): string {
  const { exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { readonly exports?: unknown }
  const isMap = typeof exports === 'object' && exports !== null && !Array.isArray(exports)
  const offered = isMap ? Object.keys(exports).filter(key => key.startsWith('.') && !key.includes('*') && key !== './package.json') : []
  if (path !== name && offered.length > 0) {
    const paths = offered.slice(0, PATHS_SHOWN).map(key => `"${name}${key.slice(1)}"`)
    return `"${name}" is installed, but does not offer this path; it offers ${paths.join(', ')}${offered.length > paths.length ? ', …' : ''}.`
  }
  if (path !== name) return `"${name}" is installed in ${shown(folder)}, but has no such file.`
  return `"${name}" is installed in ${shown(folder)}, but its package.json names no file for slots that exists: install it again, or use another build of it.`
}

const PATHS_SHOWN = 8

const shown = (path: string): string => relative(process.cwd(), path) || '.'
const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === true

function namesIn(folder: string): string[] | undefined {
  return existsSync(folder) ? readdirSync(folder) : undefined
}
