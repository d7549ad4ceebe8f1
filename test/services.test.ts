/** Base services, as modules meet them: one base for the file, with the services of fixtures/services. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rename, rm, stat, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import type { Problem } from '../base/contract/problem-api.ts'
import { errorTable } from '../base/kernel/errors.ts'
import { callScene, launchBase, makeScene, publishStages, type RunningBase, root, startBase, tempFolder, until } from './support/base.ts'

let base: RunningBase

const config = join(root, 'test/fixtures/services/berth.config.json')
/** Makes the calls that the body asks for, several times when it says so, and reports how each ended. */
const asks = `async ({ service, method, args, times = 1 }, ctx) => {
  const ask = () => ctx.services[service][method](...args).then(value => ({ value }), ({ code, message }) => ({ code, message }))
  const answers = await Promise.all(Array.from({ length: times }, ask))
  return times === 1 ? answers[0] : answers
}`

before(async () => {
  base = await launchBase({ args: ['--config', config] })
  await mkdir(join(base.data, 'features'), { recursive: true })
  await makeScene(base.client, 'asks', { rank: asks }, {}, ['probe', 'plain', 'features'])
  await makeScene(
    base.client,
    'hasty',
    { rank: asks },
    { traffic: { unit: { header: 'x-unit-id' }, deadlineMs: 200, spec: { memoryMB: 64 } } },
    ['probe'],
  )
})
after(() => base.kill())

interface Outcome {
  readonly value?: unknown
  readonly code?: string
  readonly message?: string
}

async function ask(service: string, method: string, ...args: unknown[]): Promise<Outcome> {
  const response = await callScene(base, 'asks', { service, method, args }, { 'x-unit-id': 'u1', 'x-request-id': 'r1' })
  assert.equal(response.status, 200)
  return (await response.json()) as Outcome
}

/** Puts a table in place in the documented way: it is written beside the old one, then renamed. */
async function putTable(file: string, lines: readonly string[]): Promise<void> {
  const beside = await mkdtemp(join(base.data, 'features/.new-'))
  await writeFile(join(beside, file), `${lines.join('\n')}\n`)
  await rename(join(beside, file), join(base.data, 'features', file))
  await rm(beside, { recursive: true })
}

const rowsOf = (generation: number, count: number) => Array.from({ length: count }, (_, i) => JSON.stringify({ key: `k${i}`, generation }))

test('a service gets the arguments of the module and the request it is asked for', async () => {
  assert.deepEqual(await ask('probe', 'echo', 1, { a: ['中'] }), {
    value: { args: [1, { a: ['中'] }], scene: 'asks', unit: 'u1', requestId: 'r1' },
  })
})

test('a service that imports nothing of Berth gets its options from the config file', async () => {
  assert.deepEqual(await ask('plain', 'greet', 'Ann'), { value: 'hello Ann' })
})

test('nothing is null, and JSON goes out as the service wrote it', async () => {
  assert.deepEqual(await ask('probe', 'nothing'), { value: null })
  assert.deepEqual(await ask('probe', 'json'), { value: { as: 'it is' } })
})

for (const [what, service, method, args, code, message] of [
  [
    'arguments that do not fit',
    'plain',
    'greet',
    [7],
    'SERVICE_INPUT_INVALID',
    /"plain\.greet": of its list of arguments \/0 must be string/,
  ],
  ['no argument where one is due', 'plain', 'greet', [], 'SERVICE_INPUT_INVALID', /"plain\.greet"/],
  ['a handler that throws', 'probe', 'throws', [], 'SERVICE_FAILED', /^Service call "probe\.throws" failed: no luck$/],
  ['a handler that rejects', 'probe', 'rejects', [], 'SERVICE_FAILED', /: no luck later$/],
  ['a result that JSON cannot hold', 'probe', 'bigint', [], 'SERVICE_FAILED', /BigInt/],
  ['a result over the limit', 'probe', 'huge', [], 'SERVICE_RESULT_TOO_LARGE', /9437186 characters of JSON, the limit is 8388608/],
  ['a batch with too few answers', 'probe', 'short', [], 'SERVICE_FAILED', /0 answers to 1 calls/],
  ['a failure of one call of a batch', 'probe', 'double', [-1], 'SERVICE_FAILED', /-1 is negative/],
] as const) {
  test(`${what} reaches the module as ${code}`, async () => {
    const outcome = await ask(service, method, ...args)
    assert.equal(outcome.code, code, JSON.stringify(outcome))
    assert.match(outcome.message ?? '', message)
  })
}

