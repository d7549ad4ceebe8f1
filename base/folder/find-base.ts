/**
 * Finds the base that a command is for. Both command lines ask here, so that they mean the same base. What somebody has written down (a flag, a
 * variable, a config file) is taken at its word; a data folder that is merely there counts only while its base answers.
 */
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { CONFIG_FILE, CONFIG_VARIABLE, type ConfigFile, type ConfigMembers, parseConfig, readConfig } from '../kernel/config-file.ts'
import { BerthError } from '../kernel/errors.ts'
import { readAddress, urlOf } from './base-address.ts'
import { addressPath, tokenPath } from './paths.ts'

/** What a command has to go by. The first members are what flags say. */
export interface Clues {
  /** URL of the control API. */
  readonly url?: string | undefined
  readonly controlHost?: string | undefined
  readonly controlPort?: string | undefined
  readonly data?: string | undefined
  readonly config?: string | undefined
  readonly token?: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** The project that the command is part of: its `.berth` is looked into at last. */
  readonly project?: string | undefined
}

export interface FoundBase {
  /** URL of the control API. When no base was found, the URL where one was looked for last. */
  readonly url: string
  /** Whether a base has answered, or somebody has named its URL, so that no other can be meant. */
  readonly found: boolean
  /** Never the token of another base. Undefined when there is none. */
  readonly token: string | undefined
  /** What was tried in vain, in order, a line each. */
  readonly tried: readonly string[]
}

const DATA_FOLDER = '.berth'
const DEFAULT_HOST = '127.0.0.1'
const DEFAULT_PORT = 8081
/** Where the control API answers when nobody has said anything else. */
export const DEFAULT_URL = urlOf(DEFAULT_HOST, DEFAULT_PORT)
/** Milliseconds within which a base has to say who it is. */
const ASK_MS_MAX = 3000

/** One place to look: a data folder, a URL, or nothing, because nobody has said anything there. */
type Step = { readonly by: string } & (
  | { readonly data: string }
  | { readonly url: string; readonly isNamed?: true }
  | { readonly none: true }
)

/**
 * Looks in the order of docs/operating.md#how-commands-find-a-base.
 * @throws {BerthError} `OPTION_INVALID`, `CONFIG_UNREADABLE`
 */
export async function findBase(clues: Clues): Promise<FoundBase> {
  const given = clues.token ?? clues.env.BERTH_TOKEN
  const named = namedUrl(clues)
  // The config file is not even read: it is for another base, and may have a fault.
  if (named !== undefined && given !== undefined) return { url: named, found: true, token: given, tried: [] }
  const location = locationOf(clues)
  const tried: string[] = []
  let last = DEFAULT_URL
  for (const step of stepsOf(clues, location)) {
    if ('none' in step) tried.push(step.by)
    else if ('data' in step) {
      const { url, why } = await askFolder(step.data)
      if (url !== undefined) return { url, found: true, token: given ?? readToken(step.data), tried }
      tried.push(`${step.by}: ${why}`)
    } else {
      last = step.url
      const isNamed = step.isNamed === true
      // A base that is named, and whose token is given, need not be asked anything.
      if (isNamed && given !== undefined) return { url: step.url, found: true, token: given, tried }
      const { id, why } = await ask(step.url)
      if (isNamed || why === undefined) return { url: step.url, found: true, token: given ?? tokenOf(id, clues, location), tried }
      tried.push(`${step.by}: ${why}`)
    }
  }
  return { url: last, found: false, token: given, tried }
}

/** The URL that somebody has named as a whole, where no flag goes before it. */
const namedUrl = ({ url, controlHost, controlPort, env }: Clues): string | undefined =>
  url ?? (controlHost === undefined && controlPort === undefined ? env.BERTH_BASE : undefined)

/** The data folder that a command means which needs no base that runs. @throws as `findBase` */
export function findDataFolder(clues: Clues): string {
  const folders = foldersOf(clues, locationOf(clues))
  return folders[0] ?? resolve(clues.cwd, DATA_FOLDER)
}

