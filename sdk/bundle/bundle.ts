/**
 * Turns a module folder into the one script that a base loads.
 *
 * The bundle is a classic script in strict mode. Its completion value is an object with the stages that `berth.stages` in package.json lists. It
 * contains everything it needs: npm dependencies, JSON and text files are inlined, so that nothing is left to import.
 */
import { createHash } from 'node:crypto'
import { join, normalize } from 'node:path'
import {
  type BuildContext,
  type BuildFailure,
  type BuildOptions,
  type BuildResult,
  build,
  context,
  type Loader,
  type Message,
  type Metafile,
} from 'esbuild'
import { limits } from '../../base/kernel/limits.ts'
import { SdkError } from '../sdk-error.ts'
import { type Builtins, openBuiltins } from './builtins.ts'
import { explain, frames } from './explain.ts'
import { importsOf, injection } from './inject.ts'
import { type BundleManifest, locateModule, type ModuleFolder, type Package, readPackage, type Substitutes } from './manifest.ts'
import { dependencyOf } from './packages.ts'
import { roundedJson } from './rounded-json.ts'
import { warningsOfWebAssembly } from './webassembly.ts'

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
  /** Every file that the bundle is made of, including package.json; paths are sorted and relative to the folder. */
  readonly inputs: readonly string[]
  /** How many bytes of the code each part takes, the largest first. A part is a file of the module or a whole npm package. */
  readonly parts: readonly BundlePart[]
  /** What may be wrong with the module, and what will not work of its dependencies; each with its code frame. */
  readonly warnings: readonly string[]
}

export interface BundleOptions {
  /** Colours code frames for a terminal. @default false */
  readonly color?: boolean
}

export interface BundlePart {
  readonly name: string
  readonly bytes: number
}

export interface Bundler {
  /**
   * Bundles the module as it is in its folder now. Only files that have changed since the last time are compiled again.
   * @throws SdkError `PACKAGE_INVALID`, `ENTRY_NOT_FOUND`, `BUILTIN_IMPORTED`, `MODULE_LOAD_AWAITS`, `IMPORT_DYNAMIC`, `COMPILE_FAILED`,
   * `MODULE_EXPORT_MISSING`, `MODULE_EXPORTS_NOTHING` or `BUNDLE_TOO_LARGE`; an error in the code names its file and line and has the code frame
   */
  bundle(): Promise<Bundle>
  /** Releases what is kept between two bundles. Idempotent. */
  close(): Promise<void>
}

