/** `sdk capsule verify`, and `sdk bisect`. */
import type { Command } from 'commander'
import type { CommonOptions } from '../context.ts'
import type { BisectOptions, VersionOption } from './capsule-replay.ts'
import { command, context } from './command.ts'

/** @param capsule the group of commands */
export function verifyCommand(capsule: Command): void {
  command(capsule, 'verify <scene>', 'Replay what was captured, in a process of its own, and count what gives the same bytes again', [
    ['sdk capsule verify fashion-men'],
    ['sdk capsule verify fashion-men --version v3', 'only what this version has answered'],
  ])
    .option('--version <version>', 'only what this version has answered')
    .action(async (scene: string, options: VersionOption & CommonOptions) => {
      const { verifyCapsules } = await import('./capsule-replay.ts')
      await verifyCapsules(await context(options), scene, options)
    })
}

export function bisectCommand(sdk: Command): void {
  command(sdk, 'bisect <scene>', 'Find the first version, and the first change of parameters, that answers a captured request wrongly', [
    ['sdk bisect fashion-men --capsule 3f9a81c20b7de415 --expect right.json', 'right.json has the answer as it should be'],
  ])
    .requiredOption('--capsule <id>', 'the captured request')
    .requiredOption('--expect <file>', 'JSON of the right answer')
    .action(async (scene: string, options: BisectOptions & CommonOptions) => {
      const { bisect } = await import('./capsule-replay.ts')
      await bisect(await context(options), scene, options)
    })
}
