/** Finds uses of WebAssembly, which slots do not have, in a bundle. A package that uses it loads well, and fails when it is called. */
import { originalPositionFor, sourceContentFor, TraceMap } from '@jridgewell/trace-mapping'
import type { Message } from 'esbuild'
import { dependencyOf } from './packages.ts'

// `typeof WebAssembly` alone is not a use: it is how packages find out that they have to do without.
const use = /\bWebAssembly\s*\.\s*(?:Module|Instance|Memory|Table|compile|instantiate|validate)\w*/g

/** One warning for each package, and each file of the module, that uses WebAssembly. */
export function warningsOfWebAssembly(code: string, sourceMap: string): Message[] {
  if (!code.includes('WebAssembly')) return []
  const map = new TraceMap(sourceMap)
  const found = new Map<string, Message>()
  for (const { index } of code.matchAll(use)) {
    const before = code.slice(0, index)
    const { source, line, column } = originalPositionFor(map, {
      line: before.split('\n').length,
      column: index - before.lastIndexOf('\n') - 1,
    })
    if (source === null || found.has(dependencyOf(source) ?? source)) continue
    const lineText = sourceContentFor(map, source)?.split('\n')[line - 1] ?? ''
    found.set(dependencyOf(source) ?? source, warningOf(source, { line, column, lineText }))
  }
  return [...found.values()]
}

function warningOf(file: string, at: { readonly line: number; readonly column: number; readonly lineText: string }): Message {
  const dependency = dependencyOf(file)
  const text = `${dependency === undefined ? 'The module' : `The dependency "${dependency}"`} uses WebAssembly, which does not exist where modules run, because no limit covers its memory. Use a build of it in JavaScript, which is often named asm.js or "fallback".`
  const location = { file, namespace: 'file', length: 'WebAssembly'.length, suggestion: '', ...at }
  return { id: 'webassembly', pluginName: '', text, location, notes: [], detail: undefined }
}
