/**
 * `npm run test:upgrades`: upgrades a base under load, to another release and back; does what is delicate while one release takes over from the other;
 * and upgrades to releases that cannot serve. It fails when one request does.
 */
import { randomInt } from 'node:crypto'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { makeScene } from '../../test/support/base.ts'
import { printRound, printTotal } from './print.ts'
import { makeRelease } from './releases.ts'
import { type Round, rounds, type TakeOver } from './rounds.ts'
import { folderFor, startRelease, upgradeTo } from './running.ts'

interface Flags {
  readonly rate: number
  readonly upgrades: number
  readonly seconds: number
  readonly cells: number
  readonly connections: number
  readonly seed?: number
  readonly restart?: true
}

const parts = ['load'] as const
type Part = (typeof parts)[number]

const program = new Command('upgrades')
  .description('Upgrades a base under load, and to releases that cannot serve. Fails when one request does. Linux only.')
  .argument('[part...]', `what to try: ${parts.join(', ')}`, [...parts])
  .option('--rate <number>', 'requests a second, half of them over kept connections, half over new ones', numberFrom(1), 2000)
  .option('--upgrades <number>', 'to the other release, and back, in turn', numberFrom(1), 20)
  .option('--seconds <number>', 'of load before each upgrade', numberFrom(0.1), 3)
  .option('--cells <number>', 'serving processes', numberFrom(1), 2)
  .option('--connections <number>', 'kept connections', numberFrom(1), 64)
  .option('--restart', 'stop the base and start the other release instead, which must fail: shows that failures are seen')
  .option('--seed <number>', 'of what is random (default: a random one, which is printed)', numberFrom(0))
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(tryUpgrades)

// What this shell says of bases is not meant for those that are started here.
for (const name of Object.keys(process.env)) if (name.startsWith('BERTH_')) delete process.env[name]

await program.parseAsync()
// Processes that a fault has left behind must not keep this one.
process.exit()

function numberFrom(least: number): (text: string) => number {
  return text => {
    const value = Number(text)
    if (text.trim() !== '' && Number.isFinite(value) && value >= least) return value
    throw new InvalidArgumentError(`It has to be a number from ${least} on.`)
  }
}

async function tryUpgrades(wanted: readonly string[], flags: Flags): Promise<void> {
  const unknown = wanted.filter(name => !parts.some(part => part === name))
  if (unknown.length > 0) program.error(`error: there is no part ${unknown.join(', ')}; there are: ${parts.join(', ')}`)
  const seed = flags.seed ?? randomInt(2 ** 31)
  console.log(`seed ${seed}; Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}`)
  const run: Readonly<Record<Part, () => Promise<boolean>>> = { load: () => underLoad({ ...flags, seed }) }
  for (const part of parts) if (wanted.includes(part) && !(await run[part]())) process.exitCode = 1
}

async function underLoad(settings: Flags & { readonly seed: number }): Promise<boolean> {
  console.log(`\n${settings.upgrades} upgrades, ${settings.cells} cells, ${settings.rate} requests a second`)
  await using folder = await folderFor('upgrades')
  const releases = [
    await makeRelease(join(folder.path, 'a'), 'A', '0.1.1'),
    await makeRelease(join(folder.path, 'b'), 'B', '0.1.2'),
  ] as const
  const start = { cells: settings.cells, data: join(folder.path, 'data') }
  let running = await startRelease(releases[0], start)
  const restart: TakeOver = async to => {
    const startedAt = performance.now()
    const ports = [Number(new URL(running.url).port), Number(new URL(running.controlUrl).port)] as const
    await running.stop()
    running = await startRelease(to, { ...start, ports })
    return { code: 0, output: '', ms: performance.now() - startedAt }
  }
  const takeOver: TakeOver = settings.restart ? restart : to => upgradeTo(to, running.data)
  const done: Round[] = []
  try {
    await makeScene(running.client, 'echo', { rank: 'x => x' })
    for await (const round of rounds(`${running.url}/scenes/echo`, releases, settings, takeOver)) {
      done.push(round)
      printRound(done.length, round)
    }
  } finally {
    await running.stop()
  }
  return printTotal(done, settings.rate)
}
