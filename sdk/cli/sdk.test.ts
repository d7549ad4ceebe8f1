import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { replaceVersion } from './commands/publish.ts'
import { differences } from './commands/scene.ts'

const cli = fileURLToPath(new URL('sdk.ts', import.meta.url))
/** Nothing listens at port 1 of this machine. */
const nobody = 'http://127.0.0.1:1'

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function sdk(...args: string[]): Promise<Ended> {
  return sdkWith({}, ...args)
}

function sdkWith(extra: Readonly<Record<string, string>>, ...args: string[]): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>()
  const env = { ...process.env, BERTH_BASE: nobody, ...extra }
  const child = execFile(process.execPath, [cli, ...args], { env }, (_, stdout, stderr) => {
    resolve({ code: child.exitCode ?? -1, stdout, stderr })
  })
  child.stdin?.end()
  return promise
}

async function folderWith(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-cli-'))
  t.after(() => rm(folder, { recursive: true }))
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  return folder
}

const goodModule = {
  'package.json': '{\n    "name": "ranker",\n    "version": "1.0.0",\n    "berth": { "stages": ["rank"] }\n}\n',
  'index.ts': 'export const rank = (x: number) => x',
}

test('a pipe gets no colours, whatever the machine that builds says of itself', async () => {
  const { stderr } = await sdkWith({ CI: 'true', FORCE_COLOR: '1' }, 'publsh')
  assert.match(stderr, /^✖ Unknown command/)
})

const usages: readonly { readonly args: readonly string[]; readonly says: RegExp }[] = [
  { args: ['publsh'], says: /Unknown command 'publsh' \(Did you mean publish\?\)/ },
  { args: ['scene', 'lst'], says: /Unknown command 'lst' \(Did you mean list\?\)\n.*"npx sdk scene --help" lists/ },
  { args: ['publish', 'x', '--secne', 'y'], says: /Unknown option '--secne' \(Did you mean --scene\?\)/ },
  { args: ['publish'], says: /Missing required argument 'folders'\n.*"npx sdk publish \[options\] <folders\.\.\.>"/ },
  { args: ['publish', 'x', '--bump', 'huge'], says: /'huge' is invalid\. Allowed choices are patch, minor, major/ },
  { args: ['publish', 'x', '--as', 'baseline'], says: /--as without --scene/ },
  { args: ['publish', 'x', '--scene', 'y', '--share', '5%'], says: /only a cutover has one.*\n.*--as cutover/ },
  { args: ['version', 'promote', 'x', '3', '--to', 'baseline'], says: /"3" as a version.*\n.*Write v3\./ },
  { args: ['version', 'promote', 'x', 'v3', '--to', 'cutover', '--share', '0.2'], says: /no % sign\n.*Write 0\.2% or 20%\./ },
  { args: ['version', 'promote', 'x', 'v3'], says: /'--to <part>' not specified/ },
  { args: ['version', 'promote', 'x', 'v3', '--to', 'baseline', '--share', '5%'], says: /the baseline has what is left/ },
  { args: ['flip', 'x', 'e', '--new-phase', 'a=5%'], says: /"a=5%" as the number of a phase: it is no number/ },
  { args: ['params', 'rollback', 'x', '41', '--to', '40'], says: /Cannot undo a change and go to another/ },
  { args: ['whitelist', 'x', 'show'], says: /Unknown command 'x'\n.*sdk whitelist show x/ },
  { args: ['experiment', 'create', 'x', 'e'], says: /without arms\n.*--arm control=v3:50%/ },
  { args: ['experiment', 'create', 'x', 'e', '--arm', 'a=v1'], says: /"a=v1" as an arm: it has no share/ },
  { args: ['flip', 'x', 'e'], says: /nothing says how\n.*sdk flip x e treatment=20%/ },
  { args: ['flip', 'x', 'e', 'a=5%', '--revert'], says: /--revert with other changes/ },
  { args: ['flip', 'x', 'e', 'a=5%'], says: /there is no terminal\n.*--yes, or --dry-run/ },
  { args: ['params', 'set', 'x', 'mode=fast'], says: /fast is no JSON\n.*'mode="fast"'/ },
  { args: ['explain', 'x', '--attr', 'country'], says: /it has no "="\n.*country=CN/ },
  { args: ['token', 'create'], says: /'--right <right\.\.\.>' not specified/ },
  { args: ['modules', '--base', 'localhost'], says: /"localhost".*no http URL/ },
  { args: ['invoke', 'x', '--data', '1', '--file', 'y'], says: /both --data and --file/ },
  { args: ['invoke', 'x', '--data', '1', '--header', 'nameless'], says: /"nameless"/ },
]

