/**
 * Runs the script of a package in Node.js, with the build of the package that Node.js chooses, and prints its input and its answer as JSON. The
 * argument is the path of the script.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'

interface Script {
  readonly input: unknown
  readonly use: (input: unknown) => unknown
}

const [, , entry = ''] = process.argv

/** Node.js removes types but does not know decorators, so TypeScript is compiled to a file beside it. */
async function compiled(path: string): Promise<string> {
  const { transform } = await import('esbuild')
  const tsconfigRaw = await readFile(join(dirname(path), 'tsconfig.json'), 'utf8')
  const { code } = await transform(await readFile(path, 'utf8'), { loader: 'ts', format: 'esm', target: 'es2022', tsconfigRaw })
  const made = path.replace(/\.ts$/, '.compiled.js')
  await writeFile(made, code)
  return made
}

const path = entry.endsWith('.ts') ? await compiled(entry) : entry
const { input, use } = (await import(pathToFileURL(path).href)) as Script
const answer = await use(JSON.parse(JSON.stringify(input)))
process.stdout.write(`\n${JSON.stringify({ input, answer })}\n`)
// A package may have left timers or handles that would keep the process running.
process.exit()
