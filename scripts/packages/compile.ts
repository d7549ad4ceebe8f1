/** Compiles the three packages. Third-party code becomes part of what is compiled; who made it comes out, so that its licences can be collected. */
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { type BuildOptions, build, type Metafile, type OutputFile, type Plugin, transform } from 'esbuild'

export const root = join(import.meta.dirname, '../..')

export type PackageName = 'base' | 'sdk' | 'client'

/** The Node.js that a base and the sdk run on. */
const TARGET = 'node26'

/** What CommonJS that becomes part of an ES module takes for granted. Each name is one that no source uses. */
const COMMON_JS = `import { createRequire as berthRequire } from 'node:module'
const require = berthRequire(import.meta.url), __filename = import.meta.filename, __dirname = import.meta.dirname`

const forNode: BuildOptions = {
  absWorkingDir: root,
  // Source maps say where the sources are from here. So they are the same wherever the package is written to.
  outdir: join(root, 'lib'),
  write: false,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: TARGET,
  chunkNames: 'chunks/[name]-[hash]',
  sourcemap: 'linked',
  // All licences are in one file.
  legalComments: 'none',
  charset: 'utf8',
  metafile: true,
  logLevel: 'warning',
  banner: { js: COMMON_JS },
}

/** Platforms that a base runs on, and the addon of isolated-vm for each, for the ABI of the Node.js of the base. */
const addons: Readonly<Record<string, string>> = {
  'linux-x64': 'abi147.glibc',
  'linux-arm64': 'abi147.glibc',
  'darwin-arm64': 'abi147',
  'win32-x64': 'abi147',
}

/** What the page of the control API loads. */
const swaggerFiles = [
  ...['swagger-ui.css', 'index.css', 'favicon-16x16.png', 'favicon-32x32.png', 'logo.svg'],
  ...['swagger-ui-bundle.js', 'swagger-ui-standalone-preset.js'],
]

/** Files of `deploy/` with which a base is run as a service. What tests them is left out. */
const deployFiles = [
  ...[
    'Dockerfile',
    'Dockerfile.dockerignore',
    'berth.service',
    'berth-backup.service',
    'berth-backup.timer',
    'kubernetes.yaml',
    'seccomp.json',
  ],
  ...['grafana/berth.json', 'prometheus/alerts.yml', 'prometheus/scrape.yml'],
].map(file => `deploy/${file}`)

/**
 * Compiles a package into its folder.
 * @returns the files that it was made of, from the root of the sources, with the bytes that each has become
 */
export async function compile(name: PackageName, folder: string): Promise<ReadonlyMap<string, number>> {
  const made = await { base: compileBase, sdk: compileSdk, client: compileClient }[name](folder)
  return bytesOf(made)
}

async function compileBase(folder: string): Promise<Metafile> {
  const { metafile, outputFiles } = await build({
    ...forNode,
    entryPoints: [
      { in: 'base/main.ts', out: 'main' },
      { in: 'base/services/contract.ts', out: 'services' },
      { in: 'base/keeper/source-map-worker.ts', out: 'keeper/source-map-worker' },
    ],
    alias: { 'isolated-vm': join(root, 'scripts/packages/isolated-vm.ts') },
    // The package "debug" does without it where it is not installed.
    external: ['supports-color'],
    plugins: [swaggerPaths],
  })
  await writeOutput(outputFiles, folder)
  for (const file of await readdir(join(root, 'bin'))) if (file !== 'sdk.cjs') await copy(`bin/${file}`, join(folder, 'bin', file))
  await copy('base/process/from-snapshot.cjs', join(folder, 'lib/process/from-snapshot.cjs'))
  for (const file of await readdir(join(root, 'base/inside/built')))
    await copy(`base/inside/built/${file}`, join(folder, 'lib/inside/built', file))
  for (const file of swaggerFiles) await copy(`node_modules/@fastify/swagger-ui/static/${file}`, join(folder, 'static', file))
  for (const file of deployFiles) await copy(file, join(folder, file))
  for (const [platform, addon] of Object.entries(addons))
    await copy(`node_modules/isolated-vm/prebuilds/${platform}/isolated-vm.${addon}.node`, join(folder, 'native', `${platform}.node`))
  return metafile as Metafile
}

