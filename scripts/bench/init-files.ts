/** What `sdk init` writes into the folder of a module for the compiler of TypeScript, so that benches check modules as those of users are checked. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { moduleFiles } from '../../sdk/cli/files/templates.ts'
import { root } from '../../test/support/base.ts'

/** Writes `tsconfig.json`, and beside it one for the code of the module and one for its tests. */
export function writeConfigs(folder: string): void {
  for (const [path, text] of moduleFiles('module', ['rank'], {})) if (path.startsWith('tsconfig')) writeFileSync(join(folder, path), text)
}

/**
 * Links the packages that these files name, as if they were installed in the folder.
 * @param sdk the folder of the package `@berth/sdk`
 */
export function linkTypes(folder: string, sdk: string): void {
  mkdirSync(join(folder, 'node_modules/@berth'), { recursive: true })
  symlinkSync(sdk, join(folder, 'node_modules/@berth/sdk'), 'junction')
  symlinkSync(join(root, 'node_modules/@types'), join(folder, 'node_modules/@types'), 'junction')
}