for (const { args, says } of usages) {
  test(`"sdk ${args.join(' ')}" is refused as wrong usage with what is meant`, async () => {
    const { code, stdout, stderr } = await sdk(...args)
    assert.equal(code, 2, stderr)
    assert.equal(stdout, '')
    assert.match(stderr, /^✖ /)
    assert.match(stderr, says)
  })
}

test('every command has help with an example and the exit codes', async () => {
  const alone = ['init', 'test', 'dev', 'publish', 'modules', 'invoke', 'replay', 'flip', 'explain', 'schema']
  const groups = {
    scene: ['list', 'show', 'apply'],
    version: ['list', 'create', 'promote', 'rollback', 'loadtest', 'offline', 'online'],
    whitelist: ['show', 'set', 'add', 'remove'],
    experiment: ['create', 'start', 'stop', 'status', 'list'],
    layer: ['create', 'list', 'retire'],
    params: ['show', 'set', 'diff', 'history', 'rollback'],
    capsule: ['list', 'show', 'export', 'import', 'delete'],
    token: ['list', 'create', 'revoke'],
  }
  const grouped = Object.entries(groups).flatMap(([group, verbs]) => verbs.map(verb => `${group} ${verb}`))
  const helps = [...alone, ...grouped].map(async command => [command, await sdk(...command.split(' '), '--help')] as const)
  for (const [command, { code, stdout }] of await Promise.all(helps)) {
    assert.equal(code, 0)
    assert.match(stdout, new RegExp(`Examples:\n  npx sdk ${command}`))
    assert.match(stdout, /Exit codes: 0 /)
  }
})

test('"sdk" alone prints help and counts as wrong usage', async () => {
  const { code, stderr } = await sdk()
  assert.equal(code, 2)
  assert.match(stderr, /^Usage: sdk /)
})

test('without a base every command that needs one ends with 3 and says how to start one', async () => {
  for (const args of [['modules'], ['scene', 'list'], ['invoke', 'x', '--data', '1'], ['token', 'list']]) {
    const { code, stderr } = await sdk(...args)
    assert.equal(code, 3)
    assert.match(stderr, /No base answers at http:\/\/127\.0\.0\.1:1/)
    assert.match(stderr, /base start/)
  }
})

test('with --json a failure is one document on standard output too', async () => {
  const { code, stdout } = await sdk('modules', '--json')
  assert.equal(code, 3)
  assert.equal(JSON.parse(stdout).error.code, 'BASE_UNREACHABLE')
})

test('--version belongs to the command it follows', async () => {
  assert.match((await sdk('--version')).stdout, /^\d+\.\d+\.\d+\n$/)
  assert.equal((await sdk('invoke', 'x', '--data', '1', '--version', 'v1')).code, 3, 'it goes on to ask the base')
})

test('a dry run needs no base, changes nothing and prints what it made', async t => {
  const folder = await folderWith(t, goodModule)
  const { code, stdout } = await sdk('publish', folder, '--dry-run', '--bump', 'minor', '--json')
  assert.equal(code, 0)
  const [module] = JSON.parse(stdout).modules
  assert.deepEqual([module.name, module.version, module.created], ['ranker', '1.1.0', false])
  assert.equal(await readFile(join(folder, 'package.json'), 'utf8'), goodModule['package.json'])
})

test('a fault in the module ends with 1 and shows the line', async t => {
  const folder = await folderWith(t, { ...goodModule, 'index.ts': `import fs from 'node:fs'\nexport const rank = () => fs` })
  const { code, stderr } = await sdk('publish', folder, '--dry-run')
  assert.equal(code, 1)
  assert.match(stderr, /BUILTIN_IMPORTED/)
  assert.match(stderr, /1 │ import fs from 'node:fs'/)
})

test('a dependency that imports a built-in is published with a warning that names both', async t => {
  const folder = await folderWith(t, {
    ...goodModule,
    'index.ts': `import hash from 'hash'\nexport const rank = () => hash`,
    'node_modules/hash/index.js': `const { createHash } = require('crypto')\nmodule.exports = text => createHash('md5').update(text)`,
  })
  const { code, stderr } = await sdk('publish', folder, '--dry-run', '--no-check')
  assert.equal(code, 0)
  assert.match(stderr, /The dependency "hash" imports "crypto" of Node\.js, which does not exist .*"alias" under "berth"/)
})