/** Opens a bundler that bundles the module in `folder` repeatedly. Call `bundle` again only after the call before has settled. */
export function openBundler(folder: string, { color = false }: BundleOptions = {}): Bundler {
  let compiler: Compiler | undefined
  let working: Promise<unknown> = Promise.resolve()
  const dispose = async () => {
    const disposing = compiler
    compiler = undefined
    await disposing?.context.dispose()
  }
  const bundle = async () => {
    const module = await locateModule(folder, color)
    const contents = await readPackage(module)
    const key = JSON.stringify([module.folder, contents.manifest.stages, contents.entry, contents.substitutes])
    if (compiler?.key !== key) {
      await dispose()
      compiler = await openCompiler(key, module, contents)
    }
    return makeBundle(module, contents, await compile(module, contents, compiler))
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

async function makeBundle(module: ModuleFolder, { manifest }: Package, { code, sourceMap, metafile, warnings }: Compiled): Promise<Bundle> {
  const bytes = Buffer.byteLength(code)
  const parts = partsOf(metafile)
  if (bytes > limits.module.bundleBytesMax) throw tooLarge(module, bytes, parts)
  return {
    manifest,
    code,
    digest: sha256(code),
    bytes,
    sourceMap,
    sourceMapDigest: sha256(sourceMap),
    inputs: ['package.json', ...Object.keys(metafile.inputs).filter(isFile)].sort(),
    parts,
    warnings: await frames(module, 'warning', [...warnings, ...warningsOfWebAssembly(code, sourceMap)]),
  }
}

function partsOf(metafile: Metafile): BundlePart[] {
  const bytesOf = new Map<string, number>()
  for (const [file, { bytesInOutput }] of Object.entries(metafile.outputs['bundle.js']?.inputs ?? {})) {
    if (!isFile(file)) continue
    const name = dependencyOf(file) ?? file
    bytesOf.set(name, (bytesOf.get(name) ?? 0) + bytesInOutput)
  }
  return [...bytesOf].map(([name, bytes]) => ({ name, bytes })).sort((a, b) => b.bytes - a.bytes)
}

// Compiling

const textLoaders = Object.fromEntries(
  ['.txt', '.md', '.sql', '.csv', '.tsv', '.html', '.xml', '.yaml', '.yml', '.graphql'].map(extension => [extension, 'text' as Loader]),
)

/** The name of the generated entry file in messages and in the source map. */
const ENTRY = 'berth.stages'

/** The options that decide what modules may use; `optionsOf` adds those for the form of the output. */
function baseOptions(module: ModuleFolder, { alias, define, inject }: Substitutes, builtins: Builtins): BuildOptions {
  return {
    absWorkingDir: module.folder,
    outfile: 'bundle.js',
    write: false,
    // esbuild refuses an output path that is also an input. Nothing is written here, so a module may have a file of that name.
    allowOverwrite: true,
    metafile: true,
    bundle: true,
    treeShaking: true,
    target: 'esnext',
    // Under `browser`, packages ship a build that works without Node.js. `worker` is preferred where a package has both, because it uses no DOM.
    platform: 'browser',
    conditions: ['worker'],
    define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis', ...define },
    alias,
    plugins: [builtins.plugin, injection(module.folder, inject), roundedJson],
    loader: textLoaders,
    // Otherwise the code would have comments with paths that depend on where dependencies are installed.
    minifyWhitespace: true,
    // A CPU profile knows only the line of a sample, not the column, so the code must not be on a single line.
    lineLimit: 100,
    sourcemap: 'external',
    sourcesContent: true,
    charset: 'utf8',
    legalComments: 'none',
    // A tsconfig.json above the folder must not change the bytes. Imports that are used only as types are removed, with or without `type`.
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: false } },
    logLevel: 'silent',
    logOverride: { 'unsupported-dynamic-import': 'warning', 'unsupported-require-call': 'warning' },
  }
}

interface Compiled {
  readonly code: string
  readonly sourceMap: string
  readonly metafile: Metafile
  readonly warnings: readonly Message[]
}

/** A compiler that keeps what it has parsed. It can be used as long as what its key was made of is the same. */
interface Compiler {
  readonly key: string
  readonly context: BuildContext
  readonly builtins: Builtins
}

async function openCompiler(key: string, module: ModuleFolder, contents: Package): Promise<Compiler> {
  const builtins = openBuiltins(module.folder)
  return { key, builtins, context: await context(optionsOf(module, contents, builtins)) }
}

function optionsOf(module: ModuleFolder, { manifest: { stages }, entry, substitutes }: Package, builtins: Builtins): BuildOptions {
  return {
    ...baseOptions(module, substitutes, builtins),
    // Only declared stages are exported: a missing one is an error here, and other exports (for tests, say) are removed by tree shaking.
    stdin: {
      contents: `${importsOf(substitutes.inject)}export { ${stages.join(', ')} } from ${JSON.stringify(pathOf(entry))}`,
      resolveDir: module.folder,
      sourcefile: ENTRY,
    },
    format: 'iife',
    globalName: 'stages',
    // A function around the script keeps its `var`s from being shared by all modules of a group, and makes the stages its completion value.
    banner: { js: '(()=>{"use strict";' },
    footer: { js: 'return stages})()' },
  }
}

