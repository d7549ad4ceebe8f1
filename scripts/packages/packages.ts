/** Makes the packages `@berth/base`, `@berth/sdk` and `@berth/client`, each as a folder and as the tarball that npm makes of it. */
import { execFile } from 'node:child_process'
import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { compile, type PackageName, root } from './compile.ts'
import { writeDeclarations } from './declarations.ts'
import { licencesOf } from './licences.ts'
import { manifestOf, sourceFolders, sourceManifest } from './manifests.ts'
import { PROVENANCE_FILE, provenanceOf } from './provenance.ts'

export interface BuiltPackage {
  /** With its scope. */
  readonly name: string
  readonly version: string
  /** What it is made of, absolute. */
  readonly folder: string
  /** What npm installs, absolute. */
  readonly tarball: string
  /** The bytes that each package, by its path in the sources, and the code of this project (`''`) have in what was compiled. */
  readonly parts: Readonly<Record<string, number>>
}

export type BuiltPackages = Readonly<Record<PackageName, BuiltPackage>>

/**
 * Writes the packages into a folder, which is emptied. The same sources give the same bytes.
 * @param repository URL that the manifests name
 * @throws Error when something does not compile, or has no licence
 */
export async function buildPackages(folder: string, repository?: string): Promise<BuiltPackages> {
  await rm(folder, { recursive: true, force: true })
  const npm = (await run(folder, 'npm', ['--version'])).trim()
  const made = (name: PackageName) => buildPackage(name, join(folder, name), npm, repository)
  const [base, sdk, client] = await Promise.all([made('base'), made('sdk'), made('client')])
  await run(folder, 'npm', ['pack', '--ignore-scripts', '--pack-destination', folder, ...[base, sdk, client].map(({ folder }) => folder)])
  return { base, sdk, client }
}

async function buildPackage(name: PackageName, folder: string, npm: string, repository: string | undefined): Promise<BuiltPackage> {
  await mkdir(folder, { recursive: true })
  const [inputs] = await Promise.all([compile(name, folder), writeDeclarations(name, join(folder, 'types'))])
  const licences = await licencesOf(name, inputs.keys())
  if (licences !== '') await writeFile(join(folder, 'THIRD-PARTY-LICENSES'), licences)
  await cp(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  await cp(join(root, sourceFolders[name], 'README.md'), join(folder, 'README.md'))
  await writeJson(join(folder, 'package.json'), manifestOf(name, repository))
  const manifest = sourceManifest(name)
  await writeJson(join(folder, PROVENANCE_FILE), provenanceOf(folder, manifest.name, manifest.version, npm))
  const tarball = join(folder, '..', `berth-${name}-${manifest.version}.tgz`)
  return { name: manifest.name, version: manifest.version, folder, tarball, parts: partsOf(inputs) }
}

const writeJson = (path: string, value: unknown): Promise<void> => writeFile(path, `${JSON.stringify(value, null, 2)}\n`)

function partsOf(inputs: ReadonlyMap<string, number>): Record<string, number> {
  const parts: Record<string, number> = {}
  for (const [path, bytes] of inputs) {
    const part = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? ''
    parts[part] = (parts[part] ?? 0) + bytes
  }
  return parts
}

async function run(cwd: string, command: string, args: readonly string[]): Promise<string> {
  await mkdir(cwd, { recursive: true })
  const { stdout } = await promisify(execFile)(command, [...args], { cwd, shell: process.platform === 'win32' })
  return stdout
}
