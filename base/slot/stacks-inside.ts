/** Reads stacks inside of an isolate, where a source map can take neither the time of others nor more memory than it is given. */
import { openSourceMap, type SourceMap, type SourceMapBounds, SourceMapFault } from '../kernel/source-map.ts'
import { locate, type MappedModule } from '../kernel/stacks.ts'

const maps = new Map<string, SourceMap>()

export interface StacksInside {
  /** Keeps a source map. @returns what is wrong with it; undefined when nothing is */
  keep(digest: string, text: string, bounds: SourceMapBounds): string | undefined
  /** @returns JSON of what the stack says */
  locate(stack: string, modules: readonly MappedModule[]): string
}

function keep(digest: string, text: string, bounds: SourceMapBounds): string | undefined {
  try {
    maps.set(digest, openSourceMap(text, bounds))
    return undefined
  } catch (error) {
    if (error instanceof SourceMapFault) return error.message
    throw error
  }
}

export default {
  keep,
  locate: (stack, modules) => JSON.stringify(locate(stack, modules, digest => maps.get(digest))),
} satisfies StacksInside
