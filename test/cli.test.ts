/** `sdk` and `base` as their users type them, against a running base. One base for the whole file; every test has scenes of its own. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { publishBundle, uploadBundle } from '../sdk/api/publish-steps.ts'
import { bundleModule } from '../sdk/bundle/bundle.ts'
import { readScene } from '../sdk/cli/files/scene-file.ts'
import { callScene, launchBase, makeScene, publishStages, type RunningBase, root, startBase, tempFolder } from './support/base.ts'
import { baseIn, ended, type Run, sdkIn } from './support/cli.ts'
import { startLoad } from './support/load.ts'

let base: RunningBase

before(async () => {
  base = await launchBase()
})
after(() => base.kill())

interface Project {
  readonly folder: string
  readonly sdk: Run
  /** Writes a file of the module. */
  write(path: string, text: string): Promise<void>
  /** The version in package.json. */
  version(): string
  /** Calls the scene and returns the answer. */
  ask(body: unknown, ...args: readonly string[]): Promise<unknown>
}

const source = `import { mean } from 'tiny-mean'
import { refuseEmpty } from './check.ts'
import greeting from './greeting.txt'
import weights from './weights.json' with { type: 'json' }

export interface Request {
  readonly values: readonly number[]
}

export const rank = ({ values }: Request) => {
  refuseEmpty(values)
  return { score: mean(values) + weights.bias, greeting: greeting.trim() }
}
`
const check = `/** Lines that only the source has. */
type Values = readonly number[]

export function refuseEmpty(values: Values): void {
  if (values.length > 0) return
  throw new RangeError('no values to rank')
}
`

/** A folder with a module that has all kinds of imports in a folder of its own, and a scene file; module and scene have the same name. */
async function makeProject(name: string): Promise<Project> {
  const folder = await tempFolder()
  const write = async (path: string, text: string) => {
    await mkdir(dirname(join(folder, name, path)), { recursive: true })
    await writeFile(join(folder, name, path), text)
  }
  const manifest = { name, version: '1.0.0', berth: { stages: ['rank'] } }
  await write('package.json', `${JSON.stringify(manifest, null, 2)}\n`)
  await write('index.ts', source)
  await write('check.ts', check)
  await write('greeting.txt', 'good morning\n')
  await write('weights.json', '{ "bias": 10 }')
  await write('node_modules/tiny-mean/package.json', '{ "name": "tiny-mean", "version": "2.0.0", "main": "index.js" }')
  await write('node_modules/tiny-mean/index.js', 'exports.mean = values => values.reduce((a, b) => a + b, 0) / values.length')
  await writeFile(join(folder, 'scene.json'), JSON.stringify({ id: name, group: [{ stage: 'rank', modules: [`${name}@^1`] }] }))
  const sdk = sdkIn(folder, base)
  return {
    folder,
    sdk,
    write,
    version: () => JSON.parse(readFileSync(join(folder, name, 'package.json'), 'utf8')).version,
    ask: async (body, ...args) => JSON.parse(ended(await sdk('invoke', name, '--data', JSON.stringify(body), ...args), 0).stdout),
  }
}

/** `makeProject`, live as v1: what the first test shows by command lines, without their time. */
async function liveProject(name: string): Promise<Project> {
  const project = await makeProject(name)
  const bundle = await bundleModule(join(project.folder, name))
  await uploadBundle(base.client, bundle)
  await publishBundle(base.client, bundle)
  await base.client.putScene(await readScene(join(project.folder, 'scene.json')), undefined)
  await base.client.createVersion(name, { as: 'baseline' })
  return project
}

const values = { values: [1, 2, 3] }

