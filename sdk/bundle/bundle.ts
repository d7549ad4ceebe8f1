/**
 * Turns a module folder into the one script that a base loads.
 *
 * The bundle is a classic script in strict mode; its completion value is an object with the stages that `berth.stages` in package.json
 * lists. It carries everything it needs: npm dependencies, JSON and text are inlined, nothing is left to import.
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
import { type BundleManifest, type Package, type Place, placeOf, readPackage } from './manifest.ts'

export type { BundleManifest } from './manifest.ts'

export interface Bundle {
  readonly manifest: BundleManifest
  /** The same sources give the same bytes, wherever the folder is. */
  readonly code: string
  /** sha256 of the UTF-8 bytes of `code`, hex. */
  readonly digest: string
  /** Bytes of `code` in UTF-8. */
  readonly bytes: number
  /** Source map v3 with the sources in it, their paths relative to the folder. */
  readonly sourceMap: string
  /** sha256 of the UTF-8 bytes of `sourceMap`, hex. */
  readonly sourceMapDigest: string
  /** Every file the bundle is made of, relative to the folder, sorted; package.json included. */
  readonly inputs: readonly string[]
  /** What takes how many bytes of the code, the most first: files of the module, and npm packages as a whole. */
  readonly parts: readonly BundlePart[]
  /** What esbuild finds suspicious, each with its code frame. */
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
   * Bundles the module as it is in its folder now. Compiles again only what has changed since the last time.
   * @throws SdkError `PACKAGE_INVALID`, `ENTRY_NOT_FOUND`, `BUILTIN_IMPORTED`, `MODULE_LOAD_AWAITS`, `IMPORT_DYNAMIC`, `COMPILE_FAILED`,
   * `MODULE_EXPORT_MISSING`, `MODULE_EXPORTS_NOTHING` or `BUNDLE_TOO_LARGE`; errors in code name file and line and carry the code frame.
   */
  bundle(): Promise<Bundle>
  /** Lets go of what is kept between two bundles. Idempotent. */
  close(): Promise<void>
}

/** Bundles the module in `folder` as often as it is asked to; `bundle` is called again only when the one before has settled. */
export function openBundler(folder: string, { color = false }: BundleOptions = {}): Bundler {
  let compiler: Compiler | undefined
  let working: Promise<unknown> = Promise.resolve()
  const dispose = async () => {
    const disposing = compiler
    compiler = undefined
    await disposing?.context.dispose()
  }
  const bundle = async () => {
    const place = await placeOf(folder, color)
    const contents = await readPackage(place)
    const key = JSON.stringify([place.folder, contents.manifest.stages, contents.entry])
    if (compiler?.key !== key) {
      await dispose()
      compiler = { key, context: await context(optionsOf(place, contents)) }
    }
    const { rebuild } = compiler.context
    return makeBundle(place, contents, await compile(place, contents, rebuild))
  }
  return {
    bundle: () => {
      const made = bundle()
      working = made.catch(() => undefined)
      return made
    },
    // A compiler that is opened after it was closed would keep the process from ending.
    close: () => working.then(dispose),
  }
}

/** Bundles the module in `folder` once, and keeps nothing. @throws as `Bundler.bundle` */
export async function bundleModule(folder: string, { color = false }: BundleOptions = {}): Promise<Bundle> {
  const place = await placeOf(folder, color)
  const contents = await readPackage(place)
  return makeBundle(place, contents, await compile(place, contents, () => build(optionsOf(place, contents))))
}

