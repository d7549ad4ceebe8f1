/** What is in the packages, and that a base runs from one. All else about how they run is tried by the tutorial. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { callScene, makeScene, startBase, tempFolder, until } from '../../test/support/base.ts'
import { builtPackages } from '../../test/support/packages.ts'
import { compile, type PackageName, root } from './compile.ts'
import { faultsOf } from './contents.ts'
import { costOf } from './costs.ts'
import { sourceManifest } from './manifests.ts'
import { filesIn, type Provenance } from './provenance.ts'

const built = await builtPackages()
const names = Object.keys(built) as PackageName[]

const textOf = (name: PackageName, file: string): string => readFileSync(join(built[name].folder, file), 'utf8')
const jsonOf = <T>(name: PackageName, file: string): T => JSON.parse(textOf(name, file)) as T
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

interface Manifest {
  readonly version: string
  readonly exports: Readonly<Record<string, unknown>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly scripts?: unknown
  readonly publishConfig: unknown
}

test('each package has the files that belong to it and no others, and no path of the machine that built it', async () => {
  for (const made of Object.values(built)) assert.deepEqual(await faultsOf(made), [])
})

test('the packages have one version, need nothing but programs for the platform and each other, and run nothing when they are installed', () => {
  const manifests = Object.fromEntries(names.map(name => [name, jsonOf<Manifest>(name, 'package.json')])) as Record<PackageName, Manifest>
  const { version } = manifests.base
  const dependencies = names.map(name => ({ ...manifests[name].dependencies, ...manifests[name].optionalDependencies }))
  const { typescript, esbuild } = sourceManifest('sdk').dependencies ?? {}
  const compilers = ['darwin-arm64', 'linux-arm64', 'linux-x64', 'win32-x64'].map(platform => [`@esbuild/${platform}`, esbuild])
  assert.deepEqual(dependencies, [
    sourceManifest('base').optionalDependencies,
    { '@berth/base': version, typescript, ...Object.fromEntries(compilers) },
    {},
  ])
  for (const manifest of Object.values(manifests)) {
    assert.equal(manifest.version, version)
    assert.equal(manifest.scripts, undefined)
    assert.deepEqual(manifest.publishConfig, { access: 'public', provenance: true })
  }
})

test('a package offers what its sources offer, and every file that it names is there', () => {
  for (const name of names) {
    const { exports } = jsonOf<Manifest>(name, 'package.json')
    const missing = Object.keys(sourceManifest(name).exports).filter(path => !Object.hasOwn(exports, path))
    assert.deepEqual(missing, [], `@berth/${name}`)
    for (const [target = ''] of JSON.stringify(exports).matchAll(/(?<=")\.\/[^"]+\.\w+(?=")/g))
      readFileSync(join(built[name].folder, target))
  }
})

test('the licence of all code of others that is in a package is in it, and no development dependency is', () => {
  type Lock = { readonly packages: Readonly<Record<string, { readonly dev?: boolean }>> }
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock
  for (const name of names) {
    const parts = Object.keys(built[name].parts).filter(part => part !== '')
    const others = parts.map(part => part.replace(/^.*node_modules\//, ''))
    assert.deepEqual(
      parts.filter(part => packages[part]?.dev !== undefined),
      [],
    )
    const unnamed = others.filter(other => !textOf(name, 'THIRD-PARTY-LICENSES').includes(`\n${other} `))
    assert.deepEqual(unnamed, [], `@berth/${name}`)
  }
})

test('the licences of what the scripts of isolates hold are in the package of the base', () => {
  const folder = join(built.base.folder, 'lib/inside/built')
  const heads = readdirSync(folder).flatMap(file => /^\/\/ It holds (\S+) \(/m.exec(readFileSync(join(folder, file), 'utf8'))?.[1] ?? [])
  assert.ok(heads.length > 3, 'the scripts say what they hold')
  const licences = textOf('base', 'THIRD-PARTY-LICENSES')
  assert.deepEqual(
    heads.filter(name => !licences.includes(`\n${name} `)),
    [],
  )
})

test('a base and all that it needs beside Node.js has at most 40 MB', async () => {
  const [whole] = await costOf(built.base)
  assert.deepEqual(jsonOf<Manifest>('base', 'package.json').dependencies, undefined)
  assert.ok((whole?.bytes ?? Number.NaN) <= 40e6, JSON.stringify(whole))
})

test('commands that read no scene file load no schemas, which take a tenth of a second', () => {
  const loadsSchemas = (entry: string): boolean => {
    const folder = join(built.sdk.folder, 'lib/chunks')
    const file = readdirSync(folder).find(name => new RegExp(`^${entry}-[A-Z0-9]+\\.js$`).test(name))
    assert.ok(file !== undefined, entry)
    return [...loadedWith(folder, file)].some(name => /^\/\/ node_modules\/typebox\//m.test(readFileSync(join(folder, name), 'utf8')))
  }
  assert.deepEqual(['context', 'scene', 'params', 'version', 'invoke', 'scene-file'].filter(loadsSchemas), ['scene-file'])
})

/** The files that are loaded with this one: it, what it imports, and so on. Files that are imported only when they are needed are none of them. */
function loadedWith(folder: string, file: string, loaded = new Set<string>()): ReadonlySet<string> {
  loaded.add(file)
  const imports = readFileSync(join(folder, file), 'utf8').matchAll(/^(?:import |\} from |import \{.*\} from )"\.\/([^"]+)";/gm)
  for (const [, other = ''] of imports) if (!loaded.has(other)) loadedWith(folder, other, loaded)
  return loaded
}

