/** How commands are declared: what they are called, what they take, and examples of them. */
import { type Command, Option } from 'commander'
import { asTyped } from '../../../base/kernel/typed-commands.ts'
import type { CommonOptions, Context } from '../context.ts'

export const EXIT_CODES =
  'Exit codes: 0 done · 1 refused by the base, or a fault in the module · 2 wrong usage · 3 no base answers · 4 a defect of sdk'

type Example = readonly [line: string, meaning?: string]

export function group(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .addHelpText('after', ({ command }) =>
      asTyped(`\n${EXIT_CODES}\nHelp with examples: sdk ${name} ${command.commands[0]?.name()} --help`, 'sdk'),
    )
}

export function command(parent: Command, usage: string, description: string, examples: readonly Example[]): Command {
  const lines = examples.map(([line, meaning]) => (meaning === undefined ? `  ${line}` : `  ${line}\n      ${meaning}`))
  return parent
    .command(usage)
    .description(description)
    .option('--json', 'print one JSON document on standard output, and nothing else')
    .option('--base <url>', 'control URL of the base (default: BERTH_BASE, else the base of this folder, see "sdk --help")')
    .option('--token <token>', 'token to send (default: BERTH_TOKEN, else the one in the data folder of that base)')
    .addHelpText('after', () => asTyped(`\nExamples:\n${lines.join('\n')}\n\n${EXIT_CODES}`, 'sdk'))
}

/** Why the change is made, for whoever reads the audit log later. */
export const reason = (): Option => new Option('--reason <text>', 'why, for the audit log')

/** For changes that are shown before they are made. */
export const yes = (): Option => new Option('--yes', 'do not ask')
export const dryRun = (): Option => new Option('--dry-run', 'show what it would come to, and change nothing')

/** For changes that have captured requests answered before they give traffic to something new. */
export const validation = (): Option =>
  new Option('--validation <mode>', 'how it is validated, in the place of what the scene says: report goes on whatever it finds').choices([
    'strict',
    'report',
    'off',
  ])

/** An option that may be given several times. */
export function repeatable(flags: string, description: string): Option {
  return new Option(flags, `${description}; may be repeated`).argParser((value: string, before: string[] | undefined) => [
    ...(before ?? []),
    value,
  ])
}

export async function context(options: CommonOptions): Promise<Context> {
  const { createContext } = await import('../context.ts')
  return createContext(options)
}
