/** Checks the types of a module, like an editor would, with the TypeScript that is installed where the module is. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, extname, join, relative, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { messageOf } from '../../base/kernel/errors.ts'
import { SdkError } from '../sdk-error.ts'

export interface TypeCheckOptions {
  /** Colours code frames for a terminal. @default false */
  readonly color?: boolean
  /** Ends the compiler when its result is not needed any more; the check then rejects. */
  readonly signal?: AbortSignal
}

/**
 * Checks an entry file and everything it imports, with the options of the nearest tsconfig.json. It starts a process for 30 to 300 ms.
 * @param entry path of the file
 * @returns `types`, or the reason why nothing was checked: the file is not TypeScript, or there is no tsconfig.json, or TypeScript is not installed
 * @throws SdkError TYPES_WRONG with the code frame of every error
 */
export async function checkTypes(entry: string, { color = false, signal }: TypeCheckOptions = {}): Promise<string> {
  const file = resolve(entry)
  if (!/^\.[cm]?tsx?$/.test(extname(file))) return 'no types: it is not TypeScript'
  const config = upwards(dirname(file), 'tsconfig.json')
  if (config === undefined) return 'no types: there is no tsconfig.json'
  const compiler = await findCompiler(file)
  if (compiler === undefined) return 'no types: TypeScript is not installed'
  const project = await projectFor(file, config)
  const { code, output } = await run([...compiler, '--project', project, '--noEmit', '--incremental', 'false', '--pretty'], signal)
  if (code === 0) return 'types'
  throw typesWrong(file, output, color)
}

const ERRORS_SHOWN = 10

function typesWrong(file: string, output: string, color: boolean): SdkError {
  const plain = stripVTControlCharacters(output)
  const locations = [...plain.matchAll(/^(\S.*?:\d+:\d+) - error (.*)$/gm)]
  const [, location = '', what = 'the compiler says why below'] = locations[0] ?? []
  const more = locations.length > 1 ? ` (and ${locations.length - 1} more)` : ''
  const shown = relative(process.cwd(), file)
  const details = locations.length > ERRORS_SHOWN ? plain.slice(0, locations[ERRORS_SHOWN]?.index) : color ? output : plain
  return new SdkError('TYPES_WRONG', `Cannot publish "${shown}": ${location === '' ? '' : `${location}: `}${what}${more}`, {
    hint: 'Mend the types, or publish with --no-check.',
    details: details.trimEnd(),
  })
}

/** The nearest file or folder of that name in `folder` or a folder above it. */
function upwards(folder: string, name: string): string | undefined {
  const path = join(folder, name)
  if (existsSync(path)) return path
  return dirname(folder) === folder ? undefined : upwards(dirname(folder), name)
}

/** The command line of the compiler that is nearest to the file, else of the one that is installed with the sdk. */
async function findCompiler(file: string): Promise<string[] | undefined> {
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

/** The command of a compiler. From version 7 on it is a native program, which starts faster directly than through Node.js. */
async function compilerIn(folder: string): Promise<string[]> {
  const locator = join(folder, 'lib/getExePath.js')
  if (!existsSync(locator)) return [process.execPath, join(folder, 'bin/tsc')]
  const { default: executable } = (await import(pathToFileURL(locator).href)) as { default: () => string }
  return [executable()]
}

/**
 * Writes a configuration that extends that of the project but includes only the one file. It is written beside the installed packages, because the
 * compiler searches for packages that options name (such as `types`) from the folder of the configuration upwards.
 */
async function projectFor(file: string, config: string): Promise<string> {
  // Only the module's own files matter here. Checking the declarations of the language and of packages takes longer than everything else.
  const compilerOptions = { skipLibCheck: true }
  const contents = JSON.stringify({ extends: config, compilerOptions, files: [file], include: [], references: [] })
  const packages = upwards(dirname(config), 'node_modules') ?? tmpdir()
  const path = join(packages, '.cache/berth', `tsconfig-${createHash('sha256').update(contents).digest('hex').slice(0, 16)}.json`)
  if (existsSync(path)) return path
  await mkdir(dirname(path), { recursive: true })
  // The file is renamed into place, because another check may be about to read it.
  const unfinished = `${path}.${randomUUID()}`
  await writeFile(unfinished, contents)
  await rename(unfinished, path)
  return path
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

function notStarted(command: string, cause: Error): SdkError {
  const hint = 'Install TypeScript again, or publish with --no-check.'
  return new SdkError('TYPES_WRONG', `Cannot check types: ${command} does not start: ${messageOf(cause)}`, { hint, cause })
}
