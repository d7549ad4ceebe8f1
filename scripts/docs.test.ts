/** Tests of the documents: links and paths lead somewhere, and the README names every command, bench and page. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { anchorsOf } from './anchors.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const readme = read('README.md')
const pages = globSync(['README.md', 'docs/**/*.md', 'base/README.md', 'sdk/**/README.md', 'fixtures/**/README.md'], { cwd: root })

test('every link of a page leads to a file of the project, and to a heading in it', () => {
  const dead: string[] = []
  for (const page of pages) {
    for (const [, link = ''] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : join(dirname(page), path)
      const leads = existsSync(join(root, target)) && (anchor === undefined || anchorsOf(read(target)).includes(anchor))
      if (!leads) dead.push(`${page}: ${link}`)
    }
  }
  assert.deepEqual(dead, [])
})

const FENCE = /^```(\w*)\n([\s\S]*?)^```$/gm
const PATH = /(?<![\w./-])(?:base|sdk|scripts|test|docs|fixtures|modules)\/[\w./*-]*/g

/** The paths of the project in the code spans and the drawings of a page. Commands and listings in other code blocks may name new files. */
function pathsIn(markdown: string): string[] {
  const drawings = [...markdown.matchAll(FENCE)].flatMap(([, language, text = '']) => (language === '' ? [text] : []))
  const spans = [...markdown.replaceAll(FENCE, '').matchAll(/`([^`\n]+)`/g)].map(([, text = '']) => text)
  return [...drawings, ...spans].flatMap(text => [...text.matchAll(PATH)].map(([path]) => path.replace(/\.$/, '')))
}

/** Whether a path exists. A segment in capitals stands for a name that readers choose, so only the folders before it must exist. */
function exists(path: string): boolean {
  const fixed = path.replace(/(?<=\/)[A-Z]+[./].*$/, '')
  return fixed.includes('*') ? globSync(fixed, { cwd: root }).length > 0 : existsSync(join(root, fixed))
}

test('every path of the project that a page names exists', () => {
  const dead = pages.flatMap(page => pathsIn(read(page)).flatMap(path => (exists(path) ? [] : [`${page}: ${path}`])))
  assert.deepEqual(dead, [])
})

test('every script that a page says to run with npm is in package.json', () => {
  const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> }
  const missing = pages.flatMap(page =>
    [...read(page).matchAll(/npm run ([\w:-]+)/g)].flatMap(([, name = '']) => (Object.hasOwn(scripts, name) ? [] : [`${page}: ${name}`])),
  )
  assert.deepEqual(missing, [])
})

test('the README names every command of sdk, every bench and every page of docs', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'bin/sdk.cjs'), '--help'])
  const commands = [...stdout.matchAll(/^ {2}([a-z]+) .* {2}\S/gm)].flatMap(([, name = '']) => (name === 'help' ? [] : [`\`${name}\``]))
  assert.ok(commands.length > 15, stdout)
  const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> }
  const benches = Object.keys(scripts).flatMap(name => (name.startsWith('bench') ? [`\`npm run ${name}\``] : []))
  const linked = globSync('docs/*.md', { cwd: root }).map(page => `](${page.replaceAll('\\', '/')})`)
  assert.deepEqual(
    [...commands, ...benches, ...linked].filter(named => !readme.includes(named)),
    [],
  )
})
