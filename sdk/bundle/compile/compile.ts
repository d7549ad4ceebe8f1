/** Runs esbuild on a module: the options that decide what modules may use, and what becomes of the output. */
import { stat } from 'node:fs/promises'
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
import { SdkError } from '../../sdk-error.ts'
import { explain } from '../explain/explain.ts'
import { dependencyOf, ENTRY } from '../inputs.ts'
import type { ModuleFolder, Package } from '../manifest.ts'
import type { TypeScriptConfig } from '../tsconfig.ts'
import { type Builtins, openBuiltins } from './builtins.ts'
import { checkInputs } from './check-inputs.ts'
import { syntaxErrorIn, usesOfWebAssembly } from './check-script.ts'
import { type CommonPlan, link, MODERN_REGISTRY, planCommon, registryOf } from './common-js.ts'
import { importsOf, injection } from './inject.ts'
import { inputMaps } from './input-maps.ts'
import { roundedJson } from './rounded-json.ts'
import { joinParts, type Script, withGlobals } from './script.ts'
import { strictText } from './strict-text.ts'

/** A module as it is in its folder now. */
export interface Sources {
  readonly module: ModuleFolder
  readonly contents: Package
  /** Whether lines stay as they are written, for a debugger. */
  readonly forDebugger: boolean
  readonly config: TypeScriptConfig | undefined
  /** The tsconfig.json that esbuild reads: that of the module, or one that stands for it. */
  readonly configForBuild: string | undefined
}

export interface Compiled extends Script {
  readonly metafile: Metafile
  readonly warnings: readonly Message[]
}

/** A compiler for one module. It keeps what it has parsed, so that from the second time on only files that have changed are compiled. */
export interface Compiler {
  /** @throws SdkError */
  compile(): Promise<Compiled>
  dispose(): Promise<void>
}

/** The bundle in one part. */
interface Whole {
  context: BuildContext
  reopen(): Promise<void>
}

export async function openCompiler(sources: Sources): Promise<Compiler> {
  const builtins = openBuiltins(sources.module.folder)
  const whole: Whole = {
    context: await context(wholeOptions(sources, builtins)),
    reopen: async () => {
      await whole.context.dispose()
      whole.context = await context(wholeOptions(sources, builtins))
    },
  }
  let parts: Parts | undefined
  const layOut = async (plan: CommonPlan): Promise<Script> => {
    if (parts?.key !== plan.key) {
      await parts?.dispose()
      parts = await openParts(sources, builtins, plan)
    }
    return parts.build()
  }
  return {
    compile: () => compile(sources, builtins, whole, layOut),
    dispose: async () => {
      await Promise.all([whole.context.dispose(), parts?.dispose()])
    },
  }
}

async function compile(
  sources: Sources,
  builtins: Builtins,
  whole: Whole,
  layOut: (plan: CommonPlan) => Promise<Script>,
): Promise<Compiled> {
  const { module, contents } = sources
  const explained = async (error: unknown): Promise<never> => {
    throw isBuildFailure(error) ? await explainFailure(sources, builtins, error.errors) : error
  }
  const result = await rebuild(whole, builtins).catch(explained)
  const metafile = result.metafile as Metafile
  checkExports(sources, metafile)
  checkInputs(module, metafile)
  // Warnings of esbuild about the code of packages are left out, because the author of a module cannot mend it.
  const own = result.warnings.filter(({ location }) => dependencyOf(location?.file ?? '') === undefined)
  const faults = own.filter(isFault)
  if (faults.length > 0) throw await explain(module, contents, faults)
  const output = scriptOf(result)
  const plan = planCommon(module.folder, metafile, output.code)
  const script = plan === undefined ? withGlobals(output, injectedBy(sources)) : await layOut(plan).catch(explained)
  const wrong = syntaxErrorIn(script)
  if (wrong !== undefined) throw await explain(module, contents, [wrong])
  const warnings = [...own, ...warningsOfConfig(sources), ...builtins.warnings(metafile), ...usesOfWebAssembly(script)]
  return { ...script, metafile, warnings }
}

