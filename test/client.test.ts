/** The client for callers against a running base, from the package as it would be published. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { promisify } from 'node:util'
import { createClient, SceneError } from '../sdk/caller/index.ts'
import { makeScene, root, startBase, tempFolder } from './support/base.ts'
import { builtPackages } from './support/packages.ts'

const run = promisify(execFile)
const windows = process.platform === 'win32'
/** A project with the package in it. */
let project: string

before(async () => {
  project = await tempFolder()
  await cp((await builtPackages()).client.folder, join(project, 'node_modules/@berth/client'), { recursive: true })
  await writeFile(join(project, 'package.json'), '{ "type": "module" }')
})

test('a base is called with all that a caller may say and want to know', async t => {
  const base = await startBase(t)
  await makeScene(base.client, 'greet', {
    rank: `(input, ctx) => { if (!input.name) throw new RangeError('no name'); return { hello: input.name, unit: ctx.unit } }`,
  })
  const client = createClient<{ greet: { input: { name?: string }; output: { hello: string; unit: string } } }>(base)
  const { output, durationMs, timings, ...info } = await client.callWithInfo('greet', { name: 'Ada' }, { unit: 'u-ä', requestId: 'r-1' })
  assert.deepEqual(output, { hello: 'Ada', unit: 'u-ä' })
  assert.deepEqual(info, { version: 'v1', because: 'baseline', bucket: undefined, degraded: [], requestId: 'r-1', attempts: 1 })
  assert(durationMs > 0 && Object.values(timings).every(ms => ms >= 0) && Object.keys(timings).length > 0)

  await assert.rejects(client.call('greet', {}, { requestId: 'r-2' }), (error: unknown) => {
    assert(error instanceof SceneError)
    assert.deepEqual([error.code, error.status, error.blame, error.version], ['MODULE_THREW', 500, 'module', 'v1'])
    assert.deepEqual([error.requestId, error.problem?.scene], ['r-2', 'greet'])
    return true
  })
  const { because } = await client.callWithInfo('greet', { name: 'Ada' }, { version: 'v1' })
  assert.equal(because, 'pin')
  await assert.rejects(createClient({ url: base.url }).call('greet', { name: 'Ada' }, { version: 'v1' }), {
    code: 'UNAUTHENTICATED',
    status: 401,
  })

  await writeFile(
    join(project, 'call.js'),
    `import { createClient, SceneError } from '@berth/client'
     const client = createClient({ url: process.argv[2] })
     console.log(JSON.stringify(await client.call('greet', { name: 'Bob' }, { unit: 'u2' })))
     console.log(await client.call('none', {}).catch(error => error instanceof SceneError && error.code))`,
  )
  const { stdout } = await run(process.execPath, ['call.js', base.url], { cwd: project })
  assert.equal(stdout, '{"hello":"Bob","unit":"u2"}\nSCENE_NOT_FOUND\n')
})

test('its types know the scenes that a caller names, and refuse what does not fit them', async () => {
  const scenes = `interface Scenes { readonly home: { input: { a: number }; output: string[] } }`
  const fits = `const known = createClient<Scenes>({ url: '' })
    const list: string[] = await known.call('home', { a: 1 }, { unit: 'u' })
    const { output, version }: { output: string[]; version: string | undefined } = await known.callWithInfo('home', { a: 1 })
    const any: number = await createClient({ url: '' }).call<number>('whatever', [list, output, version])
    export default any`
  const wrong = ["known.call('hmoe', { a: 1 })", "known.call('home', { a: '1' })", "known.call('home', { a: 1 }, { uint: 'u' })"]
  const importing = `import { createClient } from '@berth/client'\n${scenes}\n`
  await writeFile(join(project, 'fits.ts'), importing + fits)
  await writeFile(join(project, 'wrong.ts'), `${importing}const known = createClient<Scenes>({ url: '' })\n${wrong.join('\n')}`)
  const tsc = join(root, 'node_modules/.bin', windows ? 'tsc.cmd' : 'tsc')
  const flags = [
    '--noEmit',
    '--pretty',
    'false',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--lib',
    'es2022,dom',
    '--types',
    '',
  ]
  const { stdout } = await run(tsc, [...flags, 'fits.ts', 'wrong.ts'], { cwd: project, shell: windows }).catch(failed => failed)
  const lines = String(stdout)
    .split('\n')
    .filter(line => line.includes('error'))
  assert.deepEqual(
    lines.map(line => line.slice(0, line.indexOf(','))),
    wrong.map((_, index) => `wrong.ts(${index + 4}`),
    stdout,
  )
})