async function compile(module: ModuleFolder, contents: Package, compiler: Compiler): Promise<Compiled> {
  const result = await rebuild(compiler).catch(async error => {
    throw isBuildFailure(error) ? await explainFailure(module, contents, compiler, error.errors) : error
  })
  const metafile = result.metafile as Metafile
  // The entry is looked up by the path at which esbuild found it, because it may be a link to a file elsewhere.
  const found = metafile.inputs[ENTRY]?.imports.find(({ original }) => original === pathOf(contents.entry))
  // esbuild treats a file without imports and exports as CommonJS, and therefore does not notice that the stages are missing.
  if (metafile.inputs[found?.path ?? '']?.format === undefined) throw exportsNothing(module, contents)
  const own = result.warnings.filter(({ location }) => dependencyOf(location?.file ?? '') === undefined)
  const dynamic = own.filter(isDynamic)
  if (dynamic.length > 0) throw await explain(module, contents, dynamic)
  const text = (end: string) => result.outputFiles?.find(file => file.path.endsWith(end))?.text ?? ''
  // Warnings of esbuild about the code of packages are left out, because the author of a module cannot mend it.
  const warnings = [...own, ...compiler.builtins.warnings(metafile.outputs)]
  return { ...withGlobals(text('bundle.js'), text('bundle.js.map'), Object.keys(contents.substitutes.inject)), metafile, warnings }
}

/** Whether a path to import is known only while the code runs. In a package, such code may never run. */
function isDynamic({ id }: Message): boolean {
  return id === 'unsupported-dynamic-import' || id === 'unsupported-require-call'
}

/** The function that `require` is for what is not in the bundle. Packages look at the code of its error to find out that they have to do without. */
const REQUIRE = `path=>{throw Object.assign(new Error("Cannot find module '"+path+"': a slot has only what is in the bundle"),{code:"MODULE_NOT_FOUND"})}`

/** Puts the variables around the script that it uses as globals. The first line is added, so the source map moves down by one. */
function withGlobals(code: string, sourceMap: string, injected: readonly string[]): Pick<Compiled, 'code' | 'sourceMap'> {
  if (injected.length === 0 && !code.includes('var __require=')) return { code, sourceMap }
  const around = `((${['require', ...injected].join(',')})=>\n${code.trimEnd()}\n)(${REQUIRE})\n`
  return { code: around, sourceMap: sourceMap.replace(/"mappings": ?"/, '$&;') }
}

/** Builds again as long as a build has found built-ins that need a stand-in. */
async function rebuild({ context, builtins }: Compiler): Promise<BuildResult> {
  try {
    return await context.rebuild()
  } catch (error) {
    if (!isBuildFailure(error) || !builtins.replace(error.errors)) throw error
  }
  return context.rebuild()
}

/** The path of the entry as it is imported. */
function pathOf(entry: string): string {
  return `./${normalize(entry).replaceAll('\\', '/')}`
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && 'errors' in error && Array.isArray(error.errors)
}

/** Whether an input is a file, and not a text that the bundler or esbuild has made. */
function isFile(input: string): boolean {
  return input !== ENTRY && !/^(\(disabled\)|<define|berth-[a-z-]+):/.test(input)
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

function explainFailure(module: ModuleFolder, contents: Package, { builtins }: Compiler, messages: readonly Message[]): Promise<SdkError> {
  return messages[0]?.location?.file === ENTRY ? explainExports(module, contents, builtins) : explain(module, contents, messages)
}

async function explainExports(module: ModuleFolder, contents: Package, builtins: Builtins): Promise<SdkError> {
  const { manifest, entry, substitutes } = contents
  const { metafile } = await build({ ...baseOptions(module, substitutes, builtins), entryPoints: [entry], format: 'esm', metafile: true })
  const exported = metafile.outputs['bundle.js']?.exports ?? []
  if (exported.length === 0) return exportsNothing(module, contents)
  const missing = manifest.stages.filter(stage => !exported.includes(stage)).join(', ')
  const message = `Cannot bundle "${module.shown}": ${join(module.shown, entry)} does not export ${missing}, which berth.stages in package.json declares`
  return new SdkError('MODULE_EXPORT_MISSING', message, {
    hint: `Export a function of that name, or change berth.stages; it exports: ${exported.join(', ')}.`,
  })
}

function exportsNothing(module: ModuleFolder, { manifest: { stages }, entry }: Package): SdkError {
  return new SdkError('MODULE_EXPORTS_NOTHING', `Cannot bundle "${module.shown}": ${join(module.shown, entry)} exports nothing`, {
    hint: `Export one function for each stage in berth.stages: ${stages.join(', ')}.`,
  })
}
