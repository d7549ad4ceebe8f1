/** What a bundle and its source map are made of: nothing outside of the module and its packages that a comment or a dependency names. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'
import { type Files, packageJson } from '../../test/support/module-folder.ts'
import { SdkError } from '../sdk-error.ts'
import { type Bundle, bundleModule } from './bundle.ts'

const SECRET = 'aws_secret_access_key'
const entry = `import a from 'dep'\nexport const rank = () => a`
const dependency = { 'module/node_modules/dep/package.json': JSON.stringify({ name: 'dep', version: '1.0.0', main: 'index.js' }) }

interface Case {
  readonly root: string
  readonly files: (root: string) => Files
}

/** Bundles the folder `module` of these files. */
async function bundleIn(t: TestContext, files: (root: string) => Files, prepare = async (_root: string) => {}): Promise<Bundle> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'berth-contained-')))
  t.after(() => rm(root, { recursive: true }))
  for (const [path, text] of Object.entries({ 'module/package.json': packageJson, ...files(root) })) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
  await prepare(root)
  return bundleModule(join(root, 'module'))
}

const mapOf = (members: object) => JSON.stringify({ version: 3, sources: ['a.ts'], names: [], mappings: 'AAAA', ...members })
const asData = (text: string) => `data:application/json;base64,${Buffer.from(text).toString('base64')}`
const outside = mapOf({ sourcesContent: [SECRET] })

/** Files of a module with a dependency whose comment names what follows. */
const naming =
  (url: (root: string) => string, more: Files = {}): Case['files'] =>
  root => ({
    ...dependency,
    ...more,
    'secret.txt': SECRET,
    'secret.map': outside,
    'module/index.ts': `${entry}\n//# sourceMappingURL=${url(root)}`,
    'module/node_modules/dep/index.js': `export default 1\n//# sourceMappingURL=${url(root)}`,
  })

const escapes: Readonly<Record<string, Case['files']>> = {
  'a URL of a file': naming(root => `file://${root}/secret.map`),
  'an absolute path': naming(root => `${root}/secret.map`),
  'a path upwards': naming(() => '../../../secret.map'),
  'a path upwards that is escaped': naming(() => '%2e%2e/../../secret.map'),
  'a source at an absolute path': naming(root => asData(mapOf({ sources: [`${root}/secret.txt`] }))),
  'a source upwards': naming(() => asData(mapOf({ sources: ['../../../secret.txt', '../secret.txt'] }))),
  'a source at a URL of a file': naming(root => asData(mapOf({ sources: [`file://${root}/secret.txt`] }))),
  'a root of the sources': naming(root => asData(mapOf({ sourceRoot: root, sources: ['secret.txt'] }))),
  'a map within the package that names a source outside': naming(() => './own.map', {
    'module/own.map': mapOf({ sources: ['../secret.txt'] }),
    'module/node_modules/dep/own.map': mapOf({ sources: ['../../../secret.txt'] }),
  }),
}

for (const [what, files] of Object.entries(escapes)) {
  test(`a comment about a source map leads nowhere outside of the package of its file: ${what}`, async t => {
    let root = ''
    const made = await bundleIn(t, found => {
      root = found
      return files(found)
    })
    const all = made.code + made.sourceMap
    assert(!all.includes(SECRET))
    const { sources } = JSON.parse(made.sourceMap) as { sources: string[] }
    assert(
      sources.every(source => !/^(\.\.|\/|file:)/.test(source)),
      sources.join(),
    )
    // The comment is the text of its author, and stays. Nothing else names the machine.
    assert(!sources.join().includes(root))
  })
}

test('a link within a package leads to no map and no source outside', async t => {
  const url = () => './linked.map'
  const made = await bundleIn(t, naming(url, { 'module/node_modules/dep/x.map': mapOf({ sources: ['linked.txt'] }) }), async root => {
    for (const folder of ['module', 'module/node_modules/dep']) await symlink(join(root, 'secret.map'), join(root, folder, 'linked.map'))
    await symlink(join(root, 'secret.txt'), join(root, 'module/node_modules/dep/linked.txt'))
  })
  assert(!made.sourceMap.includes(SECRET))
})