/** Builds again when a build has found built-ins that need a stand-in, or calls of `require` that find nothing. */
async function rebuild(whole: Whole, builtins: Builtins): Promise<BuildResult> {
  try {
    return await whole.context.rebuild()
  } catch (error) {
    const next = isBuildFailure(error) ? builtins.replace(error.errors) : 'fail'
    if (next === 'fail') throw error
    if (next === 'reopen') await whole.reopen()
  }
  return rebuild(whole, builtins)
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && 'errors' in error && Array.isArray(error.errors)
}

function scriptOf({ outputFiles = [] }: BuildResult): Script {
  const text = (end: string) => outputFiles.find(file => file.path.endsWith(end))?.text ?? ''
  return { code: text('bundle.js'), sourceMap: text('bundle.js.map') }
}

const injectedBy = ({ contents }: Sources): string[] => Object.keys(contents.substitutes.inject)

/** Whether a warning of esbuild is an error here. They are none for esbuild, or it would look for them in packages too, where such code may never run. */
function isFault({ id, text }: Message): boolean {
  // An old esbuild does not know the newest targets, and needs them only for the way in which fields of classes work.
  if (id === 'tsconfig.json') return !text.startsWith('Unrecognized target')
  return id === 'unsupported-dynamic-import' || id === 'unsupported-require-call'
}

// Options

const textLoaders = Object.fromEntries(
  ['.txt', '.md', '.sql', '.csv', '.tsv', '.html', '.xml', '.yaml', '.yml', '.graphql'].map(extension => [extension, 'text' as Loader]),
)

/** The options that decide what modules may use. */
function baseOptions({ module, contents, configForBuild, forDebugger }: Sources, builtins: Builtins): BuildOptions {
  const { alias, define, inject } = contents.substitutes
  return {
    absWorkingDir: module.folder,
    outfile: 'bundle.js',
    write: false,
    // esbuild refuses an output path that is also an input. Nothing is written here, so a module may have a file of that name.
    allowOverwrite: true,
    metafile: true,
    bundle: true,
    treeShaking: true,
    // The V8 of slots has all that esbuild lets pass but decorators, and fields that are accessors, which belong to them. What V8 has is left as it
    // is: with the name of a Chrome as the target, esbuild would turn new regular expressions into calls of their constructor.
    target: 'esnext',
    supported: { decorators: false },
    // Under `browser`, packages ship a build that works without Node.js. `worker` is preferred where a package has both, because it uses no DOM.
    platform: 'browser',
    conditions: ['worker'],
    define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis', ...define },
    alias,
    plugins: [
      strictText(module.folder, Object.keys(textLoaders)),
      builtins.plugin,
      injection(module.folder, inject),
      roundedJson,
      inputMaps(module.folder),
    ],
    loader: textLoaders,
    // Otherwise the code would have comments with paths that depend on where dependencies are installed.
    minifyWhitespace: !forDebugger,
    // A CPU profile knows only the line of a sample, not the column, so the code must not be on a single line. But a line that ends anywhere has places
    // in it where a debugger never stops.
    lineLimit: forDebugger ? 0 : 100,
    sourcemap: 'external',
    sourcesContent: true,
    charset: 'utf8',
    legalComments: 'none',
    // Without a tsconfig.json of the module, imports that are used only as types are removed, with or without `type`.
    ...(configForBuild === undefined
      ? { tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: false } } }
      : { tsconfig: configForBuild }),
    logLevel: 'silent',
    logOverride: { 'unsupported-dynamic-import': 'warning', 'unsupported-require-call': 'warning' },
  }
}

