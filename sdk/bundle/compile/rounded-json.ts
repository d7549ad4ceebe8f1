/** Finds numbers in imported JSON that a module would not get as they are written. */
import { readFile } from 'node:fs/promises'
import { relative } from 'node:path'
import type { Plugin } from 'esbuild'
import { messageOf } from '../../../base/kernel/errors.ts'
import { checkNumbers } from '../../../base/kernel/exact-json.ts'
import { dependencyOf } from '../inputs.ts'

/** Warns of whole numbers in the JSON files of a module that JavaScript cannot hold. In those of dependencies, nobody here can change them. */
export const roundedJson: Plugin = {
  name: 'rounded-json',
  setup: build => {
    build.onLoad({ filter: /\.json$/, namespace: 'file' }, async ({ path, with: { type } }) => {
      const file = relative(build.initialOptions.absWorkingDir ?? '.', path)
      if (type === 'text' || dependencyOf(file) !== undefined) return undefined
      const json = await readFile(path, 'utf8')
      // The compiler skips a byte order mark.
      const fault = faultIn(json.replace(/^\ufeff/, ''))
      return fault === undefined ? undefined : { warnings: [{ text: `${file}: ${fault}` }] }
    })
  },
}

function faultIn(json: string): string | undefined {
  try {
    checkNumbers(json)
    return undefined
  } catch (error) {
    // What is no JSON at all is an error of the compiler.
    return error instanceof SyntaxError ? undefined : messageOf(error)
  }
}