test('a comment that names a pipe does not keep a module from being bundled', { skip: process.platform === 'win32' }, async t => {
  const made = await bundleIn(
    t,
    naming(() => './pipe.map'),
    async root => {
      for (const folder of ['module', 'module/node_modules/dep']) execFileSync('mkfifo', [join(root, folder, 'pipe.map')])
    },
  )
  assert(made.code.length > 0)
})

test('the map of a package is followed within the package, and has the sources that are there', async t => {
  const made = await bundleIn(t, () => ({
    ...dependency,
    'module/index.ts': `import a from 'dep'\nimport 'dep/other.js'\nexport const rank = () => a`,
    'module/node_modules/dep/src/own.ts': '\n\nexport default "own" as string',
    'module/node_modules/dep/index.js': 'export default "own"\n//# sourceMappingURL=maps/index.js.map',
    'module/node_modules/dep/maps/index.js.map': mapOf({ sources: ['../src/own.ts'], mappings: 'AAEA' }),
    'module/node_modules/dep/other.js': `console.log("other \\n//# sourceMappingURL=" + 1)\n//# sourceMappingURL=${asData(mapOf({ sources: ['o.ts'], sourcesContent: ['o'] }))}`,
  }))
  const map = new TraceMap(made.sourceMap)
  const placeOf = (text: string) => {
    const lines = made.code.split('\n')
    const line = lines.findIndex(each => each.includes(text))
    const { source, line: found } = originalPositionFor(map, { line: line + 1, column: lines[line]?.indexOf(text) ?? 0 })
    return [source, found]
  }
  assert.deepEqual(placeOf('"own"'), ['node_modules/dep/src/own.ts', 3])
  assert.deepEqual(placeOf('console.log'), ['node_modules/dep/o.ts', 1])
  assert.match(made.sourceMap, /export default \\"own\\" as string/)
})

const refusals: Readonly<Record<string, readonly [files: Case['files'], why: RegExp]>> = {
  'data at an absolute path': [
    root => ({ 'secret.txt': SECRET, 'module/index.ts': `import a from '${root}/secret.txt'\nexport const rank = () => a` }),
    /index\.ts imports ".*secret\.txt", which is a place of this machine/,
  ],
  'data above the project': [
    () => ({ 'secret.txt': SECRET, 'module/index.ts': `import a from '../secret.txt'\nexport const rank = () => a` }),
    /imports "\.\.\/secret\.txt", which is data from outside of the project/,
  ],
  'a file of the project that a package imports': [
    () => ({
      ...dependency,
      'module/index.ts': entry,
      'package.json': '{}',
      'secret.json': `{"key":"${SECRET}"}`,
      'module/node_modules/dep/index.js': `import a from '../../../secret.json'\nexport default a`,
    }),
    /dep\/index\.js imports "\.\.\/\.\.\/\.\.\/secret\.json", which is neither in a package nor in the module/,
  ],
}

for (const [what, [files, why]] of Object.entries(refusals)) {
  test(`an import that leads outside is refused with its file and its reason: ${what}`, async t => {
    const error = await bundleIn(t, files).catch((thrown: unknown) => thrown)
    assert(error instanceof SdkError, 'it was bundled')
    assert.equal(error.code, 'IMPORT_OUTSIDE')
    assert.match(error.message, why)
  })
}

test('a module imports code beside it, and data of its project', async t => {
  const made = await bundleIn(t, () => ({
    'package.json': '{}',
    'shared/code.ts': 'export const b: number = 2',
    'shared/data.json': '[7]',
    'module/index.ts': `import { b } from '../shared/code.ts'\nimport data from '../shared/data.json'\nexport const rank = () => [b, data]`,
  }))
  assert.match(made.code, /\[7\]/)
})
