/** Imported ahead of the tests of modules: `#sdk/testing` then means the same wherever the module is. */
import { registerHooks } from 'node:module'

const testing = new URL('testing.ts', import.meta.url).href

registerHooks({
  resolve: (specifier, context, next) => next(specifier === '#sdk/testing' ? testing : specifier, context),
})
