/** `sdk`: the command line. The code of a command is loaded when that command runs. */
import { inspect } from 'node:util'
import { Command, CommanderError, Option } from 'commander'
import { asTyped } from '../../base/kernel/typed-commands.ts'
import manifest from '../package.json' with { type: 'json' }
import { exitCodes, SdkError } from '../sdk-error.ts'
import { capsuleCommands } from './commands/capsule-commands.ts'
import { bisectCommand } from './commands/capsule-replay-commands.ts'
import { command, context, EXIT_CODES, group, validation } from './commands/command.ts'
import type { DevOptions } from './commands/dev.ts'
import { experimentCommands, explainCommand, flipCommand, layerCommands, paramsCommands } from './commands/experiment-commands.ts'
import { featureCommands } from './commands/feature-commands.ts'
import type { InitOptions } from './commands/init.ts'
import type { InvokeOptions } from './commands/invoke.ts'
import type { LogsOptions } from './commands/logs.ts'
import type { ProfileOptions } from './commands/profile.ts'
import type { PublishOptions } from './commands/publish.ts'
import type { ReplayOptions } from './commands/replay.ts'
import type { ApplyOptions } from './commands/scene.ts'
import type { TestOptions } from './commands/test.ts'
import { tidyCommands } from './commands/tidy-commands.ts'
import type { CreateTokenOptions } from './commands/token.ts'
import type { TypesOptions } from './commands/types.ts'
import { partOptions, versionCommands, whitelistCommands } from './commands/version-commands.ts'
import type { CommonOptions } from './context.ts'
import { failureDocument, failureText } from './terminal/failure.ts'

const FINDING =
  'The base is the one of --base, else BERTH_BASE, BERTH_DATA or BERTH_CONTROL_PORT, berth.config.json or .berth here or in a folder above, "npm start", port 8081.'

const sdk = new Command('sdk')
  .description('Write, publish and run algorithm modules on a Berth base.')
  .version(manifest.version)
  // With this, --version after a command is that command's own.
  .enablePositionalOptions()
  .exitOverride()
  .configureOutput({ outputError: () => {} })
  .addHelpText('after', () => asTyped(`\n${FINDING}\n${EXIT_CODES}\nHelp on a command: sdk publish --help`, 'sdk'))

command(sdk, 'init [folder]', 'Make a module with a test, or a scene; asks what is not said', [
  ['sdk init', 'asks two questions'],
  ['sdk init modules/rank-by-price --yes', 'a module named like its folder, in this repository or outside it'],
  ['sdk init --module shop-feed --stages recall rank', 'with these stages'],
  ['sdk init scenes --scene shop-home --stages recall rank', 'a scene file with completion for editors'],
])
  .option('--module <name>', 'make a module')
  .option('--scene <id>', 'make a scene')
  .option('--stages <stage...>', 'its stages (default: rank)')
  .option('--yes', 'ask nothing')
  .action(async (folder: string | undefined, options: InitOptions & CommonOptions) => {
    const { init } = await import('./commands/init.ts')
    await init(folder, options)
  })

command(sdk, 'test [paths...]', 'Run the tests of modules, with their stages in real slots', [
  ['sdk test', 'the module in this folder, or all in modules/'],
  ['sdk test modules/rank-lr --coverage', 'and say which lines no test has run'],
  ['sdk test modules/rank-lr --watch --only "equal scores"', 'again at every change, and only tests so named'],
  ['sdk test modules/rank-lr/index.test.ts --inspect', 'one file, and a debugger stops in tests and stages; editors start this themselves'],
])
  .option('--watch', 'run again when a file of a module changes')
  .option('--coverage', 'count which lines of the sources are run in slots')
  .option(
    '--inspect',
    'run tests and stages in one process without limits, for the debugger that started it or the first that attaches to the port it prints',
  )
  .option('--only <pattern...>', 'only tests whose names match one of these regular expressions')
  .action(async (folders: string[], options: TestOptions & CommonOptions) => {
    const { test } = await import('./commands/test.ts')
    await test(folders, options)
  })