test('the provenance of a package names its sources, what made it, and the digest of every file', () => {
  for (const name of names) {
    const { subject, predicate } = jsonOf<Provenance>(name, 'provenance.json')
    const files = filesIn(built[name].folder).filter(file => file !== 'provenance.json')
    assert.deepEqual(
      subject.map(({ name: file, digest }) => [file, digest.sha256]),
      files.map(file => [file, sha256(readFileSync(join(built[name].folder, file)))]),
    )
    const [sources, lock] = predicate.buildDefinition.resolvedDependencies
    assert.match(sources.digest.gitCommit ?? 'none', /^([0-9a-f]{40}|none)$/)
    assert.equal(lock.digest.sha256, sha256(readFileSync(join(root, 'package-lock.json'))))
    assert.deepEqual(Object.keys(predicate.runDetails.builder.version), ['node', 'npm', 'esbuild'])
  }
})

test('the same sources compile to the same bytes in another folder, and npm packs the same files to the same bytes', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-packages-'))
  t.after(() => rmSync(folder, { recursive: true }))
  await compile('sdk', join(folder, 'sdk'))
  const { subject } = jsonOf<Provenance>('sdk', 'provenance.json')
  const digests = new Map(subject.map(({ name, digest }) => [name, digest.sha256]))
  const different = filesIn(join(folder, 'sdk')).filter(file => digests.get(file) !== sha256(readFileSync(join(folder, 'sdk', file))))
  assert.deepEqual(different, [])
  const npm = ['pack', '--ignore-scripts', '--pack-destination', folder, built.sdk.folder]
  execFileSync('npm', npm, { cwd: folder, stdio: 'ignore', shell: process.platform === 'win32' })
  const [packed] = readdirSync(folder).filter(file => file.endsWith('.tgz'))
  assert.deepEqual(readFileSync(join(folder, packed ?? '')), readFileSync(built.sdk.tarball))
})

test('a base from a package goes on with its own code when another version is installed over it', { timeout: 60_000 }, async t => {
  const [folder, cache] = [await tempFolder(), await tempFolder()]
  const project = join(folder, 'node_modules/@berth/base')
  cpSync(built.base.folder, project, { recursive: true })
  const base = await startBase(t, { project, env: { ...process.env, NODE_COMPILE_CACHE: cache } })
  await makeScene(base.client, 'echo', { rank: 'x => x' })

  for (const name of readdirSync(project)) rmSync(join(project, name), { recursive: true })
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: '@berth/base', version: '9.0.0', exports: { './package.json': './package.json' } }),
  )
  const { cells, keeper } = await base.client.status()
  const seen = base.log.length
  for (const pid of [cells[0]?.pid ?? 0, keeper.pid]) process.kill(pid, 'SIGKILL')
  await base.logged(line => line.msg === 'cell ready', seen)
  await base.logged(line => line.msg === 'cell connected', seen)
  await until(async () => (await callScene(base, 'echo', 1)).status === 200)
  // What is published is tried in a process that the new keeper starts.
  await makeScene(base.client, 'later', { rank: 'x => x' })
  assert.equal((await callScene(base, 'later', 1)).status, 200)
})
