/** `sdk init`: makes a module or a scene to start from. It overwrites nothing. */
import { existsSync, globSync } from 'node:fs'
import { readdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { messageOf } from '../../../base/kernel/errors.ts'
import { makeFolderSync } from '../../../base/kernel/folders.ts'
import { readTextFile } from '../../../base/kernel/text-file.ts'
import { manifestLimits, patterns } from '../../../base/traffic/names.ts'
import { exitCodes, SdkError } from '../../sdk-error.ts'
import { moduleFiles } from '../files/templates.ts'
import { createOutput, type Output } from '../terminal/output.ts'

export interface InitOptions {
  readonly json?: boolean
  /** Name of the module to make. */
  readonly module?: string
  /** Id of the scene to make. */
  readonly scene?: string
  readonly stages?: readonly string[]
  /** Whether to ask nothing. Then what is not said is a module named like its folder. */
  readonly yes?: boolean
}

interface Wish {
  readonly kind: 'module' | 'scene'
  readonly name: string
}

const DEFAULT_STAGES = ['rank']
const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/[\\/]$/, '')

/** Asks what the options do not say, on a terminal. */
export async function init(folder: string | undefined, { json = false, ...options }: InitOptions): Promise<void> {
  const out = createOutput(json)
  const stages = options.stages ?? DEFAULT_STAGES
  checkStages(stages)
  const wish = await wishOf(folder, options)
  if (wish.kind === 'module') await makeModule(out, wish.name, folder, stages)
  else await makeScene(out, wish.name, folder ?? '.', stages)
}

// What to make

async function wishOf(folder: string | undefined, { module, scene, yes }: InitOptions): Promise<Wish> {
  if (module !== undefined && scene !== undefined) throw usage('both --module and --scene were given', 'Make one after the other.')
  if (module !== undefined) return checked({ kind: 'module', name: module })
  if (scene !== undefined) return checked({ kind: 'scene', name: scene })
  if (yes && folder !== undefined) return checked({ kind: 'module', name: basename(resolve(folder)) })
  if (yes) throw usage('it has no name', 'Name the folder: sdk init modules/NAME --yes')
  if (process.stdin.isTTY && process.stderr.isTTY) return ask(folder)
  throw usage('there is no terminal to ask on', 'Say what to make: --module NAME or --scene ID, and --stages if it is not "rank".')
}

const names = {
  module: { pattern: new RegExp(patterns.module), must: 'be lower-case letters, digits and dashes, starting with a letter' },
  scene: { pattern: /^[a-z0-9][a-z0-9._-]{0,127}$/, must: 'be lower-case letters, digits, dots, dashes and underscores' },
} as const

function checked(wish: Wish): Wish {
  const { pattern, must } = names[wish.kind]
  if (pattern.test(wish.name)) return wish
  throw usage(`"${wish.name}" is no name for a ${wish.kind}`, `It must ${must}.`)
}

function checkStages(stages: readonly string[]): void {
  const wrong = stages.find(stage => !new RegExp(patterns.stage).test(stage))
  if (wrong !== undefined)
    throw usage(`"${wrong}" is no name for a stage`, 'A stage is named like a function: a small letter, then letters and digits.')
  if (new Set(stages).size < stages.length) throw usage('a stage is named twice', 'Name each stage once.')
  if (stages.length > manifestLimits.stages) throw usage(`it has over ${manifestLimits.stages} stages`, 'Make several modules.')
}

/** The two questions. */
async function ask(folder: string | undefined): Promise<Wish> {
  const { input, select } = await import('@inquirer/prompts')
  try {
    // The questions are on standard error, because standard output may go elsewhere.
    const context = { output: process.stderr }
    const choices = [
      { value: 'module', name: 'a module', description: 'code: one or more stages, with a test' },
      { value: 'scene', name: 'a scene', description: 'a JSON file: which modules answer, and how they take traffic' },
    ] as const
    const kind = await select<Wish['kind']>({ message: 'What is it to be?', choices }, context)
    const { pattern, must } = names[kind]
    const offered = folder === undefined ? '' : basename(resolve(folder))
    const question = {
      message: kind === 'module' ? 'What is it called?' : 'What is its id?',
      ...(pattern.test(offered) && { default: offered }),
      validate: (text: string) => pattern.test(text) || `It must ${must}.`,
    }
    return { kind, name: await input(question, context) }
  } catch (error) {
    if (error instanceof Error && error.name === 'ExitPromptError') throw usage('the question was not answered', 'Nothing was made.')
    throw error
  }
}

function usage(why: string, hint: string): SdkError {
  return new SdkError('USAGE', `Cannot make anything: ${why}`, { hint, exit: exitCodes.usage })
}

// A module

async function makeModule(out: Output, name: string, given: string | undefined, stages: readonly string[]): Promise<void> {
  const folder = await realFolder(given ?? (existsSync('modules') ? join('modules', name) : name))
  await demandEmpty(name, folder)
  const isInside = await isProvided(dirname(folder))
  const files = moduleFiles(name, stages, isInside ? undefined : posix(relative(folder, root)))
  for (const [path, text] of files) if (!(await writeNew(join(folder, path), text))) throw exists(name, join(folder, path), IS_THERE)
  if (!isInside) await linkBerth(folder).catch(unwritable(join(folder, 'node_modules')))
  const shown = relative(process.cwd(), folder) || '.'
  out.say(`${shown}${sep}`)
  for (const [path] of files) out.say(`  ${path}`)
  const next = isInside || shown === '.' ? `npx sdk test ${shown === '.' ? '' : shown}`.trim() : `cd ${shown} && npx sdk test`
  out.next(`Now: ${next}`)
  out.result({ kind: 'module', name, folder: shown, files: files.map(([path]) => path), next })
}