const publishCommand = command(sdk, 'publish <folders...>', 'Bundle modules, publish them, and bring them online in scenes', [
  ['sdk publish modules/rank-lr', 'publish the version that its package.json names'],
  [
    'sdk publish modules/rank-lr --bump patch --scene fashion-men --as baseline',
    'raise the version, publish it, and once that is agreed to it is live',
  ],
  [
    'sdk publish modules/rank-lr --scene fashion-men --whitelist u1,u2 --label refactor',
    'a version for two units, and for whoever pins it',
  ],
  ['sdk publish modules/rank-lr --scene fashion-men --as cutover --share 5%', 'for 5% of the units'],
  ['sdk publish modules/rank-lr --scene fashion-men fashion-women', 'a new version of both scenes, which answers when pinned'],
])
  .option('--scene <id...>', 'make a new version of these scenes with the modules in it')
  .addOption(new Option('--bump <part>', 'raise the version in package.json first').choices(['patch', 'minor', 'major']))
  .option('--label <text>', 'a note on the new versions')
  .addOption(validation())
  .option('--reason <text>', 'why, for the audit log')
  .option('--no-check', 'leave the types unchecked (they are where a tsconfig.json and TypeScript are)')
  .option('--yes', 'do not ask whether units may move, with --as baseline or cutover')
  .option('--commit <id>', 'the git commit of the sources, to be kept with the version (default: what git says of the folder, else CI)')
  .option('--dry-run', 'bundle and check only; send nothing')
  .action(async (folders: string[], options: PublishOptions & CommonOptions) => {
    const [{ parsePartIn }, { startBuild }] = await Promise.all([import('./arguments.ts'), import('./commands/build.ts')])
    const part = parsePartIn(options)
    // Compilers are processes of their own. They run while the rest of the command is loaded and the base is found, which take as long.
    using first = await startBuild(folders[0] ?? '.', options.check !== false)
    const { publish } = await import('./commands/publish.ts')
    await publish(await context(options), { part, first }, folders, options)
  })
for (const option of partOptions()) publishCommand.addOption(option)

command(sdk, 'dev [folder]', 'Bring every save of a module to life, and show how the answer changes', [
  [
    'sdk dev modules/rank-lr',
    'on a base for development ("npm start", or one that is started for this if there is none) each save is the baseline of its scene',
  ],
  [
    'sdk dev modules/rank-lr --base http://ranking.example:8081',
    'on a base that serves, each save is a version that answers only whoever pins it; all but your last few go offline again',
  ],
  ['sdk dev modules/rank-lr --scene fashion-men --sample fixtures/requests/fashion-men.json'],
])
  .option('--scene <id>', 'the scene to change (default: the first that has the module, else one for it alone, made on the way)')
  .option(
    '--sample <file>',
    'the request to send on each save (default: the first of samples/*.json, else fixtures/requests/SCENE.json, else the last of sdk invoke)',
  )
  .option('--unit <id>', 'the unit id of the request')
  .addOption(
    new Option('--as <part>', 'what each save becomes (default: baseline on a base for development, dev on one that serves)').choices([
      'dev',
      'baseline',
    ]),
  )
  .option('--yes', 'do not ask before saves replace the baseline of a base that serves')
  .action(async (folder: string | undefined, options: DevOptions & CommonOptions) => {
    const { dev } = await import('./commands/dev.ts')
    await dev(folder ?? '.', options)
  })

const modules = command(sdk, 'modules [name]', 'List the published modules, or the versions of one', [
  ['sdk modules'],
  ['sdk modules rank-lr --json'],
]).action(async (name: string | undefined, options: CommonOptions) => {
  const { listModules } = await import('./commands/modules.ts')
  await listModules(await context(options), name)
})

command(modules, 'show <module>', 'Show a published version: its code, who published it, and the commit of its sources', [
  ['sdk modules show rank-lr@1.0.0'],
]).action(async (module: string, options: CommonOptions) => {
  const { showModule } = await import('./commands/modules.ts')
  await showModule(await context(options), module)
})

