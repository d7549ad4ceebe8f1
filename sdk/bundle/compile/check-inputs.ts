/**
 * What a bundle may be made of. Code may be imported from anywhere by a relative path, since its author wrote the import. Data, which nobody reads when
 * they review code, comes from the project of the module or from packages; and a package imports only from packages and from the module that uses it.
 */
import { existsSync } from 'node:fs'
import { dirname, isAbsolute, join, relative, resolve } from 'node:path'
import type { Metafile } from 'esbuild'
import { packageFolderOf } from '../../../base/kernel/stacks.ts'
import { SdkError } from '../../sdk-error.ts'
import { fileOf, isFile } from '../inputs.ts'
import type { ModuleFolder } from '../manifest.ts'

/** @throws SdkError IMPORT_OUTSIDE, naming the first import that leads where it may not */
export function checkInputs({ folder, shown }: ModuleFolder, { inputs }: Metafile): void {
  const project = relative(folder, projectOf(folder)).replaceAll('\\', '/')
  for (const [importer, { imports }] of Object.entries(inputs)) {
    for (const { path, original = path, external } of imports) {
      if (external === true || !isFile(path) || !isFile(importer)) continue
      const why = faultOf(importer, fileOf(path), original, project)
      if (why === undefined) continue
      throw new SdkError('IMPORT_OUTSIDE', `Cannot bundle "${shown}": ${join(shown, importer)} imports "${original}", ${why}`, {
        hint: 'Copy the file into the folder of the module, or put it into a package that the module depends on.',
      })
    }
  }
}

/** @param project path of the project from the folder of the module: empty, or like `../..` */
function faultOf(importer: string, path: string, original: string, project: string): string | undefined {
  if (isAbsolute(original) || /^file:/i.test(original)) return 'which is a place of this machine'
  if (packageFolderOf(path) !== undefined || isWithin('', path)) return undefined
  if (packageFolderOf(importer) !== undefined) return 'which is neither in a package nor in the module'
  return isCode(path) || isWithin(project, path) ? undefined : 'which is data from outside of the project'
}

const isCode = (path: string): boolean => /\.[cm]?[jt]sx?$/.test(path)

/** Whether a path is within the folder that many steps up; both are relative to the folder of the module. */
function isWithin(above: string, path: string): boolean {
  const steps = above === '' ? 0 : above.split('/').length
  return !isAbsolute(path) && !path.startsWith('../'.repeat(steps + 1))
}

/** The folder that holds all that belongs together: a repository, else the topmost folder with a package.json, else the module itself. */
function projectOf(folder: string): string {
  let found = folder
  for (let above = folder; ; above = dirname(above)) {
    if (existsSync(join(above, '.git'))) return above
    if (existsSync(join(above, 'package.json'))) found = above
    if (resolve(above, '..') === above) return found
  }
}