/** The options for a bundle in one part, which is in strict mode. */
function wholeOptions(sources: Sources, builtins: Builtins): BuildOptions {
  const { module, contents } = sources
  const { stages } = contents.manifest
  return {
    ...baseOptions(sources, builtins),
    // Only declared stages are exported: a missing one is an error here, and other exports (for tests, say) are removed by tree shaking.
    stdin: {
      contents: `${importsOf(contents.substitutes.inject)}export { ${stages.join(', ')} } from ${JSON.stringify(pathOf(contents.entry))}`,
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

/** The path of the entry as it is imported. */
function pathOf(entry: string): string {
  return `./${normalize(entry).replaceAll('\\', '/')}`
}

/** The two parts of a bundle with CommonJS files in sloppy mode; see common-js.ts. */
interface Parts {
  readonly key: string
  build(): Promise<Script>
  dispose(): Promise<void>
}

async function openParts(sources: Sources, builtins: Builtins, plan: CommonPlan): Promise<Parts> {
  const { folder } = sources.module
  const base = baseOptions(sources, builtins)
  const whole = wholeOptions(sources, builtins)
  const contents = registryOf(plan, 'common')
  const imports = plan.modern.length === 0 ? '' : `import "${MODERN_REGISTRY}"; `
  const [common, modern] = await Promise.all([
    context({
      ...base,
      stdin: { contents, resolveDir: folder, sourcefile: 'berth.common' },
      format: 'iife',
      plugins: [link(folder, plan), ...(base.plugins ?? [])],
    }),
    context({
      ...whole,
      stdin: { ...whole.stdin, contents: `${imports}${whole.stdin?.contents}` },
      banner: { js: 'return(()=>{"use strict";' },
      plugins: [link(folder, plan), ...(base.plugins ?? [])],
    }),
  ])
  // The CommonJS part is mostly packages, which do not change while somebody works on a module, and takes longer than all else.
  const buildCommon = keptWhileUnchanged(plan.files, () => common.rebuild())
  return {
    key: plan.key,
    build: async () => {
      const [sloppy, strict] = await Promise.all([buildCommon(), modern.rebuild()])
      return joinParts(sloppy, scriptOf(strict), injectedBy(sources))
    },
    dispose: async () => {
      await Promise.all([common.dispose(), modern.dispose()])
    },
  }
}

/** Builds only when one of the files has changed since the last time. */
function keptWhileUnchanged(files: readonly string[], run: () => Promise<BuildResult>): () => Promise<Script> {
  let kept: { readonly stamp: string; readonly script: Script } | undefined
  return async () => {
    // It is made before the files are read, so that it is another one the next time if a file changes meanwhile.
    const stamp = await stampOf(files)
    if (kept?.stamp !== stamp) kept = { stamp, script: scriptOf(await run()) }
    return kept.script
  }
}

/** What changes when one of the files does. */
async function stampOf(files: readonly string[]): Promise<string> {
  const stats = await Promise.all(files.map(file => stat(file).catch(() => undefined)))
  return stats.map(found => `${found?.size} ${found?.mtimeMs} ${found?.ctimeMs} ${found?.ino}`).join()
}

function warningsOfConfig({ module, config }: Sources): Message[] {
  if (config?.compilerOptions.emitDecoratorMetadata !== true) return []
  const text =
    'tsconfig.json has "emitDecoratorMetadata", which has no effect in bundles: decorators get no types of parameters and properties. Give packages that read them (with reflect-metadata) the types by hand, and take the option away.'
  return [
    {
      id: '',
      pluginName: '',
      text: text.replace('tsconfig.json', join(module.shown, 'tsconfig.json')),
      location: null,
      notes: [],
      detail: undefined,
    },
  ]
}

// Exports

function checkExports({ module, contents }: Sources, metafile: Metafile): void {
  // The entry is looked up by the path at which esbuild found it, because it may be a link to a file elsewhere.
  const found = metafile.inputs[ENTRY]?.imports.find(({ original }) => original === pathOf(contents.entry))
  // esbuild treats a file without imports and exports as CommonJS, and therefore does not notice that the stages are missing.
  if (metafile.inputs[found?.path ?? '']?.format === undefined) throw exportsNothing(module, contents)
}

function explainFailure(sources: Sources, builtins: Builtins, messages: readonly Message[]): Promise<SdkError> {
  return messages[0]?.location?.file === ENTRY ? explainExports(sources, builtins) : explain(sources.module, sources.contents, messages)
}

async function explainExports(sources: Sources, builtins: Builtins): Promise<SdkError> {
  const { module, contents } = sources
  const { manifest, entry } = contents
  const building = build({ ...baseOptions(sources, builtins), entryPoints: [entry], format: 'esm', metafile: true })
  const result = await building.catch((error: unknown) => {
    // The folder may have changed since, or gone.
    if (isBuildFailure(error)) return explain(module, contents, error.errors)
    throw error
  })
  if (result instanceof SdkError) return result
  const { metafile } = result
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