test('a fault in the types is refused with its line, unless they are not to be checked', async t => {
  const folder = await folderWith(t, {
    'package.json': goodModule['package.json'].replace('"version"', '"type": "module", "version"'),
    'tsconfig.json': '{ "compilerOptions": { "strict": true, "target": "esnext", "module": "nodenext", "lib": ["esnext"] } }',
    'index.ts': 'export const rank = (x: number) => x\nrank("one")\n',
  })
  const { code, stderr } = await sdk('publish', folder, '--dry-run')
  assert.equal(code, 1)
  assert.match(stderr, /index\.ts:2:6: TS2345: Argument of type 'string'/)
  assert.match(stderr, /2 rank\("one"\)/)
  assert.match(stderr, /TYPES_WRONG: .*--no-check/)
  assert.equal((await sdk('publish', folder, '--dry-run', '--no-check')).code, 0)
  await writeFile(join(folder, 'index.ts'), goodModule['index.ts'])
  assert.match((await sdk('publish', folder, '--dry-run')).stdout, /✔ check .* types\n/)
})

test('the parts of a big bundle are listed', async t => {
  const folder = await folderWith(t, { ...goodModule, 'index.ts': `import big from './big.txt'\nexport const rank = () => big` })
  await writeFile(join(folder, 'big.txt'), 'x'.repeat(300 * 1024))
  assert.match((await sdk('publish', folder, '--dry-run')).stdout, /^ +big\.txt +30\d\.\d KB 100 %$/m)
})

test('a module that is named twice is refused before anything is sent', async t => {
  const [folder, copy] = [await folderWith(t, goodModule), await folderWith(t, goodModule)]
  const { code, stderr } = await sdk('publish', folder, copy)
  assert.equal(code, 2)
  assert.match(stderr, /Cannot publish "ranker" twice: it is in ".*" and in ".*"/)
})

test('a failure that nobody reads is a failure', async () => {
  const child = spawn(process.execPath, [cli, 'scene', 'apply', 'none.json'], { stdio: ['ignore', 'ignore', 'pipe'] })
  child.stderr.destroy()
  assert.deepEqual(await once(child, 'exit'), [1, null])
})

test('what no header may hold is wrong usage, and no base that cannot be reached', async () => {
  const { code, stderr } = await sdk('invoke', 'x', '--data', '1', '--url', nobody, '--unit', 'a\nb')
  assert.equal(code, 2)
  assert.match(stderr, /Cannot send the header "x-unit-id"/)
})

/** @returns its URL */
async function fakeBase(t: TestContext, answer: RequestListener): Promise<string> {
  const base = createServer(answer)
  await once(base.listen(0, '127.0.0.1'), 'listening')
  t.after(() => {
    base.closeAllConnections()
    base.close()
  })
  return `http://127.0.0.1:${(base.address() as AddressInfo).port}`
}

test('a defect of sdk is shown in two lines as what it is, and its stack only to those who ask for it', async t => {
  const base = await fakeBase(t, (_, response) => response.setHeader('content-type', 'application/json').end('{}'))
  const { code, stderr } = await sdk('scene', 'list', '--base', base)
  assert.equal(code, 4)
  assert.match(stderr, /^✖ Cannot finish "sdk scene list": \S.*\n {2}SDK_DEFECT: .*BERTH_DEBUG=1.*\n$/)
  assert.match((await sdkWith({ BERTH_DEBUG: '1' }, 'scene', 'list', '--base', base)).stderr, /^TypeError: .*\n +at listScenes /m)
})

test('--bump puts package.json back when the publishing fails, or is interrupted half-way', async t => {
  const folder = await folderWith(t, goodModule)
  const path = join(folder, 'package.json')
  const during: string[] = []
  const uploading = new EventEmitter()
  let fails = true
  const base = await fakeBase(t, (request, response) => {
    if (request.method === 'GET') return response.setHeader('content-type', 'application/json').end('[]')
    // Two things are asked at once, and the second may see the end of the first. Only one of a failure and an interruption is tried at a
    // time.
    if (uploading.listenerCount('asked') === 0) return fails ? response.destroy() : undefined
    during.push(JSON.parse(readFileSync(path, 'utf8')).version)
    return uploading.emit('asked', response)
  })
  const publish = () => spawn(process.execPath, [cli, 'publish', folder, '--bump', 'patch', '--no-check', '--base', base])

  uploading.once('asked', (response: ServerResponse) => response.destroy())
  assert.deepEqual(await once(publish(), 'exit'), [3, null])
  assert.equal(await readFile(path, 'utf8'), goodModule['package.json'])

  fails = false
  const interrupted = publish()
  uploading.once('asked', () => interrupted.kill('SIGINT'))
  assert.deepEqual(await once(interrupted, 'exit'), [null, 'SIGINT'])
  assert.equal(await readFile(path, 'utf8'), goodModule['package.json'])
  assert.deepEqual(during, ['1.0.1', '1.0.1'])
  assert.deepEqual((await readdir(folder)).sort(), Object.keys(goodModule).sort())
})

