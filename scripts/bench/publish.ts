/**
 * `npm run bench:publish`: measures how long an engineer waits. It measures `sdk publish` of a module of 100 KB on a base with two cells, from the
 * start of the command until it has ended and every cell has answered with the new code; `sdk --help`; and `sdk dev` of a small module, from the
 * writing of the file until the answer is printed. Each round also starts Node.js with nothing to do, and checks the types of the same module with the
 * compiler alone. Cold rounds have no compiled code of the sdk from earlier starts. With `--against FOLDER` the clone in another folder publishes by turns
 * with this one, each on a base of its own.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { renderColumns } from '../../base/kernel/columns.ts'
import { compilerIn } from '../../sdk/bundle/type-check.ts'
import { type launchBase, type RunningBase, root } from '../../test/support/base.ts'
import { cloneIn, describeMachine, readFlags } from './flags.ts'
import { linkTypes, writeConfigs } from './init-files.ts'
import { median, quantile } from './median.ts'

const { rounds, kilobytes, cells, pause, against } = readFlags({
  rounds: { value: 50, about: 'publishes, starts of the help, and saves' },
  kilobytes: { value: 100, about: 'the size of the bundle of the module' },
  cells: { value: 2, about: 'cells of the base' },
  pause: { value: 500, about: 'milliseconds between an answer of "sdk dev" and the next save' },
  against: { value: [], about: 'the folder of another clone, which publishes by turns with this one; may be given several times' },
})
const others = against.map(folder => cloneIn('against', folder))
/** The most milliseconds that each of these may take at p50. */
const most = { publish: 500, help: 150, save: 150 } as const

type Steps = Readonly<Record<string, number>>

/** A clone, a base of it, and the modules that are published there. */
interface Side {
  readonly clone: string
  readonly folder: string
  readonly base: RunningBase
}

async function openSide(clone: string): Promise<Side> {
  const { launchBase: launch } = (await import(join(clone, 'test/support/base.ts'))) as { readonly launchBase: typeof launchBase }
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-'))
  await writeProject(folder, clone)
  return { clone, folder, base: await launch({ cells }) }
}

function start({ clone, folder, base }: Side, args: readonly string[], more: NodeJS.ProcessEnv = {}): ChildProcess {
  const env = { ...process.env, BERTH_BASE: base.controlUrl, BERTH_TOKEN: base.token, ...more }
  return spawn(process.execPath, [join(clone, 'bin/sdk.cjs'), ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'ignore'] })
}

async function run(side: Side, args: readonly string[], more?: NodeJS.ProcessEnv): Promise<string> {
  const child = start(side, args, more)
  const [printed, [code]] = await Promise.all([child.stdout ? text(child.stdout) : '', once(child, 'exit')])
  if (code !== 0) throw new Error(`sdk ${args.join(' ')} ended with ${code}:\n${printed}`)
  return printed
}

/** Writes a module whose bundle has about 100 KB, and one of a single line. */
async function writeProject(folder: string, clone: string): Promise<void> {
  const manifest = (name: string) => JSON.stringify({ name, version: '1.0.0', type: 'module', berth: { stages: ['rank'] } })
  linkTypes(folder, join(clone, 'sdk'))
  for (const name of ['big', 'small']) {
    await mkdir(join(folder, name))
    await writeFile(join(folder, name, 'package.json'), manifest(name))
    writeConfigs(join(folder, name))
  }
  await writeFile(join(folder, 'big/features.ts'), features(kilobytes * 1000))
  await mkdir(join(folder, 'small/samples'))
  await writeFile(join(folder, 'small/samples/one.json'), '{}')
}

/** Many small functions, as in a model that has been translated to code. */
function features(bytes: number): string {
  const lines = ['type Row = readonly number[]', 'export const features: ((row: Row) => number)[] = []']
  for (let i = 0, size = 0; size < bytes; i++) {
    const line = `features.push(row => { let sum = ${i}; for (const x of row) sum += x > ${Math.sin(i)} ? x * ${Math.cos(i)} : ${i % 7}; return sum })`
    lines.push(line)
    // The spaces of a line are not in the bundle.
    size += line.replaceAll(/ /g, '').length + 1
  }
  return lines.join('\n')
}

