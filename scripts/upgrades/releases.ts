/** Releases of the base: copies of this clone, each with a version of its own and a name that its answers carry. */
import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { cp, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../../test/support/base.ts'
import { builtPackages } from '../../test/support/packages.ts'
import { RELEASE_HEADER } from './exchange.ts'

export interface Release {
  readonly name: string
  readonly version: string
  readonly folder: string
}

/** What a base is started from. */
const parts = ['base', 'bin', 'sdk', 'package.json', 'tsconfig.json']

/** Copies this clone to the folder. The packages are not copied. */
export async function makeRelease(folder: string, name: string, version: string): Promise<Release> {
  await Promise.all(parts.map(part => cp(join(root, part), join(folder, part), { recursive: true })))
  // The link goes to the folder itself, not to another link, because cells may read neither end of a chain of links.
  await symlink(realpathSync(join(root, 'node_modules')), join(folder, 'node_modules'), 'junction')
  for (const manifest of ['package.json', 'base/package.json'].map(file => join(folder, file)))
    if (existsSync(manifest)) edit(manifest, text => text.replace(/"version": "[^"]*"/, `"version": "${version}"`))
  sign(folder, name)
  return { name, version, folder }
}

/** Has the scene port say the name of the release with each answer. */
function sign(folder: string, name: string): void {
  edit(join(folder, 'base/cell/scene-port.ts'), text => text.replace(BECAUSE, `'${RELEASE_HEADER}', '${name}', $&`))
}

/** Lays the package out as npm does, with a version and a name of its own. The release is the folder of the package. */
export async function installRelease(folder: string, name: string, version: string): Promise<Release> {
  const { base } = await builtPackages()
  const installed = join(folder, 'node_modules/@berth/base')
  await cp(base.folder, installed, { recursive: true })
  const packages = realpathSync(join(root, 'node_modules'))
  for (const node of readdirSync(packages).filter(entry => /^node-(bin-)?(linux|darwin|win)-/.test(entry)))
    await symlink(join(packages, node), join(folder, 'node_modules', node), 'junction')
  edit(join(installed, 'package.json'), text => text.replace(/"version": "[^"]*"/, `"version": "${version}"`))
  const chunks = join(installed, 'lib/chunks')
  const signed = readdirSync(chunks).find(file => file.endsWith('.js') && BECAUSE.test(readFileSync(join(chunks, file), 'utf8')))
  if (signed === undefined) throw new Error(`${chunks} is not as scripts/upgrades expects it: it has no scene port`)
  edit(join(chunks, signed), text => text.replace(BECAUSE, `'${RELEASE_HEADER}', '${name}', $&`))
  return { name, version, folder: installed }
}

/** Where the scene port writes the head of an answer. */
const BECAUSE = /['"]x-scene-because['"],\s*decision/

/** Changes a file of a release. @throws when that changes nothing */
export function edit(file: string, change: (text: string) => string): void {
  const before = readFileSync(file, 'utf8')
  const after = change(before)
  if (after === before) throw new Error(`${file} is not as it was when this was written: nothing was changed`)
  writeFileSync(file, after)
}
