/** Is imported before the tests of a module, so that `@berth/sdk/testing` can be resolved wherever the module is. */
import { registerHooks } from 'node:module'
import { pathToFileURL } from 'node:url'
import '../../base/kernel/bundled-typebox.ts'
import { testingPath } from '../sdk-files.ts'

const testing = pathToFileURL(testingPath).href

registerHooks({
  resolve: (specifier, context, next) => next(specifier === '@berth/sdk/testing' ? testing : specifier, context),
})
