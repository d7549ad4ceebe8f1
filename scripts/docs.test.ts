/** What the pages promise about themselves: that links lead somewhere, and that the first page names all there is. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const readme = read('README.md')

/** As GitHub makes them of headings. */
function anchorsOf(markdown: string): string[] {
  const headings = [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading)
  return headings.map(heading =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

test('every link of a page leads to a file of the project, and to a heading in it', () => {
  const dead: string[] = []
  for (const page of ['README.md', ...globSync('docs/**/*.md', { cwd: root })]) {
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

test('the README names every command of sdk, every bench and every page of docs', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'bin/sdk.cjs'), '--help'])
  const commands = [...stdout.matchAll(/^ {2}([a-z]+) .* {2}\S/gm)].flatMap(([, name = '']) => (name === 'help' ? [] : [`\`${name}\``]))
  assert.ok(commands.length > 15, stdout)
  const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> }
  const benches = Object.keys(scripts).flatMap(name => (name.startsWith('bench') ? [`\`npm run ${name}\``] : []))
  const pages = globSync('docs/*.md', { cwd: root }).map(page => `](${page.replaceAll('\\', '/')})`)
  assert.deepEqual(
    [...commands, ...benches, ...pages].filter(named => !readme.includes(named)),
    [],
  )
})
