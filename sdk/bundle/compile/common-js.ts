/**
 * Lets CommonJS files run in sloppy mode, as in Node.js, beside ES modules in strict mode.
 *
 * All that esbuild puts into one output has one mode. So the bundle has two parts. The CommonJS files are bundled first, as functions that are not
 * called yet, into a function in sloppy mode. All else is bundled into a function in strict mode within it. Each part has a registry of functions that
 * load its files. An import from one part of a file in the other is bundled as a file that calls the registry:
 *
 *     ((__berth, require) => {
 *       (() => { … __berth.c0 = () => require_lodash() })();                // sloppy: the CommonJS files
 *       return (() => { "use strict"; … return stages })()                  // strict: ES modules; `import "lodash"` calls __berth.c0
 *     })({}, …)
 *
 * Files are loaded when and in the order in which they would be in one part, also in circles of imports, because a registry calls what esbuild has
 * made for loading a file, and remembers nothing itself.
 */
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { ImportKind, Metafile, OnResolveArgs, Plugin } from 'esbuild'
import { ENTRY, fileOf, INJECT, isFile, LINK } from '../inputs.ts'
import { REGISTRY } from './script.ts'

export interface CommonPlan {
  /** Changes whenever the two parts have to be bundled with other options. */
  readonly key: string
  /** The CommonJS files that ES modules import, and the ES modules that CommonJS files require. */
  readonly common: readonly string[]
  readonly modern: readonly string[]
  /** All files that may be in the CommonJS part, absolute. */
  readonly files: readonly string[]
  /** The imports from one part of a file in the other: that file by `importKey`. */
  readonly links: ReadonlyMap<string, string>
}

/** Imports the registry of the strict part. */
export const MODERN_REGISTRY = `${LINK}:registry`
/** Marks what the plugin itself asks esbuild to resolve. */
const OURS = 'berth'

type Mode = 'common' | 'modern'

/**
 * @param code the bundle in one part
 * @returns undefined when the bundle needs no second part, because it has no CommonJS files, or all of them ask for strict mode
 */
export function planCommon(folder: string, { inputs, outputs }: Metafile, code: string): CommonPlan | undefined {
  const included = Object.entries(outputs['bundle.js']?.inputs ?? {}).flatMap(([file, { bytesInOutput }]) =>
    bytesInOutput > 0 ? [file] : [],
  )
  const modes = new Map(included.map(file => [file, modeOf(folder, file, inputs[file]?.format)]))
  const common = included.filter(file => modes.get(file) === 'common')
  const strict = strictFiles(code)
  if (common.every(file => strict.has(file))) return undefined
  shareData(included, inputs, modes)
  const edges = included.flatMap(file => {
    const imports = inputs[file]?.imports ?? []
    return imports.flatMap(({ path, original, kind }) => {
      const [from, to] = [modes.get(file), modes.get(path)]
      return original === undefined || from === undefined || to === undefined || from === to ? [] : [{ file, path, original, kind }]
    })
  })
  const targets = (mode: Mode) => [...new Set(edges.flatMap(({ path }) => (modes.get(path) === mode ? [path] : [])))].sort()
  const links = new Map(edges.map(({ file, path, original, kind }) => [importKey(file, original, kind), path]))
  const key = JSON.stringify([...links, ...common.map(file => inputs[file]?.imports)])
  const files = included.flatMap(file => (isFile(file) && modes.get(file) !== 'modern' ? [join(folder, fileOf(file))] : []))
  return { key, files, common: targets('common'), modern: targets('modern'), links }
}

/** A package may have a file for `import` and another one for `require`. */
const importKey = (file: string, original: string, kind: ImportKind): string => `${file}\0${original}\0${kind}`

/** Undefined for data, and for what the bundler and esbuild have made: each part has its own copy. */
function modeOf(folder: string, file: string, format: 'cjs' | 'esm' | undefined): Mode | undefined {
  if (file.startsWith(`${INJECT}:`) || file === ENTRY) return 'modern'
  if (!isFile(file)) return undefined
  // TypeScript is strict, whatever its files export.
  if (/\.[cm]?tsx?$/.test(file)) return 'modern'
  if (format !== undefined) return format === 'cjs' ? 'common' : 'modern'
  // The file imports and exports nothing. Node.js takes it for CommonJS unless the package says otherwise.
  if (!/\.[cm]?jsx?$/.test(file)) return undefined
  return /\.c?js$/.test(file) && (file.endsWith('.cjs') || packageType(dirname(join(folder, file))) !== 'module') ? 'common' : 'modern'
}

