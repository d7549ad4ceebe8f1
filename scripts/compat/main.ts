/**
 * `npm run compat` uses each package of `packages.json` on a real base and in Node.js, compares the answers, and writes `results.json` and
 * `docs/packages.md`. Packages are installed in a temporary folder, each by itself, when they are used for the first time.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { isDeepStrictEqual, parseArgs, promisify } from 'node:util'
import { messageOf } from '../../base/kernel/errors.ts'
import { launchBase, root } from '../../test/support/base.ts'
import { before, type Package, packages, plainName, writeModule } from './packages.ts'
import { kept, page, type Results } from './page.ts'
import { type Outcome, useOf } from './use.ts'

const { values } = parseArgs({
  options: {
    /** Names of packages; may be repeated. @default all */
    only: { type: 'string', multiple: true, default: [] },
    /** Packages at a time. */
    jobs: { type: 'string', default: '2' },
    /** Writes nothing, and fails when an outcome is not what the page says. */
    check: { type: 'boolean', default: false },
  },
})
/** Outside of the project, whose own packages would else be found from there. */
const cache = join(tmpdir(), 'berth-compat')
const run = promisify(execFile)

/** Scripts of packages are not run, so that nothing is built or fetched but what the registry has. */
const npmFlags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--legacy-peer-deps', '--before', before]

async function outcomeOf(base: Parameters<typeof useOf>[0], wanted: Package): Promise<Outcome> {
  const folder = join(cache, plainName(wanted.name))
  const { entry, changed } = await writeModule(folder, wanted)
  const isInstalled = existsSync(join(folder, 'node_modules/.package-lock.json'))
  if (changed || !isInstalled) await run('npm', ['install', ...npmFlags], { cwd: folder })
  return useOf(base, relative(process.cwd(), folder), entry)
}

function say({ name, version }: Package, { code, why, warnings = [] }: Outcome, ms: number): void {
  console.log(`${code === undefined ? '✔' : '✖'} ${name}@${version}  ${ms} ms${code === undefined ? '' : `  ${code}`}`)
  for (const text of [...warnings, ...(why === undefined ? [] : [why])]) console.log(text.replaceAll(/^/gm, '    '))
}

/** Uses packages one after the other until none is left. */
async function work(base: Parameters<typeof useOf>[0], queue: Package[], results: Results): Promise<void> {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const startedAt = performance.now()
    try {
      const outcome = await outcomeOf(base, next)
      say(next, outcome, Math.round(performance.now() - startedAt))
      if (values.check && !isDeepStrictEqual(outcome, kept[next.name])) throw new Error('it is not what docs/packages.md says')
      results[next.name] = outcome
    } catch (error) {
      console.error(`✖ ${next.name}@${next.version}: ${messageOf(error)}`)
      process.exitCode = 1
    }
  }
}

/** The packages with these names, or all. Ends the process when there is no such package. */
function chosen(names: readonly string[]): Package[] {
  const unknown = names.find(name => !packages.some(each => each.name === name))
  if (unknown !== undefined) {
    console.error(`Cannot use "${unknown}": add it to scripts/compat/packages.json, and a script for it to scripts/compat/uses`)
    process.exit(2)
  }
  return packages.filter(({ name }) => names.length === 0 || names.includes(name))
}

const queue = chosen(values.only)
const results: Results = { ...kept }
const base = await launchBase()
try {
  await Promise.all(Array.from({ length: Number(values.jobs) }, () => work(base.client, queue, results)))
} finally {
  await base.kill()
}
if (!values.check) {
  // A package that is not in the list any more leaves the results too.
  const ordered = Object.fromEntries(packages.flatMap(({ name }) => (results[name] === undefined ? [] : [[name, results[name]]])))
  await writeFile(join(import.meta.dirname, 'results.json'), `${JSON.stringify(ordered, null, 2)}\n`)
  await writeFile(join(root, 'docs/packages.md'), page(results))
}
