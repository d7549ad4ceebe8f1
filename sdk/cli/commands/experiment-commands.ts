/** `sdk experiment`, `sdk flip`, `sdk layer`, `sdk params` and `sdk explain`. */

import { type Command, Option } from 'commander'
import type { Reasoned } from '../../../base/contract/common-api.ts'
import type { CommonOptions } from '../context.ts'
import { command, context, dryRun, group, reason, repeatable, validation, yes } from './command.ts'
import type { SwitchOptions } from './experiment.ts'
import type { ExplainOptions } from './explain.ts'
import type { FlipOptions } from './flip.ts'
import type { CreateExperimentOptions } from './new-experiment.ts'
import type { DiffOptions, RollbackOptions, SetOptions } from './params.ts'

const where = (note = ''): Option =>
  repeatable('--where <condition>', `who takes part: = in < <= > >= range, on an attribute that the scene declares${note}`)

const ARMS_HELP = `
An arm is NAME=VERSION:SHARE, of the units in the experiment; in a layer NAME=JSON:SHARE, the parameters that it sets.`

export function experimentCommands(sdk: Command): void {
  const experiment = group(sdk, 'experiment', 'Send buckets of units to versions, or in a layer give them parameters')

  command(experiment, 'create <scene> <id>', 'Make an experiment; nobody is in it until it is started', [
    ['sdk experiment create fashion-men exp-7 --arm control=v3:50% --arm treatment=v4:50% --segments 40%'],
    [
      `sdk experiment create fashion-men exp-8 --arm control=v3:5% --arm treatment=v4:5% --where 'country in CN,US' --where 'app >= 8.2.0'`,
      'small, for some; "sdk flip" lets it grow',
    ],
    [`sdk experiment create fashion-men exp-9 --layer ui --arm a='{"topK":3}':50% --arm b='{"topK":5}':50%`, 'of parameters'],
    ['sdk experiment create fashion-men exp-7 --file exp-7.json'],
  ])
    .addOption(repeatable('--arm <arm>', 'an arm and its share, such as treatment=v4:50%'))
    .option('--segments <percentage>', 'of the units of the scene, or of the layer, that take part (default: 100%)')
    .addOption(where())
    .addOption(new Option('--unit <id>', 'what is hashed (default: the unit id)').choices(['unit', 'request']))
    .option('--layer <layer>', 'the layer whose parameters the arms set')
    .addOption(repeatable('--only <version>', 'in a layer: only requests that this version answers'))
    .option('--description <text>', 'what it is about')
    .option('--file <path>', 'all of this as JSON')
    .addOption(reason())
    .addHelpText(
      'after',
      `${ARMS_HELP}
A file: { "segments": "40%", "where": ["country in CN,US"], "arms": [{ "name": "control", "version": "v3", "share": "50%" }, …] }`,
    )
    .action(async (scene: string, id: string, { json, base, token, ...options }: CreateExperimentOptions & CommonOptions) => {
      const { createExperiment } = await import('./new-experiment.ts')
      await createExperiment(await context({ json, base, token }), scene, id, options)
    })

  for (const [name, description] of [
    ['start', 'Start an experiment: from now on its arms answer'],
    ['stop', 'Stop an experiment: its units go back to where they would be without it'],
  ] as const) {
    command(experiment, `${name} <scene> <id>`, description, [[`sdk experiment ${name} fashion-men exp-7 --reason "…"`]])
      .addOption(name === 'start' ? yes() : yes().hideHelp())
      .addOption(dryRun())
      .addOption(reason())
      .action(async (scene: string, id: string, options: SwitchOptions & CommonOptions) => {
        const { switchExperiment } = await import('./experiment.ts')
        await switchExperiment(await context(options), scene, id, name, options)
      })
  }

  command(experiment, 'status <scene> <id>', 'Show who is in an experiment: arms, shares, buckets, exposures', [
    ['sdk experiment status fashion-men exp-7'],
  ]).action(async (scene: string, id: string, options: CommonOptions) => {
    const { showExperiment } = await import('./experiment.ts')
    await showExperiment(await context(options), scene, id)
  })

  command(experiment, 'list <scene>', 'List the experiments of a scene', [['sdk experiment list fashion-men']]).action(
    async (scene: string, options: CommonOptions) => {
      const { listExperiments } = await import('./experiment.ts')
      await listExperiments(await context(options), scene)
    },
  )
}

