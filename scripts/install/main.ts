/**
 * `npm run test:install [-- WAY…]`: from an empty folder to a module that is live, with the packages as this clone builds them, from a registry, by every
 * line of the tutorial. Prints what each line takes.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../../base/kernel/errors.ts'
import { root } from '../../test/support/base.ts'
import { startInstaller } from '../../test/support/installer.ts'
import { builtPackages } from '../../test/support/packages.ts'
import { type Block, blocksOf, page, Reader } from '../../test/support/tutorial.ts'
import { type Way, ways } from './ways.ts'

/** From the empty folder to an answer of the own module. */
const LIVE_MS_MAX = 60_000
/** The block that asks the scene as its callers do. */
const live = /^curl /

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(ways)
const unknown = wanted.filter(name => ways[name] === undefined)
if (unknown.length > 0) {
  console.error(`There is no way ${unknown.join(', ')}. There are: ${Object.keys(ways).join(', ')}`)
  process.exit(2)
}

const packages = await builtPackages()
const failed: string[] = []
for (const name of wanted) {
  const way = ways[name]
  if (way !== undefined && !(await isGone(name, way))) failed.push(name)
}
if (failed.length > 0) console.log(`\nFailed: ${failed.join(', ')}. To repeat it: npm run test:install -- ${failed.join(' ')}`)
process.exit(failed.length > 0 ? 1 : 0)

async function isGone(name: string, way: Way): Promise<boolean> {
  console.log(`\n${name}: ${way.manager}`)
  await using installer = await startInstaller(packages, way.programs(managerFolder(way)))
  const { folder, env, registry } = installer
  way.prepare?.(folder)
  await using reader = new Reader(folder, env)
  // What runs in the terminals of the reader would go on.
  const interrupt = async () => {
    await reader[Symbol.asyncDispose]()
    await installer[Symbol.asyncDispose]()
    process.exit(130)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt)
  try {
    const text = way.read(readFileSync(join(root, page), 'utf8'))
    const liveMs = await walk(reader, blocksOf(text))
    const leaked = [...registry.sentOn.filter(path => path.includes('berth')), ...registry.refused]
    if (leaked.length > 0) throw new Error(`The registry was asked for ${leaked.join(', ')}`)
    const isBusy = (loadavg()[0] ?? 0) > 2 * availableParallelism()
    if (liveMs > LIVE_MS_MAX && isBusy) console.log('  This machine does other work as well, so the time says nothing')
    else if (liveMs > LIVE_MS_MAX) throw new Error(`The module was live after ${liveMs} ms; ${LIVE_MS_MAX} are allowed`)
    return true
  } catch (error) {
    console.log(`  ✖ ${messageOf(error).replaceAll('\n', '\n    ')}`)
    return false
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt)
  }
}

/** @returns the milliseconds from the empty folder to the answer of the module */
async function walk(reader: Reader, blocks: readonly Block[]): Promise<number> {
  let allMs = 0
  let liveMs = 0
  for await (const { command, ms } of reader.read(blocks)) {
    print(ms, command.replaceAll('\n', ' && '))
    allMs += ms
    if (!live.test(command)) continue
    liveMs = allMs
    print(liveMs, '── from the empty folder to live')
  }
  print(allMs, '── in all')
  return liveMs
}

function print(ms: number, what: string): void {
  console.log(`  ${String(ms).padStart(6)} ms  ${what}`)
}

/** Package managers are fetched once, and never into the dependencies of this project. */
function managerFolder({ manager }: Way): string {
  const prefix = join(root, 'node_modules/.cache/berth-install', manager)
  mkdirSync(prefix, { recursive: true })
  const flags = ['--prefix', prefix, '--ignore-scripts', '--no-audit', '--no-fund', '--silent', '--prefer-offline']
  execFileSync('npm', ['install', ...flags, manager], { stdio: 'inherit', shell: process.platform === 'win32' })
  return join(prefix, 'node_modules', manager.split('@', 1)[0] ?? '')
}
