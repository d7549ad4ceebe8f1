/**
 * Turns a module folder into the one script that a base loads.
 *
 * The bundle is a classic script in strict mode. Its completion value is an object with the stages that `berth.stages` in package.json lists. It
 * contains everything it needs: npm dependencies, JSON and text files are inlined, so that nothing is left to import.
 */
import { createHash } from 'node:crypto'
import { isBuiltin } from 'node:module'
import { join, normalize } from 'node:path'
import {
  type BuildContext,
  type BuildFailure,
  type BuildOptions,
  type BuildResult,
  build,
  context,
  formatMessages,
  type Loader,
  type Message,
  type Metafile,
} from 'esbuild'
import { limits } from '../../base/kernel/limits.ts'
import { type SdkCode, SdkError } from '../sdk-error.ts'
import { type BundleManifest, locateModule, type ModuleFolder, type Package, readPackage } from './manifest.ts'

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
  /** The warnings of esbuild, each with its code frame. */
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
    const key = JSON.stringify([module.folder, contents.manifest.stages, contents.entry])
    if (compiler?.key !== key) {
      await dispose()
      compiler = { key, context: await context(optionsOf(module, contents)) }
    }
    const { rebuild } = compiler.context
    return makeBundle(module, contents, await compile(module, contents, rebuild))
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
export async function bundleModule(folder: string, { color = false }: BundleOptions = {}): Promise<Bundle> {
  const module = await locateModule(folder, color)
  const contents = await readPackage(module)
  return makeBundle(module, contents, await compile(module, contents, () => build(optionsOf(module, contents))))
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
    warnings: await frames(module, 'warning', warnings),
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
function baseOptions(module: ModuleFolder): BuildOptions {
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
    define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
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
    logOverride: { 'unsupported-dynamic-import': 'error', 'unsupported-require-call': 'error' },
  }
}

interface Compiled {
  readonly code: string
  readonly sourceMap: string
  readonly metafile: Metafile
  readonly warnings: readonly Message[]
}

/** A compiler that keeps what it has parsed. It can be used as long as the stages and the entry file (the key) are the same. */
interface Compiler {
  readonly key: string
  readonly context: BuildContext
}

