/**
 * `npm run bench:cli`: how long an engineer waits for a command of the sdk that has run before: in the clone, in a project that has installed the packages, and
 * there by npx. Commands run in interleaved rounds, beside Node.js with nothing to do and npx with a package that does nothing: what a command takes beyond
 * these is ours. It prints medians in milliseconds, the CPU of all processes of Node.js that a command is made of, how many these are, and how many files
 * of Berth they load; with `--raw` each round too.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { renderColumns } from '../../base/kernel/columns.ts'
import { launchBase, makeScene, root } from '../../test/support/base.ts'
import { builtPackages } from '../../test/support/packages.ts'
import { describeMachine, readFlags } from './flags.ts'
import { writeConfigs } from './init-files.ts'
import { median, quantile } from './median.ts'

const flags = readFlags({
  rounds: { value: 9, about: 'rounds, in each of which every command is run once' },
  raw: { value: false, about: 'print each round too' },
})

/** Notes each process that Node.js runs, and, where hooks can tell, the files that it loads. */
const noting = `const { appendFileSync } = require('node:fs')
const { registerHooks } = require('node:module')
let files = 0
registerHooks?.({ load: (url, context, next) => { if (/@berth|\\/(sdk|base)\\/.*\\.ts$/.test(url)) files++; return next(url, context) } })
process.on('exit', () => {
  const { user, system } = process.cpuUsage()
  appendFileSync(process.env.BENCH_NOTES, JSON.stringify({ cpuMs: (user + system) / 1000, files }) + '\\n')
})
`

interface Note {
  readonly cpuMs: number
  readonly files: number
}

/** Something that is run once in each round. */
interface Row {
  readonly title: string
  readonly command: readonly string[]
  /** What it is compared with. */
  readonly reference?: Row
  readonly times: number[]
}