test('a version that --bump raises is in the code of a module that imports its package.json, and in the manifest of every module', async t => {
  const sent: string[] = []
  const base = await fakeBase(t, async (request, response) => {
    if (request.method === 'HEAD') return response.writeHead(404).end()
    if (request.method === 'GET') return response.setHeader('content-type', 'application/json').end('[]')
    sent.push(await text(request))
    return response.writeHead(request.method === 'PUT' ? 204 : 400).end()
  })
  const sentFor = async (index: string) => {
    sent.length = 0
    await sdk('publish', await folderWith(t, { ...goodModule, 'index.ts': index }), '--bump', 'patch', '--no-check', '--base', base)
    return { bundle: sent.find(body => body.includes('use strict')), manifest: sent.find(body => body.includes('"stages":["rank"]')) }
  }
  const without = await sentFor(goodModule['index.ts'])
  const containing = await sentFor('import { version } from "./package.json"\nexport const rank = () => version\n')
  for (const { manifest } of [without, containing]) assert.match(manifest ?? '', /"version":"1\.0\.1"/)
  assert.match(containing.bundle ?? '', /"1\.0\.1"/)
})

test('a version is raised where it stands, with the layout of the file kept', () => {
  const text = '{\n\t"config": { "version": "1.0.0" },\n\t"version" : "1.0.0"\n}\n'
  assert.equal(replaceVersion('\ufeff{"version":"1.0.0"}', '1.0.0', '1.1.0'), '\ufeff{"version":"1.1.0"}')
  assert.equal(replaceVersion(text, '1.0.0', '1.0.1'), '{\n\t"config": { "version": "1.0.0" },\n\t"version" : "1.0.1"\n}\n')
})

test('a scene file with a fault is refused by the path of the fault before any request', async t => {
  const scene = { id: 'x', group: [{ stage: 'rank', modules: ['a@1'] }], traffic: { deadlineMs: 0, dedline: 1 } }
  const folder = await folderWith(t, { 'scene.json': JSON.stringify(scene), 'broken.json': '{' })
  const { code, stderr } = await sdk('scene', 'apply', join(folder, 'scene.json'))
  assert.equal(code, 1)
  assert.match(stderr, /scene\.json".*\/traffic\/deadlineMs/)
  assert.match(stderr, /\/traffic has unknown members: dedline/)
  assert.match((await sdk('scene', 'apply', join(folder, 'broken.json'))).stderr, /broken\.json": it is not JSON/)
  assert.match((await sdk('scene', 'apply', join(folder, 'none.json'))).stderr, /Cannot read ".*none\.json"/)
})

test('"$schema" in a scene file is for editors and no fault', async t => {
  const scene = { $schema: './scene.schema.json', id: 'x', group: [{ stage: 'rank', modules: ['a@1'] }] }
  const folder = await folderWith(t, { 'scene.json': JSON.stringify(scene) })
  assert.equal((await sdk('scene', 'apply', join(folder, 'scene.json'))).code, 3, 'it gets as far as the base')
})

test('"sdk schema" prints the JSON Schema of a scene', async () => {
  const schema = JSON.parse((await sdk('schema')).stdout)
  assert.equal(schema.$schema, 'https://json-schema.org/draft/2020-12/schema')
  assert(schema.properties.group && schema.properties.$schema)
  assert.deepEqual(schema.required, ['id', 'group'], 'what has a default may be left out')
  assert.deepEqual(schema.properties.traffic.required, [])
})

test('what changed in a definition is shown member by member', () => {
  const before = { id: 'x', traffic: { deadlineMs: 200 }, params: { a: [1, 2] } }
  const after = { id: 'x', traffic: { deadlineMs: 300 }, params: { a: [1, 3] }, description: 'd' }
  assert.deepEqual(differences('', before, after), ['/traffic/deadlineMs: 200 → 300', '/params/a/1: 2 → 3', '/description: (none) → "d"'])
})
