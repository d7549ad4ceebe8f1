/** What the compiled base has in the place of the package isolated-vm: its addon for this platform, which the package `@berth/base` carries. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { release } from '../../base/kernel/installation.ts'

const { ivm } = createRequire(import.meta.url)(join(release, 'native', `${process.platform}-${process.arch}.node`)) as {
  readonly ivm: unknown
}

export default ivm