const scene = group(sdk, 'scene', 'List, show and define scenes')
command(scene, 'list', 'List the scenes', [['sdk scene list']]).action(async (options: CommonOptions) => {
  const { listScenes } = await import('./commands/scene.ts')
  await listScenes(await context(options))
})
command(scene, 'show <id>', 'Print the definition of a scene', [['sdk scene show fashion-men > scene.json']]).action(
  async (id: string, options: CommonOptions) => {
    const { showScene } = await import('./commands/scene.ts')
    await showScene(await context(options), id)
  },
)
command(
  scene,
  'apply <files...>',
  'Define scenes from JSON files and make their first versions; or change them, but for their parameters',
  [
    ['sdk scene apply fixtures/scenes/fashion-men.json', 'a new scene answers at once, with the newest modules in its ranges'],
    ['sdk scene apply fixtures/scenes/*.json', 'all are checked before the first is applied'],
  ],
)
  .option('--params', 'publish the parameters of the files too')
  .action(async (files: string[], options: ApplyOptions & CommonOptions) => {
    const { applyScenes } = await import('./commands/scene.ts')
    await applyScenes(await context(options), files, options)
  })
command(scene, 'copy <id> <new-id>', 'Define a scene like another, with the same modules: from then on each goes its own way', [
  ['sdk scene copy fashion-men fashion-men-app', 'same stages, limits, parameters and baseline; no experiments, no whitelist'],
]).action(async (id: string, newId: string, options: CommonOptions) => {
  const { copyScene } = await import('./commands/scene.ts')
  await copyScene(await context(options), id, newId)
})

command(sdk, 'types [files...]', 'Write the TypeScript types of scenes, of their parameters, and of what a base offers modules', [
  ['sdk types --out berth.d.ts', 'of the base: scenes, parameters and attributes, services and feature tables'],
  ['sdk types scenes/*.json --out scenes.d.ts', 'of scene files, without a base: for createClient<Scenes> and the stages of modules'],
  ['sdk types --out berth.d.ts --check', 'exit 1 when the file is not up to date'],
])
  .option('--services', 'with files: also the services and feature tables of the base')
  .option('--scenes-only', 'without them: for callers, who need not install @berth/sdk')
  .option('--out <file>', 'the file to write (default: standard output)')
  .option('--check', 'write nothing; fail when the file is not up to date')
  .action(async (files: string[], options: TypesOptions & CommonOptions) => {
    const { types } = await import('./commands/types.ts')
    await types(files, options, () => context(options))
  })

versionCommands(sdk)
whitelistCommands(sdk)
experimentCommands(sdk)
flipCommand(sdk)
layerCommands(sdk)
paramsCommands(sdk)
featureCommands(sdk)
capsuleCommands(sdk)
bisectCommand(sdk)
explainCommand(sdk)
tidyCommands(sdk)

command(
  sdk,
  'invoke <scene>',
  'Call a scene and show the answer; without --data and --file it sends standard input, or from a terminal the last request again, else a sample',
  [
    ['sdk invoke fashion-men --file fixtures/requests/fashion-men.json --unit u1'],
    [`sdk invoke fashion-men --data '{"user":{}}' --version v3`, 'ask a version that is not the baseline'],
    ['sdk invoke fashion-men --unit u1 --inspect', 'and stop a debugger in what has answered, with all that it was given'],
  ],
)
  .option('--data <json>', 'the body')
  .option('--file <path>', 'a file with the body, - for standard input')
  .option('--unit <id>', 'the unit id')
  .option('--version <version>', 'pin this version; the token needs the right "pin"')
  .option('--header <name:value...>', 'more headers')
  .option('--url <url>', 'where the scenes answer (default: what the base says)')
  .option(
    '--inspect',
    'then answer it again here, for the debugger that started this or the first that attaches; only for a base on this machine',
  )
  .action(async (id: string, options: InvokeOptions & CommonOptions) => {
    const { invoke } = await import('./commands/invoke.ts')
    await invoke(await context(options), id, options)
  })