export function flipCommand(sdk: Command): void {
  command(sdk, 'flip <scene> <experiment> [shares...]', 'Change an experiment: show what moves, ask, and make it live', [
    [
      'sdk flip fashion-men exp-7 treatment=20%',
      'arms that are not named keep their share; nobody who is in an arm leaves it while it grows',
    ],
    ['sdk flip fashion-men exp-7 control=30% treatment=30% --yes --reason "guardrails hold"', 'without asking'],
    ['sdk flip fashion-men exp-7 --drop treatment', 'its units go back; nobody else moves'],
    ['sdk flip fashion-men exp-7 --revert', 'undo the last flip: whose it was is shown first'],
    ['sdk flip fashion-men exp-7 --revert 41 --yes', 'undo the flip of revision 41; typed again, it says that it is done'],
    ['sdk flip fashion-men exp-7 --set treatment=v5 --dry-run', 'another meaning begins a new phase: see what that would come to'],
  ])
    .addOption(repeatable('--drop <arm>', 'take an arm away'))
    .addOption(repeatable('--add <arm>', 'a new arm, such as other=v6:10%; begins a new phase'))
    .addOption(repeatable('--set <arm>', 'what an arm is from now on, such as treatment=v5; begins a new phase'))
    .addOption(where('; begins a new phase'))
    .option('--segments <percentage>', 'how much of the scene, or of its layer, takes part')
    .option('--new-phase [number]', 'begin a new phase, unless it is in the one of this number: every unit is shuffled anew')
    .option('--revert [revision]', 'undo a flip instead: that of this revision, or after a question the last one')
    .addOption(yes())
    .addOption(dryRun())
    .addOption(reason())
    .addHelpText('after', ARMS_HELP)
    .action(async (scene: string, id: string, shares: string[], options: FlipOptions & CommonOptions) => {
      const { flip } = await import('./flip.ts')
      await flip(await context(options), scene, id, shares, options)
    })
}

export function layerCommands(sdk: Command): void {
  const layer = group(sdk, 'layer', 'Layers: each owns parameters, and experiments in it set them')

  command(layer, 'create <scene> <id>', 'Make a layer that owns parameters which no other live layer owns', [
    ['sdk layer create fashion-men ui --key topK --key diversity'],
  ])
    .addOption(repeatable('--key <parameter>', 'a parameter that its experiments may set').makeOptionMandatory())
    .addOption(reason())
    .action(async (scene: string, id: string, options: Reasoned & { key: string[] } & CommonOptions) => {
      const { createLayer } = await import('./experiment.ts')
      await createLayer(await context(options), scene, id, options)
    })

  command(layer, 'list <scene>', 'List the layers of a scene, their parameters and experiments', [['sdk layer list fashion-men']]).action(
    async (scene: string, options: CommonOptions) => {
      const { listLayers } = await import('./experiment.ts')
      await listLayers(await context(options), scene)
    },
  )

  command(layer, 'retire <scene> <id>', 'Let other layers own the parameters; its experiments must be stopped', [
    ['sdk layer retire fashion-men ui'],
  ])
    .addOption(reason())
    .action(async (scene: string, id: string, options: Reasoned & CommonOptions) => {
      const { retireLayer } = await import('./experiment.ts')
      await retireLayer(await context(options), scene, id, options)
    })
}

