/** Checks the types of a module, like an editor would, with the TypeScript that is installed where the module is. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, extname, join, relative, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { messageOf } from '../../base/kernel/errors.ts'
import { missingGlobals } from '../../base/kernel/missing-globals.ts'
import { adviceFor } from '../../base/kernel/stacks.ts'
import { SdkError } from '../sdk-error.ts'
import type { Package } from './manifest.ts'
import { declarationsOf, languageParts, sdkTypes, slotTypes } from './slot-types.ts'
import { adviseExtending, nearestTypeScriptConfig, readTypeScriptConfig, writeBeside, writeTypeScriptConfig } from './tsconfig.ts'

export interface TypeCheckOptions {
  /** Colours code frames for a terminal. @default false */
  readonly color?: boolean
  /** Ends the compiler when its result is not needed any more; the check then rejects. */
  readonly signal?: AbortSignal
}

/** A type check that runs. */
export interface TypeCheck {
  /**
   * Resolves with `types`, or with the reason why nothing is checked: the file is not TypeScript, or there is no tsconfig.json, or TypeScript is not installed.
   * Rejects with SdkError TYPES_WRONG, which has the code frame of every error.
   */
  readonly result: Promise<string>
}

/**
 * Starts to check the entry file of a module and everything it imports against the globals of a slot and the services that package.json lists, with the options of
 * the nearest tsconfig.json. Options that change what code does count only as they count for the bundle: when the tsconfig.json is in the folder of the
 * module. The compiler is a process that takes 30 to 300 ms; it runs when this resolves.
 * @param folder of the module
 */
export async function startTypeCheck(
  folder: string,
  contents: Package,
  { color = false, signal }: TypeCheckOptions = {},
): Promise<TypeCheck> {
  const file = resolve(folder, contents.entry)
  if (!/^\.[cm]?tsx?$/.test(extname(file))) return unchecked('it is not TypeScript')
  const config = nearestTypeScriptConfig(dirname(file))
  if (config === undefined) return unchecked('there is no tsconfig.json')
  const compiler = await findCompiler(file)
  if (compiler === undefined) return unchecked('TypeScript is not installed')
  const isOwn = !relative(resolve(folder), config).startsWith('..')
  const declarations = declarationsOf(contents, resolve(folder), authorFor(file))
  const declared = [await writeBeside(config, 'module', 'd.ts', declarations), ...generatedTypes(resolve(folder), dirname(config))]
  const project = await projectFor(file, config, declared, { ...(isOwn ? {} : asBundled), lib: languageParts(compiler.libraries) })
  const { command } = compiler
  const running = run([...command, '--project', project, '--noEmit', '--incremental', 'false', '--pretty'], signal)
  const judge = async () => {
    const { code, output } = await running
    if (code === 0) return 'types'
    if (code === null) throw notFinished(command.join(' '))
    const advice = isOwn ? undefined : await adviseOptions(resolve(folder), config)
    throw typesWrong(file, output, color, contents, advice)
  }
  return { result: judge() }
}

const unchecked = (why: string): TypeCheck => ({ result: Promise.resolve(`no types: ${why}`) })

/** Checks as `startTypeCheck` does, to the end. */
export async function checkTypes(folder: string, contents: Package, options: TypeCheckOptions = {}): Promise<string> {
  return (await startTypeCheck(folder, contents, options)).result
}

/** The file with the types that a module is written against, which the module may have from another copy of this project. */
const authorFor = (file: string): string => sdkTypes(file, '.') ?? sdkTypes(import.meta.filename, '.') ?? '@berth/sdk'

/** The file in which "sdk types" has written what the base offers: in the folder of the module, or beside its tsconfig.json. */
function generatedTypes(...folders: readonly string[]): string[] {
  const found = folders.map(folder => join(folder, GENERATED)).find(existsSync)
  return found === undefined ? [] : [found]
}
const GENERATED = 'berth.d.ts'

