/** The licences of the third-party code in a package: the text of each, in one file. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type PackageName, root } from './compile.ts'

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license?: string
}

/** Who made the packages that name the MIT licence and bring no text of it. */
const holders: Readonly<Record<string, string>> = {
  'abstract-logging': 'James Sumners (http://jsumners.mit-license.org)',
  jsondiffpatch: 'Benjamin Eidelman (https://github.com/benjamine/jsondiffpatch)',
}

/** Code that a package has beside what is compiled: in the scripts that isolates run, in the addons, and on the page of the control API. */
const beside: Readonly<Record<PackageName, readonly string[]>> = {
  base: ['@exodus/bytes', '@fastify/swagger-ui', '@jridgewell/resolve-uri', '@jridgewell/sourcemap-codec', 'core-js-pure', 'isolated-vm'],
  sdk: ['esbuild'],
  client: [],
}

/** The page of the control API is a copy of Swagger UI, which @fastify/swagger-ui does not name as its own. */
const swaggerUi = {
  title: 'Swagger UI (https://github.com/swagger-api/swagger-ui), Apache-2.0, as @fastify/swagger-ui has it in the folder static',
  file: 'LICENSE',
}

/**
 * The file with all licences of a package.
 * @param inputs paths of the files that the package was compiled from
 * @throws Error for a package whose licence has no text
 */
export async function licencesOf(name: PackageName, inputs: Iterable<string>): Promise<string> {
  const folders = new Set([...inputs].flatMap(path => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []))
  for (const other of beside[name]) folders.add(`node_modules/${other}`)
  const parts = await Promise.all([...folders].sort().map(licenceOf))
  if (name === 'base') parts.push(part(swaggerUi.title, await readFile(join(root, swaggerUi.file), 'utf8')))
  return parts.length === 0 ? '' : `This package contains code of others, under these licences.\n\n${parts.join('\n')}`
}

async function licenceOf(folder: string): Promise<string> {
  const { name, version, license } = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8')) as Manifest
  const files = (await readdir(join(root, folder))).filter(file => /^(licen[cs]e|copying|notice)/i.test(file)).sort()
  const read = await Promise.all(files.map(file => readFile(join(root, folder, file), 'utf8')))
  const holder = license === 'MIT' ? holders[name] : undefined
  if (read.length === 0 && holder !== undefined) read.push(mit(holder))
  if (read.length > 0) return part(`${name} ${version}${license === undefined ? '' : `, ${license}`}`, read.join('\n'))
  const what = `${folder} has no text of its licence (${license ?? 'none is named'})`
  throw new Error(`Cannot collect the licences: ${what}. Find out what it is, and say it in scripts/packages/licences.ts`)
}

const mit = (holder: string): string => `Copyright ${holder}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS
FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY,
WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`

const part = (title: string, text: string): string => `${'─'.repeat(80)}\n${title}\n\n${text.replaceAll('\r\n', '\n').trim()}\n`
