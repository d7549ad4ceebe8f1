/** The entry of `sdk` in a clone. That of the package is `sdk.ts`, which has typebox in it. */
import '../../base/kernel/bundled-typebox.ts'

await import('./sdk.ts')