/** What the bundler compiles with when a module has no tsconfig.json of its own. */
const asBundled = { experimentalDecorators: false, emitDecoratorMetadata: false, useDefineForClassFields: true }

/** What to do when the tsconfig.json above the folder has options that do not count. */
async function adviseOptions(folder: string, config: string): Promise<string | undefined> {
  const { compilerOptions } = await readTypeScriptConfig(config)
  const other = Object.entries(asBundled).flatMap(([name, value]) => ((compilerOptions[name] ?? value) === value ? [] : [`"${name}"`]))
  return other.length === 0
    ? undefined
    : `${other.join(' and ')} in ${relative(process.cwd(), config)} does not count. ${adviseExtending(folder, config)}`
}

/** How many errors are shown. The first is what to mend; more hide it. */
const ERRORS_SHOWN = 3

function typesWrong(file: string, colored: string, color: boolean, contents: Package, advice?: string): SdkError {
  const output = colored.replace(NO_SUCH_NAME, (text, name: string) =>
    Object.hasOwn(missingGlobals, name) ? `Cannot find name '${name}': a slot has no such global.` : text,
  )
  const plain = stripVTControlCharacters(output)
  const locations = [...plain.matchAll(/^(\S.*?:\d+:\d+) - error (.*)$/gm)]
  const [, location = '', what = 'the compiler says why below'] = locations[0] ?? []
  const more = locations.length > 1 ? ` (and ${locations.length - 1} more)` : ''
  const shown = relative(process.cwd(), file)
  const end = /^Found \d+ errors?\b/m.exec(plain)?.index ?? plain.length
  const lines = plain
    .slice(0, locations[ERRORS_SHOWN]?.index ?? end)
    .trimEnd()
    .split('\n')
  // Line by line, the output with colours is the plain one.
  const details = narrow(lines, color ? output.split('\n') : lines)
  if (locations.length > ERRORS_SHOWN) details.push('', restOf(locations.map(([, at = '']) => at)))
  return new SdkError('TYPES_WRONG', `Wrong types in "${shown}": ${location === '' ? '' : `${location}: `}${what}${more}`, {
    hint: adviceForSlot(plain.slice(0, locations[1]?.index), contents) ?? advice ?? 'Mend the types, or publish with --no-check.',
    details: details.join('\n'),
  })
}

/** What TypeScript says of a name that it does not find, with its advice to install types, which helps nobody here. */
const NO_SUCH_NAME = /Cannot find name '([\w$]+)'\.(?: Do you need to .*)?/g
const UNLISTED_SERVICES = /does not satisfy the constraint 'Uses'\.\s+Types of property 'services' are incompatible\.\s+Type '([^']*)'/

/** What to do about an error, when it is one that code for a slot has and other code has not. */
function adviceForSlot(error: string, { manifest: { services = [] } }: Package): string | undefined {
  const name = /Cannot find name '([\w$]+)': a slot/.exec(error)?.[1]
  if (name !== undefined) return adviceFor(`${name} is not defined`)
  const used = [...(UNLISTED_SERVICES.exec(error)?.[1] ?? '').matchAll(/"([^"]*)"/g)].map(([, service = '']) => service)
  const missing = used.filter(service => !services.includes(service))
  if (missing.length === 0) return undefined
  const line = `"services": ${JSON.stringify([...services, ...missing]).replaceAll(',', ', ')}`
  return `package.json does not list the service ${missing.map(service => `"${service}"`).join(', ')} under "berth": write ${line} there.`
}

function restOf(places: readonly string[]): string {
  const files = new Set(places.map(place => place.replace(/:\d+:\d+$/, ''))).size
  return `… and ${places.length - ERRORS_SHOWN} more, in ${files} ${files === 1 ? 'file' : 'files'} in all`
}

const WIDTH = 120

