/** `sdk init`: makes a module or a scene to start from. It overwrites nothing. */
import { existsSync, globSync } from 'node:fs'
import { readdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { messageOf } from '../../../base/kernel/errors.ts'
import { makeFolderSync } from '../../../base/kernel/folders.ts'
import { clone } from '../../../base/kernel/installation.ts'
import { readTextFile } from '../../../base/kernel/text-file.ts'
import { asTyped, managerOf, type Place } from '../../../base/kernel/typed-commands.ts'
import { manifestLimits, patterns } from '../../../base/traffic/names.ts'
import { upwards } from '../../bundle/tsconfig.ts'
import manifest from '../../package.json' with { type: 'json' }
import { exitCodes, SdkError } from '../../sdk-error.ts'
import { kindOf, kindsInOrder } from '../files/stage-bodies.ts'
import { moduleFiles, type Tools } from '../files/templates.ts'
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

const DEFAULT_STAGES: readonly string[] = ['rank']
/** What modules are written and tested with. The compiler is the one with which `sdk publish` checks, so that it is installed once. */
const tools: Tools = {
  '@berth/sdk': `^${manifest.version}`,
  '@types/node': `^${process.versions.node.split('.', 1)[0]}.0.0`,
  typescript: manifest.dependencies.typescript,
}

/** Asks what the options do not say, on a terminal. */
export async function init(folder: string | undefined, { json = false, ...options }: InitOptions): Promise<void> {
  const out = createOutput(json)
  const { stages } = options
  if (stages !== undefined) checkStages(stages)
  const wish = await wishOf(folder, options)
  if (wish.kind === 'module') await makeModule(out, wish.name, folder, stages ?? DEFAULT_STAGES)
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
  const kept = await demandEmpty(name, folder)
  const place: Place = { cwd: folder, env: process.env }
  const needsTools = !(await isProvided(dirname(folder)))
  const files = moduleFiles(name, stages, needsTools ? tools : undefined)
  const made = files.filter(([path]) => !kept.includes(path))
  for (const [path, text] of made) if (!(await writeNew(join(folder, path), text))) throw exists(name, join(folder, path), IS_THERE)
  if (needsTools && clone !== undefined) await linkTools(folder, clone).catch(unwritable(join(folder, 'node_modules')))
  const shown = relative(process.cwd(), folder) || '.'
  out.say(`${shown}${sep}`)
  for (const [path] of made) out.say(`  ${path}`)
  if (kept.includes('.gitignore')) out.warn('.gitignore was there: see that node_modules/ and .berth/ are in it')
  if (needsTools && clone !== undefined)
    out.next(`Its node_modules are links into this clone. Whoever has no clone installs @berth/sdk ${tools['@berth/sdk']} from a registry.`)
  const next = nextSteps(shown, place, needsTools).join(' && ')
  out.next(`Now: ${next}`)
  out.result({ kind: 'module', name, folder: shown, files: made.map(([path]) => path), next })
}

/** What is typed next, in the folder in which this command runs. */
function nextSteps(shown: string, place: Place, needsTools: boolean): string[] {
  const { install, run } = managerOf(place)
  if (!needsTools) return [`${run} sdk test ${shown === '.' ? '' : shown}`.trim()]
  const isInstalled = Object.keys(tools).every(name => upwards(place.cwd, join('node_modules', name)) !== undefined)
  return [...(shown === '.' ? [] : [`cd ${shown}`]), ...(isInstalled ? [] : [install]), `${run} sdk test`]
}

/** Whether the project around a folder says where the types are, as this repository does. */
async function isProvided(folder: string): Promise<boolean> {
  const path = join(folder, 'tsconfig.json')
  if (existsSync(path)) return (await readFile(path, 'utf8')).includes('"@berth/sdk"')
  return dirname(folder) !== folder && isProvided(dirname(folder))
}

/** The path without links. Of a folder that does not exist yet, the links above it are resolved. */
async function realFolder(path: string): Promise<string> {
  const absolute = resolve(path)
  return realpath(absolute).catch(async () => join(await realpath(dirname(absolute)).catch(() => dirname(absolute)), basename(absolute)))
}

const posix = (path: string): string => path.replaceAll('\\', '/')

/** What a new repository has before its first line of code. */
const ofRepository =
  /^(\.git|\.gitattributes|\.gitignore|\.github|\.gitlab-ci\.yml|\.editorconfig|\.npmrc|readme(\..*)?|licen[cs]e(\..*)?)$/i

/** @returns what is in the folder and stays as it is */
async function demandEmpty(name: string, folder: string): Promise<string[]> {
  const found = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw exists(name, folder, error.code === 'ENOTDIR' ? 'it is a file' : messageOf(error))
  })
  const [first] = found.filter(entry => !ofRepository.test(entry))
  if (first !== undefined) throw exists(name, folder, `it is not empty: "${first}" is in it`)
  return found
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
 * Links what "npm install" would install. So a module that is made from a clone has its types and `npx sdk` at once, without a network, and runs the
 * code of the clone.
 */
async function linkTools(folder: string, clone: string): Promise<void> {
  const packages = join(folder, 'node_modules')
  for (const name of Object.keys(tools)) {
    makeFolder(dirname(join(packages, name)))
    await symlink(await realpath(join(clone, 'node_modules', name)), join(packages, name), 'junction')
  }
  makeFolder(join(packages, '.bin'))
  // Windows cannot start a script through a link, so the user has to run "npm install" there.
  if (process.platform !== 'win32') await symlink(join('..', '@berth', 'sdk', 'bin', 'sdk.cjs'), join(packages, '.bin', 'sdk'))
}