function* stepsOf(clues: Clues, location: Location): Generator<Step> {
  const { env, controlHost, controlPort } = clues
  if (clues.url !== undefined) return yield { by: '--base', url: clues.url, isNamed: true }
  const isGiven = controlHost !== undefined || controlPort !== undefined
  if (isGiven && location.url !== undefined) return yield { ...location.url, isNamed: true }
  if (env.BERTH_BASE !== undefined) return yield { by: 'BERTH_BASE', url: env.BERTH_BASE, isNamed: true }
  // Each of the two programs has flags of its own.
  const flags = 'controlPort' in clues ? '--control-host, --control-port' : '--base'
  yield { by: `${flags}, BERTH_BASE: not given`, none: true }
  if (location.data !== undefined) yield location.data
  if (location.url !== undefined) yield location.url
  if (location.data !== undefined || location.url !== undefined) return
  yield { by: `BERTH_DATA, BERTH_CONTROL_PORT, ${CONFIG_FILE} here or in a folder above: none says where`, none: true }
  const folders = foldersOf(clues, location)
  if (folders.length === 0) yield { by: `${DATA_FOLDER} here or in a folder above: none`, none: true }
  for (const data of folders) yield { by: data, data }
  yield { by: `${DEFAULT_URL}, the default`, url: DEFAULT_URL }
}

// Options of a base that say where it is

/** What variables and the config file say of where a base is. */
interface Location {
  readonly data: (Step & { readonly data: string }) | undefined
  readonly url: (Step & { readonly url: string }) | undefined
}

interface Given {
  readonly value: unknown
  /** The flag, the variable, or the member of which file. */
  readonly by: string
  /** What a relative path starts from. */
  readonly folder: string
}

function locationOf(clues: Clues): Location {
  const { env, cwd } = clues
  const file = findConfig(clues)
  const members: ConfigMembers = file === undefined ? {} : parseConfig(file)
  const given = (flag: string | undefined, name: string, variable: string): Given | undefined => {
    const flagName = `--${variable.slice('BERTH_'.length).toLowerCase().replace('_', '-')}`
    if (flag !== undefined) return { value: flag, by: flagName, folder: cwd }
    if (env[variable] !== undefined) return { value: env[variable], by: variable, folder: cwd }
    if (file === undefined || members[name] === undefined) return undefined
    return { value: members[name], by: `${name} of "${file.path}"`, folder: dirname(file.path) }
  }
  const data = given(clues.data, 'data', 'BERTH_DATA')
  const host = given(clues.controlHost, 'controlHost', 'BERTH_CONTROL_HOST')
  const port = given(clues.controlPort, 'controlPort', 'BERTH_CONTROL_PORT')
  const number = port === undefined ? DEFAULT_PORT : portOf(port)
  // With 0 the system has chosen the port, which only the data folder says.
  const isKnown = (host !== undefined || port !== undefined) && number !== 0
  const path = data && resolve(data.folder, textOf(data))
  const url = isKnown ? urlOf(host === undefined ? DEFAULT_HOST : textOf(host), number) : undefined
  return {
    data: path === undefined ? undefined : { by: `${data?.by}, ${path}`, data: path },
    url: url === undefined ? undefined : { by: `${(port ?? host)?.by}, ${url}`, url },
  }
}

/** The config file that is named, else the nearest in this folder and those above it. @throws {BerthError} `CONFIG_UNREADABLE` */
export function findConfig({ config, env, cwd }: Pick<Clues, 'config' | 'env' | 'cwd'>): ConfigFile | undefined {
  const named = config ?? env[CONFIG_VARIABLE]
  if (named !== undefined) return readConfig(resolve(cwd, named), true)
  const path = upwards(cwd, CONFIG_FILE)[0]
  return path === undefined ? undefined : readConfig(path, false)
}

function textOf({ value, by }: Given): string {
  if (typeof value === 'string' && value !== '') return value
  throw new BerthError('OPTION_INVALID', `Cannot use ${by}, ${JSON.stringify(value)}: must be a text that is not empty`)
}

