/**
 * What dependencies import and slots do not have: what a bundle contains in the place of built-in modules of Node.js, of native code, and of packages that
 * are not installed, and what to use instead.
 */
import { readFile } from 'node:fs/promises'
import { builtinModules, isBuiltin } from 'node:module'
import { resolve } from 'node:path'
import type { Message, Metafile, OnLoadResult, OnResolveArgs, OnResolveResult, Plugin, PluginBuild } from 'esbuild'
import { standInPath } from '../../sdk-files.ts'
import { missingImport } from '../explain/missing-import.ts'
import { bareName, dependencyOf, MISSING, packageOf, STAND_IN } from '../inputs.ts'
import { notFound } from './script.ts'

export interface Builtins {
  readonly plugin: Plugin
  /**
   * Takes note of the imports by dependencies that these errors of a build are about: from the next build on, stand-ins replace built-ins, and
   * `require` and `import()` of what is not there throw when they run.
   * @returns whether to build again: not when all had been noted before. `reopen` asks for a new context with the plugin
   */
  replace(errors: readonly Message[]): 'fail' | 'rebuild' | 'reopen'
  /** One warning for every package that has stand-ins in a build, with the built-ins that they replace; one for all that are too many. */
  warnings(built: Metafile): Message[]
}

const FACTORY = 'berth:stand-in'
/** Marks what the plugin itself asks esbuild to resolve. */
const OURS = 'berth'

/**
 * Resolves built-ins to npm packages that replace them, where these are installed, and else to stand-ins.
 *
 * Which imports need a stand-in is known only after a first build. A `require` inside of `try` that finds nothing is not an error: its package has
 * another way, so it has to throw when it runs. Only esbuild knows which ones these are. What a first build did not find may be installed later.
 */
export function openBuiltins(folder: string): Builtins {
  const replaced = new Map<string, { readonly id: string; readonly message: Message }>()
  const missing = new Map<string, { readonly name: string; readonly message: Message }>()
  return {
    plugin: {
      name: 'berth-builtins',
      setup(build) {
        build.onResolve({ filter: builtinFilter }, async args => {
          if (args.pluginData === OURS) return undefined
          const id = replaced.get(importKey(args.importer, args.path))?.id
          return (await resolvePackage(build, args)) ?? (id === undefined ? undefined : { path: id, namespace: STAND_IN })
        })
        build.onResolve({ filter: /./, namespace: STAND_IN }, () => ({ path: FACTORY, namespace: STAND_IN }))
        build.onLoad({ filter: /./, namespace: STAND_IN }, ({ path }) => loadStandIn(path))
        build.onLoad({ filter: /\.node$/ }, ({ path }) => (dependencyOf(path.replaceAll('\\', '/')) === undefined ? undefined : nativeCode))
        if (missing.size === 0) return
        const names = new Set([...missing.values()].map(({ name }) => RegExp.escape(name)))
        build.onResolve({ filter: new RegExp(`^(?:${[...names].join('|')})$`) }, args =>
          args.pluginData !== OURS && missing.has(importKey(args.importer, args.path)) ? resolveMissing(build, args) : undefined,
        )
        build.onLoad({ filter: /./, namespace: MISSING }, ({ path }) => ({
          contents: `throw ${notFound(JSON.stringify(path), 'ERR_MODULE_NOT_FOUND')}`,
        }))
      },
    },
    replace(errors) {
      const before = [replaced.size, missing.size]
      for (const message of errors) {
        const name = missingImport(message)
        const file = message.location?.file ?? ''
        const who = dependencyOf(file)
        if (name === undefined || who === undefined) continue
        const key = importKey(resolve(folder, file), name)
        if (isBuiltin(name)) replaced.set(key, { id: idOf(name, who), message })
        else missing.set(key, { name, message })
      }
      return missing.size > (before[1] ?? 0) ? 'reopen' : replaced.size > (before[0] ?? 0) ? 'rebuild' : 'fail'
    },
    warnings({ inputs, outputs }) {
      const included = new Set(Object.values(outputs).flatMap(({ inputs }) => Object.keys(inputs)))
      const used = [...replaced.values()].filter(({ id }) => included.has(`${STAND_IN}:${id}`))
      const packages = [...Map.groupBy(used, ({ id }) => partsOf(id)[1] ?? '')].map(([who, imports]) => {
        const names = [...new Set(imports.map(({ id }) => partsOf(id)[0] ?? ''))]
        return { who, names, message: imports[0]?.message }
      })
      const shown = packages.slice(0, PACKAGES_SHOWN).map(warningOf)
      const rest = packages.slice(PACKAGES_SHOWN).map(({ who, names }) => `${who} (${names.join(', ')})`)
      if (rest.length > 0)
        shown.push(messageOf(`Built-ins of Node.js are imported by ${rest.length} more dependencies: ${rest.join(', ')}`))
      const lacking = [...missing.values()].filter(({ name, message }) => {
        const file = message.location?.file ?? ''
        return (
          included.has(file) &&
          inputs[file]?.imports.some(({ path, external }) => path === `${MISSING}:${name}` || (external && path === name))
        )
      })
      return [...shown, ...lacking.slice(0, PACKAGES_SHOWN).map(({ name, message }) => warningOfMissing(name, message))]
    },
  }
}

