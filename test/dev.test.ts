/** `sdk dev` and the saves that `npm start` watches for: at the command line, against a running base. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, type ForkOptions, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { cp, mkdir, rename, rm, symlink, watch, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostname, userInfo } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { after, before, type TestContext, test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { addressPath, keeperSocketPath } from '../base/folder/paths.ts'
import { createClient } from '../sdk/api/client.ts'
import { callScene, launchBase, publishStages, type RunningBase, root, tempFolder, until } from './support/base.ts'
import { baseIn, ended, sdkAlone, sdkIn } from './support/cli.ts'

/** A base that serves. */
let base: RunningBase
/** A base for development. */
let bench: RunningBase

before(async () => {
  ;[base, bench] = await Promise.all([launchBase(), launchBase({ args: ['--mode', 'development'] })])
})
after(() => Promise.all([base.kill(), bench.kill()]))

type Files = Readonly<Record<string, string>>

/** Whoever watches a file sees it whole and once, since names that begin with a dot are not watched. */
async function write(folder: string, files: Files): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    const file = join(folder, path)
    const draft = join(dirname(file), `.${basename(file)}`)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(draft, text)
    await rename(draft, file)
  }
}

const packageJson = (name: string, version = '1.0.0') => JSON.stringify({ name, version, berth: { stages: ['rank'] } })
const adds = (k: number) => `export const rank = (x: { n: number }) => ({ sum: x.n + ${k} })\n`

interface DevEvent {
  readonly event: 'answer' | 'failed' | 'live' | 'log' | 'gone' | 'back'
  readonly path?: string
  readonly scene?: string
  readonly version?: string
  readonly module?: string
  readonly answer?: unknown
  readonly delta?: unknown
  readonly message?: string
  readonly code?: string
  readonly frame?: string
  readonly live?: string | null
  readonly error?: { readonly code: string; readonly detail: string; readonly details?: string; readonly stack?: string }
}

interface Dev {
  readonly process: ChildProcess
  /** The next event of this kind. Others before it are passed over, unless they are logs. */
  next(kind: DevEvent['event']): Promise<DevEvent>
  /** The next failure with this code. */
  nextFailure(code: string): Promise<DevEvent>
  save(files: Files): Promise<void>
}

