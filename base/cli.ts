/** The command line of a base: `base start`, `base status`, `base upgrade`, `base backup`. */
import { Command, CommanderError, Option } from 'commander'
import { type Clues, type FoundBase, findBase, findBaseOn, findDataFolder } from './folder/find-base.ts'
import { renderColumns } from './kernel/columns.ts'
import { CONFIG_FILE } from './kernel/config-file.ts'
import { BerthError, type ErrorCode, errorTable, messageOf } from './kernel/errors.ts'
import { clone } from './kernel/installation.ts'
import { limits } from './kernel/limits.ts'
import { loadOptions, type OptionName, type Options, optionRows } from './kernel/options.ts'
import { asTyped } from './kernel/typed-commands.ts'
import manifest from './package.json' with { type: 'json' }
import { type Base, startBase } from './supervisor/supervisor.ts'
import { type UpgradeSettings, upgradeBase } from './upgrade-command.ts'

/** Gives a base that `base start` has started its first scenes, before it says that it is ready. What it throws ends the base. */
export type SetUp = (base: Base, options: Options) => Promise<void>

const exitCodes = { failed: 1, usage: 2, unfit: 78 } as const

/** What a start of the same release with the same options meets again, until somebody changes the machine or the data folder. */
const unfit: readonly ErrorCode[] = ['MEMORY_TOO_SMALL', 'WALL_MISSING', 'DATA_FORMAT_NEWER', 'DATA_DAMAGED']

const STATUS_TIMEOUT_MS = 5000

/**
 * Runs one command. `start` goes on until a signal ends the process. A failure exits 1, a mistake in the usage 2, and a machine or data folder that is not
 * fit for the base 78 (`EX_CONFIG`), each with a line on standard error.
 */
export async function runCli(args: readonly string[], setUp?: SetUp): Promise<void> {
  try {
    await program(setUp).parseAsync(args, { from: 'user' })
  } catch (error) {
    process.exit(report(error))
  }
}

/** A failure of a command that has no row in the error table. */
class CommandError extends Error {
  readonly fix: string

  constructor(message: string, fix: string, cause?: unknown) {
    super(message, { cause })
    this.fix = fix
  }
}

/** Prints the failure and what to do about it, and for a defect also where it is in the code. */
function report(error: unknown): number {
  // Commander has printed this error, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage
  const known = error instanceof CommandError || error instanceof BerthError
  const what = !known && error instanceof Error ? error.stack : messageOf(error)
  const advice = error instanceof BerthError ? error.advice : undefined
  const fix = error instanceof CommandError ? error.fix : `${advice ?? errorTable[codeOf(error)].fix} (${codeOf(error)})`
  process.stderr.write(asTyped(`berth: ${what}\nwhat to do: ${fix}\n`, 'base'))
  const usage: readonly ErrorCode[] = ['OPTION_UNKNOWN', 'OPTION_INVALID', 'CONFIG_UNREADABLE']
  if (usage.includes(codeOf(error))) return exitCodes.usage
  return unfit.includes(codeOf(error)) ? exitCodes.unfit : exitCodes.failed
}

const codeOf = (error: unknown): ErrorCode => (error instanceof BerthError ? error.code : 'INTERNAL')

