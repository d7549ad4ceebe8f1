/** The packages of the compatibility table: what `packages.json` names, and the folders in which they are installed. */
import { readFileSync } from 'node:fs'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface Package {
  readonly area: string
  readonly name: string
  /** The exact version. */
  readonly version: string
  /** Exact versions of other packages that its script imports, by name. */
  readonly with?: Readonly<Record<string, string>>
  /** The `tsconfig.json` of its module. */
  readonly tsconfig?: object
  /** What its user has to know, or why it does not work, for the page. */
  readonly note?: string
  /** More members of `berth` in the `package.json` of its module. */
  readonly berth?: object
}

interface Listed {
  /** A date. No dependency of a package is newer, so that the same files are installed every time. */
  readonly before: string
  readonly packages: readonly Package[]
}

const here = import.meta.dirname
export const { before, packages } = JSON.parse(readFileSync(join(here, 'packages.json'), 'utf8')) as Listed

/** `@turf/turf` becomes `turf-turf`: the name of its script, its module and its scene. */
export const plainName = (name: string): string => name.replace(/^@/, '').replaceAll(/[/.]/g, '-').toLowerCase()

/** Packages that work with the decorators of TypeScript are used in TypeScript. */
const scriptOf = ({ name, tsconfig }: Package): string => `${plainName(name)}.${tsconfig === undefined ? 'js' : 'ts'}`

/**
 * Writes the module of a package into a folder: its `package.json`, and the script that uses the package as its entry file.
 * @returns the path of the entry file, and whether `package.json` differs from what was there
 */
export async function writeModule(folder: string, wanted: Package): Promise<{ readonly entry: string; readonly changed: boolean }> {
  const script = scriptOf(wanted)
  const main = script.endsWith('.ts') ? 'index.ts' : 'index.js'
  const manifest = {
    name: plainName(wanted.name),
    version: '1.0.0',
    private: true,
    type: 'module',
    main,
    berth: { stages: ['use'], ...wanted.berth },
    dependencies: { [wanted.name]: wanted.version, ...wanted.with },
  }
  const text = `${JSON.stringify(manifest, null, 2)}\n`
  const path = join(folder, 'package.json')
  await mkdir(folder, { recursive: true })
  const changed = (await readFile(path, 'utf8').catch(() => undefined)) !== text
  await writeFile(path, text)
  await copyFile(join(here, 'uses', script), join(folder, main))
  if (wanted.tsconfig !== undefined) await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(wanted.tsconfig))
  return { entry: join(folder, main), changed }
}