/** Starts `sdk dev --json` in a folder that has a module of this name, with these files too, in a folder of that name. */
async function startDev(
  t: TestContext,
  name: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  { entry = 'bin/sdk.cjs', files = {} }: { readonly entry?: string; readonly files?: Files } = {},
): Promise<Dev & { folder: string }> {
  const folder = await tempFolder()
  const module = { 'package.json': packageJson(name), 'index.ts': adds(1), 'samples/one.json': '{ "n": 1 }' }
  await write(join(folder, name), { ...module, ...files })
  const child = spawn(process.execPath, [join(root, entry), 'dev', name, '--json', ...args], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGTERM')) await once(child, 'exit')
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  // Log lines come by another way than answers, before or after them.
  const logged: DevEvent[] = []
  const next = async (kind: string): Promise<DevEvent> => {
    const known = kind === 'log' ? logged.shift() : undefined
    if (known !== undefined) return known
    const { value, done } = await lines.next()
    assert.ok(done !== true, `sdk dev ended before it sent ${kind}`)
    const event = JSON.parse(value) as DevEvent
    if (event.event === kind) return event
    if (event.event === 'log') logged.push(event)
    return next(kind)
  }
  // What is wrong with the types of the save before may come first.
  const nextFailure = async (code: string): Promise<DevEvent> => {
    const event = await next('failed')
    return event.error?.code === code ? event : nextFailure(code)
  }
  return { process: child, folder, next, nextFailure, save: files => write(join(folder, name), files) }
}

const onBase = ({ controlUrl, token } = base) => ({ BERTH_BASE: controlUrl, BERTH_TOKEN: token })

test('sdk dev answers each save with its code, and through a broken one with the last that was good', { timeout: 60_000 }, async t => {
  const { folder, next, nextFailure, save } = await startDev(t, 'saved', [], onBase())
  const elsewhere = await tempFolder()
  await write(elsewhere, { 'k.ts': 'export const k = 1' })
  const first = await next('answer')
  assert.deepEqual([first.scene, first.answer, first.delta], ['dev-saved', { sum: 2 }, null])
  // It may be caught between being emptied and being written, and be reported twice.
  await writeFile(join(folder, 'saved/index.ts'), adds(2))
  const second = await next('answer')
  assert.deepEqual([second.answer, second.delta], [{ sum: 3 }, { sum: [2, 3] }])
  assert.notEqual(second.version, first.version)
  assert.match(second.module ?? '', /^1\.0\.0-dev\.[0-9a-f]{12,}$/)

  await save({ 'index.ts': 'export const rank =\n  ]' })
  const { error, live } = await nextFailure('COMPILE_FAILED')
  assert.match(error?.detail ?? '', /saved\/index\.ts:2:3: Unexpected "\]"/)
  assert.match(error?.details ?? '', /2 │ {3}\]/)
  assert.equal(live, second.version)
  const { body } = await base.client.invoke('dev-saved', { body: '{ "n": 1 }', version: second.version, url: base.url })
  assert.deepEqual(body, { sum: 3 })

  await save({ 'index.ts': 'export const rank = () => {\n  throw new RangeError("too far")\n}' })
  const thrown = (await nextFailure('MODULE_THREW')).error
  assert.match(thrown?.stack ?? '', /too far[\s\S]*index\.ts:2:9/)

  await save({ 'index.ts': 'export const rank = (x: { n: number }) => ({ sum: [x.n / 0] })' })
  const lost = (await nextFailure('DATA_LOST')).error
  assert.match(lost?.detail ?? '', /The answer of stage "rank" loses data as JSON: "\/sum\/0" is Infinity, which became null/)

  await save({ 'index.ts': adds(1) })
  const back = await next('answer')
  assert.deepEqual([back.version, back.delta], [first.version, { sum: [[null], 2] }], 'code that was there before makes no new version')
  await save({ 'samples/one.json': '{ "n": 5 }' })
  const resampled = await next('answer')
  assert.deepEqual([resampled.version, resampled.answer], [first.version, { sum: 6 }])

  // Some editors save this way, so that they never leave half a file.
  await save({ 'index.ts~': adds(20) })
  await rename(join(folder, 'saved/index.ts~'), join(folder, 'saved/index.ts'))
  assert.deepEqual((await next('answer')).answer, { sum: 25 })
  await save({ 'index.ts': `import { k } from '../../${basename(elsewhere)}/k.ts'\n${adds(0).replace('+ 0', '+ k')}` })
  assert.deepEqual((await next('answer')).answer, { sum: 6 })
  await write(elsewhere, { 'k.ts': 'export const k = 2' })
  assert.deepEqual((await next('answer')).answer, { sum: 7 }, 'a file outside the folder that it is made of counts too')
})

test('sdk dev shows what is wrong with the types of a save after its answer, or after its failure', { timeout: 60_000 }, async t => {
  const compilerOptions = { strict: true, target: 'esnext', module: 'nodenext', types: [] }
  const files = { 'tsconfig.json': JSON.stringify({ compilerOptions }) }
  const { next, nextFailure, save } = await startDev(t, 'mistyped', [], onBase(), { files })
  await next('answer')
  await save({ 'index.ts': adds(2).replace('+ 2', '+ (x.n > 5 ? process.pid : 2)') })
  assert.deepEqual((await next('answer')).answer, { sum: 3 })
  assert.match((await nextFailure('TYPES_WRONG')).error?.detail ?? '', /index\.ts:1:68: .*'process': a slot has no such global/)
  await save({ 'index.ts': 'export const rank = (x: { n: number }) => x.m\n' })
  await nextFailure('RESULT_UNDEFINED')
  assert.match((await nextFailure('TYPES_WRONG')).error?.detail ?? '', /index\.ts:1:45: .*Property 'm' does not exist/)
})

