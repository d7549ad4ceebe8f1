/** What a bench is given on the command line. */
import { existsSync, readFileSync } from 'node:fs'
import { constants, cpus } from 'node:os'
import { join, resolve } from 'node:path'
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { renderColumns } from '../../base/kernel/columns.ts'
import { messageOf } from '../../base/kernel/errors.ts'
import { type GeneratorName, possibleSeconds } from './generator.ts'

type Value = number | string | boolean | readonly string[]

/** What a flag is when it is not given, and what it says, for `--help`. */
interface Flag {
  readonly value: Value
  readonly about: string
}

type Given<Flags extends Readonly<Record<string, Flag>>> = { readonly [Name in keyof Flags]: Widened<Flags[Name]['value']> }
type Widened<Of> = Of extends number ? number : Of extends boolean ? boolean : Of extends string ? string : readonly string[]

/**
 * Reads the flags of a bench. A flag is of the kind of its value: a number, a text, a switch, or a list that may be given several times.
 * Ends the process when there is another flag, a number is none, or `--help` asks what the bench does.
 */
export function readFlags<const Flags extends Readonly<Record<string, Flag>>>(flags: Flags): Given<Flags> {
  const options = Object.entries(flags).map(([name, { value }]) => [
    name,
    { type: typeof value === 'boolean' ? ('boolean' as const) : ('string' as const), multiple: Array.isArray(value) },
  ])
  const { help, ...given } = parse({ ...Object.fromEntries(options), help: { type: 'boolean' } })
  if (help === true) printHelp(flags)
  const read = ([name, { value: preset }]: [string, Flag]) => {
    const value = given[name] ?? preset
    return [name, typeof preset === 'number' ? numberOf(name, value) : value]
  }
  return Object.fromEntries(Object.entries(flags).map(read))
}

function parse(options: NonNullable<ParseArgsConfig['options']>): Readonly<Record<string, unknown>> {
  try {
    return parseArgs({ options }).values
  } catch (error) {
    return endWith(`${messageOf(error)}\nKnown are --${Object.keys(options).join(', --')}`)
  }
}

/** Prints the comment at the head of the script, which says what it measures, and the flags. */
function printHelp(flags: Readonly<Record<string, Flag>>): never {
  const [, comment = ''] = /^\/\*\*(.*?)\*\//s.exec(readFileSync(process.argv[1] ?? '', 'utf8')) ?? []
  const known = Object.entries(flags).map(([name, { value, about }]) => [`  --${name}${kindOf(value)}`, `${about}${presetOf(value)}`])
  const table = known.length === 0 ? '' : `\n\nFlags:\n${renderColumns([], known)}`
  console.log(`${comment.replaceAll(/^ ?\* ?/gm, '').trim()}${table}`)
  return process.exit()
}

function kindOf(value: Value): string {
  if (typeof value === 'boolean') return ''
  return typeof value === 'number' ? ' N' : ' TEXT'
}

/** None where nothing is preset, or where the bench chooses, which `about` says then. */
function presetOf(value: Value): string {
  const isPreset = typeof value === 'number' ? value !== 0 : typeof value !== 'boolean' && value.length > 0
  return isPreset ? ` (${value})` : ''
}

/** Says what is wrong with the command, and ends the process. */
export function endWith(wrong: string): never {
  console.error(wrong)
  return process.exit(2)
}

function numberOf(name: string, value: unknown): number {
  const number = Number(value)
  if (Number.isFinite(number) && number >= 0) return number
  return endWith(`--${name} must be a number: ${value}`)
}

/** The names in a list with commas. Ends the process when one is not known. */
export function namesIn<Name extends string>(flag: string, list: string, known: readonly Name[]): Name[] {
  return list.split(',').map(given => {
    const name = known.find(name => name === given)
    return name ?? endWith(`--${flag} knows ${known.join(', ')}: ${given}`)
  })
}

/** Ends the process when a generator cannot send a load for so many seconds. */
export function checkSeconds(generator: GeneratorName, seconds: number): void {
  if (possibleSeconds(generator, seconds) !== seconds) endWith(`--seconds: ${generator} sends for whole seconds only: ${seconds}`)
}

/** The path of a checkout of this project that is named on the command line. Ends the process when there is none. */
export function cloneIn(flag: string, folder: string): string {
  // npm starts scripts in the folder of the project, wherever it was typed.
  const path = resolve(process.env.INIT_CWD ?? '.', folder)
  return existsSync(join(path, 'base/main.ts')) ? path : endWith(`--${flag}: there is no checkout of this project in ${path}`)
}

/** Lets the exit handlers run when somebody stops the bench, so that what it has started ends too. */
export function endOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(128 + constants.signals[signal]))
}

/** The machine in a few words, for the head of what a bench prints. */
export function describeMachine(): string {
  return `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}`
}
