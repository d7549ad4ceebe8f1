/**
 * `npm run bench:cli`: what a command of the packaged sdk costs when it has run before: milliseconds until it has ended, milliseconds of CPU of all its
 * processes of Node.js, how many there are, and the files of Berth that are loaded. The first row is npx alone.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { renderColumns } from '../../base/kernel/columns.ts'
import { launchBase, root } from '../../test/support/base.ts'
import { builtPackages } from '../../test/support/packages.ts'
import { median } from './median.ts'

const RUNS = 7

/** Notes each process that Node.js runs, and, where hooks can tell, the files that it loads. */
const noting = `const { appendFileSync } = require('node:fs')
const { registerHooks } = require('node:module')
let files = 0
registerHooks?.({ load: (url, context, next) => { if (/@berth/.test(url)) files++; return next(url, context) } })
process.on('exit', () => {
  const { user, system } = process.cpuUsage()
  appendFileSync(process.env.BENCH_NOTES, JSON.stringify({ cpuMs: (user + system) / 1000, files }) + '\\n')
})
`

interface Note {
  readonly cpuMs: number
  readonly files: number
}

const folder = mkdtempSync(join(tmpdir(), 'berth-cli-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
await install()
const base = await launchBase()
try {
  const commands = [['npx', '-c', 'exit'], ...[['--version'], ['--help'], ['scene', 'list']].map(args => ['npx', 'sdk', ...args])]
  const rows = commands.map(command => [command.join(' '), ...measure(command)])
  console.log(renderColumns(['command', 'ms', 'CPU ms', 'processes', 'files of Berth'], rows))
} finally {
  await base.kill()
}

/** A folder in which the packages are as npm would have installed them. */
async function install(): Promise<void> {
  const built = await builtPackages()
  const packages = join(folder, 'node_modules')
  for (const name of ['base', 'sdk'] as const) cpSync(built[name].folder, join(packages, '@berth', name), { recursive: true })
  for (const name of readdirSync(join(root, 'node_modules')))
    if (name.startsWith('node-') && name !== 'node-gyp-build')
      symlinkSync(join(root, 'node_modules', name), join(packages, name), 'junction')
  mkdirSync(join(packages, '.bin'))
  symlinkSync('../@berth/sdk/bin/sdk.cjs', join(packages, '.bin/sdk'))
  writeFileSync(join(folder, 'package.json'), '{}')
  writeFileSync(join(folder, 'noting.cjs'), noting)
}

function measure([file = '', ...args]: readonly string[]): string[] {
  const timed = Array.from({ length: RUNS + 1 }, () => run(file, args, {})).slice(1)
  const notes = join(folder, 'notes')
  const noted = Array.from({ length: RUNS }, () => {
    writeFileSync(notes, '')
    run(file, args, { NODE_OPTIONS: `--require=${join(folder, 'noting.cjs')}`, BENCH_NOTES: notes })
    return readFileSync(notes, 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Note)
  })
  const cpu = median(noted.map(all => all.reduce((sum, { cpuMs }) => sum + cpuMs, 0)))
  const files = Math.max(...(noted.at(-1) ?? []).map(({ files }) => files))
  return [median(timed).toFixed(0), cpu.toFixed(0), String(noted.at(-1)?.length), String(files)]
}

/** @returns milliseconds */
function run(file: string, args: readonly string[], more: NodeJS.ProcessEnv): number {
  const begin = performance.now()
  const env = { ...process.env, BERTH_BASE: base.controlUrl, BERTH_TOKEN: base.token, ...more }
  const { status, stderr } = spawnSync(file, args, { cwd: folder, env, encoding: 'utf8', shell: process.platform === 'win32' })
  if (status !== 0) throw new Error(`Cannot measure ${file} ${args.join(' ')}: ${stderr}`)
  return performance.now() - begin
}