test('sdk dev is live before the check of its types ends, and the next save ends that check', { timeout: 60_000 }, async t => {
  const started = join(await tempFolder(), 'started')
  const endless = `require('node:fs').appendFileSync(${JSON.stringify(started)}, process.pid + '\\n')\nsetInterval(() => {}, 1000)\n`
  const files = {
    'node_modules/typescript/package.json': JSON.stringify({ name: 'typescript', version: '5.9.3' }),
    'node_modules/typescript/bin/tsc': endless,
    'tsconfig.json': '{}',
  }
  const { next, save } = await startDev(t, 'hasty', [], onBase(), { files })
  assert.deepEqual((await next('answer')).answer, { sum: 2 })
  const checks = () => (existsSync(started) ? readFileSync(started, 'utf8').trim().split('\n').map(Number) : [])
  await until(() => checks().length > 0)
  await save({ 'index.ts': adds(3) })
  assert.deepEqual((await next('answer')).answer, { sum: 4 })
  await until(() => checks().length > 1 && checks().filter(isRunning).length === 1)
})

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('sdk dev shows the line of a loop also when its answer is only late', { timeout: 60_000 }, async t => {
  await publishStages(bench.client, 'slow', '1.0.0', { rank: 'x => x' })
  const traffic = { unit: { header: 'x-unit-id' }, deadlineMs: 200, cpuMs: 10_000 }
  await bench.client.putScene({ id: 'slow', group: [{ stage: 'rank', modules: ['slow@^1'] }], traffic }, undefined)
  await bench.client.createVersion('slow', { as: 'baseline' })
  const { next, nextFailure, save } = await startDev(t, 'slow', ['--scene', 'slow'], onBase(bench))
  await next('answer')
  await save({ 'index.ts': 'export const rank = (x: { n: number }) => {\n  for (;;) x.n++\n}\n' })
  assert.match((await nextFailure('DEADLINE_EXCEEDED')).error?.detail ?? '', /its code was still running, in stage "rank" of module "slow@/)
  const { code, frame } = await next('log')
  assert.equal(code, 'MODULE_KILLED')
  assert.match(frame ?? '', /> 2 \| {3}for \(;;\) x\.n\+\+/)
})

test('sdk dev says that its folder is gone, and answers with what is there when it is back', { timeout: 60_000 }, async t => {
  const { folder, next, save } = await startDev(t, 'switched', [], onBase())
  assert.deepEqual((await next('answer')).answer, { sum: 2 })
  const git = (...args: readonly string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@localhost', ...args], { cwd: folder, stdio: 'ignore' })
  git('init', '--initial-branch', 'with')
  await write(folder, { 'other.txt': 'only this' })
  git('checkout', '--orphan', 'without')
  git('add', 'other.txt')
  git('commit', '--message', 'without the module')
  git('checkout', '-b', 'with')
  git('add', '--all')
  git('commit', '--message', 'with the module')

  git('checkout', 'without')
  assert.equal((await next('gone')).path, 'switched')
  git('checkout', 'with')
  assert.equal((await next('back')).path, 'switched')
  assert.deepEqual((await next('answer')).answer, { sum: 2 })
  await save({ 'index.ts': adds(2) })
  assert.deepEqual((await next('answer')).answer, { sum: 3 })

  // There and back, so fast that it may not be seen that the folder was away.
  git('stash')
  git('checkout', 'without')
  git('checkout', 'with')
  assert.deepEqual((await next('answer')).answer, { sum: 2 })
  await save({ 'index.ts': adds(3) })
  assert.deepEqual((await next('answer')).answer, { sum: 4 })
})

test('on a base that serves, sdk dev makes versions of its user and leaves the baseline alone', { timeout: 60_000 }, async t => {
  const { client } = base
  await publishStages(client, 'shared', '1.0.0', { rank: '() => "published"' })
  await publishStages(client, 'other', '1.0.0', { rerank: 'x => x' })
  const group = [
    { stage: 'rank', modules: ['shared@^1'] },
    { stage: 'rerank', modules: ['other@^1'] },
  ]
  await client.putScene({ id: 'of-many', group }, undefined)
  await client.createVersion('of-many', { as: 'baseline' })
  await publishStages(client, 'other', '1.1.0', { rerank: 'x => "newer"' })
  const label = `dev shared, ${userInfo().username}@${hostname()}`
  const makers = {
    same: client,
    other: createClient({ base: base.controlUrl, token: (await client.createToken(['publish'], 'other')).token }),
  }
  for (const by of ['other', 'same', 'same', 'same', 'same', 'same'] as const) await makers[by].createVersion('of-many', { label })
  await client.createVersion('of-many', { label: 'by hand' })
  // The base is found by its folder, as one that is named: neither says what it is for.
  const here = { BERTH_BASE: undefined, BERTH_TOKEN: undefined, BERTH_DATA: base.data }
  const { process: sdk, next, save } = await startDev(t, 'shared', ['--scene', 'of-many'], here)
  await next('answer')
  await save({ 'index.ts': 'export const rank = (x, ctx) => { ctx.log.info("ranking"); return "mine" }' })
  const { answer, version } = await next('answer')
  assert.equal(answer, 'mine')
  assert.equal((await next('log')).message, 'ranking')
  assert.equal(await (await callScene(base, 'of-many', {})).json(), 'published')
  assert.equal((await client.scene('of-many')).baseline, 'v1')
  const own = (await client.versions('of-many')).find(({ id }) => id === version)
  assert.equal(own?.label, label)
  assert.deepEqual(
    own?.lock.flatMap(({ modules }) => modules.map(({ name, version }) => `${name}@${version.split('-')[0]}`)),
    ['shared@1.0.0', 'other@1.0.0'],
    'what is not its module is as in the baseline',
  )
  sdk.kill('SIGINT')
  assert.deepEqual(await once(sdk, 'exit'), [0, null])
  const offline = (await client.versions('of-many')).filter(({ online }) => !online).map(({ id }) => id)
  assert.deepEqual(offline, ['v3', 'v4', 'v5'], 'of the saves that are over all but the last three, and nothing of others')
})

test('on a base for development each save is the baseline, also where the base is named, and --as dev keeps it', {
  timeout: 60_000,
}, async t => {
  const { next, save } = await startDev(t, 'drafted', [], onBase(bench))
  const first = await next('answer')
  assert.equal((await bench.client.scene('dev-drafted')).baseline, first.version)
  await save({ 'index.ts': adds(2) })
  const second = await next('answer')
  assert.equal((await bench.client.scene('dev-drafted')).baseline, second.version)
  const apart = await startDev(t, 'drafted', ['--as', 'dev', '--scene', 'dev-drafted'], onBase(bench))
  await apart.next('answer')
  await apart.save({ 'index.ts': adds(3) })
  assert.deepEqual((await apart.next('answer')).answer, { sum: 4 })
  assert.equal((await bench.client.scene('dev-drafted')).baseline, second.version)
})

/** Waits until a terminal shows a text. @returns a function that waits for the next */
async function showing(stream: Readable, text: string): Promise<(text: string) => Promise<void>> {
  let shown = ''
  const chunks = stream[Symbol.asyncIterator]()
  const shows = async (wanted: string) => {
    while (!stripVTControlCharacters(shown).includes(wanted)) {
      const { value, done } = await chunks.next()
      assert.ok(done !== true, `It ended without "${wanted}":\n${shown}`)
      shown += value
    }
  }
  await shows(text)
  return shows
}

test('on a base that serves, saves replace the baseline only where somebody has agreed to that', { timeout: 60_000 }, async t => {
  const folder = await tempFolder()
  await write(folder, { 'ranker/package.json': packageJson('ranker'), 'ranker/index.ts': adds(1) })
  const refused = await sdkIn(folder, base)('dev', 'ranker', '--as', 'baseline')
  ended(
    refused,
    2,
    /Cannot ask whether each save may replace the baseline of its scene at http:\S+, which serves: there is no terminal/,
    /Add --yes/,
  )
  if (process.platform === 'linux') {
    const line = `'${process.execPath}' '${join(root, 'bin/sdk.cjs')}' dev ranker --as baseline`
    const terminal = spawn('script', ['-qfec', line, '/dev/null'], { cwd: folder, env: { ...process.env, ...onBase() } })
    const exited = once(terminal, 'exit')
    const shown = await showing(terminal.stdout, '(y/N)')
    terminal.stdin.write('n\n')
    await shown('Nothing was changed')
    assert.deepEqual(await exited, [1, null])
  }
  const { process: sdk, next } = await startDev(t, 'agreed', ['--as', 'baseline', '--yes'], onBase())
  const { version } = await next('answer')
  assert.equal((await base.client.scene('dev-agreed')).baseline, version)
  sdk.kill('SIGINT')
  await once(sdk, 'exit')
})

test('without a sample, sdk dev sends the last request of sdk invoke again', { timeout: 60_000 }, async t => {
  const { folder, next, save } = await startDev(t, 'invoked', [], onBase())
  const first = await next('answer')
  await rm(join(folder, 'invoked/samples'), { recursive: true })
  await save({ 'index.ts': adds(2) })
  let live = await next('live')
  // That the sample is gone may come as an event of its own.
  while (live.module === first.module) live = await next('live')
  assert.equal(live.scene, 'dev-invoked')
  const [{ id } = { id: '' }] = await base.client.versions('dev-invoked')
  const invoke = await sdkIn(folder, base)('invoke', 'dev-invoked', '--version', id, '--data', '{ "n": 40 }')
  assert.equal(invoke.code, 0, invoke.stderr)
  await save({ 'index.ts': adds(3) })
  assert.deepEqual((await next('answer')).answer, { sum: 43 })
})

test('without a base sdk dev starts one, answers as its baseline, and takes it along when it ends', { timeout: 60_000 }, async t => {
  const data = await tempFolder()
  const env = { BERTH_BASE: undefined, BERTH_TOKEN: undefined, BERTH_CONTROL_PORT: '0', BERTH_PORT: '0', BERTH_DATA: data }
  const { process: sdk, next, save } = await startDev(t, 'alone', [], env)
  await next('answer')
  await save({ 'index.ts': adds(10) })
  const { answer, version } = await next('answer')
  assert.deepEqual(answer, { sum: 11 })
  assert.equal(version, 'v2')
  assert.ok(readFileSync(join(data, 'token'), 'utf8'))
  assert.ok(existsSync(keeperSocketPath(data)))
  // A Ctrl-C comes from the terminal, and once more from npm.
  sdk.kill('SIGINT')
  setTimeout(() => sdk.kill('SIGINT'), 50)
  assert.deepEqual(await once(sdk, 'exit'), [0, null])
  assert.ok(!existsSync(keeperSocketPath(data)), 'the base has ended in order')
  assert.ok(!existsSync(addressPath(data)), 'and is not to be found any more')
})

test('a base that sdk dev started ends with it, however that ended', { timeout: 60_000 }, async t => {
  const data = await tempFolder()
  const env = { BERTH_BASE: undefined, BERTH_TOKEN: undefined, BERTH_CONTROL_PORT: '0', BERTH_PORT: '0', BERTH_DATA: data }
  // The launcher is left out, because it could not pass this signal on.
  const { process: sdk, next } = await startDev(t, 'killed', [], env, { entry: 'sdk/cli/main.ts' })
  await next('answer')
  const socket = keeperSocketPath(data)
  assert.ok(existsSync(socket))
  const changes = watch(dirname(socket), { signal: t.signal })[Symbol.asyncIterator]()
  const nextChange = () => {
    const change = changes.next()
    // Nobody waits for the last change.
    change.catch(() => undefined)
    return change
  }
  // The watcher watches from the first time it is asked.
  let change = nextChange()
  sdk.kill('SIGKILL')
  while (existsSync(socket)) {
    await change
    change = nextChange()
  }
})

test('what sdk dev is to watch and to send must be there', { timeout: 60_000 }, async () => {
  const folder = await tempFolder()
  await write(folder, { 'here/package.json': packageJson('here'), 'here/index.ts': adds(1) })
  const sdk = sdkIn(folder, base)
  assert.match((await sdk('dev', 'gone')).stderr, /Cannot watch "gone": there is no such folder/)
  const sampleless = await sdk('dev', 'here', '--sample', 'gone.json')
  assert.equal(sampleless.code, 1)
  assert.match(sampleless.stderr, /Cannot read "gone\.json"/)
})

/** A folder whose `.berth` is the data folder of this base. */
async function folderOf({ data }: RunningBase): Promise<string> {
  const folder = await tempFolder()
  await symlink(data, join(folder, '.berth'))
  await mkdir(join(folder, 'modules/deep'), { recursive: true })
  return folder
}

/** Where `base status` finds a base. */
async function statusIn(cwd: string, ...args: readonly string[]): Promise<string> {
  const { base, mode } = JSON.parse(ended(await baseIn(cwd)('status', '--json', ...args), 0).stdout)
  return `${base} ${mode}`
}

test('commands reach the base of their folder and its token, without a flag, also where two bases run', { timeout: 60_000 }, async () => {
  const [serving, developing, configured] = [await folderOf(base), await folderOf(bench), await tempFolder()]
  await write(configured, { 'berth.config.json': JSON.stringify({ data: bench.data }), 'modules/deep/note': '' })
  const found = [statusIn(serving), statusIn(join(developing, 'modules/deep')), statusIn(join(configured, 'modules/deep'))]
  assert.deepEqual(await Promise.all(found), [
    `${base.controlUrl} serving`,
    `${bench.controlUrl} development`,
    `${bench.controlUrl} development`,
  ])
  // Only the first token of a base may do this.
  for (const folder of [serving, join(developing, 'modules/deep')]) ended(await sdkAlone(folder)('token', 'list'), 0)
  const named = await sdkAlone(serving, { BERTH_BASE: bench.controlUrl })('token', 'list')
  ended(named, 1, /UNAUTHENTICATED: Give a token of this base with --token or BERTH_TOKEN/)
  ended(await sdkAlone(serving, { BERTH_BASE: base.controlUrl })('token', 'list'), 0)
})

test('on a base for development the first kill of a version names its line', { timeout: 60_000 }, async () => {
  const sdk = sdkIn(await tempFolder(), bench)
  const folder = join(await tempFolder(), 'spins')
  const code = 'interface Row { a: number }\nexport const rank = (rows: Row[]) => {\n  for (;;) rows.reverse()\n}\n'
  await write(folder, { 'package.json': packageJson('spins'), 'index.ts': code })
  ended(await sdk('publish', folder), 0)
  const group = [{ stage: 'rank', modules: ['spins@^1'] }]
  await bench.client.putScene({ id: 'spins', group, traffic: { unit: { header: 'x-unit-id' }, deadlineMs: 2000, cpuMs: 50 } }, undefined)
  await bench.client.createVersion('spins', { as: 'baseline' })
  ended(
    await sdk('invoke', 'spins', '--data', '[]'),
    1,
    /in stage "rank" of module "spins@1\.0\.0"/,
    /index\.ts:3:\d+\n[\s\S]*> 3 \| {3}for \(;;\)/,
  )
  const { frame } = await bench.logged(({ msg, scene }) => msg === 'slot killed' && scene === 'spins')
  assert.match(`${frame}`, /> 3 \| {3}for \(;;\) rows\.reverse\(\)/)
})

test('no token of this machine goes to a base that is not its own, and a file that a killed base has left deceives nobody', {
  timeout: 60_000,
}, async t => {
  const seen: (string | undefined)[] = []
  const other = createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.writeHead(200, { 'content-type': 'application/json' }).end('[]')
  }).listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.after(() => other.close())
  const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
  ended(await sdkAlone(await folderOf(base), { BERTH_BASE: url })('scene', 'list'), 0)

  const stale = await tempFolder()
  const files = ['token', 'base.json'].map(name => cp(join(base.data, name), join(stale, name)))
  await Promise.all(files)
  const address = JSON.parse(readFileSync(addressPath(base.data), 'utf8'))
  await writeFile(addressPath(stale), JSON.stringify({ ...address, control: url }))
  const { stderr } = ended(await sdkAlone(stale, { BERTH_DATA: stale })('scene', 'list'), 3)
  assert.match(stderr, /Cannot find a base\. It was looked for in this order:\n\n {2}--base, BERTH_BASE: not given\n {2}BERTH_DATA, /)
  assert.match(
    stderr,
    new RegExp(`its base \\(process ${address.pid}, ${url}\\) was killed or is being started again: something else answers`),
  )
  assert.ok(seen.length > 0)
  assert.deepEqual([...new Set(seen)], [undefined])
})

