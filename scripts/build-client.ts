/**
 * `npm run build:client`: builds the package `@berth/client` in `sdk/caller/dist`, to be published with `npm publish ./sdk/caller`. The build fails
 * when the client uses anything that browsers lack, because its types are checked without those of Node.js and it is bundled for browsers.
 */
import { spawnSync } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = join(root, 'sdk', 'caller')
const dist = join(folder, 'dist')
const windows = process.platform === 'win32'

await rm(dist, { recursive: true, force: true })
const tsc = join(root, 'node_modules', '.bin', windows ? 'tsc.cmd' : 'tsc')
const { status, error } = spawnSync(tsc, ['-p', folder], { cwd: root, stdio: 'inherit', shell: windows })
if (error !== undefined) throw error
if (status !== 0) process.exit(1)
await build({
  entryPoints: [join(folder, 'index.ts')],
  outfile: join(dist, 'index.js'),
  bundle: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  logLevel: 'warning',
})
