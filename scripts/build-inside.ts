/**
 * Writes `base/inside/built/`, the scripts that isolates run around the modules: `npm run build:inside`. Each is one expression, a function
 * whose body is a bundle of files of `base/inside`, and whose value is the default export of its entry. A test fails when they are stale.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BuildOptions, build } from 'esbuild'
import { LAZY_PARTS, type LazyPart } from '../base/inside/protocol.ts'

const root = join(import.meta.dirname, '..')
const head = '// Made by "npm run build:inside". Not to be changed by hand.\n'
const holding = (names: string) => `// It holds ${names}.\n`

export const builtFolder = join(root, 'base/inside/built')

/** The text of each script by its name. */
export async function buildInside(): Promise<Map<string, string>> {
  const scripts = new Map([
    ['inside', head + scriptOf(await bundleOf('base/inside/inside.ts'))],
    ['input-module', head + scriptOf(await bundleOf('base/inside/input-module.ts'))],
    [
      'stacks',
      head + holding('@jridgewell/trace-mapping (MIT, Justin Ridgewell)') + scriptOf(await bundleOf('base/slot/stacks-inside.ts')),
    ],
  ])
  for (const part of LAZY_PARTS) {
    const script = head + (await partScript(part))
    // Isolates compile parts with `eval`, which takes no name.
    scripts.set(part, `${script}//# sourceURL=berth:///${part}.js\n`)
  }
  return scripts
}

function partScript(part: LazyPart): Promise<string> {
  if (part === 'url') return urlScript()
  if (part === 'schema-check') return schemaScript()
  if (part === 'encodings' || part === 'multibyte') return decodersScript(`base/inside/lazy/${part}.ts`)
  return bundleOf(`base/inside/lazy/${part}.ts`).then(text => scriptOf(text))
}

export const bundleOf = (entry: string): Promise<string> => bundle({ entryPoints: [entry] })

/** Returns the text of a bundle that ends by exporting the default export of its entry, and nothing else. */
async function bundle(options: BuildOptions): Promise<string> {
  const { outputFiles } = await build({
    ...options,
    absWorkingDir: root,
    bundle: true,
    write: false,
    // Not `iife`, which wraps what it exports in getters.
    format: 'esm',
    target: 'esnext',
    legalComments: 'none',
    // One byte a character, and so half the memory.
    charset: 'ascii',
  })
  return outputFiles?.[0]?.text ?? ''
}

/** @throws when the bundle exports anything but a default */
export function scriptOf(bundle: string, wrap = (body: string) => body): string {
  const found = /export\s*\{\s*(\S+) as default\s*\};?\s*$/.exec(bundle)
  if (found === null) throw new Error('Cannot make a script: the entry must have a default export and no other')
  return `'use strict';((...given) => {${wrap(`\n${bundle.slice(0, found.index)}return ${found[1]};\n`)}})\n`
}

/** What checks values against JSON schemas. */
async function schemaScript(): Promise<string> {
  const text = await bundle({ entryPoints: ['base/inside/lazy/schema-check.ts'], minify: true })
  return holding('typebox (MIT, Haydn Paterson)') + scriptOf(text)
}

/** URL and URLSearchParams of core-js. They do what browsers do; the isolate has none of its own. */
async function urlScript(): Promise<string> {
  const contents = `
    import URL from 'core-js-pure/web/url'
    import URLSearchParams from 'core-js-pure/web/url-search-params'
    Object.defineProperty(URL, 'name', { value: 'URL' })
    Object.defineProperty(URLSearchParams, 'name', { value: 'URLSearchParams' })
    // What the iterators have in common is handed out with the classes, to be made unchangeable as well.
    export default { URL, URLSearchParams, iterator: Object.getPrototypeOf(new URLSearchParams().entries()) }`
  // core-js draws a number when it is loaded, for the names of symbols. What a module draws must not depend on when it first uses a URL.
  const text = await bundle({ stdin: { contents, resolveDir: root }, minify: true, define: { 'Math.random': 'drawNothing' } })
  // core-js keeps the state of all URLs in a global: a module could put one of its own there first, or change it later.
  const ownGlobal = `Object.create(globalThis, { '__core-js_shared__': { value: {} } })`
  return (
    holding('core-js-pure (MIT, Denis Pushkarev and others)') +
    scriptOf(text, body => `const drawNothing = () => 0;return (globalThis => {${body}})(${ownGlobal})`)
  )
}

/** Decoders of @exodus/bytes, which do what browsers do. They look for better ones among the globals, where a module may have put anything. */
async function decodersScript(entry: string): Promise<string> {
  const text = await bundle({ entryPoints: [entry], minify: true, platform: 'neutral' })
  return holding('@exodus/bytes (MIT, Exodus Movement)') + scriptOf(text, body => `return (globalThis => {${body}})({})`)
}

if (import.meta.main) {
  rmSync(builtFolder, { recursive: true, force: true })
  mkdirSync(builtFolder)
  for (const [name, text] of await buildInside()) writeFileSync(join(builtFolder, `${name}.js`), text)
}