interface Examples {
  readonly process: ChildProcess
  /** The next line that matches. */
  printed(matches: RegExp): Promise<string>
}

/** Starts what `npm start` starts beside the base, for the modules and scenes of a folder. Resolves when it watches. */
async function watchExamples(t: TestContext, folder: string): Promise<Examples> {
  // The process is started as npm start does it, not as a file of tests.
  const env = { ...process.env, ...onBase(bench), NODE_TEST_CONTEXT: undefined }
  const options: ForkOptions = {
    cwd: folder,
    env,
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  }
  const child = fork(join(root, 'scripts/publish-examples.ts'), [folder], options)
  t.after(() => void child.kill())
  const lines: string[] = []
  const news = new EventTarget()
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue
    createInterface({ input: stream }).on('line', line => {
      lines.push(line)
      news.dispatchEvent(new Event('line'))
    })
  }
  const printed = async (matches: RegExp): Promise<string> => {
    const at = lines.findIndex(line => matches.test(line))
    const [found] = at < 0 ? [] : lines.splice(0, at + 1).slice(-1)
    if (found !== undefined) return found
    await new Promise(resolve => news.addEventListener('line', resolve, { once: true }))
    return printed(matches)
  }
  const ended = once(child, 'exit').then(([code]) => assert.fail(`It ended with ${code}:\n${lines.join('\n')}`))
  const watches = new Promise<void>(resolve => child.on('message', message => message === 'watching' && resolve()))
  await Promise.race([watches, ended])
  return { process: child, printed }
}