test('a module folder is live after two lines, a change of it after one', { timeout: 120_000 }, async () => {
  const { sdk, write, ask, version } = await makeProject('everyday')
  ended(await sdk('publish', 'everyday'), 0, /^everyday 1\.0\.0$/m, /✔ bundle +\d+ ms {2}6 files/, /✔ check +\d+ ms/, /✔ load +\d+ ms/)
  ended(
    await sdk('publish', 'everyday', '--scene', 'everyday'),
    1,
    /SCENE_NOT_FOUND: .*sdk publish everyday && sdk scene apply everyday\.json/,
  )
  const applied = await sdk('scene', 'apply', 'scene.json')
  ended(applied, 0, /^everyday: new$/m, /v1 made, and it is the baseline, live on 1 of 1 cells/, /everyday@1\.0\.0/)
  ended(await sdk('scene', 'apply', 'scene.json'), 0, /^everyday: unchanged\n\n$/)
  ended(await sdk('invoke', 'everyday'), 2, /standard input is empty/)
  ended(await sdk('invoke', 'everyday', '--data', '{}', '--version', '1'), 2, /Write v1\./)
  assert.deepEqual(await ask(values), { score: 12, greeting: 'good morning' })

  await write('greeting.txt', 'good evening\n')
  const line = ['publish', 'everyday', '--bump', 'patch', '--scene', 'everyday', '--as', 'baseline', '--yes']
  ended(await sdk(...line), 0, /^everyday 1\.0\.1 \(was 1\.0\.0\)$/m, /v2 made, and it is the baseline/)
  assert.equal(version(), '1.0.1')
  assert.deepEqual(await ask(values), { score: 12, greeting: 'good evening' })

  const { revision } = await base.client.status()
  const again = await sdk(...line)
  ended(
    again,
    0,
    /not raised: nothing has changed/,
    /exactly this is published already/,
    /nothing to do: v2, the baseline, runs exactly this/,
  )
  assert.deepEqual([version(), (await base.client.status()).revision], ['1.0.1', revision])
})

test('a scene of sdk init names what the base has, for a stage that no module here has', async () => {
  const folder = await tempFolder()
  await publishStages(base.client, 'spread-fairly', '1.0.0', { spread: 'x => x' })
  const { stdout } = ended(
    await sdkIn(folder, base)('init', '--scene', 'fair', '--stages', 'spread', 'explain'),
    0,
    /Now: make and publish explain, then sdk scene apply fair\.json/,
  )
  assert.match(
    stdout,
    /^ {2}spread: spread-fairly@\^1\.0\.0 {2}\(published\)\n {2}explain: explain@\^1\.0\.0 {2}\(no module here has this stage: /m,
  )
})

test('other bytes under a published version are refused, and package.json is as it was', { timeout: 120_000 }, async () => {
  const { sdk, write, ask, version } = await liveProject('immutable')
  await write('weights.json', '{ "bias": 20 }')
  const { revision } = await base.client.status()
  ended(await sdk('publish', 'immutable'), 1, /immutable@1\.0\.0/, /MODULE_EXISTS: .*--bump patch/)
  // The version that --bump would make is taken by other bytes.
  await publishStages(base.client, 'immutable', '1.0.1', { rank: 'x => x' })
  ended(await sdk('publish', 'immutable', '--bump', 'patch'), 1, /immutable@1\.0\.1/, /MODULE_EXISTS/)
  assert.equal(version(), '1.0.0')
  assert.equal((await base.client.status()).revision, revision + 1)
  assert.deepEqual(await ask(values), { score: 12, greeting: 'good morning' })
})

/** Every file below a folder with its bytes. */
function contents(folder: string): Map<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  return new Map(files.map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name), 'latin1')]))
}

