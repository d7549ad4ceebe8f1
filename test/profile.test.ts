/** `sdk profile` and the API under it: the time and the heap of a slot that serves, in terms of its TypeScript, at no cost but a pause. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { publishBundle, uploadBundle } from '../sdk/api/publish-steps.ts'
import { bundleModule } from '../sdk/bundle/bundle.ts'
import { callScene, launchBase, makeScene, type RunningBase, tempFolder } from './support/base.ts'
import { type Run, sdkIn } from './support/cli.ts'
import { startLoad } from './support/load.ts'

let base: RunningBase
let folder: string
let sdk: Run

before(async () => {
  base = await launchBase({ cells: 2 })
  folder = await tempFolder()
  sdk = sdkIn(folder, base)
})
after(() => base.kill())

interface Profile {
  readonly nodes: readonly {
    readonly hitCount: number
    readonly positionTicks?: readonly { readonly line: number; readonly ticks: number }[]
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

interface Report {
  readonly version: string
  readonly cell: number
  readonly file: string
  readonly samples: number
  readonly cpuMs: number
  readonly heldMs: number
  readonly top: readonly { readonly name: string; readonly where: string; readonly selfMs: number; readonly totalMs: number }[]
}

const burning = `/** Lines that only the source has. */
type Rounds = number

export function burnCandidates(rounds: Rounds): number {
  let sum = 0
  for (let round = 0; round < rounds; round++) sum += scoreOne(round)
  return sum
}

