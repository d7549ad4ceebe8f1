/** The commands that take what is not needed any more offline, or delete it. */
import { type Command, Option } from 'commander'
import type { CommonOptions } from '../context.ts'
import { command, context, dryRun, reason, yes } from './command.ts'
import type { TidyOptions, UnusedOptions } from './tidy.ts'

const ASKS = `
It shows what goes, and asks. The audit log keeps what was deleted.`

const olderThan = (): Option => new Option('--older-than <age>', 'with --unused: only what is older, such as 7d, 12h or 30min')

/** Adds them to the groups that are there. */
export function tidyCommands(sdk: Command): void {
  const group = (name: string): Command => sdk.commands.find(each => each.name() === name) ?? sdk
  versionCommands(group('version'))
  moduleCommands(group('modules'))

  deletion(group('scene'), 'delete <id>', 'Delete a scene that nobody uses, with its versions, whitelist, parameters and logs', [
    ['sdk scene delete shop-hmoe', 'refused with the names of all that uses it'],
  ])
    .option('--even-if-called', 'also when requests were sent to it in the last five minutes')
    .action(async (id: string, options: TidyOptions & { evenIfCalled?: boolean } & CommonOptions) => {
      const { deleteScene } = await import('./tidy.ts')
      await deleteScene(await context(options), id, options)
    })

  deletion(group('experiment'), 'delete <scene> <id>', 'Delete an experiment that does not run; its id stays taken if it ever has', [
    ['sdk experiment delete fashion-men exp-7'],
  ]).action(async (scene: string, id: string, options: TidyOptions & CommonOptions) => {
    const { deleteExperiment } = await import('./tidy.ts')
    await deleteExperiment(await context(options), scene, id, options)
  })

  deletion(group('layer'), 'delete <scene> <id>', 'Delete a retired layer with its experiments', [
    ['sdk layer delete fashion-men ui'],
  ]).action(async (scene: string, id: string, options: TidyOptions & CommonOptions) => {
    const { deleteLayer } = await import('./tidy.ts')
    await deleteLayer(await context(options), scene, id, options)
  })
}

function versionCommands(version: Command): void {
  command(version, 'offline <scene> [versions...]', 'Take versions that nothing uses out of every cell, all or none; they are kept', [
    ['sdk version offline fashion-men v2'],
    ['sdk version offline fashion-men --unused --older-than 7d --dry-run', 'see first which those are'],
  ])
    .option('--unused', 'all that nothing uses')
    .addOption(olderThan())
    .addOption(dryRun())
    .addOption(reason())
    .action(async (scene: string, versions: string[], options: UnusedOptions & CommonOptions) => {
      const { takeOffline } = await import('./tidy.ts')
      await takeOffline(await context(options), scene, versions, options)
    })

  deletion(
    version,
    'delete <scene> [versions...]',
    'Delete versions that are offline and that nothing may come to use again, all or none',
    [
      ['sdk version delete fashion-men v2 v3', 'their numbers are not given again'],
      ['sdk version delete fashion-men --unused --older-than 30d'],
    ],
  )
    .option('--unused', 'all that are offline, and that no stopped experiment names')
    .addOption(olderThan())
    .action(async (scene: string, versions: string[], options: UnusedOptions & CommonOptions) => {
      const { deleteVersions } = await import('./tidy.ts')
      await deleteVersions(await context(options), scene, versions, options)
    })
}

function moduleCommands(modules: Command): void {
  deletion(modules, 'delete [modules...]', 'Delete versions of modules that no version of a scene has; of each module all or none', [
    ['sdk modules delete rank-lr@1.0.0 rank-lr@1.0.1', 'refused with the versions of scenes that have one of them'],
    ['sdk modules delete rank-lr', 'every version of it'],
    ['sdk modules delete --unused --older-than 7d', 'of every module, what no version of a scene has'],
  ])
    .option('--unused', 'pass over what is used, instead of refusing')
    .addOption(olderThan())
    .action(async (names: string[], options: UnusedOptions & CommonOptions) => {
      const { deleteModules } = await import('./tidy.ts')
      await deleteModules(await context(options), names, options)
    })
}

function deletion(parent: Command, usage: string, description: string, examples: Parameters<typeof command>[3]): Command {
  return command(parent, usage, description, examples).addOption(yes()).addOption(dryRun()).addOption(reason()).addHelpText('after', ASKS)
}