/** Cuts lines of code that are too long, with the line of marks below each, to a window around the marks. */
function narrow(plain: readonly string[], shown: readonly string[]): string[] {
  const cut = shown.slice(0, plain.length)
  for (const [i, marks] of plain.entries()) {
    const line = plain[i - 1] ?? ''
    if (line.length <= WIDTH || !/^[ ~]+$/.test(marks)) continue
    const [number = ''] = /^ *\d+ /.exec(line) ?? []
    const start = Math.max(number.length, marks.indexOf('~') - WIDTH / 2)
    cut[i - 1] = `${number}… ${line.slice(start, start + WIDTH)} …`
    cut[i] = `${' '.repeat(number.length + 2)}${marks.slice(start, start + WIDTH)}`
  }
  return cut
}

interface TypeScriptCompiler {
  readonly command: readonly string[]
  /** The folder with its declarations of the language. */
  readonly libraries: string
}

/** The compiler that is nearest to the file, else the one that is installed with the sdk. */
async function findCompiler(file: string): Promise<TypeScriptCompiler | undefined> {
  for (const from of [file, import.meta.filename]) {
    const found = resolveFrom(from, 'typescript/package.json')
    if (found !== undefined) return compilerIn(dirname(found))
  }
  return undefined
}

function resolveFrom(file: string, specifier: string): string | undefined {
  try {
    return createRequire(file).resolve(specifier)
  } catch {
    // It is not installed there, and the caller looks elsewhere.
    return undefined
  }
}

/** The compiler in a folder. From version 7 on it is a native program, which starts faster directly than through Node.js. */
export async function compilerIn(folder: string): Promise<TypeScriptCompiler> {
  const locator = join(folder, 'lib/getExePath.js')
  if (!existsSync(locator)) return { command: [process.execPath, join(folder, 'bin/tsc')], libraries: join(folder, 'lib') }
  const { default: executable } = (await import(pathToFileURL(locator).href)) as { default: () => string }
  return { command: [executable()], libraries: dirname(executable()) }
}

/** A configuration that extends that of the project but includes only the one file, and what a slot, package.json and the base give it. */
async function projectFor(file: string, config: string, declared: readonly string[], options: object): Promise<string> {
  const { typeRoots = [], types } = (await readTypeScriptConfig(config)).compilerOptions
  const roots = (typeRoots as string[]).map(root => resolve(dirname(config), root))
  // Only the module's own files matter here. Checking the declarations of the language and of packages takes longer than everything else, and they
  // may name types of Node.js or of browsers, which are not there.
  const { globals, typeRoot } = slotTypes()
  // With `typeRoots`, the compiler looks for `types` in these folders only. The globals of a slot are given as a file in any case.
  const others = (types as readonly string[] | undefined)?.filter(name => !name.startsWith('@berth/sdk/'))
  const compilerOptions = { ...options, typeRoots: [typeRoot, ...roots], ...(others && { types: others }), skipLibCheck: true }
  const files = [file, globals, ...declared]
  return writeTypeScriptConfig(config, { extends: config, compilerOptions, files, include: [], references: [] })
}

async function run([command = '', ...args]: readonly string[], signal?: AbortSignal): Promise<{ code: number | null; output: string }> {
  // The compiler is a Go program that ends before collecting its garbage pays off. Collecting less often saves a quarter of its time.
  const env = { GOGC: '400', ...process.env }
  const child: ChildProcess = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'inherit'], ...(signal && { signal }) })
  const ended = new Promise<number | null>((done, failed) => {
    child.on('error', error => failed(notStarted(command, error)))
    child.on('exit', done)
  })
  const [code, output] = await Promise.all([ended, child.stdout ? text(child.stdout) : ''])
  return { code, output }
}

function notFinished(command: string): SdkError {
  const hint = 'Free memory on this machine, or publish with --no-check.'
  return new SdkError('TYPES_WRONG', `Cannot check types: ${command} was killed before it had finished`, { hint })
}

function notStarted(command: string, cause: Error): SdkError {
  const hint = 'Install TypeScript again, or publish with --no-check.'
  return new SdkError('TYPES_WRONG', `Cannot check types: ${command} does not start: ${messageOf(cause)}`, { hint, cause })
}