test('what a service throws is in the log of the cell with its stack', async () => {
  await ask('probe', 'throws')
  const line = await base.logged(({ msg }) => msg === 'service failed: no luck')
  assert.deepEqual([line.service, line.method], ['probe', 'throws'])
  assert.match(String((line.err as { stack: string }).stack), /probe\.ts:\d+/)
})

test('calls made together reach a batch together, and each gets its own answer', async () => {
  const response = await callScene(base, 'asks', { service: 'probe', method: 'double', args: [4], times: 5 })
  assert.deepEqual(
    await response.json(),
    Array.from({ length: 5 }, () => ({ value: { twice: 8, together: 5 } })),
  )
})

test('a service or method that is not there fails the request, which says what is missing and what to do', async () => {
  const missing = 'no module of this group declares it; add "elsewhere" to berth.services in package.json'
  for (const [service, method, detail] of [
    ['elsewhere', 'get', `Cannot use ctx.services.elsewhere: ${missing}`],
    ['plain', 'dance', 'Cannot call ctx.services.plain.dance: the service has no such method, only greet'],
  ] as const) {
    const response = await callScene(base, 'asks', { service, method, args: [] })
    const problem = (await response.json()) as { code: string; detail: string }
    assert.equal(problem.code, 'MODULE_THREW', problem.detail)
    assert.equal(problem.detail, detail)
  }
})

test('a request past its deadline is answered 504, and the service is asked to stop', { timeout: 60_000 }, async () => {
  const aborted = async () => (await ask('probe', 'aborted')).value
  const outlast = async (method: string) => {
    const response = await callScene(base, 'hasty', { service: 'probe', method, args: [] })
    assert.equal(((await response.json()) as Outcome).code, 'DEADLINE_EXCEEDED')
  }
  for (const method of ['untilAborted', 'failsLate']) {
    const before = await aborted()
    // On a slow machine the deadline may pass before the service is reached.
    while ((await aborted()) === before) await outlast(method)
  }
  await outlast('never')
  assert.ok(!base.log.some(({ msg }) => msg.includes('too late to matter')))
})

test('a module that declares no service has none', async () => {
  await makeScene(base.client, 'bare', { rank: '(_, ctx) => Object.keys(ctx.services)' })
  assert.deepEqual(await (await callScene(base, 'bare', 1)).json(), [])
})

test('a version whose module uses a service that the base does not offer is refused', async () => {
  const { client } = base
  await publishStages(client, 'm-bare', '1.1.0', { rank: 'x => x' }, ['features', 'billing'])
  const detail = 'Cannot run module "m-bare@1.1.0" in scene "bare": it uses billing, and this base offers features, probe, plain'
  await assert.rejects(client.createVersion('bare', { modules: ['m-bare@1.1.0'] }), { code: 'SERVICE_NOT_OFFERED', message: detail })
  assert.equal((await client.versions('bare')).length, 1)
})

test('the same bundle with other services is another module', async () => {
  const publish = (services: string[]) => publishStages(base.client, 'm-same', '1.0.0', { rank: 'x => x' }, services)
  assert.equal(await publish(['features']), true)
  assert.equal(await publish(['features']), false)
  await assert.rejects(publish([]), { code: 'MODULE_EXISTS', message: /published with the services features/ })
})

test('service calls are counted and timed', async () => {
  await ask('probe', 'echo')
  const text = await (await fetch(`${base.controlUrl}/metrics`)).text()
  assert.match(text, /^berth_service_calls_total\{service="probe",method="echo",code="OK",cell="1"\} [1-9]/m)
  assert.match(text, /^berth_service_calls_total\{service="probe",method="throws",code="SERVICE_FAILED",cell="1"\} [1-9]/m)
  assert.match(text, /^berth_service_call_duration_seconds_count\{service="probe",method="echo",cell="1"\} [1-9]/m)
})

// Feature tables

test('rows come back whole, in the order of the keys, null where there is none', async () => {
  await putTable('items.ndjson', ['{"key":"a","price":1.5}', '', ' {"key":7,"tags":["中"]} '])
  assert.deepEqual(await ask('features', 'get', 'items', 'a'), { value: { key: 'a', price: 1.5 } })
  assert.deepEqual(await ask('features', 'get', 'items', 'b'), { value: null })
  assert.deepEqual(await ask('features', 'getMany', 'items', [7, 'b', 'a', '7', '__proto__']), {
    value: [{ key: 7, tags: ['中'] }, null, { key: 'a', price: 1.5 }, { key: 7, tags: ['中'] }, null],
  })
})