const folder = mkdtempSync(join(tmpdir(), 'berth-cli-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
await install()
const base = await launchBase()
try {
  await makeScene(base.client, 'echo', { echo: 'input => input' })
  const rows = rowsOf()
  // The first round fills caches.
  for (let round = 0; round <= flags.rounds; round++) {
    const shift = round % rows.length
    for (const row of [...rows.slice(shift), ...rows.slice(0, shift)]) {
      const ms = run(row.command, {})
      if (round > 0) row.times.push(ms)
    }
  }
  console.log(`${describeMachine()}, ${flags.rounds} rounds`)
  const head = ['command', 'ms', 'quartiles', 'beyond its reference', 'CPU ms', 'processes', 'files of Berth']
  console.log(renderColumns(head, rows.map(describe)))
  if (flags.raw) for (const { title, times } of rows) console.log(`${title}: ${times.map(ms => ms.toFixed(0)).join(' ')}`)
} finally {
  await base.kill()
}

function rowsOf(): Row[] {
  const row = (title: string, command: readonly string[], reference?: Row): Row => ({
    title,
    command,
    times: [],
    ...(reference && { reference }),
  })
  const node = row('node -e 0', [process.execPath, '-e', '0'])
  const npx = row('npx with an empty package', ['npx', 'empty'])
  const commands: readonly (readonly [title: string, ...args: readonly string[]])[] = [
    ['--version', '--version'],
    ['--help', '--help'],
    ['scene list', 'scene', 'list'],
    ['invoke echo', 'invoke', 'echo', '--data', '{}'],
    ['publish module', 'publish', 'module', '--bump', 'patch'],
  ]
  const sdks: readonly [title: string, command: readonly string[], reference: Row][] = [
    ['clone: sdk', [process.execPath, join(root, 'bin/sdk.cjs')], node],
    ['packages: sdk', [process.execPath, join(folder, 'node_modules/@berth/sdk/bin/sdk.cjs')], node],
    ['packages: npx sdk', ['npx', 'sdk'], npx],
  ]
  const all = sdks.flatMap(([sdk, command, reference]) =>
    commands.map(([title, ...args]) => row(`${sdk} ${title}`, [...command, ...args], reference)),
  )
  return [node, npx, ...all]
}

/** A project in which the packages are as npm would have installed them, with a module. */
async function install(): Promise<void> {
  const built = await builtPackages()
  const packages = join(folder, 'node_modules')
  for (const name of ['base', 'sdk'] as const) cpSync(built[name].folder, join(packages, '@berth', name), { recursive: true })
  for (const name of readdirSync(join(root, 'node_modules')))
    if (!/^[.]|^@berth$/.test(name)) symlinkSync(join(root, 'node_modules', name), join(packages, name), 'junction')
  const empty = { name: 'empty', version: '1.0.0', bin: 'empty.cjs' }
  mkdirSync(join(packages, 'empty'))
  writeFileSync(join(packages, 'empty/package.json'), JSON.stringify(empty))
  writeFileSync(join(packages, 'empty/empty.cjs'), '#!/usr/bin/env node\n')
  chmodSync(join(packages, 'empty/empty.cjs'), 0o755)
  mkdirSync(join(packages, '.bin'))
  symlinkSync('../@berth/sdk/bin/sdk.cjs', join(packages, '.bin/sdk'))
  symlinkSync('../empty/empty.cjs', join(packages, '.bin/empty'))
  writeFileSync(join(folder, 'package.json'), '{}')
  writeFileSync(join(folder, 'noting.cjs'), noting)
  writeModule()
}

function writeModule(): void {
  const manifest = { name: 'module', version: '1.0.0', type: 'module', berth: { stages: ['rank'] } }
  mkdirSync(join(folder, 'module'))
  writeFileSync(join(folder, 'module/package.json'), JSON.stringify(manifest))
  writeConfigs(join(folder, 'module'))
  writeFileSync(join(folder, 'module/index.ts'), 'export const rank = (items: readonly number[]) => items.toSorted((a, b) => a - b)\n')
}

function describe({ title, command, reference, times }: Row): string[] {
  const sorted = times.toSorted((a, b) => a - b)
  const beyond = times.map((ms, i) => ms - (reference?.times[i] ?? ms))
  const { cpuMs, processes, files } = note(command)
  return [
    title,
    median(times).toFixed(0),
    `${quantile(sorted, 0.25).toFixed(0)}–${quantile(sorted, 0.75).toFixed(0)}`,
    reference === undefined ? '' : median(beyond).toFixed(0),
    cpuMs.toFixed(0),
    String(processes),
    String(files),
  ]
}

/** Runs a command three times more, with notes. To take notes costs time, so these runs are not timed. */
function note(command: readonly string[]): Note & { readonly processes: number } {
  const file = join(folder, 'notes')
  const runs = Array.from({ length: 3 }, () => {
    writeFileSync(file, '')
    run(command, { NODE_OPTIONS: `--require=${join(folder, 'noting.cjs')}`, BENCH_NOTES: file })
    const notes = readFileSync(file, 'utf8').trim().split('\n')
    return notes.map(line => JSON.parse(line) as Note)
  })
  const last = runs.at(-1) ?? []
  return {
    cpuMs: median(runs.map(notes => notes.reduce((sum, { cpuMs }) => sum + cpuMs, 0))),
    processes: last.length,
    files: Math.max(...last.map(({ files }) => files)),
  }
}

/** @returns milliseconds */
function run([file = '', ...args]: readonly string[], more: NodeJS.ProcessEnv): number {
  const env = { ...process.env, BERTH_BASE: base.controlUrl, BERTH_TOKEN: base.token, ...more }
  const begin = performance.now()
  const { status, stderr, stdout } = spawnSync(file, args, { cwd: folder, env, encoding: 'utf8', shell: process.platform === 'win32' })
  const ms = performance.now() - begin
  if (status !== 0) throw new Error(`Cannot measure ${file} ${args.join(' ')}: ${stderr}${stdout}`)
  return ms
}