// Two tests run at a time, since most of each is the start of processes.
describe('side by side', { concurrency: 2 }, () => {
  test('applying a scene file again leaves parameters that were published on their own, and says so', async () => {
    const { sdk, folder } = await liveProject('tuned')
    ended(await sdk('params', 'set', 'tuned', 'topK=5'), 0)
    const file = { id: 'tuned', group: [{ stage: 'rank', modules: ['tuned@^1'] }], params: { topK: 3 }, description: 'another' }
    await writeFile(join(folder, 'scene.json'), JSON.stringify(file))
    ended(
      await sdk('scene', 'apply', 'scene.json'),
      0,
      /description: .* "another"/,
      /stay as they are[\s\S]*\/params\/topK: 5 → 3[\s\S]*--params/,
    )
    assert.deepEqual((await base.client.params('tuned')).params, { topK: 5 })
    ended(await sdk('scene', 'apply', 'scene.json', '--params'), 0, /\/params\/topK: 5 → 3/)
    assert.deepEqual((await base.client.params('tuned')).params, { topK: 3 })
  })

  test('a copy of a scene answers the same and then goes its own way', async () => {
    const { sdk, ask } = await liveProject('first')
    ended(await sdk('scene', 'copy', 'first', 'second'), 0, /live on 1 of 1 cells/)
    const answerOf = async (scene: string) => (await callScene(base, scene, values)).json()
    assert.deepEqual(await answerOf('second'), await ask(values))
    ended(await sdk('scene', 'copy', 'first', 'second'), 1, /TARGET_EXISTS: Choose another id/)
    ended(await sdk('params', 'set', 'second', 'topK=9'), 0)
    assert.deepEqual((await base.client.params('first')).params, {})
  })

  test('an error that a module throws leads its engineer to the line of the source', { timeout: 120_000 }, async () => {
    const { sdk } = await liveProject('thrower')
    const lines = check.split('\n')
    const row = lines.findIndex(line => line.includes('throw '))
    const thrown = `at refuseEmpty (thrower/check.ts:${row + 1}:${(lines[row] ?? '').indexOf('new') + 1})`
    const called = `at rank (thrower/index.ts:${source.split('\n').findIndex(line => line.includes('refuseEmpty(')) + 1}:3)`
    const stack = `RangeError: no values to rank\n    ${thrown}\n    ${called}`

    const from = base.log.length
    const { stderr } = ended(await sdk('invoke', 'thrower', '--data', '{"values":[]}'), 1, /^✖ no values to rank$/m, /MODULE_THREW/)
    assert.ok(stderr.includes(`\n${stack}\n`), stderr)
    assert.match(stderr, /^scene thrower, version v1, stage rank, module thrower@1\.0\.0, request \S+$/m)
    const logged = await base.logged(line => line.code === 'MODULE_THREW' && line.scene === 'thrower', from)
    assert.equal((logged.err as { stack?: string }).stack, stack)

    const caller = (await (await callScene(base, 'thrower', { values: [] })).json()) as Readonly<Record<string, unknown>>
    assert.deepEqual([caller.code, caller.detail, caller.stack], ['MODULE_THREW', 'no values to rank', undefined])
  })

  test('versions are listed, pinned, and made the baseline in both directions', { timeout: 120_000 }, async () => {
    const { sdk, write, ask } = await liveProject('versions')
    await write('weights.json', '{ "bias": 20 }')
    ended(
      await sdk('publish', 'versions', '--bump', 'minor', '--scene', 'versions', '--label', 'bolder'),
      0,
      /v2 made; it answers requests that pin it/,
      /sdk version promote versions v2 /,
    )
    const scores = async (...args: string[]) => ((await ask(values, ...args)) as { score: number }).score
    assert.deepEqual([await scores(), await scores('--version', 'v2')], [12, 22])
    const promote = (version: string, ...args: string[]) => sdk('version', 'promote', 'versions', version, '--to', 'baseline', ...args)
    ended(
      await promote('v2', '--yes', '--reason', 'trying it'),
      0,
      /v2 is the baseline, live on 1 of 1 cells/,
      /sdk version rollback versions/,
    )
    assert.equal(await scores(), 22)
    ended(await sdk('version', 'rollback', 'versions', 'v2'), 0, /v1 is the baseline again, live on 1 of 1 cells/)
    assert.equal(await scores(), 12)
    ended(await promote('v1'), 0, /v1 is the baseline already/)
    const isListed = [/^v1 +baseline +versions@1\.0\.0 /m, /^v2 +dev +as v1, but versions@1\.1\.0 +bolder .* going back to it/m]
    ended(await sdk('version', 'list', 'versions'), 0, ...isListed)
    ended(await promote('v9'), 1, /Cannot find version "v9" of scene "versions": it has v1, v2/)
    ended(await sdk('invoke', 'versions', '--data', '{}', '--version', 'v9'), 1, /VERSION_NOT_FOUND: .*sdk version list/)
  })

  test('what is not needed any more is deleted by command, once it is confirmed and nothing uses it', { timeout: 120_000 }, async () => {
    const { sdk } = await liveProject('tidy')
    const { client } = base
    await publishStages(client, 'tidy', '1.1.0', { rank: 'x => x' })
    for (const label of ['one', 'two']) await client.createVersion('tidy', { modules: ['tidy@1.1.0'], label })
    const [none, planned, listed, kept] = await Promise.all([
      sdk('version', 'offline', 'tidy'),
      sdk('version', 'offline', 'tidy', '--unused', '--dry-run'),
      sdk('version', 'list', 'tidy'),
      sdk('version', 'offline', 'tidy', '--unused', '--older-than', '1d'),
    ])
    ended(none, 2, /nothing is named/, /--unused/)
    ended(planned, 0, /v2, v3 would go offline/, /dry run/)
    ended(listed, 0, /^v2 +dev .* unused/m)
    ended(kept, 0, /Nothing to do/)
    ended(await sdk('version', 'offline', 'tidy', '--unused'), 0, /v2, v3 are offline/, /sdk version online tidy v2/)
    ended(await sdk('modules', 'delete', 'tidy@1.1.0', '--yes'), 1, /MODULE_IN_USE/, /it is used by tidy\/v2, tidy\/v3$/m)
    ended(await sdk('version', 'delete', 'tidy', '--unused', '--yes', '--reason', 'done'), 0, /deleted .* tidy: v2, v3/)
    ended(await sdk('modules', 'delete', 'tidy', '--unused', '--yes'), 0, /deleted .* tidy@1\.1\.0$/m)
    ended(await sdk('scene', 'delete', 'tidy'), 2, /there is no terminal/, /--yes/)
    ended(await sdk('scene', 'delete', 'tidy', '--yes'), 0, /tidy: 1 version \(1 online\), 0 experiments/)
    ended(await sdk('scene', 'delete', 'tidy', '--yes'), 0, /Nothing to do: scene "tidy" is gone already/)
  })

  const terminal = { skip: process.platform !== 'linux' && 'it needs the "script" of Linux', timeout: 120_000 }
  test('on a terminal sdk invoke without a body sends the last request again, and before the first a sample', terminal, async () => {
    await makeScene(base.client, 'again', { echo: 'body => body' })
    const cwd = await tempFolder()
    await mkdir(join(cwd, 'samples'))
    await writeFile(join(cwd, 'samples/first.json'), '{"said":"in the sample"}')
    const line = `'${process.execPath}' '${join(root, 'bin/sdk.cjs')}' invoke again`
    const env = { ...process.env, BERTH_BASE: base.controlUrl, BERTH_TOKEN: base.token }
    const typed = async () => (await promisify(execFile)('script', ['-qfec', line, '/dev/null'], { env, cwd })).stdout
    assert.match(await typed(), /Sending samples\/first\.json[\s\S]*"said": "in the sample"/)
    ended(await sdkIn(cwd, base)('invoke', 'again', '--data', '{"said":"before"}'), 0)
    assert.match(await typed(), /"said": "before"/)
  })

  test('with --json every reading command prints one document that holds what people see', { timeout: 120_000 }, async () => {
    const { sdk } = await liveProject('readable')
    const json = async (...args: string[]) => {
      const { stdout, stderr } = ended(await sdk(...args, '--json'), 0)
      if (args[0] !== 'invoke') assert.equal(stderr, '')
      return JSON.parse(stdout)
    }
    const [modules, versionsOf, scenes, { base: url, ...scene }, versions, answer, tokens] = await Promise.all([
      json('modules'),
      json('modules', 'readable'),
      json('scene', 'list'),
      json('scene', 'show', 'readable'),
      json('version', 'list', 'readable'),
      json('invoke', 'readable', '--data', JSON.stringify(values), '--unit', 'u1'),
      json('token', 'list'),
    ])
    assert.ok(modules.some((module: { name: string }) => module.name === 'readable'))
    const [{ bundle, sourceMap, ...module }] = versionsOf
    assert.deepEqual([module.name, module.version, module.stages, versionsOf.length], ['readable', '1.0.0', ['rank'], 1])
    assert.match(`${bundle} ${sourceMap}`, /^[0-9a-f]{64} [0-9a-f]{64}$/)
    assert.deepEqual(
      scenes.find(({ definition }: { definition: { id: string } }) => definition.id === 'readable'),
      scene,
    )
    assert.equal(url, base.controlUrl, 'a document that is an object says which base it is about')
    assert.deepEqual([scene.definition.group[0].modules, scene.baseline, typeof scene.revision], [['readable@^1'], 'v1', 'number'])
    assert.deepEqual([versions.scene, versions.baseline, versions.versions[0].lock[0].modules[0].bundle], ['readable', 'v1', bundle])
    assert.deepEqual([answer.status, answer.version, answer.because, answer.body.score], [200, 'v1', 'baseline', 12])
    assert.ok(tokens.some(({ rights }: { rights: string[] }) => rights.includes('admin')))
  })

  test('a token made by the command line works until it is revoked, and only for its rights', { timeout: 120_000 }, async () => {
    const { folder, sdk, write } = await liveProject('tokens')
    const { stdout, stderr } = ended(await sdk('token', 'create', '--right', 'call', 'pin', '--label', 'a caller'), 0, /shown only now/)
    const token = stdout.trim()
    const [id = ''] = /t-[0-9a-f]+/.exec(stderr) ?? []
    ended(await sdk('token', 'list'), 0, new RegExp(`^${id} +call, pin +a caller `, 'm'))
    const holder = sdkIn(folder, { controlUrl: base.controlUrl, token })
    ended(await holder('invoke', 'tokens', '--data', JSON.stringify(values), '--version', 'v1', '--url', base.url), 0)
    ended(await holder('publish', 'tokens', '--bump', 'patch'), 1, /FORBIDDEN/, /lacks the right "read"/)
    ended(await sdk('token', 'revoke', id), 0, new RegExp(`^${id} is revoked$`, 'm'))
    ended(await holder('scene', 'list'), 1, /UNAUTHENTICATED/)
    await write('greeting.txt', 'other bytes')
    ended(await holder('publish', 'tokens', '--no-check'), 1, /UNAUTHENTICATED: Give a token/)
    ended(await sdk('token', 'revoke', id), 1, /TOKEN_NOT_FOUND: .*sdk token list/)
  })

  test('the exit code tells a refusal from wrong usage from a base that is not there', { timeout: 120_000 }, async () => {
    const folder = await tempFolder()
    const sdk = sdkIn(folder, base)
    const nobody = sdkIn(folder, { controlUrl: 'http://127.0.0.1:1', token: base.token })
    const scenePort = sdkIn(folder, { controlUrl: base.url, token: base.token })
    const stranger = sdkIn(folder, { controlUrl: base.controlUrl, token: 'wrong' })
    const [done, refused, unknown, misled, usage, unreachable] = await Promise.all([
      sdk('scene', 'list'),
      sdk('scene', 'show', 'nowhere'),
      stranger('scene', 'list'),
      scenePort('scene', 'list'),
      sdk('scene', 'shwo', 'nowhere'),
      nobody('scene', 'list'),
    ])
    ended(await sdk('invoke', 'any', '--data', '1', '--url', base.controlUrl), 1, /that is not the scenes of a base.*\n[\s\S]*--url/)
    ended(done, 0)
    ended(refused, 1, /^✖ Cannot find scene "nowhere"/m, /SCENE_NOT_FOUND: /)
    ended(unknown, 1, /UNAUTHENTICATED: .*--token or BERTH_TOKEN/)
    ended(misled, 1, /that is not the control API of a base/, /ANSWER_UNEXPECTED: Check that --base /)
    ended(usage, 2, /Did you mean show\?/)
    ended(unreachable, 3, /^✖ No base answers at http:\/\/127\.0\.0\.1:1/m, /base start/)
  })

  for (const [what, file, text, ...says] of [
    [
      'a node: import',
      'index.ts',
      `\nimport fs from 'node:fs'\nexport const rank = () => fs`,
      /index\.ts:2:\d+: imports "node:fs", which does not exist/,
      /BUILTIN_IMPORTED/,
    ],
    [
      'a top-level await',
      'index.ts',
      `export const rank = () => 1\nawait rank()`,
      /index\.ts:2:1: the module awaits at its top level/,
      /MODULE_LOAD_AWAITS/,
    ],
    [
      'a syntax error',
      'index.ts',
      'export const rank = () => {\n  return (1 +\n}',
      /index\.ts:3:1: Unexpected "}"/,
      /^ +3 │ }$/m,
      /COMPILE_FAILED/,
    ],
    [
      'no stages in package.json',
      'package.json',
      '{ "name": "faulty", "version": "1.0.0", "berth": {} }',
      /package\.json: "berth\.stages" is missing/,
      /PACKAGE_INVALID: /,
    ],
    ['a stage that is not exported', 'index.ts', 'export const rnak = () => 1', /does not export rank/, /it exports: rnak/],
  ] as const) {
    test(`${what} is refused with its place before anything is sent`, { timeout: 120_000 }, async () => {
      const { folder, write, version } = await makeProject('faulty')
      await write(file, text)
      // A base cannot be reached there, so if anything was sent the command would end with 3.
      const sdk = sdkIn(folder, { controlUrl: 'http://127.0.0.1:1', token: base.token })
      const { stderr, stdout } = ended(await sdk('publish', 'faulty', '--bump', 'patch', '--scene', 'any'), 1, ...says)
      assert.match(stderr, /^✖ Cannot bundle "faulty": faulty\//)
      assert.equal(stdout, '')
      assert.equal(version(), '1.0.0')
    })
  }

  test('base status shows processes, and who answers in each scene, as tables and as JSON', { timeout: 120_000 }, async () => {
    await makeScene(base.client, 'in-status', { rank: 'x => x' })
    for (const as of ['cutover', 'loadtest'] as const) await base.client.createVersion('in-status', { as })
    const folder = await tempFolder()
    const named = baseIn(folder, { BERTH_BASE: base.controlUrl, BERTH_TOKEN: base.token })
    const flags = ['--control-port', new URL(base.controlUrl).port, '--data', base.data]
    const wrong = baseIn(folder, { BERTH_BASE: 'http://127.0.0.1:1' })
    const [tables, document, mistyped] = await Promise.all([
      named('status'),
      wrong('status', ...flags, '--json'),
      baseIn(folder, { BERTH_BASE: 'ranking' })('status'),
    ])
    ended(tables, 0, new RegExp(`^port +${new URL(base.url).port}$`, 'm'), /^1 +\d+ +ready /m, /^in-status +v1 +v2 1% +v3 /m)
    ended(mistyped, 2, /Cannot use BERTH_BASE "ranking": must be an http URL/)
    const { port, cells, scenes } = JSON.parse(ended(document, 0).stdout)
    assert.deepEqual([port, cells.length, cells[0].state], [Number(new URL(base.url).port), 1, 'ready'])
    const { revision, ...scene } = scenes.find(({ scene }: { scene: string }) => scene === 'in-status')
    const part = { baseline: 'v1', cutover: { version: 'v2', share: 100 }, loadtest: 'v3' }
    assert.deepEqual(scene, { scene: 'in-status', ...part, access: 'public', modules: 'm-in-status@^1' })
    assert.ok(revision > 0)
  })

  test('a backup made under load starts as a base that answers the same', { timeout: 120_000 }, async t => {
    const { client } = base
    const target = join(await tempFolder(), 'copy')
    const backup = () => baseIn(dirname(target))('backup', basename(target), '--data', base.data)
    await makeScene(client, 'kept', { rank: 'x => ({ ...x, from: "kept" })' }, { params: { k: 3 } })
    await makeScene(client, 'moving', { rank: '() => 0' })

    const load = startLoad(`${base.url}/scenes/kept`, 4, true, body => body === '{"a":1,"from":"kept"}')
    let copied = false
    const publishing = (async () => {
      for (let minor = 1; !copied; minor++) {
        await publishStages(client, 'm-moving', `1.${minor}.0`, { rank: `() => ${minor}` })
        await client.createVersion('moving', { modules: [`m-moving@1.${minor}.0`], as: 'baseline' })
      }
    })()
    const done = await backup()
    copied = true
    await publishing
    const { answered, refused, broken } = await load.stop()
    ended(done, 0, /^backed up revision \d+ with \d+ blobs and \d+ tables to .*copy$/m, /base start --data .*copy$/m)
    assert.deepEqual({ refused, broken }, { refused: [], broken: [] })
    assert.ok(answered > 0)

    const before = contents(target)
    ended(await backup(), 1, /Cannot back up to ".*copy": it is not an empty folder/, /what to do: Name a folder that does not exist yet/)
    assert.deepEqual(contents(target), before)
    assert.deepEqual(readdirSync(dirname(target)), ['copy'])

    const copy = await startBase(t, { data: target })
    assert.equal(copy.token, base.token)
    assert.deepEqual((await copy.client.scene('kept')).definition, (await client.scene('kept')).definition)
    assert.deepEqual(await (await callScene(copy, 'kept', { a: 1 })).json(), { a: 1, from: 'kept' })
    // Whichever version was the baseline when the copy was made, its own code answers.
    const { baseline } = await copy.client.scene('moving')
    assert.equal(await (await callScene(copy, 'moving', 0)).json(), Number(baseline?.slice(1)) - 1)
  })
})