/** Whether the project around a folder says where the types are, as this repository does. */
async function isProvided(folder: string): Promise<boolean> {
  const path = join(folder, 'tsconfig.json')
  if (existsSync(path)) return (await readFile(path, 'utf8')).includes('"#sdk/author"')
  return dirname(folder) !== folder && isProvided(dirname(folder))
}

/** The path without links. Of a folder that does not exist yet, the links above it are resolved. */
async function realFolder(path: string): Promise<string> {
  const absolute = resolve(path)
  return realpath(absolute).catch(async () => join(await realpath(dirname(absolute)).catch(() => dirname(absolute)), basename(absolute)))
}

const posix = (path: string): string => path.replaceAll('\\', '/')

async function demandEmpty(name: string, folder: string): Promise<void> {
  const found = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw exists(name, folder, error.code === 'ENOTDIR' ? 'it is a file' : messageOf(error))
  })
  const [first] = found.filter(entry => entry !== '.git')
  if (first !== undefined) throw exists(name, folder, `it is not empty: "${first}" is in it`)
}

function exists(name: string, path: string, why: string): SdkError {
  const shown = relative(process.cwd(), path) || '.'
  return new SdkError('TARGET_EXISTS', `Cannot make "${name}" in "${shown}": ${why}`, {
    hint: 'Name another folder, or move away what is there.',
  })
}

const IS_THERE = 'the file is there already'

/** @returns false when the file exists already */
async function writeNew(path: string, text: string): Promise<boolean> {
  makeFolder(dirname(path))
  try {
    await writeFile(path, text, { flag: 'wx' })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    return unwritable(path)(error)
  }
}

/** @throws SdkError FILE_UNWRITABLE */
function makeFolder(path: string): void {
  try {
    makeFolderSync(path)
  } catch (error) {
    unwritable(path)(error)
  }
}

/** @returns a function that throws SdkError FILE_UNWRITABLE */
function unwritable(path: string): (cause: unknown) => never {
  return cause => {
    const message = `Cannot write "${relative(process.cwd(), path)}": ${messageOf(cause)}`
    throw new SdkError('FILE_UNWRITABLE', message, { hint: 'Name a folder that can be written to.', cause })
  }
}

/**
 * Links what "npm install" of the dependency in package.json would install. Then types and `npx sdk` are there at once, and without a
 * network.
 */
async function linkBerth(folder: string): Promise<void> {
  const packages = join(folder, 'node_modules')
  makeFolder(join(packages, '.bin'))
  await symlink(root, join(packages, 'berth'), 'junction')
  // Windows cannot start a script through a link, so the user has to run "npm install" there.
  if (process.platform !== 'win32') await symlink(join('..', 'berth', 'bin', 'sdk.cjs'), join(packages, '.bin', 'sdk'))
}

// A scene

async function makeScene(out: Output, id: string, folder: string, stages: readonly string[]): Promise<void> {
  const { sceneSchema } = await import('./schema.ts')
  const path = join(folder, `${id}.json`)
  const schemaPath = join(folder, 'scene.schema.json')
  const bound = await Promise.all(stages.map(async stage => ({ stage, ...(await moduleFor(stage)) })))
  const group = bound.map(({ stage, module }) => ({ stage, modules: [module] }))
  const definition = { $schema: './scene.schema.json', id, description: '', group, traffic: { deadlineMs: 200 }, params: {} }
  if (!(await writeNew(path, json(definition)))) throw exists(id, path, IS_THERE)
  // All scenes of the folder share one schema file.
  await writeNew(schemaPath, json(sceneSchema()))
  const folders = [...new Set(bound.map(({ folder }) => folder))]
  const areHere = !folders.includes(undefined)
  const next = `${areHere ? `npx sdk publish ${folders.join(' ')} && ` : ''}npx sdk scene apply ${path}`
  out.say(path)
  for (const { stage, modules } of group) out.say(`  ${stage}: ${modules.join(', ')}`)
  out.next(`Now: ${areHere ? '' : 'publish the modules it names, then '}${next}`)
  out.result({ kind: 'scene', name: id, files: [path, schemaPath], next })
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

/** A module here that has the stage, else a name that a module with this stage might have. */
async function moduleFor(stage: string): Promise<{ readonly module: string; readonly folder?: string }> {
  for (const path of globSync(['package.json', '*/package.json', 'modules/*/package.json']).sort()) {
    const { name, version, berth } = await packageAt(path)
    if (name !== undefined && version !== undefined && berth?.stages?.includes(stage))
      return { module: `${name}@^${version}`, folder: posix(dirname(path)) }
  }
  return { module: `${stage.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}@^1.0.0` }
}

interface PackageJson {
  readonly name?: string
  readonly version?: string
  readonly berth?: { readonly stages?: readonly string[] }
}

/** Returns nothing when the file is not JSON: other commands say what is wrong with it. */
async function packageAt(path: string): Promise<PackageJson> {
  try {
    return (JSON.parse(await readTextFile(path)) as PackageJson | null) ?? {}
  } catch {
    return {}
  }
}