// A scene

/** @param wanted names of its stages; undefined for those of the modules that are here */
async function makeScene(out: Output, id: string, folder: string, wanted: readonly string[] | undefined): Promise<void> {
  const { sceneSchema } = await import('./schema.ts')
  const path = join(folder, `${id}.json`)
  const schemaPath = join(folder, 'scene.schema.json')
  const here = await modulesHere()
  const stages = wanted ?? (here.length === 0 ? DEFAULT_STAGES : stagesOf(here))
  const published = stages.every(stage => here.some(module => module.stages.includes(stage))) ? [] : await modulesPublished()
  const bound = stages.map(stage => bind(stage, here, published))
  const group = bound.map(({ stage, module }) => ({ stage, modules: [`${module.name}@^${module.version}`] }))
  const definition = { $schema: './scene.schema.json', id, description: '', group, traffic: { deadlineMs: 200 }, params: {} }
  if (!(await writeNew(path, json(definition)))) throw exists(id, path, IS_THERE)
  // All scenes of the folder share one schema file.
  await writeNew(schemaPath, json(sceneSchema()))
  out.say(path)
  for (const { stage, module, note } of bound) out.say(`  ${stage}: ${module.name}@^${module.version}${note}`)
  const missing = bound.filter(({ module }) => module.from === 'nowhere').map(({ module }) => module.name)
  const folders = [...new Set(bound.flatMap(({ module }) => module.folder ?? []))]
  const steps = [...(folders.length === 0 ? [] : [`sdk publish ${folders.join(' ')}`]), `sdk scene apply ${path}`]
  const next = asTyped(steps.join(' && '), 'sdk')
  out.next(`Now: ${missing.length === 0 ? '' : `make and publish ${missing.join(', ')}, then `}${next}`)
  out.result({ kind: 'scene', name: id, files: [path, schemaPath], next })
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

/** A module that a scene may name. */
interface Offered {
  readonly name: string
  readonly version: string
  readonly stages: readonly string[]
  readonly from: 'here' | 'base' | 'nowhere'
  /** Where its code is, when it is here. */
  readonly folder?: string
}

interface Bound {
  readonly stage: string
  readonly module: Offered
  /** What a reader should know of the choice. */
  readonly note: string
}

/** The module for a stage: one that is here, else one that is published, else a name that such a module might have. */
function bind(stage: string, here: readonly Offered[], published: readonly Offered[]): Bound {
  const having = (modules: readonly Offered[]) => modules.filter(({ stages }) => stages.includes(stage))
  const [module, ...others] = [...having(here), ...having(published)]
  if (module === undefined) {
    const name = stage.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
    const note = asTyped(`  (no module here has this stage: sdk init --module ${name} --stages ${stage})`, 'sdk')
    return { stage, module: { name, version: '1.0.0', stages: [stage], from: 'nowhere' }, note }
  }
  const alternatives = others.filter(({ from, name }) => from === module.from && name !== module.name).map(({ name }) => name)
  const where = module.from === 'base' ? ['published'] : []
  const notes = [...where, ...(alternatives.length === 0 ? [] : [`also in ${alternatives.join(', ')}`])]
  return { stage, module, note: notes.length === 0 ? '' : `  (${notes.join('; ')})` }
}

/** The stages of the modules, in the order of a request as far as their names say it. The stages of one module stay in its order. */
function stagesOf(modules: readonly Offered[]): string[] {
  const stages = [...new Set(modules.flatMap(module => module.stages))]
  if (modules.length === 1) return stages
  return stages.toSorted((a, b) => kindsInOrder.indexOf(kindOf(a)) - kindsInOrder.indexOf(kindOf(b)))
}

/** The module in this folder, else those in folders of it. */
async function modulesHere(): Promise<Offered[]> {
  for (const patterns of [['package.json'], ['*/package.json', 'modules/*/package.json']]) {
    const found = await Promise.all(globSync(patterns).sort().map(moduleAt))
    const modules = found.filter(module => module !== undefined)
    if (modules.length > 0) return modules
  }
  return []
}

/** The newest version of each module that the base of this folder has; none when no base is found or answers. */
async function modulesPublished(): Promise<Offered[]> {
  const [{ createContext }, { default: rcompare }] = await Promise.all([import('../context.ts'), import('semver/functions/rcompare.js')])
  try {
    const { client } = await createContext({})
    const released = (await client.modules()).filter(({ version }) => !version.includes('-'))
    const newest = released.toSorted((a, b) => a.name.localeCompare(b.name) || rcompare(a.version, b.version))
    return newest
      .filter(({ name }, i) => name !== newest[i - 1]?.name)
      .map(({ name, version, stages }): Offered => ({ name, version, stages, from: 'base' }))
  } catch (error) {
    if (error instanceof SdkError) return []
    throw error
  }
}

/** Undefined when there is no module: other commands say what is wrong with its package.json. */
async function moduleAt(path: string): Promise<Offered | undefined> {
  try {
    const { name, version, berth } = Object(JSON.parse(await readTextFile(path)))
    const isModule = typeof name === 'string' && typeof version === 'string' && Array.isArray(berth?.stages) && berth.stages.length > 0
    return isModule ? { name, version, stages: berth.stages, from: 'here', folder: posix(dirname(path)) } : undefined
  } catch {
    return undefined
  }
}