const writeBig = (folder: string, round: number) =>
  writeFile(
    join(folder, 'big/index.ts'),
    `import { features } from './features.ts'\nexport const rank = () => ({ round: ${round}, sum: features.reduce((sum, f) => sum + f([1, 2]), 0) })\n`,
  )

interface Answer {
  readonly body: { readonly round: number }
  /** Identifies the cell: the request ids that it makes up begin with a prefix of its own. */
  readonly cell: string
}

/** Sends a request on a new connection. */
async function ask(base: RunningBase, agent: Agent): Promise<Answer> {
  const sent = request(`${base.url}/scenes/big`, { method: 'POST', agent, headers: { 'content-type': 'application/json' } })
  sent.end('{}')
  const [response] = await once(sent, 'response')
  const body = await text(response)
  if (response.statusCode !== 200) throw new Error(`Scene "big" answered ${response.statusCode}: ${body}`)
  return { body: JSON.parse(body), cell: String(response.headers['x-request-id']).replace(/-[^-]*$/, '') }
}

/** Opens connections until each cell has answered. Every answer must be from the code of this round. */
async function askEveryCell(base: RunningBase, round: number): Promise<void> {
  const seen = new Set<string>()
  while (seen.size < cells) {
    const { body, cell } = await ask(base, new Agent())
    if (body.round !== round) throw new Error(`Cell ${cell} answers with the code of round ${body.round} in round ${round}`)
    seen.add(cell)
  }
}

async function definePublished(side: Side): Promise<void> {
  await writeBig(side.folder, 0)
  await run(side, ['publish', 'big'])
  await side.base.client.putScene({ id: 'big', group: [{ stage: 'rank', modules: ['big@^1'] }] }, undefined)
}

const PUBLISH = ['publish', 'big', '--bump', 'patch', '--scene', 'big', '--as', 'baseline', '--yes', '--json']

async function publishOnce(side: Side, round: number, more?: NodeJS.ProcessEnv): Promise<Steps> {
  await writeBig(side.folder, round)
  const startedAt = performance.now()
  const printed = await run(side, PUBLISH, more)
  const ended = performance.now() - startedAt
  await askEveryCell(side.base, round)
  const total = performance.now() - startedAt
  const { modules, scenes } = JSON.parse(printed) as { modules: [{ steps: Steps }]; scenes: [{ steps: Steps }] }
  const { bundle = 0, check = 0, upload = 0, load = 0 } = modules[0].steps
  const { live = 0 } = scenes[0].steps
  // The type check runs at the same time as the bundling.
  const command = ended - Math.max(bundle, check) - upload - load - live
  return { bundle, check, upload, load, live, 'start and end of the command': command, 'every cell asked': total - ended, total }
}

/** What no publish can be faster than. */
interface References {
  readonly node: number[]
  readonly compiler: number[]
}

async function publishes(sides: readonly Side[]): Promise<{ readonly of: Steps[][]; readonly references: References }> {
  const references: References = { node: [], compiler: [] }
  const [program = '', ...args] = (await compilerIn(join(root, 'node_modules/typescript'))).command
  const of: Steps[][] = sides.map(() => [])
  for (let round = 1; round <= rounds; round++) {
    // Another one goes first in each round.
    for (let i = 0; i < sides.length; i++) {
      const at = (round + i) % sides.length
      const side = sides[at]
      if (side !== undefined) of[at]?.push(await publishOnce(side, round))
    }
    references.node.push(timeOf(process.execPath, ['-e', '0']))
    const [{ folder } = { folder: '.' }] = sides
    references.compiler.push(timeOf(program, [...args, '--project', join(folder, 'big/tsconfig.module.json')]))
  }
  return { of, references }
}

/** @returns milliseconds */
function timeOf(program: string, args: readonly string[]): number {
  const startedAt = performance.now()
  execFileSync(program, args)
  return performance.now() - startedAt
}

/** Rounds that find none of the compiled code that an earlier start of the sdk has kept. */
async function coldPublishes(side: Side): Promise<Steps[]> {
  const samples: Steps[] = []
  for (let round = 1; round <= Math.min(rounds, COLD_ROUNDS_MAX); round++) {
    const cache = join(side.folder, `cold-${round}`)
    samples.push(await publishOnce(side, rounds + round, { NODE_COMPILE_CACHE: cache }))
  }
  return samples
}