function optionsOf(module: ModuleFolder, { manifest: { stages }, entry }: Package): BuildOptions {
  return {
    ...baseOptions(module),
    // Only declared stages are exported: a missing one is an error here, and other exports (for tests, say) are removed by tree shaking.
    stdin: {
      contents: `export { ${stages.join(', ')} } from ${JSON.stringify(`./${posix(entry)}`)}`,
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

async function compile(module: ModuleFolder, { manifest: { stages }, entry }: Package, run: () => Promise<BuildResult>): Promise<Compiled> {
  const result = await run().catch(async error => {
    throw isBuildFailure(error) ? await explain(module, stages, entry, error.errors) : error
  })
  const metafile = result.metafile as Metafile
  // The entry is looked up by the path at which esbuild found it, because it may be a link to a file elsewhere.
  const [found] = metafile.inputs[ENTRY]?.imports ?? []
  // esbuild treats a file without imports and exports as CommonJS, and therefore does not notice that the stages are missing.
  if (metafile.inputs[found?.path ?? '']?.format === undefined) throw exportsNothing(module, stages, entry)
  const text = (end: string) => result.outputFiles?.find(file => file.path.endsWith(end))?.text ?? ''
  return { code: text('bundle.js'), sourceMap: text('bundle.js.map'), metafile, warnings: result.warnings }
}

/** The path of the entry in the form that esbuild uses. */
function posix(entry: string): string {
  return normalize(entry).replaceAll('\\', '/')
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && 'errors' in error && Array.isArray(error.errors)
}

function isFile(input: string): boolean {
  return input !== ENTRY && !input.startsWith('(disabled):')
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

// Explaining the errors of esbuild

interface Finding {
  readonly code: SdkCode
  readonly text: string
  readonly hint: string
}

/** One error for all messages of esbuild, with the code and the hint of the first. */
async function explain(module: ModuleFolder, stages: readonly string[], entry: string, messages: readonly Message[]): Promise<SdkError> {
  const [first] = messages
  if (first?.location?.file === ENTRY) return explainExports(module, stages, entry)
  const findings = messages.map(classify)
  const reworded = messages.map((message, i) => ({ ...message, text: findings[i]?.text ?? message.text, notes: [] }))
  const { code, text, hint } = findings[0] ?? { code: 'COMPILE_FAILED', text: 'esbuild failed without a message', hint: '' }
  const more = messages.length > 1 ? ` (and ${messages.length - 1} more)` : ''
  return new SdkError(code, `Cannot bundle "${module.shown}": ${where(module, first)}${text}${more}`, {
    hint,
    details: (await frames(module, 'error', reworded)).join('\n'),
  })
}

function where(module: ModuleFolder, message: Message | undefined): string {
  const location = message?.location
  return location ? `${join(module.shown, location.file)}:${location.line}:${location.column + 1}: ` : ''
}

async function frames(module: ModuleFolder, kind: 'error' | 'warning', messages: readonly Message[]): Promise<string[]> {
  const shown = messages.map(({ location, ...message }) => ({
    ...message,
    location: location ? { ...location, file: join(module.shown, location.file) } : null,
  }))
  const formatted = await formatMessages(shown, { kind, color: module.color, terminalWidth: 120 })
  return formatted.map(text => text.trimEnd())
}

function classify(message: Message): Finding {
  const { text, id, location } = message
  const dependency = location ? dependencyOf(location.file) : undefined
  const missing = /^Could not resolve "(.+)"$/.exec(text)?.[1]
  if (missing !== undefined) return classifyImport(missing, dependency)
  if (text.startsWith('Top-level await')) {
    return {
      code: 'MODULE_LOAD_AWAITS',
      text: `${dependency ? `the dependency "${dependency}"` : 'the module'} awaits at its top level, and a module is loaded in one synchronous step`,
      hint: 'Await inside a stage function; keep a promise in a variable of the module to do the work once.',
    }
  }
  if (id === 'unsupported-dynamic-import' || id === 'unsupported-require-call') {
    const what = id === 'unsupported-dynamic-import' ? 'import()' : 'require()'
    return {
      code: 'IMPORT_DYNAMIC',
      text: `${what} of a path that is only known while it runs, and a slot has no files to load it from`,
      hint: 'Import every candidate by its literal path and choose among them at run time.',
    }
  }
  return { code: 'COMPILE_FAILED', text, hint: 'Mend the code at the place that the message names.' }
}

function classifyImport(path: string, dependency: string | undefined): Finding {
  if (isBuiltin(path)) {
    const who = dependency ? `the dependency "${dependency}" imports` : 'imports'
    return {
      code: 'BUILTIN_IMPORTED',
      text: `${who} "${path}", which does not exist where modules run: a bare V8 isolate without Node.js, files or sockets`,
      hint: dependency
        ? `Use a build of "${dependency}" for browsers or edge runtimes, or another package.`
        : (instead[path.replace(/^node:/, '').split('/')[0] ?? ''] ??
          'Use plain JavaScript, or an npm package that works without Node.js.'),
    }
  }
  const hint = path.startsWith('.')
    ? 'Check the path, extension included.'
    : path.startsWith('#')
      ? `Only types come from "${path}": write "import type".`
      : `Install it with "npm install ${packageOf(path)}" where the module can find it.`
  return { code: 'COMPILE_FAILED', text: `cannot find "${path}"`, hint }
}

/** What to use instead of a built-in module of Node.js, where there is something better than plain JavaScript. */
const instead: Readonly<Record<string, string>> = {
  fs: "Import the file, so that it becomes part of the bundle: import data from './data.json' with { type: 'json' } (or 'text').",
  path: 'A module has no files, so it has no paths; import what it needs by relative path.',
  process: 'Take what varies from ctx.params; a module has no environment.',
  http: 'Use fetch, and list the host under berth.fetch in package.json; call other scenes of the base with ctx.call.',
  https: 'Use fetch, and list the host under berth.fetch in package.json; call other scenes of the base with ctx.call.',
  buffer: 'Use Uint8Array.',
  events: 'Install the npm package of that name: npm install events.',
  worker_threads: 'A slot is one thread; the base runs slots in parallel.',
}

/** The npm package that a file belongs to; undefined for the module's own files. */
function dependencyOf(file: string): string | undefined {
  const at = file.lastIndexOf('node_modules/')
  return at < 0 ? undefined : packageOf(file.slice(at + 'node_modules/'.length))
}

function packageOf(path: string): string {
  return path
    .split('/')
    .slice(0, path.startsWith('@') ? 2 : 1)
    .join('/')
}

async function explainExports(module: ModuleFolder, stages: readonly string[], entry: string): Promise<SdkError> {
  const { metafile } = await build({ ...baseOptions(module), entryPoints: [entry], format: 'esm', metafile: true })
  const exported = metafile.outputs['bundle.js']?.exports ?? []
  if (exported.length === 0) return exportsNothing(module, stages, entry)
  const missing = stages.filter(stage => !exported.includes(stage)).join(', ')
  const message = `Cannot bundle "${module.shown}": ${join(module.shown, entry)} does not export ${missing}, which berth.stages in package.json declares`
  return new SdkError('MODULE_EXPORT_MISSING', message, {
    hint: `Export a function of that name, or change berth.stages; it exports: ${exported.join(', ')}.`,
  })
}

function exportsNothing(module: ModuleFolder, stages: readonly string[], entry: string): SdkError {
  return new SdkError('MODULE_EXPORTS_NOTHING', `Cannot bundle "${module.shown}": ${join(module.shown, entry)} exports nothing`, {
    hint: `Export one function for each stage in berth.stages: ${stages.join(', ')}.`,
  })
}