command(
  sdk,
  'replay <files...>',
  'Send logged traffic through a scene: throughput, latency, errors, and what the log says of the click rate',
  [
    ['sdk replay requests.ndjson --rate 200', 'lines like {"scene":"home","unit":"u1","body":{…}}; .gz is unpacked, - is standard input'],
    [
      'sdk replay fixtures/open-bandit/random_men.csv.gz --scene fashion-men-bts --passes 20',
      'the click rate of a policy from the log of another',
    ],
    ['sdk replay requests.ndjson --scene home --version v8 --limit 1000 --json', 'one version; the token needs the right "pin"'],
  ],
)
  .option('--scene <id>', 'the scene to call, whatever the log says')
  .option('--version <version>', 'pin this version; the token needs the right "pin"')
  .option('--rate <n>', 'requests per second, sent when they are due (default: as fast as they are answered)')
  .option('--connections <n>', 'requests under way at a time without --rate (default: 16)')
  .option('--limit <n>', 'requests to read from the files')
  .option('--passes <n>', 'how often to send all of them (default: 1)')
  .option('--seed <text>', 'start of the request ids: the same seed, log and options send the same requests', 'replay')
  .option('--items <pointer>', 'JSON pointer to the list of items in an answer', '/items')
  .option('--item-id <member>', 'member of such an item that holds its id', 'itemId')
  .option('--url <url>', 'where the scenes answer (default: what the base says)')
  .addHelpText(
    'after',
    `
A line of NDJSON: {"body":…} and, if known, "scene", "unit", "headers", and what was shown then:
  "shown":{"item":14,"position":3,"click":0,"propensity":0.029}
Where the log says what was shown, the click rate is estimated three ways (replay, IPS, SNIPS), with standard errors.
Nothing is tried again. Ctrl-C prints what was measured so far. It ends with 1 when no request was answered.`,
  )
  .action(async (files: string[], options: ReplayOptions & CommonOptions) => {
    const { replay } = await import('./commands/replay.ts')
    await replay(await context(options), files, options)
  })

command(sdk, 'logs <scene>', 'Show what the modules of a scene have logged, and their errors; --json prints one JSON object a line', [
  ['sdk logs fashion-men --version v8 --level warn --follow', 'from all cells, until Ctrl-C'],
  ['sdk logs fashion-men --module rank-lr --limit 20'],
])
  .option('--version <version>', 'only of this version')
  .addOption(new Option('--level <level>', 'this one and what is worse').choices(['debug', 'info', 'warn', 'error']).default('debug'))
  .option('--module <name>', 'only of this module, name or name@version')
  .option('--limit <lines>', 'the last so many', '100')
  .option('--follow', 'go on with what comes')
  .action(async (id: string, options: LogsOptions & CommonOptions) => {
    const { showLogs } = await import('./commands/logs.ts')
    await showLogs(await context(options), id, options)
  })

command(sdk, 'profile <scene>', 'Profile a slot that serves: where its time goes, or with --heap what it holds', [
  ['sdk profile fashion-men --version v8 --seconds 5', 'writes a .cpuprofile for DevTools or your editor, and prints the top functions'],
  ['sdk profile fashion-men --heap --out heap.heapsnapshot', 'requests of that slot wait while its heap is written out'],
])
  .option('--version <version>', 'the version (default: the baseline)')
  .option('--seconds <seconds>', 'how long to look', '5')
  .option('--cell <cell>', 'in this cell (default: the one whose slot has used most CPU)')
  .option('--heap', 'a heap snapshot')
  .option('--out <file>', 'where to write it (default: a new file in this folder)')
  .action(async (id: string, options: ProfileOptions & CommonOptions) => {
    const { profile } = await import('./commands/profile.ts')
    await profile(await context(options), id, options)
  })

const token = group(sdk, 'token', 'List, make and revoke tokens')
command(token, 'list', 'List the tokens; what they are is not stored', [['sdk token list']]).action(async (options: CommonOptions) => {
  const { listTokens } = await import('./commands/token.ts')
  await listTokens(await context(options))
})
command(token, 'create', 'Make a token and print it, once', [
  ['sdk token create --right publish --label "CI of the ranking team"'],
  ['sdk token create --right call read', 'calls scenes, and sees what is published, who answers and what was changed'],
])
  .addOption(
    new Option('--right <right...>', 'what it may do')
      .choices(['call', 'read', 'pin', 'publish', 'capsules', 'admin'])
      .makeOptionMandatory(),
  )
  .option('--label <text>', 'whose it is or what for (default: you and this machine)')
  .action(async (options: CreateTokenOptions & CommonOptions) => {
    const { createToken } = await import('./commands/token.ts')
    await createToken(await context(options), options)
  })
