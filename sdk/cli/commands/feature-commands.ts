/** `sdk features`. */
import type { Command } from 'commander'
import type { CommonOptions } from '../context.ts'
import type { AgreementOptions } from '../terminal/agreement.ts'
import { command, context, group, reason } from './command.ts'
import type { PutOptions, RollbackOptions } from './features.ts'

export function featureCommands(sdk: Command): void {
  const features = group(sdk, 'features', 'Upload, show and roll back the tables that modules read features from')

  command(features, 'put <file>', 'Upload a file as a feature table; every cell answers from it when the command ends', [
    ['sdk features put items.ndjson', 'the table "items"; a file with a fault is refused with its line, and changes nothing'],
    ['sdk features put exports/2026-06-02.csv --table items --reason "prices of June" --yes', 'under another name, asking nothing'],
    ['sdk features put items.ndjson --dry-run', 'only check it, and say what would change'],
  ])
    .option('--table <name>', 'the name of the table (default: that of the file, without its ending)')
    .addOption(reason())
    .option('--yes', 'also when there are far fewer rows or a column is gone')
    .option('--dry-run', 'check it, and change nothing')
    .action(async (file: string, options: PutOptions & CommonOptions) => {
      const { putTable } = await import('./features.ts')
      await putTable(await context(options), file, options)
    })

  command(features, 'list', 'List the feature tables: those that were uploaded, and the files in the data folder', [
    ['sdk features list'],
  ]).action(async (options: CommonOptions) => {
    const { listTables } = await import('./features.ts')
    await listTables(await context(options))
  })

  command(features, 'show <table> [keys...]', 'Show a feature table: its columns, and rows of it', [
    ['sdk features show items', 'what it is, and its first rows'],
    ['sdk features show items 17 18', 'these rows, one a line; null where there is none'],
  ]).action(async (table: string, keys: string[], options: CommonOptions) => {
    const { showTable } = await import('./features.ts')
    await showTable(await context(options), table, keys)
  })

  command(features, 'history <table>', 'List the versions of a table that can be gone back to', [['sdk features history items']]).action(
    async (table: string, options: CommonOptions) => {
      const { showHistory } = await import('./features.ts')
      await showHistory(await context(options), table)
    },
  )

  command(features, 'rollback <table>', 'Bring the version before the newest back into force; twice is the same as once', [
    ['sdk features rollback items --reason "prices are wrong"'],
    ['sdk features rollback items --to 3f9a81c2', 'any version that is kept, by the beginning of its id'],
  ])
    .option('--to <version>', 'the version to go back to, or the beginning of it')
    .addOption(reason())
    .action(async (table: string, options: RollbackOptions & CommonOptions) => {
      const { rollBackTable } = await import('./features.ts')
      await rollBackTable(await context(options), table, options)
    })

  command(features, 'delete <table>', 'Delete an uploaded table with all its versions', [
    ['sdk features delete items', 'asks first; modules that read it are then answered FEATURES_NOT_FOUND'],
  ])
    .option('--yes', 'ask nothing')
    .action(async (table: string, options: AgreementOptions & CommonOptions) => {
      const { deleteTable } = await import('./features.ts')
      await deleteTable(await context(options), table, options)
    })
}