/** The member `type` of the nearest package.json. */
function packageType(folder: string): unknown {
  try {
    return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { readonly type?: unknown }).type
  } catch {
    return dirname(folder) === folder ? undefined : packageType(dirname(folder))
  }
}

/** The CommonJS files that begin with "use strict". esbuild leaves that in the function that it makes of a file, which has the name of the file. */
function strictFiles(code: string): Set<string> {
  const files = new Set<string>()
  for (const { index } of code.matchAll(/["']use strict["']/g)) {
    const before = code.slice(Math.max(0, index - NAME_CHARS_MAX), index)
    // Other functions may have such a name too, with escapes that no name of a file has.
    const name = /"((?:[^"\\]|\\["\\])*)"\([^()]*\)\s*\{\s*$/.exec(before)?.[1]
    if (name !== undefined) files.add(name.replaceAll(/\\(.)/g, '$1'))
  }
  return files
}

/** A file with a longer name counts as one in sloppy mode. */
const NAME_CHARS_MAX = 500

/** Data that files of both modes import is one object in Node.js. Here it is in the CommonJS part, to which the other has a link. */
function shareData(included: readonly string[], inputs: Metafile['inputs'], modes: Map<string, Mode | undefined>): void {
  const importedBy = (mode: Mode) =>
    new Set(included.flatMap(file => (modes.get(file) === mode ? (inputs[file]?.imports ?? []) : [])).map(({ path }) => path))
  for (const path of importedBy('common').intersection(importedBy('modern'))) {
    if (modes.get(path) === undefined && inputs[path] !== undefined && isFile(path)) modes.set(path, 'common')
  }
}

// Linking

/** A script that puts into the registry how to load these files. */
export function registryOf(plan: CommonPlan, mode: Mode): string {
  return plan[mode]
    .map(file => `${REGISTRY}.${memberOf(plan, file)}=()=>require(${JSON.stringify(file.startsWith('.') ? file : `./${file}`)})`)
    .join('\n')
}

/** The member of the registry that loads a file. */
function memberOf({ common, modern }: CommonPlan, file: string): string {
  return common.includes(file) ? `c${common.indexOf(file)}` : `m${modern.indexOf(file)}`
}

/** Replaces what one part imports from the other by calls of the registry. */
export function link(folder: string, plan: CommonPlan): Plugin {
  const specifiers = [...new Set([...plan.links.keys()].map(key => key.split('\0')[1] ?? ''))]
  return {
    name: LINK,
    setup(build) {
      build.onResolve({ filter: new RegExp(`^${MODERN_REGISTRY}$`) }, () => ({ path: 'registry', namespace: LINK }))
      build.onLoad({ filter: /^registry$/, namespace: LINK }, () => ({ contents: registryOf(plan, 'modern'), resolveDir: folder }))
      build.onResolve({ filter: new RegExp(`^(?:${specifiers.map(RegExp.escape).join('|')})$`) }, async args => {
        const file = plan.links.get(importKey(importerOf(folder, args), args.path, args.kind))
        if (file === undefined || args.pluginData === OURS) return undefined
        // A package may say that unused imports of it can be left out.
        const { importer, namespace, kind, resolveDir } = args
        const { sideEffects, errors } = await build.resolve(args.path, {
          importer,
          namespace,
          kind,
          resolveDir,
          with: args.with,
          pluginData: OURS,
        })
        return { path: memberOf(plan, file), namespace: LINK, sideEffects: sideEffects || errors.length > 0 }
      })
      // A getter, and not a value, because in a circle of imports the exports may be replaced after they have been asked for.
      build.onLoad({ filter: /./, namespace: LINK }, ({ path: member }) => ({
        contents: `Object.defineProperty(module,"exports",{get:${REGISTRY}.${member}})`,
        loader: 'js',
      }))
    },
  }
}

/** The file that imports, as a metafile names it. */
function importerOf(folder: string, { importer, namespace }: OnResolveArgs): string {
  return namespace === 'file' ? relative(folder, importer).replaceAll('\\', '/') : `${namespace}:${importer}`
}
