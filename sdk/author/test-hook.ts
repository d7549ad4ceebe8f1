/** Is imported before the tests of a module, so that `@berth/sdk/testing` can be resolved wherever the module is. */
import { registerHooks } from 'node:module'

const testing = new URL('testing.ts', import.meta.url).href

registerHooks({
  resolve: (specifier, context, next) => next(specifier === '@berth/sdk/testing' ? testing : specifier, context),
})