test('npm start brings every save of a module or scene file online, and leaves what is broken out', { timeout: 60_000 }, async t => {
  const folder = await tempFolder()
  const scene = (params: object) => JSON.stringify({ id: 'watched', group: [{ stage: 'rank', modules: ['watched@^1'] }], params })
  const code = (text: string) => `export const rank = (x: unknown, ctx: { params: object }) => ["${text}", ctx.params]\n`
  const module = { 'modules/watched/package.json': packageJson('watched'), 'modules/watched/index.ts': code('first') }
  await write(folder, { ...module, 'fixtures/scenes/watched.json': scene({}) })
  const ask = async () => (await callScene(bench, 'watched', {})).json()
  const { process: first, printed } = await watchExamples(t, folder)
  assert.deepEqual(await ask(), ['first', {}])

  await write(folder, { 'modules/watched/index.ts': code('second') })
  assert.match(await printed(/^watched 1/), /^watched 1\.0\.0-dev\.\w+ answers in watched \(v2\), \d+ ms after saving$/)
  assert.deepEqual(await ask(), ['second', {}])
  await write(folder, { 'modules/watched/index.ts': 'export const rank = ]' })
  await printed(/modules\/watched\/index\.ts:1:21: Unexpected "\]"/)
  await printed(/goes on answering/)
  assert.deepEqual(await ask(), ['second', {}])
  await write(folder, { 'fixtures/scenes/watched.json': '{' })
  await printed(/watched\.json": it is not JSON/)
  await write(folder, { 'fixtures/scenes/watched.json': scene({ k: 1 }) })
  await printed(/^watched: \/params\/k: \(none\) → 1, \d+ ms after saving$/)
  assert.deepEqual(await ask(), ['second', { k: 1 }])
  await write(folder, { 'modules/watched/index.ts': code('first') })
  assert.match(await printed(/^watched 1\.0\.0 answers/), /watched \(v1\)/)
  await write(folder, { 'modules/watched/index.ts': code('third') })
  await printed(/^watched 1\.0\.0-dev/)
  first.disconnect()
  assert.deepEqual(await once(first, 'exit'), [0, null], 'it ends with the process that started it')

  const { revision } = await bench.client.status()
  const { process: second } = await watchExamples(t, folder)
  assert.equal((await bench.client.status()).revision, revision, 'a restart with the same files publishes nothing')
  assert.deepEqual(await ask(), ['third', { k: 1 }])
  assert.equal((await bench.client.modules('watched')).length, 3)
  second.disconnect()
  await once(second, 'exit')

  const chosen = await bench.client.createVersion('watched', { as: 'baseline', label: 'chosen by hand' })
  await write(folder, { 'modules/watched/index.ts': code('changed while npm start was down') })
  const { printed: warned } = await watchExamples(t, folder)
  await warned(new RegExp(`watched has changed, and watched stays with ${chosen.version.id}`))
  assert.equal((await bench.client.scene('watched')).baseline, chosen.version.id)
})

test('a module that is broken when npm start begins keeps no other from answering, and joins once it is mended', {
  timeout: 60_000,
}, async t => {
  const folder = await tempFolder()
  const scene = (module: string) => JSON.stringify({ id: `${module}-scene`, group: [{ stage: 'rank', modules: [`${module}@^1`] }] })
  await write(folder, {
    'modules/sound/package.json': packageJson('sound'),
    'modules/sound/index.ts': 'export const rank = () => "sound"',
    'modules/broken/package.json': packageJson('broken'),
    'modules/broken/index.ts': 'export const rank = ]',
    'fixtures/scenes/broken-scene.json': scene('broken'),
    'fixtures/scenes/sound-scene.json': scene('sound'),
  })
  const { printed } = await watchExamples(t, folder)
  await printed(/1 │ export const rank = \]/)
  assert.equal(await (await callScene(bench, 'sound-scene', {})).json(), 'sound')
  await write(folder, { 'modules/broken/index.ts': 'export const rank = () => "mended"' })
  await printed(/^broken 1\.0\.0 is published, and broken-scene answers, \d+ ms after saving$/)
  assert.equal(await (await callScene(bench, 'broken-scene', {})).json(), 'mended')
})