test('the first column of a CSV file is the key, and its values are texts', async () => {
  await putTable('users.csv', ['\ufeffid,name,city', '1,"Ann, ""A""",Oslo', '2,Bo,'])
  assert.deepEqual(await ask('features', 'getMany', 'users', [2, 1]), {
    value: [
      { id: '2', name: 'Bo', city: '' },
      { id: '1', name: 'Ann, "A"', city: 'Oslo' },
    ],
  })
})

test('rows whose keys are numbers beyond 2^53 answer each for its own key, and a number that may be rounded is refused', async () => {
  const keys = ['9007199254740991', '9007199254740992', '9007199254740993', '100000000000000000000000', '1.50', '7.0']
  await putTable(
    'exact.ndjson',
    keys.map((key, row) => `{"row":${row}, "key" : ${key}}`),
  )
  const found = async (...wanted: unknown[]) =>
    ((await ask('features', 'getMany', 'exact', wanted)).value as ({ row: number } | null)[]).map(row => row?.row ?? null)
  assert.deepEqual(await found(...keys.slice(0, 4), '9007199254740994'), [0, 1, 2, 3, null])
  assert.deepEqual(await found(9007199254740991, 1.5, '1.5', 7, '7'), [0, 4, 4, 5, 5])
  for (const [method, key] of [
    ['get', 9007199254740992],
    ['getMany', [1, 1e23]],
  ] as const) {
    const { code, message } = await ask('features', method, 'exact', key)
    assert.equal(code, 'SERVICE_INPUT_INVALID')
    assert.match(message ?? '', /the key (9007199254740992|1e\+23) is a number beyond 2\^53.*: pass such ids as strings/)
  }
})

test('a table that is not there is FEATURES_NOT_FOUND, a key that is none SERVICE_INPUT_INVALID', async () => {
  assert.equal((await ask('features', 'get', 'nowhere', 'a')).code, 'FEATURES_NOT_FOUND')
  assert.equal((await ask('features', 'get', '../token', 'a')).code, 'FEATURES_NOT_FOUND')
  assert.equal((await ask('features', 'get', 'items', null)).code, 'SERVICE_INPUT_INVALID')
  assert.equal((await ask('features', 'getMany', 'items', Array(10_001).fill('a'))).code, 'SERVICE_INPUT_INVALID')
})

for (const [what, file, lines, fault] of [
  ['text that is not JSON', 'bad-json.ndjson', ['{"key":1}', '', '{"key":2'], /line 3: it is not JSON: /],
  ['a key for the second time', 'bad-twice.ndjson', ['{"key":1}', '{"key":"1"}'], /line 2: the key "1" is there already/],
  ['a row without a key', 'bad-key.ndjson', ['{"id":1}'], /line 1: its member "key" is not a string or number/],
  [
    'a key that JavaScript cannot hold',
    'bad-exact.ndjson',
    ['{"key":1}', '{"key":1e400}'],
    /line 2: its member "key".* number 1e400 cannot be read exactly/,
  ],
  [
    'a key beyond 2^53 for the second time',
    'bad-big.ndjson',
    Array(2).fill('{"key":9007199254740993}'),
    /line 2: the key "9007199254740993"/,
  ],
  ['a row that is no object', 'bad-row.ndjson', ['{"key":1}', '[1]'], /line 2: it is not an object/],
  ['a CSV row of another length', 'bad-row.csv', ['id,name', '1,Ann', '2'], /line 3/i],
  ['a key for the second time in CSV', 'bad-twice.csv', ['id,name', '1,"An\nn"', '1,Bo'], /line 4: the key "1" is there already/],
  ['a column for the second time', 'bad-column.csv', ['id,name,name'], /line 1: two columns are named "name"/],
] as const) {
  test(`a file with ${what} is refused with its line`, async t => {
    await putTable(file, lines)
    t.after(() => unlink(join(base.data, 'features', file)))
    const outcome = await ask('features', 'get', file.replace(/\.\w+$/, ''), '1')
    assert.equal(outcome.code, 'FEATURES_BROKEN')
    assert.match(outcome.message ?? '', fault)
  })
}

