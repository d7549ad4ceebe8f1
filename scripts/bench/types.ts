/** `npm run bench:types`: what checking a small module with its tests costs, in this clone and against the installed packages: files, time of one processor, memory. */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { renderColumns } from '../../base/kernel/columns.ts'
import { compilerIn } from '../../sdk/bundle/type-check.ts'
import { root } from '../../test/support/base.ts'
import { builtPackages } from '../../test/support/packages.ts'
import { readFlags } from './flags.ts'
import { linkTypes, writeConfigs } from './init-files.ts'

/** Checks the module `diversify` in a folder whose `@berth/sdk` is the one that is given. */
async function costOf(sdk: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-types-'))
  try {
    await cp(join(root, 'modules/diversify'), folder, { recursive: true })
    linkTypes(folder, sdk)
    writeConfigs(folder)
    const [program = '', ...args] = (await compilerIn(join(root, 'node_modules/typescript'))).command
    // On one processor, the time that passes is the time that is used.
    const env = { ...process.env, GOMAXPROCS: '1' }
    const { stdout } = await promisify(execFile)(
      program,
      [...args, '--project', join(folder, 'tsconfig.test.json'), '--extendedDiagnostics'],
      { env },
    )
    const numberOf = (name: string) => Number(new RegExp(`^${name}: *([\\d.]+)`, 'm').exec(stdout)?.[1])
    return [`${numberOf('Files')}`, `${numberOf('Total time').toFixed(2)} s`, `${Math.round(numberOf('Memory used') / 1024)} MB`]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

readFlags({})
const rows = [
  ['the clone', ...(await costOf(join(root, 'sdk')))],
  ['the packages', ...(await costOf((await builtPackages()).sdk.folder))],
]
console.log(renderColumns(['against', 'files', 'CPU', 'memory'], rows))
