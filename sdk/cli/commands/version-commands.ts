/** `sdk version` and `sdk whitelist`. */

import { type Command, Option } from 'commander'
import type { Reasoned } from '../../../base/contract/common-api.ts'
import type { CommonOptions } from '../context.ts'
import type { AgreementOptions } from '../terminal/agreement.ts'
import { command, context, dryRun, group, reason, repeatable, validation, yes } from './command.ts'
import type { CreateOptions, PromoteOptions, RollbackOptions } from './version.ts'

/** What a new version becomes. */
export const partOptions = (): readonly Option[] => [
  new Option('--as <kind>', 'what the new version becomes (default: dev, which answers whoever asks for it)').choices([
    'dev',
    'cutover',
    'baseline',
    'loadtest',
  ]),
  new Option('--share <percentage>', 'of the units, with --as cutover (default: 1%)'),
  repeatable('--whitelist <units>', 'unit ids that it answers from then on, such as u1,u2'),
]

export function versionCommands(sdk: Command): void {
  const version = group(sdk, 'version', 'List and make versions of a scene, and say which answers whom')

  command(version, 'list <scene>', 'List the versions of a scene that are online, and what each is for', [
    ['sdk version list fashion-men'],
    ['sdk version list fashion-men --all', 'those that are offline too'],
  ])
    .option('--all', 'list those that are offline too')
    .action(async (id: string, options: { all?: boolean } & CommonOptions) => {
      const { listVersions } = await import('./version.ts')
      await listVersions(await context(options), id, options)
    })

  command(
    version,
    'show <scene> <version>',
    'Show a version: its modules with the digests of their code and the commits of their sources',
    [['sdk version show fashion-men v3']],
  ).action(async (id: string, which: string, options: CommonOptions) => {
    const { showVersion } = await import('./version.ts')
    await showVersion(await context(options), id, which)
  })

  const create = command(version, 'create <scene>', 'Make a version: the baseline with the named modules replaced', [
    ['sdk version create fashion-men --as baseline', 'the first version of a scene, live at once'],
    [
      'sdk version create fashion-men --module rank-lr@1.1.0 --whitelist u1,u2',
      'like the baseline, with this module; it answers two units',
    ],
    ['sdk version create fashion-men --from v2 --resolve', 'like v2, with the newest modules in the ranges of the scene'],
  ])
    .option('--module <name@version...>', 'published modules to put in')
    .option('--from <version>', 'the version to start from (default: the baseline)')
    .option('--resolve', 'resolve every range of the scene again')
    .option('--label <text>', 'a note on the version')
    .option('--another', 'make one more version, even when there is one with exactly these modules')
    .addOption(validation())
    .addOption(yes())
    .addOption(reason())
    .action(async (id: string, { json, base, token, yes, ...options }: CreateOptions & AgreementOptions & CommonOptions) => {
      const { createVersion } = await import('./version.ts')
      await createVersion(await context({ json, base, token }), id, options, { yes, json })
    })
  for (const option of partOptions()) create.addOption(option)

  command(version, 'promote <scene> <version>', 'Give a version the cutover, another share of it, or the baseline', [
    ['sdk version promote fashion-men v4 --to cutover --share 5%', 'again with another share, more units, and none that it had goes'],
    ['sdk version promote fashion-men v4 --to baseline', 'for everybody; the old baseline stays loaded for a rollback'],
    ['sdk version promote fashion-men v3 --to baseline --yes --reason "v4 is slow"', 'without asking'],
    ['sdk version promote fashion-men v4 --to baseline --dry-run --validation report', 'only have it answer captured requests'],
  ])
    .addOption(new Option('--to <part>', 'the part that it is to have').choices(['cutover', 'baseline']).makeOptionMandatory())
    .option('--share <percentage>', 'of the units, with --to cutover (default: what it has, else 1%)')
    .addOption(validation())
    .addOption(yes())
    .addOption(dryRun())
    .addOption(reason())
    .action(async (id: string, which: string, options: PromoteOptions & CommonOptions) => {
      const { promoteVersion } = await import('./version.ts')
      await promoteVersion(await context(options), id, which, options)
    })

  partCommands(version)
}