test('a table that is replaced while requests run answers from the old or the new one, never from both', { timeout: 60_000 }, async () => {
  const count = 200
  const keys = Array.from({ length: count }, (_, i) => `k${i}`)
  await putTable('swap.ndjson', rowsOf(1, count))
  await ask('features', 'version', 'swap')
  const seen = new Set<number>()
  const reader = async () => {
    while (!seen.has(4)) {
      const { value } = await ask('features', 'getMany', 'swap', keys)
      const generations = new Set((value as { generation: number }[]).map(({ generation }) => generation))
      assert.equal(generations.size, 1, `rows of ${[...generations].join(' and ')} in one answer`)
      for (const generation of generations) seen.add(generation)
    }
  }
  const reading = Promise.all([reader(), reader(), reader()])
  for (const generation of [2, 3, 4]) {
    const from = base.log.length
    await putTable('swap.ndjson', rowsOf(generation, count))
    await base.logged(({ msg, table }) => msg === 'feature table read' && table === 'swap', from)
  }
  await reading
  assert.ok(seen.has(1) && seen.has(4))
})

test('a broken file keeps the rows before, says so in the log, and a mended one replaces them', async () => {
  await putTable('keeps.ndjson', rowsOf(1, 3))
  const { value: version } = await ask('features', 'version', 'keeps')
  await putTable('keeps.ndjson', [...rowsOf(2, 2), 'not a row'])
  const line = await base.logged(({ msg, table }) => msg.startsWith('feature table cannot be read') && table === 'keeps')
  assert.match(line.msg, /line 3: it is not JSON/)
  assert.deepEqual([line.line, line.keeps, line.level], [3, version, 50])
  assert.deepEqual(await ask('features', 'get', 'keeps', 'k0'), { value: { key: 'k0', generation: 1 } })
  assert.deepEqual(await ask('features', 'version', 'keeps'), { value: version })
  const from = base.log.length
  await putTable('keeps.ndjson', rowsOf(3, 3))
  await base.logged(({ msg, table }) => msg === 'feature table read' && table === 'keeps', from)
  assert.deepEqual(await ask('features', 'get', 'keeps', 'k0'), { value: { key: 'k0', generation: 3 } })
  assert.notEqual((await ask('features', 'version', 'keeps')).value, version)
})

test('two files of one name leave that table as it was, and the others alone', async t => {
  await putTable('one.csv', ['id', 'a'])
  assert.deepEqual(await ask('features', 'get', 'one', 'a'), { value: { id: 'a' } })
  await putTable('one.ndjson', ['{"key":"b"}'])
  t.after(() => unlink(join(base.data, 'features/one.csv')))
  await base.logged(({ msg, table }) => /there is also "one\.(csv|ndjson)"/.test(msg) && table === 'one')
  assert.deepEqual(await ask('features', 'get', 'one', 'a'), { value: { id: 'a' } })
  assert.equal((await ask('features', 'get', 'items', 'a')).code, undefined)
})

test('a table whose file is gone is gone', async () => {
  await putTable('passing.ndjson', rowsOf(1, 1))
  assert.equal((await ask('features', 'get', 'passing', 'k0')).code, undefined)
  await unlink(join(base.data, 'features/passing.ndjson'))
  await base.logged(({ msg, table }) => msg === 'feature table is gone' && table === 'passing')
  assert.equal((await ask('features', 'get', 'passing', 'k0')).code, 'FEATURES_NOT_FOUND')
})

