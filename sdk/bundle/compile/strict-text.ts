/**
 * Refuses files of a module that are not UTF-8. esbuild replaces what it cannot decode by U+FFFD without a word, as Node.js does, and hangs when such
 * a file is imported as text.
 */
import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { extname, relative } from 'node:path'
import type { OnLoadArgs, PartialMessage, Plugin } from 'esbuild'
import { utf8Fault } from '../../../base/kernel/text-file.ts'
import { dependencyOf } from '../inputs.ts'

/** @param textEndings the extensions of files that are imported as text, with their dots */
export function strictText(folder: string, textEndings: readonly string[]): Plugin {
  return {
    name: 'berth-strict-text',
    setup(build) {
      // esbuild waits for an answer about every file that the filter lets pass, and dependencies have many.
      const filter = new RegExp(`${ownFile.source}|${otherEnding.source}|(?:${textEndings.map(RegExp.escape).join('|')})$`)
      build.onLoad({ filter, namespace: 'file' }, async args => {
        if (!isChecked(args, textEndings)) return undefined
        // esbuild reads the file itself, and says why it cannot when that is so.
        const bytes = await readFile(args.path).catch(() => undefined)
        if (bytes === undefined || isUtf8(bytes)) return undefined
        return { errors: [faultOf(relative(folder, args.path), bytes)] }
      })
    },
  }
}

/** A path without a folder `node_modules`. esbuild takes only regular expressions of Go, which cannot say "not followed by". */
const ownFile = (() => {
  const word = 'node_modules'
  const any = '[^/\\\\]'
  const differing = [...word].map((char, i) => `${word.slice(0, i)}[^/\\\\${char}]${any}{${word.length - 1 - i}}`)
  const others = [`${any}{0,${word.length - 1}}`, `${any}{${word.length + 1},}`, ...differing]
  return new RegExp(`^(?:(?:${others.join('|')})[/\\\\])*${any}*$`)
})()

/** The ending of a file that is neither code nor JSON, such as one that is imported with the attribute `text`. */
const otherEnding = /\.(?:[^jtcm./\\]|j[^s]|t[^s]|[cm][^jt])[^./\\]*$/

/** Code and JSON of dependencies are taken as Node.js takes them. */
function isChecked({ path, with: { type } }: OnLoadArgs, textEndings: readonly string[]): boolean {
  if (type === 'text' || textEndings.includes(extname(path))) return true
  return dependencyOf(path.replaceAll('\\', '/')) === undefined && type !== 'bytes' && !/\.(wasm|node)$/.test(path)
}

function faultOf(file: string, bytes: Buffer): PartialMessage {
  const { message, hint, line = 1, byte = 0 } = utf8Fault(bytes)
  const start = bytes.lastIndexOf('\n', Math.max(0, byte - 1)) + 1
  const end = bytes.indexOf('\n', byte)
  const lineText = bytes.toString('latin1', start, end < 0 ? bytes.length : end)
  return { text: `${message}. ${hint}`, location: { file, namespace: '', line, column: Math.max(0, byte - start), length: 1, lineText } }
}