/** What takes a part away from a version, or gives it back. */
function partCommands(version: Command): void {
  command(version, 'rollback <scene> [version]', 'Go back from a version: end its cutover, or return to the baseline before it; at once', [
    ['sdk version rollback fashion-men v4 --reason "errors in checkout"', 'typed again, it says that it is done'],
    ['sdk version rollback fashion-men', 'asks: from the cutover, and without one from the baseline'],
  ])
    .addOption(dryRun())
    .addOption(yes().hideHelp())
    .addOption(reason())
    .action(async (id: string, which: string | undefined, options: RollbackOptions & CommonOptions) => {
      const { rollBack } = await import('./version.ts')
      await rollBack(await context(options), id, which, options)
    })

  command(version, 'lift <scene> <version>', 'Let a version in quarantine have requests again: one that kept killing its slots or cells', [
    ['sdk version lift fashion-men v4 --reason "the input that it looped on is refused now"'],
  ])
    .addOption(reason())
    .action(async (id: string, which: string, options: Reasoned & CommonOptions) => {
      const { liftQuarantine } = await import('./version.ts')
      await liftQuarantine(await context(options), id, which, options)
    })

  command(version, 'loadtest <scene> [version]', 'Send load tests to a version, or without one back to the baseline', [
    ['sdk version loadtest fashion-men v5'],
  ])
    .addOption(reason())
    .action(async (id: string, which: string | undefined, options: Reasoned & CommonOptions) => {
      const { setLoadtest } = await import('./version.ts')
      await setLoadtest(await context(options), id, which, options)
    })

  command(version, 'online <scene> <version>', 'Bring a version that is offline back', [['sdk version online fashion-men v2']])
    .addOption(reason())
    .action(async (id: string, which: string, options: Reasoned & CommonOptions) => {
      const { bringOnline } = await import('./version.ts')
      await bringOnline(await context(options), id, which, options)
    })
}

export function whitelistCommands(sdk: Command): void {
  const whitelist = group(sdk, 'whitelist', 'Send unit ids to a version by name, before every other rule')

  command(whitelist, 'show <scene>', 'Show how many unit ids each version has, or which', [
    ['sdk whitelist show fashion-men'],
    ['sdk whitelist show fashion-men --units > whitelist.tsv', 'a line each, as "sdk whitelist set" reads them'],
  ])
    .option('--units', 'print the unit ids, each with its version')
    .action(async (id: string, options: { units?: boolean } & CommonOptions) => {
      const { showWhitelist } = await import('./whitelist.ts')
      await showWhitelist(await context(options), id, options)
    })

  command(whitelist, 'set <scene> <file>', 'Replace the whitelist with a file, all or nothing; - is standard input', [
    ['sdk whitelist set fashion-men testers.csv', 'lines like "u1,v3" in UTF-8; a tab will do too, and fields may be in quotes, as in CSV'],
    ['sdk whitelist set fashion-men testers.txt --version v3', 'lines like "u1"; what other versions have stays'],
  ])
    .option('--version <version>', 'replace only the unit ids of this version, with those of the file')
    .option('--allow-empty', 'take an empty file too: nobody is on the whitelist then')
    .addOption(reason())
    .action(async (id: string, file: string, options: Reasoned & { version?: string; allowEmpty?: boolean } & CommonOptions) => {
      const { setWhitelist } = await import('./whitelist.ts')
      await setWhitelist(await context(options), id, file, options)
    })

  command(whitelist, 'add <scene> <units...>', 'Send unit ids to a version, wherever they were sent before', [
    ['sdk whitelist add fashion-men u1 u2 --version v3'],
  ])
    .requiredOption('--version <version>', 'where to send them')
    .addOption(reason())
    .action(async (id: string, units: string[], options: Reasoned & { version: string } & CommonOptions) => {
      const { addToWhitelist } = await import('./whitelist.ts')
      await addToWhitelist(await context(options), id, units, options)
    })

  command(whitelist, 'remove <scene> <units...>', 'Take unit ids off the whitelist', [['sdk whitelist remove fashion-men u1 u2']])
    .addOption(reason())
    .action(async (id: string, units: string[], options: Reasoned & CommonOptions) => {
      const { removeFromWhitelist } = await import('./whitelist.ts')
      await removeFromWhitelist(await context(options), id, units, options)
    })
}
