/**
 * `npm run test:upgrades`: upgrades a base under load, to another release and back; does what is delicate while one release takes over from the other;
 * and upgrades to releases that cannot serve. It fails when one request does.
 */
import { randomInt } from 'node:crypto'
import { cpus } from 'node:os'
import { InvalidArgumentError, Command as Program } from 'commander'
import { tryEdges } from './edges.ts'
import { tryFaults } from './faults.ts'
import { printEdges, printResult, printRound, printTotal } from './print.ts'
import { installRelease, makeRelease } from './releases.ts'
import { type Round, rounds, type Target } from './rounds.ts'
import { Site } from './site.ts'

interface Flags {
  readonly rate: number
  readonly upgrades: number
  readonly seconds: number
  readonly cells: number
  readonly connections: number
  readonly seed?: number
  readonly restart?: true
  readonly packages?: true
  readonly only?: string
}

type Settings = Flags & { readonly seed: number }

/** Requests a second beside faults, where the load is only there to fail. */
const FAULTS_RATE_MAX = 50

const parts = ['load', 'edges', 'faults'] as const
type Part = (typeof parts)[number]

const program = new Program('upgrades')
  .description('Upgrades a base under load, and to releases that cannot serve. Fails when one request does. Linux only.')
  .argument('[part...]', `what to try: ${parts.join(', ')}`, [...parts])
  .option('--rate <number>', 'requests a second, half of them over kept connections, half over new ones', numberFrom(1), 2000)
  .option('--upgrades <number>', 'to the other release, and back, in turn', numberFrom(1), 20)
  .option('--seconds <number>', 'of load before each upgrade', numberFrom(0.1), 3)
  .option('--cells <number>', 'serving processes', numberFrom(1), 2)
  .option('--connections <number>', 'kept connections', numberFrom(1), 64)
  .option('--restart', 'stop the base and start the other release instead, which must fail: shows that failures are seen')
  .option('--packages', 'load and edges: releases are the built package @berth/base, not copies of this clone')
  .option('--only <text>', 'of edges and faults, those whose names hold this text')
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
  const run: Readonly<Record<Part, () => Promise<boolean>>> = {
    load: () => underLoad({ ...flags, seed }),
    edges: () => acrossUpgrade({ ...flags, seed }),
    faults: () => withFaults({ ...flags, seed }),
  }
  for (const part of parts) if (wanted.includes(part) && !(await run[part]())) process.exitCode = 1
}

async function underLoad(settings: Settings): Promise<boolean> {
  console.log(`\n${settings.upgrades} upgrades, ${settings.cells} cells, ${settings.rate} requests a second`)
  await using site = await Site.open(settings.cells, undefined, settings.packages ? installRelease : makeRelease)
  const target: Target = {
    url: `${site.running.url}/scenes/echo`,
    takeOver: to => (settings.restart ? site.restart(to) : site.upgrade(to)),
    settled: () => site.settled(),
  }
  const done: Round[] = []
  for await (const round of rounds(target, [site.serving, site.idle], settings)) {
    done.push(round)
    printRound(done.length, round)
  }
  return printTotal(done, settings.rate)
}

async function acrossUpgrade({ cells, seed, restart, packages, only }: Settings): Promise<boolean> {
  console.log('\nWhat is under way during an upgrade')
  await using site = await Site.open(cells, undefined, packages ? installRelease : makeRelease)
  const { running, folder, idle } = site
  const takeOver = () => (restart ? site.restart(idle) : site.upgrade(idle))
  const [command, results] = await tryEdges({ running, folder, seed, only }, takeOver)
  return printEdges(command, results)
}

async function withFaults({ cells, seed, rate, only }: Settings): Promise<boolean> {
  console.log('\nReleases that cannot serve, and what else can go wrong')
  let isPassed = true
  for await (const { name, seen, failure } of tryFaults({ cells, seed, rate: Math.min(rate, FAULTS_RATE_MAX), only })) {
    printResult(name, seen, failure)
    isPassed &&= failure === undefined
  }
  return isPassed
}
