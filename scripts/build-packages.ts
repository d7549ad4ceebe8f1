/**
 * `npm run build:packages`: makes `@berth/base`, `@berth/sdk` and `@berth/client` in `dist/packages`, checks what is in them, and prints what each part
 * costs. With `--repository URL` their manifests name a repository, as `npm publish --provenance` demands.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './packages/compile.ts'
import { faultsOf } from './packages/contents.ts'
import { costs } from './packages/costs.ts'
import { buildPackages } from './packages/packages.ts'

const { repository } = parseArgs({ options: { repository: { type: 'string' } } }).values
const built = await buildPackages(join(root, 'dist/packages'), repository)
const faults = (await Promise.all(Object.entries(built).map(([, made]) => faultsOf(made)))).flat()
console.log(await costs(built))
for (const fault of faults) console.error(fault)
if (faults.length > 0) process.exitCode = 1
