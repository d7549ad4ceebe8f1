/** Looks in a finished bundle for what slots cannot run, and names the place in the sources. */
import vm from 'node:vm'
import { originalPositionFor, sourceContentFor, TraceMap } from '@jridgewell/trace-mapping'
import type { Message } from 'esbuild'
import { dependencyOf } from '../inputs.ts'
import type { Script } from './script.ts'

/** A place in the bundle; the line counts from 1, the column from 0. */
interface Place {
  readonly line: number
  readonly column: number
}

/** What V8 does not understand in the bundle: what esbuild does not look at, such as the insides of regular expressions. */
export function syntaxErrorIn({ code, sourceMap }: Script): Message | undefined {
  try {
    new vm.Script(code, { filename: 'bundle' })
    return undefined
  } catch (error) {
    // The stack begins with the file and the line, the text of the line, and a mark under the place.
    const { stack = '', message } = error as Error
    const [file = '', , mark = ''] = stack.split('\n')
    return messageAt(new TraceMap(sourceMap), { line: Number(file.split(':')[1]), column: mark.indexOf('^') }, message, mark.trim().length)
  }
}

// `typeof WebAssembly` alone is not a use: it is how packages find out that they have to do without.
const use = /\bWebAssembly\s*\.\s*(?:Module|Instance|Memory|Table|compile|instantiate|validate)\w*/g

/**
 * One warning for each package, and each file of the module, that uses WebAssembly, which slots do not have. A package that uses it loads well, and
 * fails when it is called.
 */
export function usesOfWebAssembly({ code, sourceMap }: Script): Message[] {
  if (!code.includes('WebAssembly')) return []
  const map = new TraceMap(sourceMap)
  const found = new Map<string, Message>()
  for (const { index } of code.matchAll(use)) {
    const before = code.slice(0, index)
    const place = { line: before.split('\n').length, column: index - before.lastIndexOf('\n') - 1 }
    const file = originalPositionFor(map, place).source ?? ''
    const dependency = dependencyOf(file)
    const who = dependency === undefined ? 'The module' : `The dependency "${dependency}"`
    const text = `${who} uses WebAssembly, which does not exist where modules run, because no limit covers its memory. Use a build of it in JavaScript, which is often named asm.js or "fallback".`
    const key = dependency ?? file
    if (!found.has(key)) found.set(key, messageAt(map, place, text, 'WebAssembly'.length))
  }
  return [...found.values()]
}

function messageAt(map: TraceMap, place: Place, text: string, length: number): Message {
  const { source, line, column } = originalPositionFor(map, place)
  const lineText = source === null ? '' : (sourceContentFor(map, source)?.split('\n')[line - 1] ?? '')
  // As in the messages of esbuild, the column counts bytes.
  const bytes = Buffer.byteLength(lineText.slice(0, column ?? 0))
  const location = source === null ? null : { file: source, namespace: 'file', line, column: bytes, length, lineText, suggestion: '' }
  return { id: '', pluginName: '', text, location, notes: [], detail: undefined }
}
