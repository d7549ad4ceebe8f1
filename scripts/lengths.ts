/**
 * The lengths of long functions, which only ever become shorter: `scripts/lengths.json` lists those of today, and `scripts/tidy.test.ts` holds
 * the code to the list. Started as a program (`npm run tidy:lengths`), it writes the list anew, and
 * says what is different.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSync } from 'oxc-parser'

/** Lines of a function that needs no entry in the list. */
const LENGTH_MAX = 70

/** Lines by file and name of the function. */
export type Lengths = Readonly<Record<string, Readonly<Record<string, number>>>>

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const listPath = join(root, 'scripts/lengths.json')

/** What is committed. */
export const listedLengths = (): Lengths => JSON.parse(readFileSync(listPath, 'utf8')) as Lengths

/** What the code is now: the functions over 70 lines, but for tests, which tell a story from its beginning to its end. */
export function longFunctions(): Lengths {
  const files = globSync(['base/**/*.ts', 'sdk/**/*.ts', 'scripts/**/*.ts'], {
    cwd: root,
    exclude: ['**/*.test.ts', '**/*.test-d.ts', '**/dist/**', '**/fixtures/**'],
  })
  const lengths = files.map(
    file => [file.replaceAll('\\', '/'), over70(functionLengths(file, readFileSync(join(root, file), 'utf8')))] as const,
  )
  return Object.fromEntries(lengths.filter(([, long]) => Object.keys(long).length > 0).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function over70(lengths: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...lengths].filter(([, lines]) => lines > LENGTH_MAX))
}

/**
 * The lines of each function of a text, by its name after the names of what it is in: `Slot.run`, `startBase.kill`. A function without a name
 * of its own counts as part of what it is in. Of several with one name, the longest counts.
 */
export function functionLengths(file: string, source: string): Map<string, number> {
  const lengths = new Map<string, number>()
  const visit = (node: Node, path: readonly string[]): void => {
    const name = nameOf(node)
    const here = name === undefined ? path : [...path, name]
    if (functionTypes.has(node.type)) {
      const key = here.join('.') || '(no name)'
      lengths.set(key, Math.max(lengths.get(key) ?? 0, source.slice(node.start, node.end).split('\n').length))
    }
    for (const child of Object.values(node).flat()) if (isNode(child)) visit(child, here)
  }
  visit(parseSync(file, source).program, [])
  return lengths
}

/** What is common to the nodes of a syntax tree. */
interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  /** Of functions, classes and variables. */
  readonly id?: unknown
  /** Of properties and methods. */
  readonly key?: unknown
  /** Of identifiers. */
  readonly name?: unknown
}

const functionTypes: ReadonlySet<string> = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'])

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value
}

function nameOf({ id, key }: Node): string | undefined {
  const named = id ?? key
  return isNode(named) && typeof named.name === 'string' ? named.name : undefined
}

/** What the list does not allow, and where it can be stricter; nothing when the list is what the code is. */
export function compareLengths(listed: Lengths, found: Lengths): string[] {
  const entries = (lengths: Lengths) =>
    Object.entries(lengths).flatMap(([file, names]) => Object.entries(names).map(([name, lines]) => [file, name, lines] as const))
  const news = entries(found).flatMap(([file, name, lines]) => {
    const allowed = listed[file]?.[name]
    if (allowed === lines) return []
    if (allowed === undefined) return `${file}: ${name} has ${lines} lines, more than ${LENGTH_MAX}: divide it`
    return `${file}: ${name} ${lines > allowed ? 'has grown' : 'has shrunk'} from ${allowed} to ${lines} lines${lines > allowed ? ': divide it' : ''}`
  })
  const gone = entries(listed).filter(([file, name]) => found[file]?.[name] === undefined)
  return [...news, ...gone.map(([file, name]) => `${file}: ${name} is not over ${LENGTH_MAX} lines any more`)]
}

if (import.meta.main) {
  const found = longFunctions()
  for (const line of compareLengths(listedLengths(), found)) console.log(line)
  writeFileSync(listPath, `${JSON.stringify(found, undefined, 2)}\n`)
}
