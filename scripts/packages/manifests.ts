/** The package.json of each package, made from that of its sources. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type PackageName, root } from './compile.ts'

/** Where the sources of the packages are. */
export const sourceFolders: Readonly<Record<PackageName, string>> = { base: 'base', sdk: 'sdk', client: 'sdk/caller' }

interface Manifest {
  readonly name: string
  readonly version: string
  readonly description: string
  readonly license: string
  readonly type: string
  readonly exports: Readonly<Record<string, unknown>>
  readonly bin?: Readonly<Record<string, string>>
  readonly engines: Readonly<Record<string, string>>
  readonly sideEffects?: boolean
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

/** What each package offers, compiled. */
const offers: Readonly<Record<PackageName, Readonly<Record<string, unknown>>>> = {
  base: {
    './services': { types: './types/services.d.ts', default: './lib/services.js' },
    // The sdk starts on the Node.js of the base.
    './start-sdk': './bin/start-sdk.cjs',
  },
  sdk: {
    '.': { types: './types/index.d.ts' },
    './testing': { types: './types/testing.d.ts', default: './lib/testing.js' },
    './globals': { types: './types/slot/globals.d.ts' },
  },
  client: { '.': { types: './types/index.d.ts', default: './lib/index.js' } },
}

/** Dependencies that are not compiled into a package. */
const installed: Readonly<Record<PackageName, readonly string[]>> = { base: [], sdk: ['@berth/base', 'typescript'], client: [] }

export function sourceManifest(name: PackageName): Manifest {
  return JSON.parse(readFileSync(join(root, sourceFolders[name], 'package.json'), 'utf8')) as Manifest
}

/** @param repository the URL of the repository, which a registry compares with the one that an attestation names */
export function manifestOf(name: PackageName, repository: string | undefined): object {
  const { exports: _, dependencies = {}, optionalDependencies, ...own } = sourceManifest(name)
  const kept = Object.fromEntries(Object.entries(dependencies).filter(([other]) => installed[name].includes(other)))
  const programs = name === 'sdk' ? compilersOf() : optionalDependencies
  return {
    ...own,
    exports: { './package.json': './package.json', ...offers[name] },
    ...(name === 'sdk' && { imports: { '#esbuild': './esbuild/lib/main.js' } }),
    ...(repository !== undefined && { repository: { type: 'git', url: repository } }),
    publishConfig: { access: 'public', provenance: true },
    ...(Object.keys(kept).length > 0 && { dependencies: kept }),
    ...(programs !== undefined && { optionalDependencies: programs }),
  }
}

/** The programs of esbuild, one for each platform that the sdk runs on. Its JavaScript is part of the sdk. */
function compilersOf(): Record<string, string> {
  const { optionalDependencies = {} } = JSON.parse(readFileSync(join(root, 'node_modules/esbuild/package.json'), 'utf8')) as Manifest
  const platforms = ['darwin-arm64', 'linux-arm64', 'linux-x64', 'win32-x64']
  return Object.fromEntries(platforms.map(platform => [`@esbuild/${platform}`, optionalDependencies[`@esbuild/${platform}`] ?? '']))
}