const COLD_ROUNDS_MAX = 5

async function helps(side: Side): Promise<number[]> {
  const samples: number[] = []
  for (let round = 0; round < rounds; round++) {
    const startedAt = performance.now()
    await run(side, ['--help'])
    samples.push(performance.now() - startedAt)
  }
  return samples
}

async function saves(side: Side): Promise<Steps[]> {
  const { folder } = side
  const samples: Steps[] = []
  const write = (round: number) => writeFile(join(folder, 'small/index.ts'), `export const rank = () => ${round}\n`)
  await write(0)
  const child = start(side, ['dev', 'small', '--json'])
  if (child.stdout === null) throw new Error('sdk dev has no output')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  await lines.next()
  for (let round = 1; round <= rounds; round++) {
    // Nobody saves faster than this. In the pause the base starts the process for its next trial.
    await new Promise(resolve => setTimeout(resolve, pause))
    const startedAt = performance.now()
    await write(round)
    const { value, done } = await lines.next()
    const total = performance.now() - startedAt
    if (done === true) throw new Error('sdk dev has ended')
    const { answer, steps } = JSON.parse(value) as { answer: unknown; steps: Steps }
    if (answer !== round) throw new Error(`Save ${round} was answered ${value}`)
    samples.push({ ...steps, total })
  }
  child.kill('SIGINT')
  await once(child, 'exit')
  return samples
}

function print(title: string, samples: readonly Steps[]): void {
  const timesOf = (step: string) => samples.map(steps => steps[step] ?? 0)
  const rows = Object.keys(samples[0] ?? {}).map(step => [step, ...[median, p99].map(of => of(timesOf(step)).toFixed(1))])
  console.log(`\n${renderColumns([title, 'p50 ms', 'p99 ms'], rows)}`)
}

function judge(what: string, samples: readonly number[], msMost: number): void {
  console.log(`${what}: p50 ${median(samples).toFixed(0)} ms, p99 ${p99(samples).toFixed(0)} ms (to be at most ${msMost} at p50)`)
  console.log(`  rounds: ${samples.map(ms => ms.toFixed(0)).join(' ')}`)
}

const p99 = (samples: readonly number[]): number =>
  quantile(
    samples.toSorted((a, b) => a - b),
    0.99,
  )
const totals = (samples: readonly Steps[]): number[] => samples.map(({ total = 0 }) => total)
/** What says which clone it is, when there are two. */
const nameOf = ({ clone }: Side): string => (clone === root ? '' : `, ${clone}`)
const medianOf = (samples: readonly number[]): string => `${median(samples).toFixed(0)} ms`

const sides: Side[] = []
try {
  for (const clone of [root, ...others]) sides.push(await openSide(clone))
  const [here] = sides
  if (here === undefined) throw new Error('There is nothing to measure')
  for (const side of sides) await definePublished(side)
  console.log(`${rounds} rounds, ${cells} cells, ${describeMachine()}, load ${loadavg()[0]?.toFixed(1)}`)
  const { of, references } = await publishes(sides)
  for (const [i, side] of sides.entries()) print(`sdk publish, ${kilobytes} KB${nameOf(side)}`, of[i] ?? [])
  console.log(`Beside each round: node -e 0 ${medianOf(references.node)}, the compiler alone ${medianOf(references.compiler)}`)
  for (const [i, side] of sides.entries()) judge(`sdk publish to every cell answering${nameOf(side)}`, totals(of[i] ?? []), most.publish)
  const cold = totals(await coldPublishes(here))
  console.log(`the same without compiled code from earlier starts: p50 ${medianOf(cold)} (${cold.map(ms => ms.toFixed(0)).join(' ')})`)
  const saved = await saves(here)
  print('sdk dev, small module', saved)
  judge('sdk --help', await helps(here), most.help)
  judge('sdk dev, save to answer', totals(saved), most.save)
} finally {
  for (const { base, folder } of sides) {
    await base.kill()
    await rm(folder, { recursive: true, force: true })
  }
}
