/** The page `docs/packages.md`, made of what came of the packages when they were last used. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Package, packages } from './packages.ts'
import type { Outcome } from './use.ts'

/** Outcomes by the name of the package. */
export type Results = Record<string, Outcome>

/** What came of the packages when `npm run compat` was last run. */
export const kept = JSON.parse(readFileSync(join(import.meta.dirname, 'results.json'), 'utf8')) as Results

export function page(results: Results): string {
  const used = packages.map(each => ({ ...each, ...(results[each.name] ?? { code: 'NOT_USED' }) }))
  const unequal = used.filter(({ code }) => code !== undefined)
  const areas = Map.groupBy(used, ({ area }) => area)
  const intro = `# npm packages

\`npm run compat\` wrote this page. For each package it bundles a [small stage](../scripts/compat/uses) that uses the main features, publishes it on a real base,
calls it over HTTP, and compares the answer with that of the same file in Node.js. Versions are exact. \`npm run compat -- --only mathjs --check\` does it again for one
package; without \`--only\` it downloads all of them. A dozen of the difficult ones are in the tests of Berth.

${used.length} packages, ${used.length - unequal.length} answer as in Node.js. The others do not, and [the reasons](#why-not) are below. A package that is not here will most likely
run when it has a build for browsers, and not when it needs files, sockets, native code or WebAssembly.
[Modules and scenes](modules.md) says how to help a package that misses something.
`
  const tables = [...areas].map(([area, rows]) => `## ${area}\n\n${table(rows)}`)
  const why = `## Why not\n\n${unequal.map(reason).join('\n\n')}`
  return `${[intro, ...tables, why].join('\n').trimEnd()}\n`
}

type Row = Package & Outcome

const table = (rows: readonly Row[]): string =>
  `| package | version | bundle | as in Node.js |\n| --- | --- | ---: | --- |\n${rows.map(row).join('\n')}\n`

function row({ name, version, with: others = {}, bytes, code, note }: Row): string {
  const names = [name, ...Object.keys(others)].map(each => `\`${each}\``).join(', ')
  const size = bytes === undefined ? '' : `${Math.ceil(bytes / 1024)} KB`
  const outcome = code === undefined ? `yes${note === undefined ? '' : `, ${note}`}` : `no: [${note ?? code}](#${anchorOf(name)})`
  return `| ${names} | ${version} | ${size} | ${outcome} |`
}

/** The anchor that the heading of a package gets. */
const anchorOf = (name: string): string => name.toLowerCase().replaceAll(/[^\w-]/g, '')

const reason = ({ name, why = '' }: Row): string => `### ${name}\n\n\`\`\`\n${why}\n\`\`\``
