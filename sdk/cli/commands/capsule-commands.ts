/** `sdk capsule`. */
import { type Command, Option } from 'commander'
import { captureReasons } from '../../../base/capsule/capsule.ts'
import type { CommonOptions } from '../context.ts'
import type { DeleteOptions, ExportOptions, ListOptions, ShowOptions } from './capsule.ts'
import type { VersionOption } from './capsule-replay.ts'
import { verifyCommand } from './capsule-replay-commands.ts'
import { command, context, group, reason, yes } from './command.ts'
import type { RunOptions } from './run-capsule.ts'

export function capsuleCommands(sdk: Command): void {
  const capsule = group(sdk, 'capsule', 'Look at captured requests, answer them again bit for bit, and carry them elsewhere')

  lookingCommands(capsule)
  runningCommand(capsule)
  verifyCommand(capsule)
  carryingCommands(capsule)
  deletingCommand(capsule)
}

function lookingCommands(capsule: Command): void {
  command(capsule, 'list <scene>', 'List the captured requests of a scene, the newest first', [
    ['sdk capsule list fashion-men'],
    ['sdk capsule list fashion-men --failed', 'only those that were answered with an error'],
    ['sdk capsule list fashion-men --request 1f-3', 'the one of a line in the log'],
  ])
    .option('--version <version>', 'only those that this version answered')
    .addOption(new Option('--why <reason>', 'only those that were captured for this reason').choices(captureReasons))
    .option('--failed', 'only those that were answered with an error')
    .option('--unit <id>', 'only those of this unit')
    .option('--request <id>', 'only the one with this request id')
    .option('--limit <count>', 'the newest so many (default: 100)')
    .action(async (scene: string, options: ListOptions & CommonOptions) => {
      const { listCapsules } = await import('./capsule.ts')
      await listCapsules(await context(options), scene, options)
    })

  command(
    capsule,
    'show <scene> <id>',
    'Show a captured request: what came in, why it was decided so, each call with its reply, the answer',
    [
      ['sdk capsule show fashion-men 3f9a81c20b7de415'],
      ['sdk capsule show fashion-men 3f9a81c20b7de415 --full', 'long texts to their ends'],
    ],
  )
    .option('--full', 'show long texts to their ends')
    .action(async (scene: string, id: string, options: ShowOptions & CommonOptions) => {
      const { showCapsule } = await import('./capsule.ts')
      await showCapsule(await context(options), scene, id, options)
    })
}

interface FreshOptions extends VersionOption {
  readonly fresh?: boolean
}

function runningCommand(capsule: Command): void {
  command(capsule, 'run <scene> [id]', 'Answer a captured request again on this machine, with what the modules were given then', [
    ['sdk capsule run fashion-men 3f9a81c20b7de415', 'whether it comes to the same answer'],
    ['sdk capsule run fashion-men 3f9a81c20b7de415 --inspect', 'and stop a debugger in its first stage, in TypeScript'],
    ['sdk capsule run fashion-men 3f9a81c20b7de415 --with modules/rank-lr --inspect', 'with this module as it is now'],
    ['sdk capsule run fashion-men 3f9a81c20b7de415 --fresh', 'on the base, in a slot that has answered nothing before'],
    ['sdk capsule run fashion-men 3f9a81c20b7de415 --version v4', 'the same with this version and its parameters of today'],
    ['sdk capsule run fashion-men-3f9a81c20b7de415.capsule.json', 'of a file that "sdk capsule export" has written'],
  ])
    .option('--inspect', 'for the debugger that started this, or the first that attaches to the port it prints')
    .option('--with <folder...>', 'modules to run as they are now, each in the place of the one of its name')
    .addOption(new Option('--fresh', 'on the base, in a slot that has answered nothing before').conflicts(['inspect', 'with']))
    .addOption(new Option('--version <version>', 'on the base, in such a slot, with this version').conflicts(['inspect', 'with']))
    .action(async (source: string, id: string | undefined, options: RunOptions & FreshOptions & CommonOptions) => {
      if (options.fresh || options.version !== undefined) {
        const { answerAnew } = await import('./capsule-replay.ts')
        return answerAnew(await context(options), source, id, options)
      }
      const { runCapsule } = await import('./run-capsule.ts')
      await runCapsule(source, id, options)
    })
}

function carryingCommands(capsule: Command): void {
  command(capsule, 'export <scene> <id>', 'Write a captured request to a file, with all that another base needs to replay it', [
    ['sdk capsule export fashion-men 3f9a81c20b7de415', 'to fashion-men-3f9a81c20b7de415.capsule.json'],
    [
      'sdk capsule export fashion-men 3f9a81c20b7de415 --out samples/slow.capsule.json',
      'a sample for "sdk dev", and for tests by readCapsule',
    ],
  ])
    .option('--out <file>', 'the file to write; - for standard output')
    .action(async (scene: string, id: string, options: ExportOptions & CommonOptions) => {
      const { exportCapsule } = await import('./capsule.ts')
      await exportCapsule(await context(options), scene, id, options)
    })

  command(capsule, 'import <files...>', 'Bring exported requests to a base, each to the scene that it is of', [
    ['sdk capsule import fashion-men-3f9a81c20b7de415.capsule.json', 'twice is the same as once'],
  ]).action(async (files: string[], options: CommonOptions) => {
    const { importCapsules } = await import('./capsule.ts')
    await importCapsules(await context(options), files)
  })
}

function deletingCommand(capsule: Command): void {
  command(
    capsule,
    'delete <scene> [ids...]',
    'Delete captured requests, also from the disk, with those that came after them in the same slot',
    [
      ['sdk capsule delete fashion-men --unit u26 --reason "asked for by the user"', 'all of a unit, and whatever else mentions its id'],
      ['sdk capsule delete fashion-men 3f9a81c20b7de415'],
      ['sdk capsule delete fashion-men --all --yes', 'asking nothing'],
    ],
  )
    .option('--unit <id>', 'all of this unit, and whatever else mentions its id')
    .option('--version <version>', 'all that this version answered')
    .option('--all', 'all of the scene')
    .addOption(reason())
    .addOption(yes())
    .action(async (scene: string, ids: string[], options: DeleteOptions & CommonOptions) => {
      const { deleteCapsules } = await import('./capsule.ts')
      await deleteCapsules(await context(options), scene, ids, options)
    })
}