function portOf({ value, by }: Given): number {
  const port = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  if (typeof port === 'number' && Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new BerthError('OPTION_INVALID', `Cannot use ${by}, ${JSON.stringify(value)}: must be an integer from 0 to 65535`)
}

// Data folders

/** Data folders whose base may be meant, in order. */
function foldersOf({ cwd, project }: Clues, { data }: Location): string[] {
  if (data !== undefined) return [data.data]
  const own = project === undefined ? [] : [join(project, DATA_FOLDER)].filter(isOwn)
  return [...new Set([...upwards(cwd, DATA_FOLDER), ...own])]
}

/** The paths of this name in a folder and in those above it, the nearest first. */
function upwards(folder: string, name: string): string[] {
  const above = dirname(folder)
  return [join(folder, name), ...(above === folder ? [] : upwards(above, name))].filter(isOwn)
}

/**
 * Whether it is there and belongs to this user, or for root to whoever has the folder around it. In a folder such as /tmp somebody else may have put
 * it, to be sent what is meant for another base.
 */
function isOwn(path: string): boolean {
  const uid = process.getuid?.() ?? 0
  const owner = statSync(path, { throwIfNoEntry: false })?.uid
  return owner !== undefined && (owner === uid || (uid === 0 && owner === statSync(dirname(path)).uid))
}

/** The base that runs on this folder, and no other. */
export async function findBaseOn(data: string, token: string | undefined): Promise<FoundBase> {
  const { url, why } = await askFolder(data)
  if (url === undefined) return { url: DEFAULT_URL, found: false, token, tried: [`${data}: ${why}`] }
  return { url, found: true, token: token ?? readToken(data), tried: [] }
}

/** @returns the URL where the base of the folder answers, or why there is none */
async function askFolder(data: string): Promise<{ readonly url?: string; readonly why?: string }> {
  const address = readAddress(data)
  if (address === undefined) return { why: whyNoAddress(data) }
  const { control: url, pid } = address
  const { id, why } = await ask(url)
  if (id === address.id) return { url }
  const what = why === undefined ? 'something else answers there' : why
  return { why: `its base (process ${pid}, ${url}) was killed or is being started again: ${what}` }
}

function whyNoAddress(data: string): string {
  try {
    accessSync(addressPath(data), constants.R_OK)
    return 'the file with the address of its base is damaged'
  } catch (error) {
    const isDenied = (error as NodeJS.ErrnoException).code === 'EACCES'
    if (isDenied) return 'this user may not read it: run the command as the user of the base'
    return existsSync(data) ? 'no base runs on it' : 'there is no such folder'
  }
}

/** The token of the base with this id, if its data folder is one of those that may be meant. */
function tokenOf(id: string | undefined, clues: Clues, location: Location): string | undefined {
  if (id === undefined) return undefined
  const folders = [...foldersOf(clues, location), ...foldersOf(clues, { ...location, data: undefined })]
  const data = folders.find(folder => readAddress(folder)?.id === id)
  return data === undefined ? undefined : readToken(data)
}

function readToken(data: string): string | undefined {
  try {
    return readFileSync(tokenPath(data), 'utf8').trim()
  } catch {
    // The base says which right is missing.
    return undefined
  }
}

/** Asks who answers at a URL. @returns the id of a base, nothing for what is no base, or why nobody answers */
async function ask(url: string): Promise<{ readonly id?: string; readonly why?: string }> {
  let response: Response
  try {
    const headers = { accept: 'application/json' }
    response = await fetch(new URL('/', url), { headers, redirect: 'manual', signal: AbortSignal.timeout(ASK_MS_MAX) })
  } catch (error) {
    const isLate = error instanceof Error && error.name === 'TimeoutError'
    return { why: isLate ? 'what takes connections there sends no answer' : 'nothing answers there' }
  }
  const body = Object(await response.json().catch(() => undefined)) as { readonly id?: unknown }
  return typeof body.id === 'string' ? { id: body.id } : {}
}
