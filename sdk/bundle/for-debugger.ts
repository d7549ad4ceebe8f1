/** Puts a bundle into the form in which a debugger finds the lines of its sources. */
import { transform } from 'esbuild'

interface SourceMap {
  readonly sources: readonly string[]
}

/**
 * The code with its source map in it.
 * @param urlOf the URL by which a debugger is to know a source of the map; that of a file is found by the breakpoints that an editor has in it
 */
export function withSourceMap(code: string, sourceMap: string, urlOf: (source: string) => string): string {
  const map = JSON.parse(sourceMap) as SourceMap
  const json = JSON.stringify({ ...map, sources: map.sources.map(urlOf) })
  return `${code}\n//# sourceMappingURL=data:application/json;base64,${Buffer.from(json).toString('base64')}\n`
}

/**
 * A bundle as it was published, printed again with a statement a line: its own lines end anywhere, and have places in them where a debugger never stops. It does
 * the same, but for what looks at its own text: `toString` of functions and lines in stacks.
 */
export async function printedAgain(code: string, sourceMap: string): Promise<{ readonly code: string; readonly sourceMap: string }> {
  const printed = await transform(
    withSourceMap(code, sourceMap, source => source),
    // What the bundle was compiled to stays as it is.
    { target: 'esnext', sourcemap: 'external', charset: 'utf8', legalComments: 'none', logLevel: 'silent' },
  )
  return { code: printed.code, sourceMap: printed.map }
}