test('an entry that cannot be read stops only its own table, which says what it is', { timeout: 60_000 }, async t => {
  const folder = join(base.data, 'features')
  await symlink('circle.csv', join(folder, 'circle.csv'))
  await symlink('nowhere.csv', join(folder, 'dangling.csv'))
  await mkdir(join(folder, 'nested.ndjson'))
  await promisify(execFile)('mkfifo', [join(folder, 'pipe.csv')])
  await writeFile(join(folder, 'latin.csv'), Buffer.from('id,name\n1,Andr\xe9\n', 'latin1'))
  await writeFile(join(folder, 'other.json'), '{}')
  const bad = ['circle.csv', 'dangling.csv', 'nested.ndjson', 'pipe.csv', 'latin.csv', 'other.json']
  t.after(() => Promise.all(bad.map(entry => rm(join(folder, entry), { recursive: true }))))
  await putTable('beside.ndjson', ['{"key":"a","n":1}'])
  assert.deepEqual(await ask('features', 'get', 'beside', 'a'), { value: { key: 'a', n: 1 } })
  for (const [table, code, message] of [
    ['circle', 'FEATURES_BROKEN', /circle\.csv: it is a link that leads back to itself/],
    ['dangling', 'FEATURES_BROKEN', /dangling\.csv: it is a link to a file that is not there/],
    ['nested', 'FEATURES_BROKEN', /nested\.ndjson: it is a folder/],
    ['pipe', 'FEATURES_BROKEN', /pipe\.csv: it is a pipe, not a file/],
    ['latin', 'FEATURES_BROKEN', /latin\.csv: line 2, byte offset 14: byte 0xe9 is not UTF-8; it looks like Latin-1/],
    ['other', 'FEATURES_NOT_FOUND', /"other\.json" is no table: its name must end with \.ndjson/],
  ] as const) {
    const outcome = await ask('features', 'get', table, 'a')
    assert.equal(outcome.code, code, JSON.stringify(outcome))
    assert.match(outcome.message ?? '', message)
  }
  await until(async () => (await base.client.status()).serviceFaults.length >= 5)
  const { serviceFaults } = await base.client.status()
  assert.deepEqual(
    serviceFaults.find(({ name }) => name === 'pipe'),
    { service: 'features', name: 'pipe', cells: [1] },
  )
  const metrics = await (await fetch(`${base.controlUrl}/metrics`)).text()
  assert.match(metrics, /^berth_service_fault\{service="features",name="pipe",cell="1"\} 1$/m)
  const from = base.log.length
  await putTable('beside.ndjson', ['{"key":"a","n":2}'])
  await base.logged(({ msg, table }) => msg === 'feature table read' && table === 'beside', from)
})

test('a file that is written over is read again, even when its size and its time stay the same', async () => {
  const file = join(base.data, 'features/stamped.csv')
  await putTable('stamped.csv', ['id,n', 'a,1'])
  assert.deepEqual(await ask('features', 'get', 'stamped', 'a'), { value: { id: 'a', n: '1' } })
  const { atime, mtime } = await stat(file)
  const from = base.log.length
  await writeFile(file, 'id,n\na,2\n')
  await utimes(file, atime, mtime)
  await base.logged(({ msg, table }) => msg === 'feature table read' && table === 'stamped', from)
  assert.deepEqual(await ask('features', 'get', 'stamped', 'a'), { value: { id: 'a', n: '2' } })
})

test('tables may be separated by tabs or semicolons, and may be named .tsv, .jsonl or in capitals', async () => {
  for (const [file, lines] of [
    ['tabs.tsv', ['id\tname', '1\t"Ann, Bo"']],
    ['semicolons.csv', ['id;name', '1;"Ann, Bo"']],
    ['capitals.CSV', ['id,name', '1,"Ann, Bo"']],
    ['lines.jsonl', ['{"key":1,"id":"1","name":"Ann, Bo"}']],
  ] as const) {
    await putTable(file, lines)
    const { value } = await ask('features', 'get', file.replace(/\.\w+$/, ''), 1)
    assert.deepEqual({ key: 1, ...(value as object) }, { key: 1, id: '1', name: 'Ann, Bo' }, file)
  }
})

/** Calls a scene whose breaker opens after three failures until it has answered with more of them, or otherwise. */
async function codesOf(scene: string): Promise<string[]> {
  const codes: string[] = []
  while (codes.length < 5) codes.push(((await (await callScene(base, scene, {})).json()) as Problem).code)
  return codes
}

test('when a module lets an error of the base through, the base is to blame and no breaker opens, also in a scene that calls it', async t => {
  await putTable('broken.ndjson', ['not a row'])
  t.after(() => unlink(join(base.data, 'features/broken.ndjson')))
  const traffic = { breaker: { enabled: true, failureRatio: 0.5, minRequests: 3, windowMs: 10_000, openMs: 60_000, probes: 1 } }
  await makeScene(base.client, 'careless', { rank: `(_, ctx) => ctx.services.features.get('broken', 'a')` }, { traffic }, ['features'])
  await makeScene(base.client, 'outer', { rank: `(_, ctx) => ctx.call('careless', 1)` }, { traffic })
  const { blame, fix } = errorTable.FEATURES_BROKEN
  for (const scene of ['careless', 'outer']) {
    const problem = (await (await callScene(base, scene, {})).json()) as Problem
    assert.deepEqual([problem.status, problem.code, problem.blame, problem.fix], [500, 'FEATURES_BROKEN', blame, fix])
    assert.match(problem.detail, /^Cannot read feature table "broken": broken\.ndjson: line 1: it is not JSON/)
    assert.deepEqual([problem.uncaught, problem.stage], [undefined, 'rank'])
    assert.deepEqual(await codesOf(scene), Array(5).fill('FEATURES_BROKEN'))
  }
  await base.logged(({ code, scene, stage }) => code === 'FEATURES_BROKEN' && scene === 'careless' && stage === 'rank')
})

