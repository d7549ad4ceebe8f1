/** The three packages as they would be published, for tests. They are built once for each state of the sources, whatever number of test files ask for them. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type BuiltPackages, buildPackages } from '../../scripts/packages/packages.ts'
import { root } from './base.ts'

const cache = join(root, 'node_modules/.cache/berth')
const LOOK_MS = 100
/** Milliseconds after which a build that is not done is taken for one that was killed. */
const GIVEN_UP_MS = 120_000
/** Milliseconds for which what was built is kept, at least. It is longer than `npm run test:install` takes. */
const KEPT_MS = 3_600_000
const BUILT_FILE = 'built.json'

let found: Promise<BuiltPackages> | undefined

/** The packages, built from the sources as they are. Their files may only be read. */
export function builtPackages(): Promise<BuiltPackages> {
  found ??= buildOnce(join(cache, `packages-${digestOfSources().slice(0, 24)}`))
  return found
}

async function buildOnce(folder: string): Promise<BuiltPackages> {
  const lock = `${folder}.lock`
  await mkdir(cache, { recursive: true })
  for (;;) {
    if (existsSync(join(folder, BUILT_FILE))) return JSON.parse(await readFile(join(folder, BUILT_FILE), 'utf8')) as BuiltPackages
    if (await isOurs(lock)) break
    await delay(LOOK_MS)
  }
  try {
    removeEarlier()
    const built = await buildPackages(folder)
    await writeFile(`${folder}.json`, JSON.stringify(built))
    await rename(`${folder}.json`, join(folder, BUILT_FILE))
    return built
  } finally {
    await rm(lock, { recursive: true, force: true })
  }
}

/** Takes the lock, unless another process has it. */
async function isOurs(lock: string): Promise<boolean> {
  try {
    await mkdir(lock)
    return true
  } catch {
    const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
    if (age > GIVEN_UP_MS) await rm(lock, { recursive: true, force: true })
    return false
  }
}

/** Removes what was built from earlier states of the sources. Of what is new, another process may still install. */
function removeEarlier(): void {
  for (const name of readdirSync(cache).filter(name => /^packages-\w+$/.test(name))) {
    const path = join(cache, name)
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)
    if (age > KEPT_MS) rmSync(path, { recursive: true, force: true })
  }
}

/** Of everything that a package is made of, and of how it is made. */
function digestOfSources(): string {
  const hash = createHash('sha256')
  const below = ['base', 'sdk', 'bin', 'scripts/packages'].flatMap(folder =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map(name => join(folder, name)),
  )
  const files = [
    ...below.filter(name => /\.(ts|cjs|js|json|md)$/.test(name) && !/\.test(-d)?\.ts$|\bnode_modules\b/.test(name)),
    'package-lock.json',
    'LICENSE',
  ]
  for (const file of files.sort()) hash.update(`\0${file}\0`).update(readFileSync(join(root, file)))
  return hash.digest('hex')
}
