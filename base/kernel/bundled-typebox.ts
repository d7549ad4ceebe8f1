/**
 * Imported for its effect, before any code that imports typebox: in a clone, typebox is then loaded from a bundle of a few files in place of its 680,
 * which cost each process 0.15 s of CPU. The bundle is made once for each version of typebox. Where it cannot be made, typebox is loaded as it is.
 * A package of this project has typebox in its own code.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire, registerHooks } from 'node:module'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { clone } from './installation.ts'

interface Manifest {
  readonly version: string
  readonly exports: Readonly<Record<string, unknown>>
}

const fileOf = (name: string): string => name.replaceAll('/', '-')

/** @returns whether the bundle has been written. A process that may write no file cannot. */
export function writeBundle(names: readonly string[], folder: string): boolean {
  const draft = `${folder}.${process.pid}`
  try {
    mkdirSync(draft, { recursive: true })
    const esbuild: typeof import('esbuild') = createRequire(import.meta.url)('esbuild')
    const { outputFiles } = esbuild.buildSync({
      entryPoints: Object.fromEntries(names.map(name => [fileOf(name), name])),
      absWorkingDir: import.meta.dirname,
      outdir: draft,
      outExtension: { '.js': '.mjs' },
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'node',
      logLevel: 'silent',
      write: false,
    })
    // On disk before the folder has its name: a power cut must not leave empty files in it.
    for (const { path, contents } of outputFiles) writeFileSync(join(draft, basename(path)), contents, { flush: true })
    renameSync(draft, folder)
    return true
  } catch {
    // The folder cannot be written, esbuild is not installed, or another process has written the same meanwhile.
    return existsSync(folder)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

function resolveFrom(folder: string, names: readonly string[]): void {
  const urls = new Map(names.map(name => [import.meta.resolve(name), pathToFileURL(join(folder, `${fileOf(name)}.mjs`)).href]))
  registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context)
      const url = urls.get(found.url)
      return url === undefined ? found : { ...found, url }
    },
  })
}

/** @param packages the folder of the packages. The bundle is kept in it, so that what removes them removes it, and that confined processes may read it. */
function useBundle(packages: string): void {
  const manifest = join(packages, 'typebox', 'package.json')
  if (!existsSync(manifest)) return
  const { version, exports }: Manifest = JSON.parse(readFileSync(manifest, 'utf8'))
  // All entries, since they share state.
  const names = Object.keys(exports).map(path => path.replace('.', 'typebox'))
  const folder = join(packages, '.cache', 'berth', `typebox-${version}`)
  if (existsSync(folder) || writeBundle(names, folder)) resolveFrom(folder, names)
}

if (clone !== undefined) useBundle(join(clone, 'node_modules'))
