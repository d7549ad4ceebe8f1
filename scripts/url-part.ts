/**
 * Writes `base/inside/lazy/url.ts`: URL and URLSearchParams of core-js as one script for isolates. Run it after an update of core-js-pure,
 * with `node bin/launch.cjs scripts/url-part.ts`; a test says when it is due.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '..')

/** The text of a function that returns the two classes, and what their iterators have in common. */
export async function urlPart(): Promise<string> {
  const { outputFiles } = await build({
    stdin: {
      contents: `export { default as URL } from 'core-js-pure/web/url'
                 export { default as URLSearchParams } from 'core-js-pure/web/url-search-params'`,
      resolveDir: root,
    },
    bundle: true,
    write: false,
    minify: true,
    format: 'iife',
    globalName: 'url',
    // One byte a character, and so half the memory.
    charset: 'ascii',
    target: 'esnext',
  })
  const named = (name: string) => `Object.defineProperty(url.${name}, 'name', { value: '${name}' })`
  const iterator = 'Object.getPrototypeOf(new url.URLSearchParams().entries())'
  const classes = `${outputFiles[0]?.text.trim()}${named('URL')};${named('URLSearchParams')};return { ...url, iterator: ${iterator} }`
  // core-js keeps the state of all URLs in a global: a module could put one of its own there first, or change it later.
  return `() => (globalThis => {${classes}})(Object.create(globalThis, { '__core-js_shared__': { value: {} } }))`
}

if (import.meta.main) {
  const path = join(root, 'base/inside/lazy/url.ts')
  const head = '/** Made by scripts/url-part.ts from core-js-pure (MIT, Denis Pushkarev and others). Not to be changed by hand. */\n'
  writeFileSync(path, `${head}export const urlText =\n  ${JSON.stringify(await urlPart())}\n`)
  const biome = join(root, 'node_modules/.bin', process.platform === 'win32' ? 'biome.cmd' : 'biome')
  spawnSync(biome, ['check', '--write', path], { stdio: 'inherit', shell: process.platform === 'win32' })
}
