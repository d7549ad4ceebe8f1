/** What the packages cost: files and bytes, packed and installed, and the parts that they are made of. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { renderColumns } from '../../base/kernel/columns.ts'
import { root } from './compile.ts'
import type { BuiltPackage, BuiltPackages } from './packages.ts'
import { filesIn } from './provenance.ts'

/** Parts of a package that are smaller are added up. */
const SMALL_BYTES = 100_000

export interface Cost {
  readonly what: string
  readonly files: number
  readonly bytes: number
  readonly packed?: number
}

/** A table for people. */
export async function costs(built: BuiltPackages): Promise<string> {
  const rows: Cost[] = []
  for (const made of Object.values(built)) rows.push(...(await costOf(made)))
  rows.push(...(await installedBeside()))
  const text = rows.map(({ what, files, bytes, packed }) => [
    what,
    files === 0 ? '' : String(files),
    megabytes(bytes),
    packed === undefined ? '' : megabytes(packed),
  ])
  return renderColumns(['part', 'files', 'installed MB', 'packed MB'], text)
}

/** @returns the whole package, what its folders have, and of which packages its code is made */
export async function costOf({ name, folder, tarball, parts }: BuiltPackage): Promise<Cost[]> {
  const files = await filesWithBytes(folder)
  const tops = Map.groupBy(files, ({ path }) => (path.includes('/') ? (path.split('/')[0] ?? '') : ''))
  const large = Object.entries(parts)
    .filter(([part, bytes]) => part === '' || bytes >= SMALL_BYTES)
    .sort(([, a], [, b]) => b - a)
  const others = Object.entries(parts).filter(([part, bytes]) => part !== '' && bytes < SMALL_BYTES)
  return [
    { what: name, files: files.length, bytes: sum(files), packed: (await stat(tarball)).size },
    ...[...tops].map(([top, list]) => ({ what: `  ${top === '' ? 'documents' : `${top}/`}`, files: list.length, bytes: sum(list) })),
    ...large.map(([part, bytes]) => ({
      what: `    compiled: ${part === '' ? 'this project' : part.replace(/^.*node_modules\//, '')}`,
      files: 0,
      bytes,
    })),
    ...(others.length === 0
      ? []
      : [{ what: `    compiled: ${others.length} smaller packages`, files: 0, bytes: sum(others.map(([, bytes]) => ({ bytes }))) }]),
  ]
}

/** What npm installs beside the packages on this platform. */
async function installedBeside(): Promise<Cost[]> {
  const platform = `${process.platform}-${process.arch}`
  const node = (await readdir(join(root, 'node_modules'))).find(
    name => name.startsWith('node-') && name.endsWith(platform.replace('win32', 'win')),
  )
  const [typescript, headers] = [`@typescript/typescript-${platform}`, `${node}/include`]
  const named = [
    [`${node} (beside @berth/base)`, node],
    ['  of that its headers', headers],
    ['typescript (beside @berth/sdk)', 'typescript'],
    [`${typescript} (beside it)`, typescript],
    [`@esbuild/${platform} (beside @berth/sdk)`, `@esbuild/${platform}`],
  ] as const
  return Promise.all(named.map(async ([what, path]) => sizeOf(what, join(root, 'node_modules', path ?? ''))))
}

async function sizeOf(what: string, folder: string): Promise<Cost> {
  const files = await filesWithBytes(folder)
  return { what, files: files.length, bytes: sum(files) }
}

interface Sized {
  readonly bytes: number
}

async function filesWithBytes(folder: string): Promise<(Sized & { readonly path: string })[]> {
  return Promise.all(filesIn(folder).map(async path => ({ path, bytes: (await stat(join(folder, path))).size })))
}

const sum = (list: readonly Sized[]): number => list.reduce((total, { bytes }) => total + bytes, 0)

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2)