function program(setUp: SetUp | undefined): Command {
  const base = new Command('base')
    .description('A base hosts algorithm modules and serves their scenes.')
    .version(manifest.version)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'berth: ')) })
    .addHelpText('after', () => asTyped(generalExamples, 'base'))
  const start = base
    .command('start')
    .description('start a base and serve until a signal stops it')
    .addHelpText('after', () => asTyped(startExamples, 'base'))
  withOptions(start).action(async (flags: Flags) => {
    const options = optionsFrom(flags)
    const base = await startBase(options, { setUp: setUp && (base => setUp(base, options)) })
    await base.ready
  })
  const status = base.command('status').description('print the state of a running base').option('--json', 'print one JSON document')
  withOptions(status, ['controlPort', 'controlHost', 'data'])
    .addHelpText('after', () => asTyped(statusHelp, 'base'))
    .action(async (flags: Flags) => printStatus(await findBase(cluesForStatus(flags)), flags.json === true))
  const upgrade = base
    .command('upgrade')
    .description('have this release take over the base that runs on the data folder, without a failed request')
    .option('--timeout <seconds>', 'until it has to serve; else the release before goes on', String(limits.process.upgradeMs / 1000))
    .option('--restart', 'also when the base runs this release already')
  withOptions(upgrade, ['data'])
    .addHelpText('after', upgradeHelp)
    .action(async (flags: Flags) => upgradeBase(await upgradeSettings(flags)))
  const backup = base.command('backup').description('copy the data folder, also while its base runs').argument('<target>', 'folder to make')
  withOptions(backup, ['data']).action(async (target: string, flags: Flags) => {
    const store = await import('./store/backup.ts')
    const copy = await store.backup(findDataFolder({ ...cluesFrom(flags), project: undefined }), target)
    process.stdout.write(`backed up revision ${copy.revision} with ${copy.blobs} blobs and ${copy.tables} tables to ${copy.target}\n`)
    process.stdout.write(asTyped(`start a base on it: base start --data ${copy.target}\n`, 'base'))
  })
  return base
}

const generalExamples = `
Examples:
  base start                             scenes on port 8080, control on 8081, state in ./.berth
  base start --cells 4 --host 0.0.0.0    four serving processes, reachable from other machines
  base status                            what runs, cell by cell
  base upgrade                           this release takes over the base that runs here
  base backup /backups/monday            a copy that a base starts from with --data`

const startExamples = `
Every option can also be given by its variable or as a member of ${CONFIG_FILE} (in camelCase); a flag goes before the variable, the variable before the file.

Examples:
  base start --port 9000 --control-port 9001
  BERTH_CELLS=4 base start
  base start --config /etc/berth/base.json    where it says { "cells": 4, "data": "/var/lib/berth" }`

const statusHelp = `
It finds the base as sdk does: --control-host and --control-port, else BERTH_BASE, --data or BERTH_DATA, ${CONFIG_FILE} here or in a folder above, .berth
here or above, port 8081. The token is that of BERTH_TOKEN, else of the data folder of that base.

Examples:
  base status
  BERTH_BASE=http://ranking.example:8081 BERTH_TOKEN=… base status --json`

const upgradeHelp = `
It is run from the folder or package of the release that shall take over. The base goes on serving with the release it has until the other one serves, and
when that does not come to it. To go back, run it from the release before. What starts the base must name the new release too, for the next start.

Examples:
  base upgrade                                    the base on .berth here or in a folder above
  base upgrade --data /var/lib/berth --timeout 120`

/** @throws {BerthError} `OPTION_INVALID`; {CommandError} when no base runs on the folder */
async function upgradeSettings(flags: Flags): Promise<UpgradeSettings> {
  const timeoutSeconds = Number(flags.timeout)
  const most = limits.process.upgradeMsMax / 1000
  if (!Number.isInteger(timeoutSeconds) || timeoutSeconds < 1 || timeoutSeconds > most)
    throw new BerthError('OPTION_INVALID', `Cannot use --timeout ${JSON.stringify(flags.timeout)}: must be an integer from 1 to ${most}`)
  const clues = { ...cluesFrom(flags), project: undefined }
  const data = findDataFolder(clues)
  // What is meant is the base of this folder, and no other.
  const found = await findBaseOn(data, process.env.BERTH_TOKEN)
  if (!found.found) throw notFound(found.tried)
  const print = (line: string) => void process.stdout.write(`${line}\n`)
  return { data, found, timeoutSeconds, isRestart: flags.restart === true, print }
}

const notFound = (tried: readonly string[]): CommandError =>
  new CommandError(
    `Cannot find a base. It was looked for in this order:${tried.map(line => `\n  ${line}`).join('')}`,
    'Start it with "base start", or name its folder with --data.',
  )

