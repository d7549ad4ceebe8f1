/**
 * Turns a module folder into the one script that a base loads.
 *
 * The bundle is a classic script in strict mode. Its completion value is an object with the stages that `berth.stages` in package.json lists. It
 * contains everything it needs: npm dependencies, JSON and text files are inlined, so that nothing is left to import.
 */
import { createHash } from 'node:crypto'
import { relative } from 'node:path'
import type { Metafile } from 'esbuild'
import { limits } from '../../base/kernel/limits.ts'
import { SdkError } from '../sdk-error.ts'
import { type Compiled, type Compiler, openCompiler, type Sources } from './compile/compile.ts'
import { frames } from './explain/explain.ts'
import { dependencyOf, ENTRY, fileOf, isFile } from './inputs.ts'
import { type BundleManifest, locateModule, type ModuleFolder, readPackage } from './manifest.ts'
import { originsOf, usesOfNativeCode, withPackages } from './package-origins.ts'
import { ownTypeScriptConfig, readTypeScriptConfig, withoutStrictMode } from './tsconfig.ts'

export type { BundleManifest } from './manifest.ts'

export interface Bundle {
  readonly manifest: BundleManifest
  /** The script. The same sources give the same bytes, wherever the folder is. */
  readonly code: string
  /** sha256 of the UTF-8 bytes of `code`, hex. */
  readonly digest: string
  /** Bytes of `code` in UTF-8. */
  readonly bytes: number
  /** A source map (version 3) that contains the sources; their paths are relative to the folder. */
  readonly sourceMap: string
  /** sha256 of the UTF-8 bytes of `sourceMap`, hex. */
  readonly sourceMapDigest: string
  /** Every file that the bundle is made of, including package.json and tsconfig.json; paths are sorted and relative to the folder. */
  readonly inputs: readonly string[]
  /** Whether package.json is part of the code, as when the module imports it. Otherwise the code is the same whatever its version is. */
  readonly containsPackage: boolean
  /** How many bytes of the code each part takes, the largest first. A part is a file of the module or a whole npm package. */
  readonly parts: readonly BundlePart[]
  /** What may be wrong with the module, and what will not work of its dependencies; each with its code frame. */
  readonly warnings: readonly string[]
}

export interface BundleOptions {
  /** Colours code frames for a terminal. @default false */
  readonly color?: boolean
  /** Makes a bundle in whose lines a debugger can stop. It does the same as another, and has other bytes. @default false */
  readonly forDebugger?: boolean
}

export interface BundlePart {
  readonly name: string
  readonly bytes: number
}

export interface Bundler {
  /**
   * Bundles the module as it is in its folder now. Only files that have changed since the last time are compiled again.
   * @throws SdkError `PACKAGE_INVALID`, `ENTRY_NOT_FOUND`, `BUILTIN_IMPORTED`, `MODULE_LOAD_AWAITS`, `IMPORT_DYNAMIC`, `IMPORT_OUTSIDE`, `COMPILE_FAILED`,
   * `MODULE_EXPORT_MISSING`, `MODULE_EXPORTS_NOTHING` or `BUNDLE_TOO_LARGE`; an error in the code names its file and line and has the code frame
   */
  bundle(): Promise<Bundle>
  /** Releases what is kept between two bundles. Idempotent. */
  close(): Promise<void>
}

/** Opens a bundler that bundles the module in `folder` repeatedly. Call `bundle` again only after the call before has settled. */
export function openBundler(folder: string, { color = false, forDebugger = false }: BundleOptions = {}): Bundler {
  let open: { readonly key: string; readonly compiler: Compiler } | undefined
  let working: Promise<unknown> = Promise.resolve()
  const dispose = async () => {
    const disposing = open
    open = undefined
    await disposing?.compiler.dispose()
  }
  const bundle = async () => {
    const sources = await readSources(folder, color, forDebugger)
    const key = keyOf(sources)
    if (open?.key !== key) {
      await dispose()
      open = { key, compiler: await openCompiler(sources) }
    }
    return makeBundle(sources, await open.compiler.compile())
  }
  return {
    bundle: () => {
      const made = bundle()
      working = made.catch(() => undefined)
      return made
    },
    // It waits for a bundle that is being made, because that might open a compiler later, which would keep the process from ending.
    close: () => working.then(dispose),
  }
}

/** Bundles the module in `folder` once, and keeps nothing. @throws the errors of `Bundler.bundle` */
export async function bundleModule(folder: string, options: BundleOptions = {}): Promise<Bundle> {
  const bundler = openBundler(folder, options)
  try {
    return await bundler.bundle()
  } finally {
    await bundler.close()
  }
}

async function readSources(folder: string, color: boolean, forDebugger: boolean): Promise<Sources> {
  const module = await locateModule(folder, color)
  const contents = await readPackage(module)
  const path = ownTypeScriptConfig(module.folder, contents.entry)
  const config = path === undefined ? undefined : await readTypeScriptConfig(path)
  return { module, contents, forDebugger, config, configForBuild: config && (await withoutStrictMode(config)) }
}

/** What a compiler is made for. The files that it compiles may change. */
function keyOf({ module, contents, config }: Sources): string {
  return JSON.stringify([module.folder, contents.manifest.stages, contents.entry, contents.substitutes, config])
}

async function makeBundle({ module, contents, config }: Sources, compiled: Compiled): Promise<Bundle> {
  const { code, metafile, warnings } = compiled
  const bytes = Buffer.byteLength(code)
  const parts = partsOf(metafile)
  if (bytes > limits.module.bundleBytesMax) throw tooLarge(module, bytes, parts)
  const origins = originsOf(metafile, ENTRY)
  const sourceMap = await withPackages(module.folder, compiled.sourceMap, metafile, origins)
  const configs = (config?.files ?? []).map(file => relative(module.folder, file).replaceAll('\\', '/'))
  const files = Object.keys(metafile.inputs).filter(isFile).map(fileOf)
  return {
    manifest: contents.manifest,
    code,
    digest: sha256(code),
    bytes,
    sourceMap,
    sourceMapDigest: sha256(sourceMap),
    inputs: [...new Set(['package.json', ...configs, ...files])].sort(),
    containsPackage: files.includes('package.json'),
    parts,
    warnings: await frames(module, 'warning', [...usesOfNativeCode(origins), ...warnings]),
  }
}

function partsOf(metafile: Metafile): BundlePart[] {
  const bytesOf = new Map<string, number>()
  for (const [file, { bytesInOutput }] of Object.entries(metafile.outputs['bundle.js']?.inputs ?? {})) {
    if (!isFile(file)) continue
    const name = dependencyOf(file) ?? fileOf(file)
    bytesOf.set(name, (bytesOf.get(name) ?? 0) + bytesInOutput)
  }
  return [...bytesOf].map(([name, bytes]) => ({ name, bytes })).sort((a, b) => b.bytes - a.bytes)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function tooLarge(module: ModuleFolder, bytes: number, parts: readonly BundlePart[]): SdkError {
  const largest = parts.slice(0, 5).map(part => `${part.bytes.toLocaleString('en')}  ${part.name}`)
  const sizes = `${bytes.toLocaleString('en')} bytes, and ${limits.module.bundleBytesMax.toLocaleString('en')} are allowed`
  return new SdkError('BUNDLE_TOO_LARGE', `Cannot bundle "${module.shown}": it has ${sizes}`, {
    hint: 'Leave out what the module does not need; move big tables out of the bundle.',
    details: `The largest parts of it:\n${largest.join('\n')}`,
  })
}