const git = (cwd: string, ...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@example.com', ...args], { cwd, encoding: 'utf8' }).trim()

/** The tests may themselves run in one of these CI systems. */
const noCi = Object.fromEntries(
  ['GITHUB_SHA', 'CI_COMMIT_SHA', 'BITBUCKET_COMMIT', 'BUILD_SOURCEVERSION', 'CIRCLE_SHA1', 'BUILDKITE_COMMIT', 'GIT_COMMIT']
    .concat('CODEBUILD_RESOLVED_SOURCE_VERSION', 'DRONE_COMMIT_SHA', 'GITHUB_REPOSITORY')
    .map(name => [name, '']),
)

/** A module in the folder `rank` of a new folder. */
async function moduleIn(name: string): Promise<{ readonly top: string; readonly folder: string; readonly sdk: Run }> {
  const top = await tempFolder()
  const folder = join(top, 'rank')
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, version: '1.0.0', type: 'module', berth: { stages: ['rank'] } }))
  writeFileSync(join(folder, 'index.ts'), 'export const rank = (values: number[]) => values\n')
  return { top, folder, sdk: sdkIn(top, base) }
}

/** The commit of everything there. */
function committed(top: string): string {
  git(top, 'init', '--quiet', '--initial-branch=main')
  git(top, 'remote', 'add', 'origin', 'https://robot:secret@example.com/team/ranking.git')
  git(top, 'add', '.')
  git(top, 'commit', '--quiet', '--message=first')
  return git(top, 'rev-parse', 'HEAD')
}

