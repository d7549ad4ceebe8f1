/** Tests of `sdk test` as a user types it, on a module in a folder outside of the project. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../../bin/sdk.cjs', import.meta.url))

interface Outcome {
  readonly name: string
  readonly outcome: 'passed' | 'failed' | 'skipped'
  readonly error?: string
}

interface Covered {
  readonly file: string
  readonly lines: Readonly<Record<string, number>>
  readonly notRun: readonly number[]
  readonly partly: readonly number[]
  readonly functions: readonly { readonly name: string; readonly line: number; readonly count: number }[]
}

interface Report {
  readonly passed: number
  readonly failed: number
  readonly tests: readonly Outcome[]
  readonly coverage?: readonly Covered[]
}

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const folders: string[] = []
after(() => Promise.all(folders.map(folder => rm(folder, { recursive: true }))))

async function folderWith(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-sdk-test-'))
  folders.push(folder)
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  return folder
}

const packageJson = (berth: object, name = 'picker') => JSON.stringify({ name, version: '1.0.0', type: 'module', berth })

function start(cwd: string, args: readonly string[]): ChildProcess {
  // CI systems set this variable.
  return spawn(process.execPath, [bin, 'test', ...args], { cwd, env: { ...process.env, CI: 'true', FORCE_COLOR: '1' }, stdio: 'pipe' })
}

async function sdkTest(cwd: string, ...args: readonly string[]): Promise<Ended> {
  const child = start(cwd, args)
  const texts = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.on('data', (bytes: Buffer) => {
      texts[name] += bytes.toString('utf8')
    })
  }
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...texts }
}

const index = `interface Item {
  readonly id: number
}

// One stage that does everything the tests need.
export const rank = async (items: readonly Item[], ctx: any) => {
  const { topK = 3, how } = ctx.params
  if (topK < 1) {
    throw new RangeError(\`topK is \${topK}\`)
  }
  if (how === 'loop') for (;;) {}
  if (how === 'call') return ctx.call('other', items)
  if (how === 'service') return ctx.services.features.getMany('items', ['a', 'b'])
  if (how === 'request') return { items, request: ctx.request, unit: ctx.unit, scene: ctx.scene }
  if (how === 'time') return later()
  if (how === 'chance') return [Math.random(), crypto.getRandomValues(new Uint8Array(4)).join()]
  if (how === 'frozen') return Object.isFrozen(Map.prototype) && typeof process
  ctx.log.info('ranking', { n: items.length })
  return sorted(items).slice(0, topK)
}

const later = async () => {
  const before = Date.now()
  await new Promise(done => setTimeout(done, 3_600_000))
  return [before, Date.now() - before, new Date().toISOString(), performance.now()]
}

function sorted(items: readonly Item[]): Item[] {
  return items.toSorted((a, b) => b.id - a.id)
}

export const other = (items: readonly Item[]) => items.map(item => (item.id > 1 ? 'big' : 'small'))

export const idle = () => {
  return 'never run'
}

export const crash = () => Array(1e9).fill(0).length

export const fetched = async (url: string) => {
  const answer = await fetch(url, { method: 'POST', body: 'x' })
  return [answer.status, await answer.text()]
}

export const lossy = (items: readonly Item[], ctx: any) => {
  if (items.length === 0) return ctx.call('other', { seen: new Map() })
  return { rows: items.map(item => ({ ...item, score: Promise.resolve(1) })) }
}
`

const indexTest = `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { featuresOf, openSlot } from '@berth/sdk/testing'

const slot = await openSlot<typeof import('./index.ts')>(import.meta.dirname, {
  now: '2026-01-01',
  seed: 7,
  cpuMs: 50,
  services: { features: featuresOf({ items: { a: { price: 1 } } }) },
  call: { other: input => ({ got: input }) },
  fetch: async request => new Response(request.method + (await request.text()), { status: 201 }),
} as never)
const run = (how: string, options = {}) => slot.run('rank', [{ id: 1 }], { ...options, params: { how } })

test('ranks', async () => {
  const { output, logs } = await slot.run('rank', [{ id: 1 }, { id: 2 }])
  assert.deepEqual(output, [{ id: 2 }, { id: 1 }])
  assert.deepEqual(logs, [{ level: 'info', message: 'ranking', fields: { n: 2 } }])
})
test('another stage', async () => assert.deepEqual((await slot.run('other', [{ id: 1 }])).output, ['small']))
test('call', async () => assert.deepEqual((await run('call')).output, { got: [{ id: 1 }] }))
test('service', async () => assert.deepEqual((await run('service')).output, [{ key: 'a', price: 1 }, null]))
test('request', async () => {
  const { output } = await run('request', { request: { user: 1 }, unit: 'u1' })
  assert.deepEqual(output, { items: [{ id: 1 }], request: { user: 1 }, unit: 'u1', scene: 'test' })
})
test('time', async () => {
  const running = run('time')
  await slot.tick(7_200_000)
  assert.deepEqual((await running).output, [Date.parse('2026-01-01'), 3_600_000, '2026-01-01T01:00:00.000Z', 3_600_000])
})
test('chance', async () => {
  slot.seed(7)
  const [first] = (await run('chance')).output
  slot.seed(7)
  const [second] = (await run('chance')).output
  slot.seed(8)
  const [third] = (await run('chance')).output
  assert.equal(first, second)
  assert.notEqual(second, third)
})
test('hardened', async () => assert.equal((await run('frozen')).output, 'undefined'))
test('fetch', async () => assert.deepEqual((await slot.run('fetched', 'https://api.example.com/x')).output, [201, 'POSTx']))
test('forbidden host', () => assert.rejects(slot.run('fetched', 'https://example.com/x'), /picker does not declare it; add it to berth\\.fetch/))
test('unknown stage', () => assert.rejects(slot.run('rnk' as never, [] as never), /the stages of picker are rank, other, idle, crash, fetched, lossy/))
test('throws', () => slot.run('rank', [], { params: { topK: 0 } }))
test('loses data in its answer', () => slot.run('lossy', [{ id: 1 }]))
test('loses data in a call', () => slot.run('lossy', []))
`

const killTest = `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openSlot } from '@berth/sdk/testing'

const slot = await openSlot(import.meta.dirname, { cpuMs: 50 })
test('loops', () => slot.run('rank', [], { params: { how: 'loop' } }))
test('goes on in the next slot', async () => assert.deepEqual((await slot.run('rank', [{ id: 5 }])).output, [{ id: 5 }]))
test('crashes', () => assert.rejects(slot.run('crash', []), { code: 'MODULE_KILLED', message: /in stage "crash" of/ }))
test('goes on in the next process', async () => assert.deepEqual((await slot.run('rank', [{ id: 5 }])).output, [{ id: 5 }]))
test('has no fake for a scene', () => slot.run('rank', [], { params: { how: 'call' } }))
test('has no fake for a table', () => slot.run('rank', [], { params: { how: 'service' } }))
`

const picker = folderWith({
  'package.json': packageJson({
    stages: ['rank', 'other', 'idle', 'crash', 'fetched', 'lossy'],
    services: ['features'],
    fetch: ['api.example.com'],
  }),
  'index.ts': index,
  'index.test.ts': indexTest,
  'kill.test.ts': killTest,
})
const ended = picker.then(folder => sdkTest(folder, '--json', '--coverage'))
const report = ended.then(({ stdout }) => JSON.parse(stdout) as Report)

async function outcomeOf(name: string): Promise<Outcome> {
  const { tests } = await report
  return tests.find(test => test.name === name) ?? assert.fail(`no test "${name}" in ${JSON.stringify(tests, null, 2)}`)
}

const passing: readonly (readonly [name: string, promise: string])[] = [
  ['ranks', 'a stage answers in the slot, and its log lines come with the answer'],
  ['another stage', 'every stage of a module can be run by itself'],
  ['call', 'a test answers instead of another scene'],
  ['service', 'a test answers instead of a base service'],
  ['request', "a stage that is not the first gets its own input beside the caller's"],
  ['time', 'a stopped clock moves when the test says so, and timers with it'],
  ['chance', 'chance with a seed repeats itself'],
  ['hardened', 'the slot has the built-ins of a base: frozen, and nothing of Node.js'],
  ['fetch', 'a test answers instead of another host'],
  ['forbidden host', 'a host that the module does not declare stays out of reach'],
  ['unknown stage', 'a stage that is not declared is refused with those that are'],
  ['goes on in the next slot', 'a killed slot is followed by another'],
  ['crashes', 'a stage that ends the process of its slot fails its run alone'],
  ['goes on in the next process', 'and is followed by another'],
]
for (const [name, promise] of passing) {
  test(promise, async () => {
    const { outcome, error } = await outcomeOf(name)
    assert.equal(outcome, 'passed', error ?? name)
  })
}

test('a stage that throws fails its test with the line of the source', async () => {
  const { outcome, error } = await outcomeOf('throws')
  assert.equal(outcome, 'failed')
  assert.match(error ?? '', /^RangeError \[MODULE_THREW\]: topK is 0\n\s+at rank \(index\.ts:9:11\)\n[\s\S]*index\.test\.ts:46:/)
})

test('an answer that JSON does not hold fails its test with stage, path and what to do', async () => {
  const { outcome, error } = await outcomeOf('loses data in its answer')
  assert.equal(outcome, 'failed')
  assert.match(
    error ?? '',
    /\[DATA_LOST\]: The answer of stage "lossy" loses data as JSON: "\/rows\/0\/score" is a Promise, which became \{\}: await it/,
  )
})

test('an input of a call that JSON does not hold fails its test with the line of the source', async () => {
  const { error } = await outcomeOf('loses data in a call')
  assert.match(
    error ?? '',
    /TypeError .*The input of ctx\.call loses data as JSON: "\/seen" is a Map.*[\s\S]*\n\s+at lossy \(index\.ts:46:38\)/,
  )
})

test('a stage in an endless loop is killed at its limit of CPU, and the test says so', async () => {
  const { outcome, error } = await outcomeOf('loops')
  assert.equal(outcome, 'failed')
  assert.match(error ?? '', /^StageError \[MODULE_KILLED\]: .*a request used more than 50 ms of CPU/)
})

test('what has no fake fails with the line to write', async () => {
  assert.match((await outcomeOf('has no fake for a scene')).error ?? '', /no fake for it; give one to openSlot: \{ call: \{ "other": /)
  assert.match((await outcomeOf('has no fake for a table')).error ?? '', /There is no feature table "items" in this test/)
})

test('a failed test ends the command with exit code 1', async () => {
  const { code } = await ended
  const { passed, failed } = await report
  assert.deepEqual([code, passed, failed], [1, passing.length, 6])
})

test('coverage counts each line as often as it was run, and leaves out lines without code', async () => {
  const { coverage = [] } = await report
  const [{ file, lines, notRun, partly, functions } = assert.fail('no file is covered')] = coverage
  assert.deepEqual(
    coverage.map(({ file }) => file),
    ['index.ts'],
    file,
  )
  const withCode = (from: number, to: number) => Object.keys(lines).filter(line => Number(line) >= from && Number(line) <= to)
  // These lines have types, comments, closing braces or nothing.
  assert.deepEqual(withCode(1, 5), [])
  assert.deepEqual(withCode(10, 10), [])
  // Ten runs are from the first file. Of the second, only those after the crash count: the process that crashed took its counts with it.
  assert.equal(lines['7'], 10 + 3)
  assert.equal(lines['9'], 1)
  assert.equal(lines['18'], 1 + 1)
  assert.equal(lines['24'], 1)
  assert.deepEqual(notRun, [35])
  // No test has run the branch for a big item, and the only slot that looped was killed.
  assert.deepEqual(partly, [11, 32])
  assert.deepEqual(
    functions.filter(({ count }) => count === 0).map(({ name, line }) => [name, line]),
    [
      ['idle', 34],
      ['crash', 38],
    ],
  )
})

test('a test is chosen by its name, and all is well ends with exit code 0', async () => {
  const { code, stdout } = await sdkTest(await picker, '--only', '^another stage$')
  assert.equal(code, 0, stdout)
  assert.match(stdout, /^picker {2}index\.test\.ts\n {2}✔ another stage \d+ ms\n\n1 passed in \d+ ms\n/)
})

test('a module that does not compile fails with its code frame', async () => {
  const folder = await folderWith({
    'package.json': packageJson({ stages: ['rank'] }),
    'index.ts': 'export const rank = (x: number) => {\n  return x +\n}\n',
    'index.test.ts': killTest,
  })
  const { code, stdout } = await sdkTest(folder)
  assert.equal(code, 1)
  assert.match(stdout, /✖ the file did not run[\s\S]*Cannot bundle ".": index\.ts:3:1: Unexpected "}"[\s\S]*3 │ }/)
})

test('wrong types fail the command beside the tests, which run all the same', async () => {
  const compilerOptions = { strict: true, target: 'esnext', module: 'nodenext', types: ['node'] }
  const folder = await folderWith({
    'package.json': packageJson({ stages: ['rank'] }, 'mistyped'),
    'tsconfig.json': JSON.stringify({ compilerOptions }),
    'index.ts': `export const rank = (n: number): string => (n > 5 ? process.env.HOME : 'small')\n`,
    'index.test.ts': `import { test } from 'node:test'
import { openSlot } from '@berth/sdk/testing'
const slot = await openSlot(import.meta.dirname)
test('small', () => slot.run('rank', 1))
`,
  })
  const { code, stdout, stderr } = await sdkTest(folder, '--json')
  const { passed, failed, types } = JSON.parse(stdout) as Report & { types: { code: string; detail: string }[] }
  assert.deepEqual([code, passed, failed, types.map(({ code }) => code)], [1, 1, 0, ['TYPES_WRONG']])
  assert.match(types[0]?.detail ?? '', /index\.ts:1:\d+: .*'process': a slot has no such global/)
  assert.match(stderr, /process\.env\.HOME/)
})

test('a module that throws while it is loaded fails with its line and that of the test', async () => {
  const folder = await folderWith({
    'package.json': packageJson({ stages: ['rank'] }, 'broken'),
    'index.ts': "const table = JSON.parse('[')\nexport const rank = () => table\n",
    'index.test.ts': killTest,
  })
  const { stdout } = await sdkTest(folder)
  assert.match(
    stdout,
    /SyntaxError \[MODULE_LOAD_THREW\]: Cannot load module "broken@1\.0\.0"[\s\S]* index\.ts:1:20\n[\s\S]* index\.test\.ts:5:/,
  )
})

const loopTest = `import { test } from 'node:test'
import { openSlot } from '@berth/sdk/testing'
const slot = await openSlot<typeof import('./index.ts')>(import.meta.dirname)
test('loops', () => slot.run('rank', 1))
`

test('a run has the CPU limit of a scene that is in the folder of the module, as in a repository with one module', async () => {
  const folder = await folderWith({
    'home.json': JSON.stringify({ id: 'home', group: [{ stage: 'rank', modules: ['slow@^1'] }], traffic: { deadlineMs: 200 } }),
    'package.json': packageJson({ stages: ['rank'] }, 'slow'),
    'index.ts': 'export const rank = () => {\n  for (;;);\n}\n',
    'index.test.ts': loopTest,
  })
  const { stdout } = await sdkTest(folder)
  assert.match(stdout, /traffic\.cpuMs of scene "home": a request used more than 50 ms of CPU/)
})

test('a run has the lowest CPU limit of the scenes of its project, and says which scene set it and in which line the CPU went', async () => {
  const scene = (id: string, traffic: object, modules = ['slow@^1']) => JSON.stringify({ id, group: [{ stage: 'rank', modules }], traffic })
  const folder = await folderWith({
    'scenes/home.json': scene('home', { deadlineMs: 1500 }),
    'scenes/long.json': scene('long', { deadlineMs: 9000, cpuMs: 50 }),
    'scenes/other.json': scene('other', { deadlineMs: 1 }, ['other@^1']),
    'scenes/plain.json': JSON.stringify({ id: 'plain', group: [{ stage: 'rank', modules: ['slow@^1'] }] }),
    'scenes/broken.json': '{',
    'modules/slow/package.json': packageJson({ stages: ['rank'] }, 'slow'),
    'modules/slow/index.ts': 'export const rank = () => {\n  for (;;);\n}\n',
    'modules/slow/index.test.ts': loopTest,
  })
  const { stdout } = await sdkTest(folder)
  assert.match(stdout, /over the limit traffic\.cpuMs of scene "long": a request used more than 50 ms of CPU/)
  assert.match(stdout, /at rank \(modules\/slow\/index\.ts:2:3\)[\s\S]*> 2 \| {3}for \(;;\);/)
})

const usages: readonly (readonly [promise: string, files: Readonly<Record<string, string>>, args: readonly string[], says: RegExp])[] = [
  [
    'a module without tests is refused with how to write one',
    { 'package.json': packageJson({ stages: ['rank'] }), 'index.ts': index },
    [],
    /there is no file whose name ends in \.test\.ts[\s\S]*TESTS_NOT_FOUND: Write index\.test\.ts/,
  ],
  ['a folder without a module is wrong usage', {}, [], /there is no module in this folder[\s\S]*Name the folder of a module/],
  ['a pattern that is none is wrong usage', {}, ['--only', '('], /Cannot test: Invalid regular expression/],
  ['a folder that is not there is wrong usage', {}, ['nowhere'], /Cannot test "nowhere": there is no such folder/],
]
for (const [promise, files, args, says] of usages) {
  test(promise, async () => {
    const { code, stdout, stderr } = await sdkTest(await folderWith(files), ...args)
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, says)
  })
}

test('--json with --watch is wrong usage, because the document would never end', async () => {
  const { code, stderr } = await sdkTest(await folderWith({}), '--watch', '--json')
  assert.equal(code, 2)
  assert.match(stderr, /--json prints one document, and --watch has no end/)
})

test('when it is interrupted, it ends the processes of the tests too', { timeout: 60_000 }, async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const folder = await folderWith({
    'package.json': packageJson({ stages: ['rank'] }),
    'index.ts': 'export const rank = () => 1\n',
    'index.test.ts': `import { connect } from 'node:net'\nconnect(${port}, '127.0.0.1').on('connect', () => { for (;;); })\n`,
  })
  const child = start(folder, [])
  const [connection] = (await once(server, 'connection')) as [Socket]
  connection.resume()
  const closed = once(connection, 'close')
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  assert.deepEqual(await ended, [null, 'SIGTERM'])
  await closed
})

test('--watch runs the tests of a module again at every save, and survives half-written files', async t => {
  const folder = await folderWith({
    'package.json': packageJson({ stages: ['rank'] }),
    'index.ts': 'export const rank = () => 1\n',
    'index.test.ts': killTest
      .slice(0, killTest.indexOf("test('loops'"))
      .concat("test('says 2', async () => assert.equal((await slot.run('rank', [])).output, 2))\n"),
  })
  const lines = watching(t, folder)
  await lines.next(/0 passed, 1 failed/)
  await lines.next(/Waiting for a save/)
  // The file may be seen between being emptied and being written, and then a failing run comes first.
  await writeFile(join(folder, 'index.ts'), 'export const rank = () => 2\n')
  await lines.next(/1 passed in/)
  await lines.next(/Waiting for a save/)
  await writeFile(join(folder, 'package.json'), '{')
  await lines.next(/package\.json: it is not JSON/)
  await lines.next(/Waiting for a save/)
  await writeFile(join(folder, 'package.json'), packageJson({ stages: ['rank'] }))
  await lines.next(/1 passed in/)
})

/** The lines of a `sdk test --watch`, which ends with the test. */
function watching(t: TestContext, folder: string): { next(matches: RegExp): Promise<string> } {
  const child = start(folder, ['--watch'])
  t.after(async () => {
    const closed = once(child, 'close')
    child.kill('SIGTERM')
    await closed
  })
  const waiting = new Set<{ matches: RegExp; resolve: (line: string) => void; reject: (error: Error) => void }>()
  const unread: string[] = []
  const give = () => {
    for (const waiter of waiting) {
      const at = unread.findIndex(line => waiter.matches.test(line))
      if (at < 0) continue
      waiting.delete(waiter)
      waiter.resolve(unread.splice(0, at + 1).at(-1) ?? '')
    }
  }
  for (const stream of [child.stdout, child.stderr]) {
    if (stream)
      createInterface({ input: stream }).on('line', line => {
        unread.push(line)
        give()
      })
  }
  child.on('close', code => {
    for (const { reject } of waiting) reject(new Error(`it ended with ${code}:\n${unread.join('\n')}`))
  })
  return {
    next: matches =>
      new Promise((resolve, reject) => {
        waiting.add({ matches, resolve, reject })
        give()
      }),
  }
}