export function paramsCommands(sdk: Command): void {
  const params = group(sdk, 'params', 'Parameters of a scene and of its versions, published apart from code')
  const ofVersion = (): Option => new Option('--version <version>', 'what this version sets over the parameters of the scene')

  command(params, 'show <scene>', 'Show the parameters of a scene, or what a version sets over them', [
    ['sdk params show fashion-men'],
    ['sdk params show fashion-men --version v3'],
  ])
    .addOption(ofVersion())
    .action(async (scene: string, options: { version?: string } & CommonOptions) => {
      const { showParams } = await import('./params.ts')
      await showParams(await context(options), scene, options)
    })

  command(params, 'set <scene> [assignments...]', 'Set single parameters, or all from a file; live at once', [
    ['sdk params set fashion-men topK=5 diversity=0.2 --reason "more room on the page"', 'values are JSON; the others stay'],
    [`sdk params set fashion-men mode='"fast"' --version v3`, 'a text, for one version'],
    ['sdk params set fashion-men --file params.json', 'these and no others'],
  ])
    .addOption(repeatable('--unset <key>', 'take a parameter away'))
    .option('--file <path>', 'a JSON object that replaces all of them')
    .addOption(validation())
    .addOption(ofVersion())
    .addOption(reason())
    .action(async (scene: string, assignments: string[], options: SetOptions & CommonOptions) => {
      const { setParams } = await import('./params.ts')
      await setParams(await context(options), scene, assignments, options)
    })

  command(params, 'diff <scene>', 'Show what the last change changed, or how the parameters differ from a file or a revision', [
    ['sdk params diff fashion-men'],
    ['sdk params diff fashion-men --file params.json', 'what setting them would change'],
    ['sdk params diff fashion-men --from 41'],
  ])
    .option('--file <path>', 'from what is in force to a file')
    .option('--from <revision>', 'from a revision of the history to what is in force')
    .addOption(ofVersion())
    .action(async (scene: string, options: DiffOptions & CommonOptions) => {
      const { diffParams } = await import('./params.ts')
      await diffParams(await context(options), scene, options)
    })

  command(params, 'history <scene>', 'List the changes of parameters: when, who, what and why', [['sdk params history fashion-men']])
    .addOption(new Option('--version <version>', 'only of this version'))
    .action(async (scene: string, options: { version?: string } & CommonOptions) => {
      const { showHistory } = await import('./params.ts')
      await showHistory(await context(options), scene, options)
    })

  command(params, 'rollback <scene> [revision]', 'Undo the last change of parameters, or go back to how they were after a revision', [
    ['sdk params rollback fashion-men', 'shows the last change that is not undone yet, and asks'],
    ['sdk params rollback fashion-men 41 --reason "clicks fell"', 'undoes that of revision 41; typed again, it says that it is done'],
    ['sdk params rollback fashion-men --to 40', 'as they were after revision 40'],
  ])
    .option('--to <revision>', 'go back or forth to how they were after this revision instead')
    .addOption(ofVersion())
    .addOption(reason())
    .action(async (scene: string, revision: string | undefined, options: RollbackOptions & CommonOptions) => {
      const { rollBackParams } = await import('./params.ts')
      await rollBackParams(await context(options), scene, revision, options)
    })
}

export function explainCommand(sdk: Command): void {
  command(sdk, 'explain <scene>', 'Show which version a request would get, and why: each rule that is asked, and what it says', [
    ['sdk explain fashion-men --unit u42'],
    ['sdk explain fashion-men --unit u42 --attr country=CN --attr app=8.3.0', 'a request that says this of itself'],
    ['sdk explain fashion-men --unit u42 --pin v3'],
  ])
    .option('--unit <id>', 'the unit id')
    .addOption(repeatable('--attr <name=value>', 'an attribute that the scene declares'))
    .option('--pin <version>', 'as if the request asked for this version')
    .option('--loadtest', 'as if the request were marked as a load test')
    .option('--request-id <id>', 'for experiments that hash request ids')
    .action(async (scene: string, options: ExplainOptions & CommonOptions) => {
      const { explain } = await import('./explain.ts')
      await explain(await context(options), scene, options)
    })
}