const originOf = async (name: string, version = '1.0.0') => (await base.client.module(name, version)).origin

describe('where what runs comes from', { concurrency: 2 }, () => {
  test('a base says which release it runs in its status, its metrics and its log', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly version: string }
    const { release } = await base.client.status()
    assert(release)
    assert.equal(release.version, version)
    assert.match(release.digest ?? '', /^[0-9a-f]{32}$/)
    const metrics = await (await fetch(`${base.controlUrl}/metrics`)).text()
    assert.match(metrics, new RegExp(`^berth_build_info\\{.*digest="${release.digest}".*\\} 1$`, 'm'))
    const ready = await base.logged(({ msg }) => msg === 'base ready')
    assert.deepEqual([ready.version, ready.commit], [version, release.commit])
    const env = { BERTH_BASE: base.controlUrl, BERTH_TOKEN: base.token }
    ended(await baseIn(root, env)('status'), 0, new RegExp(`release digest +${release.digest}`))
  })

  test('a published module has the commit, branch, path and repository of its sources, in the book, the version and the audit log', async () => {
    const { top, sdk } = await moduleIn('origin-rank')
    const commit = committed(top)
    writeFileSync(join(top, 'unrelated.txt'), '')
    ended(await sdk('publish', 'rank', '--no-check'), 0)
    const origin = { commit, modified: false, ref: 'main', path: 'rank', remote: 'https://example.com/team/ranking.git' }
    assert.deepEqual(await originOf('origin-rank'), origin)
    await base.client.putScene({ id: 'origin', group: [{ stage: 'rank', modules: ['origin-rank@^1'] }] }, undefined)
    ended(await sdk('version', 'create', 'origin', '--as', 'baseline'), 0)

    const short = commit.slice(0, 12)
    ended(await sdk('modules', 'origin-rank'), 0, new RegExp(`1\\.0\\.0 .* ${short}`))
    ended(await sdk('modules', 'show', 'origin-rank@1.0.0'), 0, new RegExp(`commit +${commit}`), /modified +no/, /path +rank/)
    ended(await sdk('version', 'show', 'origin', 'v1'), 0, new RegExp(`origin-rank@1\\.0\\.0 .* ${short} +main +rank +https://example`))
    ended(await sdk('version', 'show', 'origin', 'v7'), 1, /VERSION_NOT_FOUND/)
    ended(await sdk('modules', 'show', 'origin-rank'), 2, /names no version/)
    const answer = await fetch(`${base.controlUrl}/api/audit`, { headers: { authorization: `Bearer ${base.token}` } })
    const rows = (await answer.json()) as readonly Row[]
    const [made, published] = ['create version', 'publish module'].map(kind =>
      rows.find(row => row.change.kind === kind && JSON.stringify(row).includes('origin-rank')),
    )
    assert.deepEqual(published?.change.payload, { manifest: { ...(await manifestOf('origin-rank')), origin } })
    assert.deepEqual(made?.after.origins, { 'origin-rank@1.0.0': origin })
    assert(!JSON.stringify([made, published]).includes('secret'))
  })

  test('a published module says when its files are not those of the commit, but not that --bump has raised its version', async () => {
    const { top, folder, sdk } = await moduleIn('changed-rank')
    committed(top)
    ended(await sdk('publish', 'rank', '--no-check', '--bump', 'minor'), 0)
    assert.equal((await originOf('changed-rank', '1.1.0'))?.modified, false)
    writeFileSync(join(folder, 'index.ts'), 'export const rank = (values: number[]) => values.toReversed()\n')
    ended(await sdk('publish', 'rank', '--no-check', '--bump', 'minor'), 0)
    assert.equal((await originOf('changed-rank', '1.2.0'))?.modified, true)
    ended(await sdk('modules', 'changed-rank'), 0, /[0-9a-f]{12}, modified/)
  })

  test('a module published without a repository has the commit that CI or whoever publishes it names, else none', async () => {
    const commit = 'c0ffee'.repeat(7).slice(0, 40)
    const { top } = await moduleIn('ci-rank')
    const inCi = (env: Readonly<Record<string, string>>) => sdkIn(top, base, { ...noCi, ...env })
    ended(await inCi({})('publish', 'rank', '--no-check'), 0)
    assert.equal(await originOf('ci-rank'), undefined)
    ended(await inCi({})('modules', 'show', 'ci-rank@1.0.0'), 0, /commit +not known/)

    const other = await moduleIn('ci-other')
    const gitLab = { CI_COMMIT_SHA: commit, CI_COMMIT_REF_NAME: 'release', CI_PROJECT_URL: 'https://token:secret@example.com/team/ranking' }
    ended(await sdkIn(other.top, base, { ...noCi, ...gitLab })('publish', 'rank', '--no-check'), 0)
    assert.deepEqual(await originOf('ci-other'), { commit, ref: 'release', remote: 'https://example.com/team/ranking' })

    const named = await moduleIn('named-rank')
    ended(await sdkIn(named.top, base, noCi)('publish', 'rank', '--no-check', '--commit', 'main'), 2, /no id of a commit/)
    ended(await sdkIn(named.top, base, noCi)('publish', 'rank', '--no-check', '--commit', commit), 0)
    assert.deepEqual(await originOf('named-rank'), { commit })
  })
})

interface Row {
  readonly change: { readonly kind: string; readonly payload: unknown }
  readonly after: { readonly origins?: unknown }
}

/** The manifest as it was published, without its origin. */
async function manifestOf(name: string) {
  const { stages, bundle, sourceMap, version } = await base.client.module(name, '1.0.0')
  return { name, version, stages, bundle, sourceMap }
}