command(token, 'revoke <id>', 'Revoke a token', [['sdk token revoke t-3f9a']]).action(async (id: string, options: CommonOptions) => {
  const { revokeToken } = await import('./commands/token.ts')
  await revokeToken(await context(options), id)
})

command(sdk, 'schema', 'Print the JSON Schema of a scene, for completion in an editor', [
  ['sdk schema > scene.schema.json', 'then add "$schema": "./scene.schema.json" to scene files'],
]).action(async () => {
  const { printSchema } = await import('./commands/schema.ts')
  printSchema()
})

await run(process.argv)

async function run(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    // Whoever reads the output may have seen enough, as in "sdk schema | head".
    if (code === 'EPIPE') process.exit(process.exitCode ?? exitCodes.ok)
    process.stderr.write(`✖ Cannot write the output: ${message}\n`)
    process.exit(exitCodes.refused)
  })
  // When nobody reads standard error any more, the work goes on and the exit code stays what it is.
  process.stderr.on('error', () => undefined)
  // These are errors of callbacks that no command waits for.
  process.on('uncaughtException', async thrown => process.exit(show(await failureOf(thrown))))
  try {
    await sdk.parseAsync(argv)
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return
    process.exitCode = show(await failureOf(thrown))
  }
}

/** @returns the exit code */
function show(error: SdkError): number {
  if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify({ error: failureDocument(error) }, null, 2)}\n`)
  if (error.message !== '') process.stderr.write(`${failureText(error)}\n`)
  return error.exit
}

async function failureOf(thrown: unknown): Promise<SdkError> {
  if (thrown instanceof SdkError) return thrown
  if (thrown instanceof CommanderError) return usageError(thrown)
  const { BerthError, errorTable, messageOf } = await import('../../base/kernel/errors.ts')
  if (thrown instanceof BerthError) return new SdkError(thrown.code, thrown.message, { hint: errorTable[thrown.code].fix, cause: thrown })
  const isAsked = process.env.BERTH_DEBUG !== undefined && process.env.BERTH_DEBUG !== ''
  return new SdkError('SDK_DEFECT', `Cannot finish "${typed().line}": ${messageOf(thrown)}`, {
    hint: `This is a defect of sdk. Report it with its stack${isAsked ? '' : ', which BERTH_DEBUG=1 in the environment shows'}.`,
    ...(isAsked && { details: inspect(thrown) }),
    exit: exitCodes.defect,
    cause: thrown,
  })
}

/** An error after help has no message, because the help that was printed for an incomplete command says everything. */
function usageError({ code, message }: CommanderError): SdkError {
  const text = code === 'commander.help' ? '' : message.replace(/^error: /, '').replace('\n', ' ')
  const hint = (code === 'commander.unknownCommand' ? reordered(process.argv.slice(2)) : undefined) ?? howTo(typed())
  return new SdkError('USAGE', text.charAt(0).toUpperCase() + text.slice(1), { hint, exit: exitCodes.usage })
}

interface Typed {
  readonly command: Command
  /** The names of the command and those above it, such as `sdk version list`. */
  readonly line: string
}

/** The command that the first words name, as far as they do. */
function typed(words: readonly string[] = process.argv.slice(2), { command, line }: Typed = { command: sdk, line: 'sdk' }): Typed {
  const next = command.commands.find(each => each.name() === words[0])
  return next === undefined ? { command, line } : typed(words.slice(1), { command: next, line: `${line} ${next.name()}` })
}

function howTo({ command, line }: Typed): string {
  if (command.commands.length > 0) return `"${line} --help" lists the commands.`
  return `Type "${line} ${command.usage()}"; "${line} --help" has examples.`
}

/** Corrects a command in which the scene came before the verb, such as `sdk params home show`. */
function reordered([name, scene, verb, ...rest]: readonly string[]): string | undefined {
  const verbs = sdk.commands.find(each => each.name() === name)?.commands ?? []
  if (!verbs.some(each => each.name() === verb)) return undefined
  return `The verb comes first: ${['sdk', name, verb, scene, ...rest].join(' ')}`
}
