/**
 * `npm run bench:publish`: measures how long an engineer waits. It measures `sdk publish` of a module of 100 KB on a base with two cells, from the
 * start of the command until it has ended and every cell has answered with the new code; `sdk --help`; and `sdk dev` of a small module, from the
 * writing of the file until the answer is printed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { launchBase, type RunningBase, root } from '../../test/support/base.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '50' },
    kilobytes: { type: 'string', default: '100' },
    cells: { type: 'string', default: '2' },
    /** Milliseconds between an answer of `sdk dev` and the next save. */
    pause: { type: 'string', default: '500' },
  },
})
const [rounds, kilobytes, cells, pause] = [values.rounds, values.kilobytes, values.cells, values.pause].map(Number) as [
  number,
  number,
  number,
  number,
]
/** The most milliseconds that each of these may take at p50. */
const most = { publish: 500, help: 150, save: 150 } as const

const sdk = join(root, 'bin/sdk.cjs')
type Steps = Readonly<Record<string, number>>

function start(folder: string, base: RunningBase, args: readonly string[]): ChildProcess {
  const env = { ...process.env, BERTH_BASE: base.controlUrl, BERTH_TOKEN: base.token }
  return spawn(process.execPath, [sdk, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] })
}

async function run(folder: string, base: RunningBase, ...args: readonly string[]): Promise<string> {
  const child = start(folder, base, args)
  const [printed, [code]] = await Promise.all([child.stdout ? text(child.stdout) : '', once(child, 'exit')])
  if (code !== 0) throw new Error(`sdk ${args.join(' ')} ended with ${code}:\n${printed}`)
  return printed
}

/** Writes a module whose bundle has about 100 KB, and one of a single line. */
async function writeProject(folder: string): Promise<void> {
  const manifest = (name: string) => JSON.stringify({ name, version: '1.0.0', type: 'module', berth: { stages: ['rank'] } })
  // These are the options that "sdk init" writes.
  const typeRoots = [join(root, 'node_modules/@types')]
  const modules = { module: 'nodenext', allowImportingTsExtensions: true, verbatimModuleSyntax: true, noEmit: true }
  const compilerOptions = { ...modules, strict: true, target: 'esnext', lib: ['esnext'], types: ['node'], typeRoots }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }))
  for (const name of ['big', 'small']) {
    await mkdir(join(folder, name))
    await writeFile(join(folder, name, 'package.json'), manifest(name))
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

async function publishes(folder: string, base: RunningBase): Promise<Steps[]> {
  const samples: Steps[] = []
  await writeBig(folder, 0)
  await run(folder, base, 'publish', 'big')
  await base.client.putScene({ id: 'big', group: [{ stage: 'rank', modules: ['big@^1'] }] }, undefined)
  for (let round = 1; round <= rounds; round++) {
    await writeBig(folder, round)
    const startedAt = performance.now()
    const printed = await run(folder, base, 'publish', 'big', '--bump', 'patch', '--scene', 'big', '--as', 'baseline', '--yes', '--json')
    const ended = performance.now() - startedAt
    await askEveryCell(base, round)
    const total = performance.now() - startedAt
    const { modules, scenes } = JSON.parse(printed) as { modules: [{ steps: Steps; bytes: number }]; scenes: [{ steps: Steps }] }
    const { bundle = 0, check = 0, upload = 0, load = 0 } = modules[0].steps
    const { live = 0 } = scenes[0].steps
    // The type check runs at the same time as the bundling.
    const command = ended - Math.max(bundle, check) - upload - load - live
    samples.push({ bundle, check, upload, load, live, 'start and end of the command': command, 'every cell asked': total - ended, total })
  }
  return samples
}

async function helps(folder: string, base: RunningBase): Promise<number[]> {
  const samples: number[] = []
  for (let round = 0; round < rounds; round++) {
    const startedAt = performance.now()
    await run(folder, base, '--help')
    samples.push(performance.now() - startedAt)
  }
  return samples
}

async function saves(folder: string, base: RunningBase): Promise<Steps[]> {
  const samples: Steps[] = []
  const write = (round: number) => writeFile(join(folder, 'small/index.ts'), `export const rank = () => ${round}\n`)
  await write(0)
  const child = start(folder, base, ['dev', 'small', '--json'])
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

function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

function print(title: string, samples: readonly Steps[]): void {
  const table = new Table({ head: [title, 'p50 ms', 'p99 ms'], style: { head: [], border: [] } })
  for (const step of Object.keys(samples[0] ?? {})) {
    const times = samples.map(steps => steps[step] ?? 0)
    table.push([step, ...[0.5, 0.99].map(q => quantile(times, q).toFixed(1))])
  }
  console.log(table.toString())
}

function judge(what: string, samples: readonly number[], msMost: number): void {
  console.log(
    `${what}: p50 ${quantile(samples, 0.5).toFixed(0)} ms, p99 ${quantile(samples, 0.99).toFixed(0)} ms (to be at most ${msMost} at p50)`,
  )
}

const folder = await mkdtemp(join(tmpdir(), 'berth-bench-'))
const base = await launchBase({ cells })
try {
  await writeProject(folder)
  console.log(
    `${rounds} rounds, ${cells} cells, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, load ${loadavg()[0]?.toFixed(1)}`,
  )
  const published = await publishes(folder, base)
  print(`sdk publish, ${kilobytes} KB`, published)
  const saved = await saves(folder, base)
  print('sdk dev, small module', saved)
  judge(
    'sdk publish to every cell answering',
    published.map(({ total = 0 }) => total),
    most.publish,
  )
  judge('sdk --help', await helps(folder, base), most.help)
  judge(
    'sdk dev, save to answer',
    saved.map(({ total = 0 }) => total),
    most.save,
  )
} finally {
  await base.kill()
  await rm(folder, { recursive: true, force: true })
}
