/** What to do about a built-in module of Node.js that a module itself imports. */
import { bareName } from '../inputs.ts'

/** Why an import of a built-in by the module itself is refused, and what to use instead. */
export function explainBuiltin(path: string): { readonly text: string; readonly hint: string } {
  return {
    text: `imports "${path}", which does not exist where modules run: a bare V8 isolate without Node.js, files or sockets`,
    hint: instead[bareName(path).split('/')[0] ?? ''] ?? 'Use plain JavaScript, or an npm package that works without Node.js.',
  }
}

/** What to use instead of a built-in, where there is something better than plain JavaScript. */
const instead: Readonly<Record<string, string>> = {
  fs: "Import the file, so that it becomes part of the bundle: import data from './data.json' with { type: 'json' } (or 'text').",
  path: 'A module has no files, so it has no paths; import what it needs by relative path.',
  process: 'Take what varies from ctx.params; a module has no environment.',
  http: 'Use fetch, and list the host under berth.fetch in package.json; call other scenes of the base with ctx.call.',
  https: 'Use fetch, and list the host under berth.fetch in package.json; call other scenes of the base with ctx.call.',
  worker_threads: 'A slot is one thread; the base runs slots in parallel.',
  buffer: 'Use Uint8Array, or install the npm package of that name: npm install buffer.',
  ...Object.fromEntries(
    ['assert', 'events', 'punycode', 'querystring', 'string_decoder', 'util'].map(name => [
      name,
      `Install the npm package of that name: npm install ${name}.`,
    ]),
  ),
  url: 'Use URL and URLSearchParams, which are globals.',
}