type Flags = Readonly<Record<string, string | boolean | undefined>>

/** Commander has a name of its own for each flag (`--cell-memory-mb` is `cellMemoryMb`). */
const attributes = new Map(optionRows.map(row => [row.name, new Option(`${row.flag} <value>`).attributeName()]))

function withOptions(command: Command, names?: readonly OptionName[]): Command {
  for (const row of optionRows.filter(row => names?.includes(row.name) ?? true))
    command.option(`${row.flag} <value>`, `${row.description} (default: ${row.default}; ${row.variable})`)
  return command.option('--config <file>', `config file (default: ${CONFIG_FILE} if there is one; BERTH_CONFIG)`)
}

function optionsFrom(flags: Flags): Options {
  const text = (attribute: string | undefined) => {
    const value = attribute === undefined ? undefined : flags[attribute]
    return typeof value === 'string' ? value : undefined
  }
  const given = Object.fromEntries(optionRows.map(row => [row.name, text(attributes.get(row.name))]))
  return loadOptions(given, process.env, process.cwd(), text('config'))
}

/** What says which base is meant. Every option is checked on the way, so that one which is misspelt does not lead to another base. */
function cluesFrom(flags: Flags): Clues {
  optionsFrom(flags)
  return cluesOf(flags)
}

/** The same for a command that a base answers. Where its URL and its token are given no option counts, and so no fault of a config file. */
function cluesForStatus(flags: Flags): Clues {
  const { BERTH_BASE: url, BERTH_TOKEN: token } = process.env
  if (url !== undefined) checkUrl(url)
  return url !== undefined && token !== undefined ? cluesOf(flags) : cluesFrom(flags)
}

function cluesOf(flags: Flags): Clues {
  const text = (name: string) => (typeof flags[name] === 'string' ? flags[name] : undefined)
  const [controlHost, controlPort, data, config] = ['controlHost', 'controlPort', 'data', 'config'].map(text)
  return { controlHost, controlPort, data, config, env: process.env, cwd: process.cwd(), project: clone }
}

function checkUrl(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return
  throw new BerthError('OPTION_INVALID', `Cannot use BERTH_BASE ${JSON.stringify(text)}: must be an http URL`)
}

async function printStatus({ url: base, found, token, tried }: FoundBase, json: boolean): Promise<void> {
  if (!found) throw notFound(tried)
  const get = reader(new URL(base).origin, token)
  const state = (await get('/api/status')) as Json
  const scenes = ((await get('/api/scenes')) as readonly SceneReply[]).map(describeScene)
  const shown = scenes.map(scene => ({ ...scene, cutover: scene.cutover && `${scene.cutover.version} ${scene.cutover.share / 100}%` }))
  process.stdout.write(
    json
      ? `${JSON.stringify({ base, ...state, scenes }, null, 2)}\n`
      : renderStatus({ base, ...listFailures(inOneLine(state)), scenes: shown }),
  )
}

/** The steps of the last upgrade are one line, as the others of it are. */
function inOneLine({ upgrade, ...state }: Json): Json {
  if (!isObject(upgrade)) return { ...state, upgrade }
  const steps = (upgrade.steps ?? []) as readonly { readonly step: string; readonly ms: number | null }[]
  const shown = steps.map(({ step, ms }) => `${step} ${ms === null ? 'not over' : `${ms} ms`}`)
  return { ...state, upgrade: { ...upgrade, steps: shown.join(', ') } }
}

/** What cells cannot answer gets a list of its own: in a column of the cells it could not be read. */
function listFailures({ cells, ...state }: Json): Json {
  const all = (cells ?? []) as readonly (Json & { readonly failures: readonly Json[] })[]
  const failures = all.flatMap(({ cell, failures }) => failures.map(failure => ({ cell, ...failure })))
  return { ...state, cells: all.map(({ failures, ...cell }) => cell), 'cannot answer': failures }
}