test('a module that lets an error of its own calls through is to blame, the answer says which, and the breaker counts it', async () => {
  const traffic = { breaker: { enabled: true, failureRatio: 0.5, minRequests: 3, windowMs: 10_000, openMs: 60_000, probes: 1 } }
  const stage = `(_, ctx) => ctx.services.features.get('any', true)`
  await makeScene(base.client, 'wrong', { rank: stage }, { traffic }, ['features'])
  const problem = (await (await callScene(base, 'wrong', {})).json()) as Problem
  assert.deepEqual([problem.status, problem.code, problem.blame], [500, 'MODULE_THREW', 'module'])
  const { blame, fix } = errorTable.SERVICE_INPUT_INVALID
  assert.deepEqual(problem.uncaught, { code: 'SERVICE_INPUT_INVALID', blame, fix })
  assert.equal((await codesOf('wrong')).at(-1), 'BREAKER_OPEN')
})

test('a deadline stays a deadline when a module lets it through, and what a scene that it calls refuses with is named', async () => {
  const late = { traffic: { deadlineMs: 100 } }
  await makeScene(base.client, 'sleeper', { rank: '() => new Promise(done => setTimeout(done, 9000))' }, late)
  await makeScene(base.client, 'caller', { rank: '(scene, ctx) => ctx.call(scene, 1)' })
  const outcomeOf = async (scene: string) => (await (await callScene(base, 'caller', JSON.stringify(scene))).json()) as Problem
  assert.deepEqual([(await outcomeOf('sleeper')).code, (await outcomeOf('caller')).code], ['DEADLINE_EXCEEDED', 'CALL_CYCLE'])
  const missing = await outcomeOf('nowhere')
  assert.deepEqual([missing.code, missing.blame, missing.uncaught?.code], ['MODULE_THREW', 'module', 'SCENE_NOT_FOUND'])
})

// Services that cannot start

for (const [what, files, service, message] of [
  [
    'throws',
    { 'services/bad.mjs': 'export default () => { throw new Error("no database") }' },
    'services/bad.mjs',
    /Cannot start service "bad": no database/,
  ],
  ['is not there', {}, 'services/bad.mjs', /Cannot start service "bad": .*bad\.mjs/],
  ['has no methods', { 'services/bad.mjs': 'export default () => ({ methods: {} })' }, 'services/bad.mjs', /"bad": it has no methods/],
  [
    'exports no function',
    { 'services/bad.mjs': 'export const x = 1' },
    'services/bad.mjs',
    /default export of ".*bad\.mjs" is not a function/,
  ],
  ['lies beside the data folder', { 'bad.mjs': 'export default () => ({})' }, 'bad.mjs', /"bad": its folder ".*" holds the data folder/],
] as const) {
  test(`a base whose service ${what} does not start, and says why`, { timeout: 60_000 }, async t => {
    const folder = await tempFolder()
    await mkdir(join(folder, 'services'))
    for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text)
    await writeFile(join(folder, 'config.json'), JSON.stringify({ services: [{ name: 'bad', file: service }] }))
    const data = join(folder, 'data')
    await assert.rejects(startBase(t, { data, args: ['--config', join(folder, 'config.json')] }), error => {
      assert.ok(error instanceof Error)
      assert.match(error.message, /^The base ended with 1:/)
      assert.match(error.message, message)
      assert.match(error.message, /SERVICE_START_FAILED/)
      return true
    })
  })
}

test('services that are listed wrongly are refused with the place', async t => {
  for (const [services, message] of [
    [{}, /Cannot use services of ".*": \/services must be array/],
    [[{ name: 'a b', file: 'x.ts' }], /\/services\/0\/name must match pattern/],
    [[{ name: 'features', file: 'x.ts' }], /"features" is in every base already/],
    [
      [
        { name: 'a', file: 'x.ts' },
        { name: 'a', file: 'y.ts' },
      ],
      /two are named "a"/,
    ],
  ] as const) {
    const path = join(await mkdtemp(join(tmpdir(), 'berth-test-')), 'config.json')
    t.after(() => rm(join(path, '..'), { recursive: true }))
    await writeFile(path, JSON.stringify({ services }))
    await assert.rejects(startBase(t, { args: ['--config', path] }), { message })
  }
})