/** The files of the page are read relative to the code of the package, which is elsewhere once it is part of a chunk. */
const swaggerPaths: Plugin = {
  name: 'swagger-paths',
  setup: ({ onLoad }) => {
    onLoad({ filter: /swagger-ui[\\/](index|lib[\\/]routes)\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8')
      const contents = text.replace(/path\.join\(__dirname, ('\.\/|'\.\.', ')static/, "path.join(__dirname, '../../static")
      if (contents === text) throw new Error(`Cannot compile ${path}: it does not read its files as it did`)
      return { contents, loader: 'js' }
    })
  },
}

async function compileSdk(folder: string): Promise<Metafile> {
  const { metafile, outputFiles } = await build({
    ...forNode,
    entryPoints: [
      { in: 'sdk/cli/sdk.ts', out: 'sdk' },
      { in: 'sdk/author/testing.ts', out: 'testing' },
      { in: 'sdk/author/test-hook.ts', out: 'test-hook' },
    ],
    // Only a slot for a debugger is in the sdk, and what stands in for it there is found when it is loaded.
    external: ['isolated-vm'],
    plugins: [carriedEsbuild],
  })
  await writeOutput(outputFiles, folder)
  // It runs only from a file of this name, and is CommonJS.
  await copy('node_modules/esbuild/lib/main.js', join(folder, 'esbuild/lib/main.js'))
  await writeFile(join(folder, 'esbuild/package.json'), '{ "type": "commonjs" }\n')
  await mkdir(join(folder, 'bin'), { recursive: true })
  await writeFile(join(folder, 'bin/sdk.cjs'), sdkBin, { mode: 0o755 })
  const standIn = await transform(await readFile(join(root, 'sdk/bundle/compile/stand-in.ts'), 'utf8'), { loader: 'ts', target: TARGET })
  await writeFile(join(folder, 'lib/stand-in.js'), standIn.code)
  return metafile as Metafile
}

/**
 * The sdk carries the JavaScript of esbuild as it is, and its package.json says where. The package esbuild itself has an install script, which package
 * managers refuse to run unless they are asked to.
 */
const carriedEsbuild: Plugin = {
  name: 'carried-esbuild',
  setup: ({ onResolve }) => onResolve({ filter: /^esbuild$/ }, () => ({ path: '#esbuild', external: true })),
}

const sdkBin = `#!/usr/bin/env node
'use strict'

const path = require('node:path')

require('@berth/base/start-sdk').startSdk(path.join(__dirname, '..', 'lib', 'sdk.js'))
`

/** Fails when the client uses anything that browsers lack, as its types do, which are made without those of Node.js. */
async function compileClient(folder: string): Promise<Metafile> {
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['sdk/caller/index.ts'],
    outfile: join(root, 'lib/index.js'),
    write: false,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    sourcemap: 'linked',
    metafile: true,
    logLevel: 'warning',
  })
  await writeOutput(outputFiles, folder)
  return metafile as Metafile
}

/** @param from relative to the root of the sources */
async function copy(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  await copyFile(join(root, from), to)
}

async function writeOutput(files: readonly OutputFile[] | undefined, folder: string): Promise<void> {
  for (const { path, contents } of files ?? []) {
    const target = join(folder, relative(root, path))
    await mkdir(dirname(target), { recursive: true })
    await writeFile(target, path.endsWith('.map') ? ownSources(contents) : contents)
  }
}

/** A source map keeps the text of this project only: that of other packages is most of it, and nobody reads it there. */
function ownSources(contents: Uint8Array): string {
  const map = JSON.parse(new TextDecoder().decode(contents)) as { sources: string[]; sourcesContent: (string | null)[] }
  map.sourcesContent = map.sourcesContent.map((text, i) => (map.sources[i]?.includes('node_modules/') ? null : text))
  return JSON.stringify(map)
}

function bytesOf({ outputs }: Metafile): Map<string, number> {
  const bytes = new Map<string, number>()
  for (const { inputs } of Object.values(outputs))
    for (const [path, { bytesInOutput }] of Object.entries(inputs))
      if (bytesInOutput > 0) bytes.set(path, (bytes.get(path) ?? 0) + bytesInOutput)
  return bytes
}
