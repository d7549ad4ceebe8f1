/** The text of a bundle around what esbuild has made. */
import { encodedMap, FlattenMap } from '@jridgewell/trace-mapping'

export interface Script {
  readonly code: string
  readonly sourceMap: string
}

/** The variable that holds how the parts of a bundle load each other's files. */
export const REGISTRY = '__berth'

/** The function that `require` is for what is not in the bundle. Packages look at the code of its error to find out that they have to do without. */
const REQUIRE = `path=>{throw Object.assign(new Error("Cannot find module '"+path+"': a slot has only what is in the bundle"),{code:"MODULE_NOT_FOUND"})}`

/** Puts the variables around a strict script that it uses as globals, if there are any. One line comes before it. */
export function withGlobals({ code, sourceMap }: Script, injected: readonly string[]): Script {
  if (injected.length === 0 && !code.includes('var __require=')) return { code, sourceMap }
  const around = `((${['require', ...injected].join(',')})=>\n${code.trimEnd()}\n)(${REQUIRE})\n`
  return { code: around, sourceMap: sourceMap.replace(/"mappings": ?"/, '$&;') }
}

/** Puts two parts into one function in sloppy mode; the second returns the stages. */
export function joinParts(first: Script, second: Script, injected: readonly string[]): Script {
  const code = `((${[REGISTRY, 'require', ...injected].join(',')})=>{\n${first.code}${second.code.trimEnd()}\n})({},${REQUIRE})\n`
  const lines = first.code.split('\n').length - 1
  const sections = [
    { offset: { line: 1, column: 0 }, map: JSON.parse(first.sourceMap) },
    { offset: { line: 1 + lines, column: 0 }, map: JSON.parse(second.sourceMap) },
  ]
  return { code, sourceMap: JSON.stringify(encodedMap(FlattenMap({ version: 3, sections }))) }
}
