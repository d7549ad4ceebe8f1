/**
 * The declarations of the packages: one `.d.ts` for each public entry, with its comments. A public entry has its types in one source file, which imports no
 * others, so that nothing has to be bundled: what the compiler writes for that file is all. (If types were bundled, `declare module '@berth/sdk'`, with
 * which a project adds its services, would reach only one of the copies.)
 */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { errorTable } from '../../base/kernel/errors.ts'
import { compilerIn } from '../../sdk/bundle/type-check.ts'
import { type PackageName, root } from './compile.ts'

interface Entry {
  /** The file with all its types, from the root of the sources. */
  readonly source: string
  /** The file to write, from the folder for the declarations of its package. */
  readonly to: string
  /** What the program has beside the language: the types of Node.js, or those of browsers. */
  readonly platform: 'node' | 'browser'
  /** What its declarations may import. */
  readonly imports: readonly string[]
}

const entries: Readonly<Record<PackageName, readonly Entry[]>> = {
  sdk: [
    { source: 'sdk/author/author.ts', to: 'index.d.ts', platform: 'node', imports: [] },
    { source: 'sdk/author/testing-api.ts', to: 'testing.d.ts', platform: 'node', imports: ['@berth/sdk'] },
  ],
  base: [{ source: 'base/services/contract.ts', to: 'services.d.ts', platform: 'node', imports: [] }],
  client: [{ source: 'sdk/caller/index.ts', to: 'index.d.ts', platform: 'browser', imports: [] }],
}

/** Declarations that are written by hand, from the root of the sources: the globals of slots, and what stands there for the types of Node.js. */
const written: Readonly<Record<PackageName, readonly string[]>> = { sdk: ['sdk/author/slot'], base: [], client: [] }

/**
 * Writes the declarations of a package into a folder, which may be there already. The same sources give the same bytes.
 * @throws Error when the sources do not compile, or when their declarations need what the package does not have
 */
export async function writeDeclarations(name: PackageName, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const entry of entries[name]) await writeFile(join(folder, entry.to), selfContained(entry, await emitted(entry)))
  for (const path of written[name]) await cp(join(root, path), join(folder, path.slice(path.lastIndexOf('/') + 1)), { recursive: true })
}

/** What the compiler writes for the source of an entry. */
async function emitted({ source, platform }: Entry): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-declarations-'))
  try {
    const config = join(folder, 'tsconfig.json')
    await writeFile(config, JSON.stringify(configOf(source, platform)))
    const { command } = await compilerIn(join(root, 'node_modules/typescript'))
    const [program = '', ...args] = command
    await promisify(execFile)(program, [...args, '--project', config]).catch((error: { stdout?: string }) => {
      throw new Error(`Cannot declare ${source}:\n${error.stdout}`, { cause: error })
    })
    return await readFile(join(folder, source.replace(/\.ts$/, '.d.ts')), 'utf8')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function configOf(source: string, platform: Entry['platform']): object {
  const globals =
    platform === 'node' ? { types: ['node'], typeRoots: [join(root, 'node_modules/@types')] } : { types: [], lib: ['es2022', 'dom'] }
  return {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { ...globals, noEmit: false, declaration: true, emitDeclarationOnly: true, rootDir: root, outDir: '.' },
    files: [join(root, source)],
    include: [],
    exclude: [],
  }
}

const IMPORT_OF_CODES = /^import type \{ ErrorCode \} from '[./]+base\/kernel\/errors\.ts';\n/m
const IMPORT = /\b(?:from|import|require)\s*\(?\s*(['"])(.*?)\1|\/\/\/ <reference (?:types|path)="(.*?)"/g

/** @throws Error when the declarations import what they may not */
function selfContained({ source, imports }: Entry, declarations: string): string {
  const codes = Object.keys(errorTable).map(code => `  | '${code}'`)
  const text = declarations
    .replace(IMPORT_OF_CODES, '')
    .replace(/(?:export \{\};\n)?$/, end => (IMPORT_OF_CODES.test(declarations) ? `type ErrorCode =\n${codes.join('\n')};\n${end}` : end))
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '')
  const wrong = [...code.matchAll(IMPORT)].map(([, , path, reference]) => path ?? reference ?? '').filter(path => !imports.includes(path))
  if (wrong.length > 0)
    throw new Error(`Cannot declare ${source}: its types import ${wrong.join(', ')}. Keep all types of a public entry in its file.`)
  return text
}