interface SceneReply {
  readonly definition: { readonly id: string; readonly access: string; readonly group: readonly { readonly modules: readonly string[] }[] }
  readonly baseline: string | null
  /** The share is in hundredths of a percent. */
  readonly cutover: { readonly version: string; readonly share: number } | null
  readonly loadtest: string | null
  readonly revision: number
}

function describeScene({ definition: { id, access, group }, baseline, cutover, loadtest, revision }: SceneReply) {
  const modules = group.map(({ modules }) => modules.join(' + ')).join(' → ')
  return { scene: id, baseline, cutover, loadtest, revision, access, modules }
}

type Json = Readonly<Record<string, unknown>>

/** Reads paths of the control API. */
function reader(url: string, token: string | undefined): (path: string) => Promise<unknown> {
  return async path => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const request = { headers, signal: AbortSignal.timeout(STATUS_TIMEOUT_MS) }
    const response = await fetch(`${url}${path}`, request).catch((error: Error) => {
      const fix = 'Start it with "base start", or name where it answers with --control-port and --control-host.'
      throw new CommandError(`Cannot reach a base at ${url}: ${messageOf(error.cause ?? error)}`, fix, error)
    })
    const body: unknown = await response.json().catch((error: unknown) => {
      throw new CommandError(`Cannot read the answer of ${url}: ${messageOf(error)}`, 'Check that --control-port is that of a base.', error)
    })
    if (response.ok) return body
    throw refusal(url, response.status, body as Json)
  }
}

function refusal(url: string, status: number, { code, detail = status, fix = 'Read the log of the base.' }: Json): CommandError {
  const advice: Json = {
    UNAUTHENTICATED: 'Name the data folder of this base with --data, or set BERTH_TOKEN to a token of it.',
    ROUTE_NOT_FOUND: 'Check that --control-port is that of a base, not the port where its scenes answer.',
  }
  return new CommandError(`Cannot read the status of ${url}: ${detail}`, String(advice[String(code)] ?? fix))
}

/** Where members come that are shown apart: first what is wrong, then what serves, then what it costs. Lists that the base adds later come last. */
const order = [
  ...['troubles', 'cannot answer', 'serviceFaults', 'quarantined', 'cells', 'scenes', 'features'],
  ...['disk', 'largestModules', 'memory', 'wall'],
]

/** One table of the plain members, then one for each list. What is null, and lists that are empty, are left out. */
export function renderStatus(status: Json): string {
  const isApart = ([name, value]: readonly [string, unknown]) => isList(value) || order.includes(name)
  const [apart = [], plain = []] = [true, false].map(is => Object.entries(status).filter(member => isApart(member) === is))
  const place = ([name]: readonly [string, unknown]) => (order.includes(name) ? order.indexOf(name) : order.length)
  const sections = apart.sort((a, b) => place(a) - place(b)).map(([name, value]) => renderMember(name, value))
  return `${[renderColumns([], plain.flatMap(flat)), ...sections.filter(text => text !== '')].join('\n\n')}\n`
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const isList = (value: unknown): value is readonly Json[] => Array.isArray(value) && value.every(isObject)

function renderMember(name: string, value: unknown): string {
  if (isList(value)) return value.length === 0 ? '' : `${name}\n${renderList(value)}`
  return renderColumns([], flat([name, value]))
}

/** The rows of a member, which is plain or an object of plain ones. */
function flat([name, value]: readonly [string, unknown]): string[][] {
  if (value === null) return []
  return isObject(value) ? Object.entries(value).flatMap(([inner, part]) => flat([`${name} ${inner}`, part])) : [[name, cellText(value)]]
}

function renderList(items: readonly Json[]): string {
  const columns = [...new Set(items.flatMap(item => Object.keys(item)))]
  return renderColumns(
    columns,
    items.map(item => columns.map(column => cellText(item[column]))),
  )
}

function cellText(value: unknown): string {
  if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) return '–'
  if (typeof value === 'string' && DIGEST.test(value)) return value.slice(0, 12)
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

const DIGEST = /^[0-9a-f]{64}$/