/** How many packages have a warning of their own. */
const PACKAGES_SHOWN = 5

const builtinFilter = new RegExp(`^(node:.*|${builtinModules.join('|')})$`)

const importKey = (importer: string, path: string): string => `${importer}\0${path}`
const idOf = (name: string, who: string): string => `${bareName(name)} in ${who}`
const partsOf = (id: string): string[] => id.split(' in ')

/** Packages that replace a built-in under another name. Those of the same name are found without help. */
const replacements: Readonly<Record<string, string>> = { path: 'path-browserify', stream: 'stream-browserify' }
/** Built-ins that an npm package of the same name replaces. */
const sameName: ReadonlySet<string> = new Set(['assert', 'buffer', 'events', 'punycode', 'querystring', 'string_decoder', 'url', 'util'])

/** The npm package that replaces a built-in, if it is installed where the importer finds it. */
async function resolvePackage(
  build: PluginBuild,
  { path, importer, kind, resolveDir }: OnResolveArgs,
): Promise<OnResolveResult | undefined> {
  const name = bareName(path)
  for (const candidate of new Set([path, name, replacements[name] ?? name])) {
    const found = await build.resolve(candidate, { importer, kind, resolveDir, pluginData: OURS })
    if (found.errors.length > 0) continue
    // Without a namespace, the importing package has switched the built-in off in its package.json, which esbuild does by itself.
    return found.namespace === '' ? undefined : { path: found.path, namespace: found.namespace, sideEffects: found.sideEffects }
  }
  return undefined
}

/** Only a call of `require` or `import()` may never run. Of any other import, esbuild says again that it leads nowhere. */
async function resolveMissing(
  build: PluginBuild,
  { path, importer, kind, resolveDir }: OnResolveArgs,
): Promise<OnResolveResult | undefined> {
  if (kind === 'import-statement') return undefined
  const { errors } = await build.resolve(path, { importer, kind, resolveDir, pluginData: OURS })
  if (errors.length === 0) return undefined
  return kind === 'dynamic-import' ? { path, namespace: MISSING } : { path, external: true }
}

async function loadStandIn(path: string): Promise<OnLoadResult> {
  if (path === FACTORY) return { contents: await readFile(standInPath, 'utf8'), loader: 'ts' }
  const [name = '', who = ''] = partsOf(path)
  const given = [name, who, adviceFor(name, who)].map(text => JSON.stringify(text))
  return { contents: `module.exports = require(${JSON.stringify(FACTORY)}).standInFor(${given.join(', ')})`, loader: 'js' }
}

function warningOf({
  who,
  names,
  message,
}: {
  readonly who: string
  readonly names: readonly string[]
  readonly message?: Message | undefined
}): Message {
  const what = `The dependency "${who}" imports ${names.map(name => `"${name}"`).join(', ')} of Node.js, which ${names.length === 1 ? 'does' : 'do'} not exist where modules run`
  const advice = [...new Set(names.map(name => adviceFor(name, who)))].join(' ')
  return {
    ...messageOf(''),
    ...message,
    text: `${what}: what it uses of ${names.length === 1 ? 'it' : 'them'} throws. ${advice}`,
    notes: [],
  }
}

function warningOfMissing(name: string, message: Message): Message {
  const who = dependencyOf(message.location?.file ?? '')
  const advice = name.startsWith('.') ? 'Its files are not complete.' : `Install it if that is used: npm install ${packageOf(name)}.`
  return {
    ...message,
    text: `The dependency "${who}" loads "${name}", which is not there, while it runs: that throws. ${advice}`,
    notes: [],
  }
}

/** What a file with native code gives: what Node.js throws when it cannot load one. Packages often have another way then. */
const nativeCode: OnLoadResult = {
  contents: 'throw Object.assign(new Error("Cannot load native code: a slot runs only JavaScript"), { code: "ERR_DLOPEN_FAILED" })',
  loader: 'js',
}

const messageOf = (text: string): Message => ({ id: '', pluginName: '', text, location: null, notes: [], detail: undefined })

function adviceFor(name: string, who: string): string {
  const other = replacements[name] ?? (sameName.has(name) ? name : undefined)
  if (other !== undefined) return `Install the npm package that replaces it: npm install ${other}.`
  return `Use a build of "${who}" for browsers, or name a package that replaces it in "alias" under "berth" in package.json.`
}