async function makeBundle(place: Place, { manifest }: Package, { code, sourceMap, metafile, warnings }: Compiled): Promise<Bundle> {
  const bytes = Buffer.byteLength(code)
  const parts = partsOf(metafile)
  if (bytes > limits.module.bundleBytesMax) throw tooLarge(place, bytes, parts)
  return {
    manifest,
    code,
    digest: sha256(code),
    bytes,
    sourceMap,
    sourceMapDigest: sha256(sourceMap),
    inputs: ['package.json', ...Object.keys(metafile.inputs).filter(isFile)].sort(),
    parts,
    warnings: await frames(place, 'warning', warnings),
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

/** Name of the generated entry in messages and in the source map. */
const ENTRY = 'berth.stages'

/** Options that decide what modules may use, without the form of the output. */
function baseOptions(place: Place): BuildOptions {
  return {
    absWorkingDir: place.folder,
    outfile: 'bundle.js',
    write: false,
    // Nothing is written, so a module may well have a file of that name.
    allowOverwrite: true,
    metafile: true,
    bundle: true,
    treeShaking: true,
    target: 'esnext',
    // Packages ship a build for places without Node under this name; `worker` before `browser` keeps the DOM out where they differ.
    platform: 'browser',
    conditions: ['worker'],
    define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
    loader: textLoaders,
    // Without it the bytes hold comments with paths that depend on where dependencies are installed.
    minifyWhitespace: true,
    // A profile says the line of a sample and no more: on a single line that would be nothing.
    lineLimit: 100,
    sourcemap: 'external',
    sourcesContent: true,
    charset: 'utf8',
    legalComments: 'none',
    // What a tsconfig.json above the folder says must not change the bytes. Imports used only as types vanish, with or without `type`.
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

/** Remembers what it has parsed for as long as it is asked for the same stages of the same entry. */
interface Compiler {
  readonly key: string
  readonly context: BuildContext
}

function optionsOf(place: Place, { manifest: { stages }, entry }: Package): BuildOptions {
  return {
    ...baseOptions(place),
    // Only declared stages are exported: a missing one fails here, and what else is exported, for tests say, can be shaken off.
    stdin: {
      contents: `export { ${stages.join(', ')} } from ${JSON.stringify(`./${posix(entry)}`)}`,
      resolveDir: place.folder,
      sourcefile: ENTRY,
    },
    format: 'iife',
    globalName: 'stages',
    // A `var` at the top would be shared by every module of a group, and its completion value is empty.
    banner: { js: '(()=>{"use strict";' },
    footer: { js: 'return stages})()' },
  }
}

async function compile(place: Place, { manifest: { stages }, entry }: Package, run: () => Promise<BuildResult>): Promise<Compiled> {
  const result = await run().catch(async error => {
    throw isBuildFailure(error) ? await explain(place, stages, entry, error.errors) : error
  })
  const metafile = result.metafile as Metafile
  // By the path that esbuild found it at: the entry may be a link to a file elsewhere.
  const [found] = metafile.inputs[ENTRY]?.imports ?? []
  // A file without import and export counts as CommonJS, whose exports are known only once it runs.
  if (metafile.inputs[found?.path ?? '']?.format === undefined) throw exportsNothing(place, stages, entry)
  const text = (end: string) => result.outputFiles?.find(file => file.path.endsWith(end))?.text ?? ''
  return { code: text('bundle.js'), sourceMap: text('bundle.js.map'), metafile, warnings: result.warnings }
}

/** The entry as esbuild names it. */
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

function tooLarge(place: Place, bytes: number, parts: readonly BundlePart[]): SdkError {
  const largest = parts.slice(0, 5).map(part => `${part.bytes.toLocaleString('en')}  ${part.name}`)
  const sizes = `${bytes.toLocaleString('en')} bytes, and ${limits.module.bundleBytesMax.toLocaleString('en')} are allowed`
  return new SdkError('BUNDLE_TOO_LARGE', `Cannot bundle "${place.shown}": it has ${sizes}`, {
    hint: 'Leave out what the module does not need; move big tables out of the bundle.',
    details: `The largest parts of it:\n${largest.join('\n')}`,
  })
}

// Explaining what esbuild refused

interface Finding {
  readonly code: SdkCode
  readonly text: string
  readonly hint: string
}

/** The error that stands for all messages: its code and advice are those of the first. */
async function explain(place: Place, stages: readonly string[], entry: string, messages: readonly Message[]): Promise<SdkError> {
  const [first] = messages
  if (first?.location?.file === ENTRY) return explainExports(place, stages, entry)
  const findings = messages.map(classify)
  const reworded = messages.map((message, i) => ({ ...message, text: findings[i]?.text ?? message.text, notes: [] }))
  const { code, text, hint } = findings[0] ?? { code: 'COMPILE_FAILED', text: 'esbuild failed without a message', hint: '' }
  const more = messages.length > 1 ? ` (and ${messages.length - 1} more)` : ''
  return new SdkError(code, `Cannot bundle "${place.shown}": ${where(place, first)}${text}${more}`, {
    hint,
    details: (await frames(place, 'error', reworded)).join('\n'),
  })
}

function where(place: Place, message: Message | undefined): string {
  const location = message?.location
  return location ? `${join(place.shown, location.file)}:${location.line}:${location.column + 1}: ` : ''
}

async function frames(place: Place, kind: 'error' | 'warning', messages: readonly Message[]): Promise<string[]> {
  const shown = messages.map(({ location, ...message }) => ({
    ...message,
    location: location ? { ...location, file: join(place.shown, location.file) } : null,
  }))
  const formatted = await formatMessages(shown, { kind, color: place.color, terminalWidth: 120 })
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

/** What to do without a builtin, where the answer is not "leave it out". */
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

/** The npm package that a file belongs to, undefined for the module's own. */
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

async function explainExports(place: Place, stages: readonly string[], entry: string): Promise<SdkError> {
  const { metafile } = await build({ ...baseOptions(place), entryPoints: [entry], format: 'esm', metafile: true })
  const exported = metafile.outputs['bundle.js']?.exports ?? []
  if (exported.length === 0) return exportsNothing(place, stages, entry)
  const missing = stages.filter(stage => !exported.includes(stage)).join(', ')
  const message = `Cannot bundle "${place.shown}": ${join(place.shown, entry)} does not export ${missing}, which berth.stages in package.json declares`
  return new SdkError('MODULE_EXPORT_MISSING', message, {
    hint: `Export a function of that name, or change berth.stages; it exports: ${exported.join(', ')}.`,
  })
}

function exportsNothing(place: Place, stages: readonly string[], entry: string): SdkError {
  return new SdkError('MODULE_EXPORTS_NOTHING', `Cannot bundle "${place.shown}": ${join(place.shown, entry)} exports nothing`, {
    hint: `Export one function for each stage in berth.stages: ${stages.join(', ')}.`,
  })
}
