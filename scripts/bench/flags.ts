/** What a bench is given on the command line. */
import { cpus } from 'node:os'
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { messageOf } from '../../base/kernel/errors.ts'

type Flag = number | string | boolean | readonly string[]
type Given<Flags> = {
  readonly [Name in keyof Flags]: Flags[Name] extends number ? number : Flags[Name] extends boolean ? boolean : Flags[Name]
}

/**
 * Reads the flags of a bench. A flag is of the kind of its default: a number, a text, a switch, or a list that may be given several times.
 * Ends the process when there is another flag, or a number is none.
 */
export function readFlags<const Flags extends Readonly<Record<string, Flag>>>(defaults: Flags): Given<Flags> {
  const options = Object.entries(defaults).map(([name, value]) => [
    name,
    { type: typeof value === 'boolean' ? ('boolean' as const) : ('string' as const), multiple: Array.isArray(value) },
  ])
  const values = parse(Object.fromEntries(options))
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
    console.error(`${messageOf(error)}\nKnown are --${Object.keys(options).join(', --')}`)
    return process.exit(2)
  }
}

function numberOf(name: string, value: unknown): number {
  const number = Number(value)
  if (Number.isFinite(number) && number >= 0) return number
  console.error(`--${name} must be a number: ${value}`)
  return process.exit(2)
}

/** The names in a list with commas. Ends the process when one is not known. */
export function namesIn<Name extends string>(flag: string, list: string, known: readonly Name[]): Name[] {
  return list.split(',').map(given => {
    const name = known.find(name => name === given)
    if (name !== undefined) return name
    console.error(`--${flag} knows ${known.join(', ')}: ${given}`)
    return process.exit(2)
  })
}

/** The machine in a few words, for the head of what a bench prints. */
export function describeMachine(): string {
  return `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}`
}