function scoreOne(round: number): number {
  let score = 0
  for (let i = 1; i < 2000; i++) {
    score += Math.sqrt(i * round)
  }
  return score
}
`

/** A scene whose module burns CPU in a second file. */
async function makeBurner(): Promise<void> {
  const path = join(folder, 'burner')
  await mkdir(path)
  await writeFile(join(path, 'package.json'), JSON.stringify({ name: 'burner', version: '1.0.0', berth: { stages: ['rank'] } }))
  await writeFile(
    join(path, 'index.ts'),
    `import { burnCandidates } from './heavy.ts'\nexport const rank = (x: { a: number }) => ({ a: x.a, sum: burnCandidates(100) })\n`,
  )
  await writeFile(join(path, 'heavy.ts'), burning)
  const bundle = await bundleModule(path)
  await uploadBundle(base.client, bundle)
  await publishBundle(base.client, bundle)
  await base.client.putScene({ id: 'burn', group: [{ stage: 'rank', modules: ['burner@^1'] }] }, undefined)
  await base.client.createVersion('burn', { as: 'baseline' })
}

test('a CPU profile names the functions and places of the TypeScript, while every request is answered', { timeout: 60_000 }, async () => {
  await makeBurner()
  const load = startLoad(`${base.url}/scenes/burn`, 4, true, body => body.startsWith('{"a":1,"sum":'))
  const run = await sdk('profile', 'burn', '--seconds', '3', '--out', 'burn.cpuprofile', '--json')
  const { answered, refused, broken } = await load.stop()
  assert.equal(run.code, 0, run.stderr)
  assert.deepEqual([refused, broken], [[], []])
  assert.ok(answered > 0)
  const report = JSON.parse(run.stdout) as Report
  assert.equal(report.version, 'v1')
  assert.ok(report.cpuMs > 0 && report.samples > 0, run.stdout)
  // V8 may have made one function of the two. Then the time is that of either. Otherwise the outer one takes hardly any time itself.
  const [first] = report.top.filter(({ name }) => !name.startsWith('('))
  assert.match(`${first?.name} ${first?.where}`, /^(burnCandidates burner@1\.0\.0\/heavy\.ts:4|scoreOne burner@1\.0\.0\/heavy\.ts:10)$/)
  assert.ok(first !== undefined && first.totalMs >= first.selfMs && first.totalMs <= report.cpuMs + 1, run.stdout)
  const profile = JSON.parse(await readFile(join(folder, 'burn.cpuprofile'), 'utf8')) as Profile
  assert.equal(profile.samples.length, profile.timeDeltas.length)
  assert.ok(profile.timeDeltas.every(delta => delta >= 0))
  const found = profile.nodes.find(({ callFrame }) => callFrame.functionName === 'burnCandidates')
  assert.deepEqual([found?.callFrame.url, found?.callFrame.lineNumber], ['berth:///burner@1.0.0/heavy.ts', 3])
  const inBurner = profile.nodes.filter(({ callFrame }) => callFrame.url === 'berth:///burner@1.0.0/heavy.ts')
  const ticks = inBurner.flatMap(({ positionTicks = [] }) => positionTicks)
  assert.ok(ticks.length > 0 && ticks.every(({ line, ticks: count }) => line >= 4 && line <= 16 && count > 0), JSON.stringify(ticks))
  // The slot still answers.
  assert.equal((await callScene(base, 'burn', { a: 1 })).status, 200)
})

test('a heap snapshot is one that DevTools reads, with what the module keeps', { timeout: 60_000 }, async () => {
  // The objects are made when the module is loaded, so they are in either cell.
  const code =
    '(() => { class Recognisable {}; const kept = Array.from({ length: 1000 }, () => new Recognisable()); return () => kept.length })()'
  await makeScene(base.client, 'heap', { rank: code })
  await callScene(base, 'heap', {})
  const run = await sdk('profile', 'heap', '--heap', '--out', 'heap.heapsnapshot')
  assert.equal(run.code, 0, run.stderr)
  assert.match(run.stdout, /heap v1 in cell \d: [\d.]+ MB in heap\.heapsnapshot\nRequests of that slot waited \d+ ms/)
  const text = await readFile(join(folder, 'heap.heapsnapshot'), 'utf8')
  const { snapshot, strings } = JSON.parse(text) as { snapshot: { node_count: number }; strings: string[] }
  assert.ok(snapshot.node_count > 1000)
  assert.ok(strings.includes('Recognisable'))
  assert.equal(await (await callScene(base, 'heap', {})).json(), 1000)
})

test('a slot that does not run gives no samples, and the command says so', async () => {
  await makeScene(base.client, 'quiet', { rank: 'x => x' })
  await callScene(base, 'quiet', 1)
  const run = await sdk('profile', 'quiet', '--seconds', '0.3')
  assert.equal(run.code, 0, run.stderr)
  assert.match(run.stderr, /There are no samples: the slot hardly ran/)
  assert.match(run.stderr, /The whole of it is in (quiet-v1-\d{8}-\d{6}\.cpuprofile)/)
})

test('what cannot be profiled is refused, with what to do', async () => {
  await makeScene(base.client, 'unasked', { rank: 'x => x' })
  await base.client.createVersion('unasked', { label: 'never asked' })
  const refused = async (code: string, ...args: readonly string[]) => {
    const run = await sdk('profile', ...args)
    assert.equal(run.code, 1, run.stdout)
    assert.match(run.stderr, new RegExp(code))
    return run.stderr
  }
  await refused('SCENE_NOT_FOUND', 'nowhere')
  await refused('VERSION_NOT_FOUND', 'unasked', '--version', 'v9')
  await refused('CELL_NOT_FOUND', 'unasked', '--cell', '7')
  assert.match(await refused('SLOT_IDLE', 'unasked', '--version', 'v2'), /no cell has a slot of it loaded/)
  await refused('REQUEST_INVALID', 'unasked', '--seconds', '1000')
  const token = await base.client.createToken(['pin'], 'looker')
  await refused('FORBIDDEN', 'unasked', '--token', token.token)
})

test('a slot that is killed while it is profiled is an error that says so, and costs nobody else anything', {
  timeout: 120_000,
}, async () => {
  await makeScene(base.client, 'killed', { rank: 'x => { if (x.loop) for (;;); return 1 }' }, { traffic: { deadlineMs: 400 } })
  await makeScene(base.client, 'bystander', { rank: 'x => x' })
  await callScene(base, 'killed', {})
  const cells = (await base.client.status()).cells.map(({ pid }) => pid)
  const load = startLoad(`${base.url}/scenes/bystander`, 2, true, body => body === '{"a":1}')
  const file = join(folder, 'killed.cpuprofile')
  // There is a slot in each cell, so requests are sent until one hits the slot that is profiled.
  const profileAndKill = async () => {
    let over = false
    const ended = sdk('profile', 'killed', '--seconds', '60', '--out', file).finally(() => {
      over = true
    })
    while (!over) await callScene(base, 'killed', { loop: true }, { connection: 'close' })
    return ended
  }
  let run = await profileAndKill()
  // The slot may have been killed before the profile began.
  while (run.stderr.includes('SLOT_IDLE')) run = await profileAndKill()
  assert.equal(run.code, 1, run.stdout)
  assert.match(run.stderr, /its slot ended meanwhile[\s\S]*PROFILE_FAILED/)
  assert.ok(!existsSync(file) && !existsSync(`${file}.part`))
  const { refused, broken } = await load.stop()
  assert.deepEqual([refused, broken], [[], []])
  assert.deepEqual(
    (await base.client.status()).cells.map(({ pid }) => pid),
    cells,
  )
})

test('a cell takes one profile at a time, and is free again when who asked has gone', async () => {
  await makeScene(base.client, 'single', { rank: 'x => x' })
  await callScene(base, 'single', 1)
  const gone = new AbortController()
  const path = '/api/scenes/single/profiles'
  const first = base.client.open(path, { method: 'POST', body: { seconds: 60 }, signal: gone.signal })
  first.catch(() => undefined)
  const outcome = () =>
    base.client.open(path, { method: 'POST', body: { seconds: 0.1 } }).then(
      () => 'taken',
      error => (error as { code: string }).code,
    )
  while ((await outcome()) !== 'PROFILE_BUSY') {}
  gone.abort()
  while ((await outcome()) !== 'taken') {}
})
