/** Compiles the three packages. Third-party code becomes part of what is compiled; who made it comes out, so that its licences can be collected. */
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type BuildOptions, build, type Metafile, type Plugin, transform } from 'esbuild'

export const root = join(import.meta.dirname, '../..')

export type PackageName = 'base' | 'sdk' | 'client'

/** The Node.js that a base and the sdk run on. */
const TARGET = 'node26'

/** What CommonJS that becomes part of an ES module takes for granted. Each name is one that no source uses. */
const COMMON_JS = `import { createRequire as berthRequire } from 'node:module'
const require = berthRequire(import.meta.url), __filename = import.meta.filename, __dirname = import.meta.dirname`

const forNode: BuildOptions = {
  absWorkingDir: root,
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

/**
 * Compiles a package into its folder.
 * @returns the files that it was made of, from the root of the sources, with the bytes that each has become
 */
export async function compile(name: PackageName, folder: string): Promise<ReadonlyMap<string, number>> {
  const made = await { base: compileBase, sdk: compileSdk, client: compileClient }[name](folder)
  return bytesOf(made)
}

async function compileBase(folder: string): Promise<Metafile> {
  const { metafile } = await build({
    ...forNode,
    outdir: join(folder, 'lib'),
    entryPoints: [
      { in: 'base/main.ts', out: 'main' },
      { in: 'base/services/contract.ts', out: 'services' },
      { in: 'base/keeper/source-map-worker.ts', out: 'keeper/source-map-worker' },
    ],
    alias: { 'isolated-vm': join(root, 'scripts/packages/isolated-vm.ts') },
    plugins: [swaggerPaths],
  })
  await copyBin(folder, ['base.cjs', 'launch.cjs', 'parent.cjs', 'start-sdk.cjs', 'with-parent.cjs'])
  await copy('base/process/from-snapshot.cjs', join(folder, 'lib/process/from-snapshot.cjs'))
  for (const file of await readdir(join(root, 'base/inside/built'))) await copy(`base/inside/built/${file}`, join(folder, 'lib/inside/built', file))
  for (const file of swaggerFiles) await copy(`node_modules/@fastify/swagger-ui/static/${file}`, join(folder, 'static', file))
  for (const [platform, addon] of Object.entries(addons))
    await copy(`node_modules/isolated-vm/prebuilds/${platform}/isolated-vm.${addon}.node`, join(folder, 'native', `${platform}.node`))
  await dropForeignSources(folder)
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
  const { metafile } = await build({
    ...forNode,
    outdir: join(folder, 'lib'),
    entryPoints: [
      { in: 'sdk/cli/sdk.ts', out: 'sdk' },
      { in: 'sdk/author/testing.ts', out: 'testing' },
      { in: 'sdk/author/test-hook.ts', out: 'test-hook' },
    ],
  })
  await mkdir(join(folder, 'bin'), { recursive: true })
  await writeFile(join(folder, 'bin/sdk.cjs'), sdkBin, { mode: 0o755 })
  const standIn = await transform(await readFile(join(root, 'sdk/bundle/compile/stand-in.ts'), 'utf8'), { loader: 'ts', target: TARGET })
  await writeFile(join(folder, 'lib/stand-in.js'), standIn.code)
  await dropForeignSources(folder)
  return metafile as Metafile
}

const sdkBin = `#!/usr/bin/env node
'use strict'

const path = require('node:path')

require('@berth/base/start-sdk').startSdk(path.join(__dirname, '..', 'lib', 'sdk.js'))
`

/** Fails when the client uses anything that browsers lack, as its types do, which are made without those of Node.js. */
async function compileClient(folder: string): Promise<Metafile> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['sdk/caller/index.ts'],
    outfile: join(folder, 'lib/index.js'),
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    sourcemap: 'linked',
    metafile: true,
    logLevel: 'warning',
  })
  await copy('sdk/caller/README.md', join(folder, 'README.md'))
  return metafile as Metafile
}

async function copyBin(folder: string, files: readonly string[]): Promise<void> {
  for (const file of files) await copy(`bin/${file}`, join(folder, 'bin', file))
}

/** @param from relative to the root of the sources */
async function copy(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  await copyFile(join(root, from), to)
}

/** Source maps keep the text of this project only: that of other packages is most of them, and nobody reads it there. */
async function dropForeignSources(folder: string): Promise<void> {
  const files = (await readdir(join(folder, 'lib'), { recursive: true })).filter(file => file.endsWith('.js.map'))
  for (const file of files) {
    const path = join(folder, 'lib', file)
    const map = JSON.parse(await readFile(path, 'utf8')) as { sources: string[]; sourcesContent: (string | null)[] }
    map.sourcesContent = map.sourcesContent.map((text, i) => (map.sources[i]?.includes('node_modules/') ? null : text))
    await writeFile(path, JSON.stringify(map))
  }
}

function bytesOf({ outputs }: Metafile): Map<string, number> {
  const bytes = new Map<string, number>()
  for (const { inputs } of Object.values(outputs))
    for (const [path, { bytesInOutput }] of Object.entries(inputs))
      if (bytesInOutput > 0) bytes.set(path, (bytes.get(path) ?? 0) + bytesInOutput)
  return bytes
}
