/** What a bench is given on the command line. */
import { existsSync, readFileSync } from 'node:fs'
import { constants, cpus } from 'node:os'
import { join, resolve } from 'node:path'
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { messageOf } from '../../base/kernel/errors.ts'

type Flag = number | string | boolean | readonly string[]
type Given<Flags> = {
  readonly [Name in keyof Flags]: Flags[Name] extends number ? number : Flags[Name] extends boolean ? boolean : Flags[Name]
}

/**
 * Reads the flags of a bench. A flag is of the kind of its default: a number, a text, a switch, or a list that may be given several times.
 * Ends the process when there is another flag, a number is none, or `--help` asks what the bench does.
 */
export function readFlags<const Flags extends Readonly<Record<string, Flag>>>(defaults: Flags): Given<Flags> {
  const options = Object.entries(defaults).map(([name, value]) => [
    name,
    { type: typeof value === 'boolean' ? ('boolean' as const) : ('string' as const), multiple: Array.isArray(value) },
  ])
  const { help, ...values } = parse({ ...Object.fromEntries(options), help: { type: 'boolean' } })
  if (help === true) printHelp(defaults)
  const read = ([name, preset]: [string, Flag]) => {
    const value = values[name] ?? preset
    return [name, typeof preset === 'number' ? numberOf(name, value) : value]
  }
  return Object.fromEntries(Object.entries(defaults).map(read))
}

function parse(options: NonNullable<ParseArgsConfig['options']>): Readonly<Record<string, unknown>> {
  try {
    return parseArgs({ options }).values
  } catch (error) {
    return endWith(`${messageOf(error)}\nKnown are --${Object.keys(options).join(', --')}`)
  }
}

/** Prints the comment at the head of the script, which says what it measures, and the flags with their defaults. */
function printHelp(defaults: Readonly<Record<string, Flag>>): never {
  const [, comment = ''] = /^\/\*\*(.*?)\*\//s.exec(readFileSync(process.argv[1] ?? '', 'utf8')) ?? []
  const show = ([name, value]: [string, Flag]) => (value === false ? `--${name}` : `--${name} ${String(value) || '…'}`)
  console.log(
    `${comment.replaceAll(/^ ?\* ?/gm, '').trim()}\n\nFlags and their defaults:\n  ${Object.entries(defaults).map(show).join('\n  ')}`,
  )
  return process.exit()
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
