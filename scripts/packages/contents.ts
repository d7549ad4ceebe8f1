/** What may be in a package. Everything else in it is a fault: a test, a fixture, a path of the machine that built it. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join, sep } from 'node:path'
import { promisify } from 'node:util'
import { type PackageName, root } from './compile.ts'
import type { BuiltPackage } from './packages.ts'

/** In every package. */
const common = ['package.json', 'README.md', 'LICENSE', 'provenance.json']

/** Files by their path, where `*` stands for any part of a name. Each pattern has to have a file. */
const expected: Readonly<Record<PackageName, readonly string[]>> = {
  base: [
    'THIRD-PARTY-LICENSES',
    ...['base', 'host', 'launch', 'parent', 'start-sdk', 'with-parent'].map(name => `bin/${name}.cjs`),
    ...['main', 'services', 'keeper/source-map-worker', 'chunks/*'].flatMap(name => [`lib/${name}.js`, `lib/${name}.js.map`]),
    'lib/process/from-snapshot.cjs',
    ...['encodings', 'input-module', 'inside', 'multibyte', 'schema-check', 'stacks', 'url', '*'].map(
      name => `lib/inside/built/${name}.js`,
    ),
    ...['darwin-arm64', 'linux-arm64', 'linux-x64', 'win32-x64'].map(platform => `native/${platform}.node`),
    ...['favicon-16x16.png', 'favicon-32x32.png', 'index.css', 'logo.svg'].map(file => `static/${file}`),
    ...['swagger-ui-bundle.js', 'swagger-ui-standalone-preset.js', 'swagger-ui.css'].map(file => `static/${file}`),
    'types/services.d.ts',
    ...['Dockerfile', 'Dockerfile.dockerignore', 'kubernetes.yaml', 'seccomp.json'].map(file => `deploy/${file}`),
    ...['berth.service', 'berth-backup.service', 'berth-backup.timer'].map(unit => `deploy/${unit}`),
    ...['grafana/berth.json', 'prometheus/alerts.yml', 'prometheus/scrape.yml'].map(file => `deploy/${file}`),
  ],
  sdk: [
    'THIRD-PARTY-LICENSES',
    'bin/sdk.cjs',
    ...['sdk', 'testing', 'test-hook', 'chunks/*'].flatMap(name => [`lib/${name}.js`, `lib/${name}.js.map`]),
    'lib/stand-in.js',
    ...['esbuild/lib/main.js', 'esbuild/package.json'],
    ...['index', 'testing', 'slot/globals', 'slot/types/node/index'].map(name => `types/${name}.d.ts`),
  ],
  client: ['lib/index.js', 'lib/index.js.map', 'types/index.d.ts'],
}

/**
 * What is wrong with the contents of a package, one sentence each.
 * @param made whose tarball is read, since that is what npm installs
 */
export async function faultsOf({ name, tarball, folder }: BuiltPackage): Promise<string[]> {
  const { stdout } = await promisify(execFile)('tar', ['-tzf', tarball])
  const files = stdout
    .trim()
    .split('\n')
    .map(path => path.replace(/^package\//, ''))
  const patterns = [...common, ...expected[name.replace('@berth/', '') as PackageName]]
  const matchers = patterns.map(pattern => new RegExp(`^${pattern.split('*').map(RegExp.escape).join('[^/]+')}$`))
  const foreign = files.filter(file => !matchers.some(matcher => matcher.test(file)))
  const missing = patterns.filter((_, i) => !files.some(file => matchers[i]?.test(file)))
  // What a base is run with names folders of the machine that it will run on.
  const made = files.filter(file => !file.startsWith('deploy/'))
  const revealing = await Promise.all(made.map(async file => ((await hasMachinePath(join(folder, file))) ? [file] : [])))
  return [
    ...foreign.map(file => `${name} has a file that does not belong: ${file}`),
    ...missing.map(file => `${name} lacks a file: ${file}`),
    ...revealing.flat().map(file => `${name} has a path of this machine in ${file}`),
  ]
}

/** With a separator at the end, since "/root" and "/tmp" are also the beginnings of words. */
const machinePaths = [root, homedir(), tmpdir()].map(path => path + sep)

async function hasMachinePath(file: string): Promise<boolean> {
  const bytes = await readFile(file)
  return machinePaths.some(path => bytes.includes(path))
}
