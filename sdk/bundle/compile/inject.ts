/** Globals that `inject` under `berth` in package.json replaces. They are variables around the bundle, to which its first files assign exports. */
import type { Plugin } from 'esbuild'
import { INJECT } from '../inputs.ts'
import type { Substitutes } from '../manifest.ts'

/** Imports that have to come before all others, because packages may use the globals while they are loaded. */
export function importsOf(inject: Substitutes['inject']): string {
  return Object.keys(inject)
    .map(global => `import "${INJECT}:${global}"; `)
    .join('')
}

export function injection(folder: string, inject: Substitutes['inject']): Plugin {
  return {
    name: INJECT,
    setup(build) {
      build.onResolve({ filter: new RegExp(`^${INJECT}:`) }, ({ path }) => ({ path: path.slice(INJECT.length + 1), namespace: INJECT }))
      build.onLoad({ filter: /./, namespace: INJECT }, ({ path: global }) => {
        const { name = '', path = '' } = inject[global] ?? {}
        const contents = `import { ${name} as ${global}_ } from ${JSON.stringify(path)}\n${global} = ${global}_`
        return { contents, resolveDir: folder }
      })
    },
  }
}
