/** Supervisor, keeper and cells: a process that dies is replaced, and one that goes loses nothing. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { SceneDefinition } from '../base/traffic/schema.ts'
import {
  callScene,
  launchBase,
  makeScene,
  nodeFlags,
  publishStages,
  type RunningBase,
  root,
  startBase,
  tempFolder,
  until,
} from './support/base.ts'
import { baseIn } from './support/cli.ts'
import { startLoad } from './support/load.ts'

/** A base with two cells and one with one; each test has scenes of its own, and leaves every process ready. The last test of each ends it. */
let pair: RunningBase
let single: RunningBase
/** The base that was started again on the folder of the second one. */
let again: RunningBase

before(async () => {
  process.env.SECRET_CANARY = 'canary'
  // It makes its data folder itself.
  const pairData = join(await tempFolder(), 'data')
  ;[pair, single] = await Promise.all([launchBase({ cells: 2, data: pairData }), launchBase({ cells: 1, data: await tempFolder() })])
  delete process.env.SECRET_CANARY
})
after(() => Promise.all([pair?.kill(), single?.kill(), again?.kill()]))

/** Resolves once a cell other than `pid` has said that it is ready in the place of `cell`. */
function replaced(base: RunningBase, cell: number, pid: number) {
  return base.logged(line => line.msg === 'cell ready' && line.cell === cell && line.pid !== pid, base.log.length)
}

/** The process of a cell, once the keeper knows that it is ready: the log says so first. */
async function cellPid(base: RunningBase, cell: number): Promise<number> {
  let pid: number | undefined
  await until(async () => {
    const { cells } = await base.client.status()
    pid = cells.find(one => one.cell === cell && one.state === 'ready')?.pid
    return pid !== undefined
  })
  return pid as number
}

/** Runs `base start` until it ends. */
async function startRefused(args: readonly string[], cwd: string): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(process.execPath, [...nodeFlags, join(root, 'base/main.ts'), 'start', ...args], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk
  })
  const [code] = await once(child, 'close')
  return { code, stderr }
}

test('retiring cells one after the other under load loses no request, on keep-alive connections and on short ones', {
  timeout: 120_000,
}, async () => {
  const base = pair
  await makeScene(base.client, 'kept', { rank: 'x => x' })
  const loads = [true, false].map(keepAlive => startLoad(`${base.url}/scenes/kept`, 4, keepAlive, body => body === '{"a":1}'))
  for (let round = 0; round < 4; round++) {
    const cell = 1 + (round % 2)
    const pid = await cellPid(base, cell)
    const ready = replaced(base, cell, pid)
    const ended = base.logged(line => line.msg === 'cell ended' && line.pid === pid)
    await base.client.retireCell(cell)
    await ready
    // Keep-alive clients get their last answer from the old cell before it ends.
    await ended
  }
  for (const load of loads) {
    const { answered, refused, broken } = await load.stop()
    assert.deepEqual({ refused, broken }, { refused: [], broken: [] })
    assert.ok(answered > 0)
  }
})

test('a version switched every moment under load loses no request and mixes no answers', { timeout: 120_000 }, async () => {
  const base = pair
  const { client } = base
  await makeScene(client, 'swap', { rank: '() => "1.0.0"' })
  const load = startLoad(`${base.url}/scenes/swap`, 8, true, body => /^"1\.\d+\.0"$/.test(body))
  for (let minor = 1; minor <= 8; minor++) {
    await publishStages(client, 'm-swap', `1.${minor}.0`, { rank: `() => "1.${minor}.0"` })
    await client.createVersion('swap', { modules: [`m-swap@1.${minor}.0`], as: 'baseline' })
    // When the change has been acknowledged, no cell answers with the old version any more.
    for (let i = 0; i < 4; i++) assert.equal(await (await callScene(base, 'swap', 1)).json(), `1.${minor}.0`)
  }
  const { answered, refused, broken } = await load.stop()
  assert.deepEqual({ refused, broken }, { refused: [], broken: [] })
  assert.ok(answered > 0)
})

test('a killed cell is replaced while the other serves, and the crash is counted', { timeout: 60_000 }, async () => {
  const base = pair
  await makeScene(base.client, 'bystander', { rank: 'x => x' })
  const crashes = async () => Object.fromEntries((await base.client.status()).cells.map(({ cell, crashes }) => [cell, crashes]))
  const before = await crashes()
  const pid = await cellPid(base, 1)
  const ready = replaced(base, 1, pid)
  process.kill(pid, 'SIGKILL')
  await base.logged(line => line.msg === 'cell ended' && line.pid === pid)
  assert.equal((await callScene(base, 'bystander', 1)).status, 200)
  await ready
  assert.deepEqual(await crashes(), { ...before, 1: (before[1] ?? 0) + 1 })
})

test('when a cell dies its black box names the slots that were running code', { timeout: 60_000 }, async () => {
  const base = single
  const traffic = { unit: { header: 'x-unit-id' }, deadlineMs: 9000, cpuMs: 9000, spec: { memoryMB: 64 } } as SceneDefinition['traffic']
  // It runs for a while first, since where it runs is recorded only of what goes on for longer than a few looks.
  const loop = 'x => { const begun = performance.now() + 200; while (performance.now() < begun); console.log("begun"); for (;;); }'
  await makeScene(base.client, 'guilty', { rank: loop }, { traffic })
  await makeScene(base.client, 'innocent', { rank: 'x => x' })
  assert.equal((await callScene(base, 'innocent', 1)).status, 200)
  const broken = assert.rejects(callScene(base, 'guilty', 1))
  await base.logged(line => line.msg === 'begun')
  const pid = await cellPid(base, 1)
  const ready = replaced(base, 1, pid)
  process.kill(pid, 'SIGABRT')
  await broken
  const { suspects } = await base.logged(line => line.msg === 'cell ended' && line.pid === pid)
  const [suspect, ...others] = suspects as Record<string, string>[]
  assert.deepEqual(
    [suspect?.scene, suspect?.version, suspect?.stage, suspect?.module, others],
    ['guilty', 'v1', 'rank', 'm-guilty@1.0.0', []],
  )
  assert.deepEqual(
    readdirSync(base.data).filter(name => name.endsWith('.box')),
    [],
  )
  await ready
})

test('an endless loop, twenty requests a second, costs other scenes on the same cell no request', { timeout: 60_000 }, async () => {
  const base = single
  const traffic = { unit: { header: 'x-unit-id' }, deadlineMs: 400, spec: { memoryMB: 64 } } as SceneDefinition['traffic']
  await makeScene(base.client, 'loop', { rank: '() => { for (;;); }' }, { traffic })
  await makeScene(base.client, 'echo', { rank: 'x => x' })
  const load = startLoad(`${base.url}/scenes/echo`, 4, true, body => body === '{"a":1}')
  const statuses: Promise<number>[] = []
  for (let i = 0; i < 80; i++) {
    statuses.push(callScene(base, 'loop', 1).then(({ status }) => status))
    await delay(50)
  }
  const answered = new Set(await Promise.all(statuses))
  const { refused, broken, answered: fine } = await load.stop()
  assert.deepEqual({ refused, broken }, { refused: [], broken: [] })
  assert.ok(fine > 0)
  // A request is killed, past its deadline, or refused by the breaker that opened meanwhile.
  for (const status of answered) assert.ok([503, 504].includes(status), String(status))
})

test('cells serve on while the keeper is killed, and take new versions when it is back', { timeout: 120_000 }, async () => {
  const base = pair
  const { client } = base
  await makeScene(client, 'lasting', { rank: '() => 1' })
  const { keeper } = await client.status()
  const load = startLoad(`${base.url}/scenes/lasting`, 4, true)
  const seen = base.log.length
  const back = base.logged(line => line.msg === 'keeper ready' && line.pid !== keeper.pid, seen)
  process.kill(keeper.pid, 'SIGKILL')
  await base.logged(line => line.msg === 'keeper is away: serving on with the table in force', seen)
  await back
  // A version is in force in the cells that are connected by then, and any cell may be asked below.
  for (const cell of [1, 2]) await base.logged(line => line.msg === 'cell connected' && line.cell === cell, seen)
  await publishStages(client, 'm-lasting', '1.1.0', { rank: '() => 2' })
  await client.createVersion('lasting', { modules: ['m-lasting@1.1.0'], as: 'baseline' })
  assert.equal(await (await callScene(base, 'lasting', 0)).json(), 2)
  const { refused, broken } = await load.stop()
  assert.deepEqual({ refused, broken }, { refused: [], broken: [] })
})

test('a keeper that hangs is replaced while the cells serve on', { timeout: 120_000 }, async () => {
  const base = single
  await makeScene(base.client, 'unmoved', { rank: 'x => x' })
  const { keeper } = await base.client.status()
  const load = startLoad(`${base.url}/scenes/unmoved`, 2, true)
  const seen = base.log.length
  const back = base.logged(line => line.msg === 'keeper ready' && line.pid !== keeper.pid, seen)
  process.kill(keeper.pid, 'SIGSTOP')
  await back
  await base.logged(line => line.msg === 'cell connected', seen)
  assert.notEqual((await base.client.status()).keeper.pid, keeper.pid)
  const { refused, broken } = await load.stop()
  assert.deepEqual({ refused, broken }, { refused: [], broken: [] })
})

test('a cell that starts while the keeper is away serves from the table saved last', { timeout: 60_000 }, async () => {
  const base = single
  await makeScene(base.client, 'saved', { rank: '() => "saved"' })
  const pid = await cellPid(base, 1)
  const seen = base.log.length
  const { keeper } = await base.client.status()
  // The keeper is stopped, not killed: it holds its socket and answers nobody, which is the hardest way to be away.
  process.kill(keeper.pid, 'SIGSTOP')
  try {
    const ready = replaced(base, 1, pid)
    process.kill(pid, 'SIGKILL')
    await ready
    assert.equal(await (await callScene(base, 'saved', 1)).json(), 'saved')
  } finally {
    process.kill(keeper.pid, 'SIGCONT')
  }
  await base.logged(line => line.msg === 'cell connected' && line.pid !== pid, seen)
})

test('a cell that finds neither the keeper nor a whole table says so, and serves once the keeper is back', {
  timeout: 60_000,
}, async () => {
  const base = single
  await makeScene(base.client, 'lost', { rank: 'x => x' })
  const pid = await cellPid(base, 1)
  const seen = base.log.length
  const { keeper } = await base.client.status()
  process.kill(keeper.pid, 'SIGSTOP')
  try {
    writeFileSync(join(base.data, 'table.json'), '{"format":1,"revision":9}')
    const ready = replaced(base, 1, pid)
    process.kill(pid, 'SIGKILL')
    await ready
    for (const answer of [await callScene(base, 'lost', 1), await fetch(`${base.url}/readyz`)]) {
      assert.equal(answer.status, 503)
      assert.match(await answer.text(), /"BASE_NOT_READY".*no scene table yet/)
    }
  } finally {
    process.kill(keeper.pid, 'SIGCONT')
  }
  await base.logged(line => line.msg === 'cell connected' && line.revision === 0 && line.pid !== pid, seen)
  await until(async () => (await fetch(`${base.controlUrl}/readyz`)).status === 200)
  assert.equal(await (await callScene(base, 'lost', 1)).json(), 1)
})

test('a cell over its memory is replaced by a fresh one and loses no request', { timeout: 60_000 }, async t => {
  const base = await startBase(t, { cells: 1, args: ['--cell-memory-mb', '256'] })
  await makeScene(
    base.client,
    'grow',
    { rank: 'bytes => { (globalThis.kept ??= []).push(new Uint8Array(bytes).fill(1)); return kept.length }' },
    { traffic: { spec: { memoryMB: 1024 } } },
  )
  const pid = await cellPid(base, 1)
  let [isLeaving, isReplaced] = [false, false]
  const leaving = base
    .logged(line => line.msg === 'cell to be replaced' && line.because === 'memory')
    .then(() => {
      isLeaving = true
    })
  const ready = replaced(base, 1, pid).then(() => {
    isReplaced = true
  })
  const statuses = new Set<number>()
  for (let i = 0; !isReplaced; i++) {
    // The cell would be killed if it grew on, however long its replacement takes to start.
    statuses.add((await callScene(base, 'grow', isLeaving ? 0 : 4e6)).status)
    // This is so slow that memory is measured between the bound at which a cell is retired and the one at which it is killed.
    if (i > 30) await Promise.race([isLeaving ? ready : leaving, delay(250)])
  }
  assert.deepEqual(statuses, new Set([200]))
  assert.ok(isLeaving)
})

test('a module that nothing can stop costs one cell, which is replaced while the others serve', { timeout: 60_000 }, async () => {
  const base = pair
  await makeScene(base.client, 'echo', { rank: 'x => x' })
  const seen = base.log.length
  const stuck = { rank: '() => Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)' }
  // The slot is killed for its CPU, long before the deadline.
  await makeScene(base.client, 'stuck', stuck, { traffic: { cpuMs: 50, spec: { memoryMB: 64 } } })
  const load = startLoad(`${base.url}/scenes/echo`, 4, true)
  assert.equal((await callScene(base, 'stuck', 1)).status, 503)
  const { cell, pid, stage, module } = await base.logged(line => line.msg === 'cell is lost', seen)
  assert.deepEqual([stage, module], ['rank', 'm-stuck@1.0.0'])
  await base.logged(line => line.msg === 'cell ready' && line.cell === cell && line.pid !== pid, seen)
  await base.logged(line => line.msg === 'cell ended' && line.pid === pid)
  const { refused, broken } = await load.stop()
  assert.deepEqual({ refused, broken }, { refused: [], broken: [] })
})

/** A copy of the code of a base, as in a working tree that somebody updates. */
async function copyCode(): Promise<string> {
  const project = await tempFolder()
  cpSync(join(root, 'base'), join(project, 'base'), { recursive: true })
  cpSync(join(root, 'bin'), join(project, 'bin'), { recursive: true })
  cpSync(join(root, 'package.json'), join(project, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'))
  return project
}

test('a cell starts from the code that its base started with; where it cannot start, the base says why', { timeout: 60_000 }, async t => {
  const [project, cache] = [await copyCode(), await tempFolder()]
  const base = await startBase(t, { project, env: { ...process.env, NODE_COMPILE_CACHE: cache } })
  const file = join(project, 'base/cell/answer.ts')
  const code = readFileSync(file, 'utf8')
  const isReady = (status: number, says: RegExp) => async () => {
    const answer = await fetch(`${base.controlUrl}/readyz`)
    return answer.status === status && says.test(await answer.text())
  }

  const built = join(project, 'base/inside/built')
  writeFileSync(file, `<<<<<<< HEAD\n${code}`)
  renameSync(built, `${built}.away`)
  const pid = await cellPid(base, 1)
  const isBack = replaced(base, 1, pid)
  process.kill(pid, 'SIGKILL')
  await isBack
  await until(isReady(200, /^{"status":"ok"}$/))
  renameSync(`${built}.away`, built)
  // Without the copy that the base has made of its code, what is on disk has to do.
  for (const name of readdirSync(cache)) if (name.startsWith('code-')) rmSync(join(cache, name), { recursive: true })
  process.kill(await cellPid(base, 1), 'SIGKILL')
  const why = 'it ended before it was ready, \\d+ times in a row: Cannot load the code of the cell: .*answer\\.ts'
  await until(isReady(503, new RegExp(`cell 1: ${why}`)))
  const shown = await baseIn(project, { BERTH_BASE: base.controlUrl, BERTH_TOKEN: base.token })('status')
  assert.match(shown.stdout, new RegExp(`^troubles\\n.*\\ncell 1 +${why}`, 'm'))
  writeFileSync(file, code)
  await until(isReady(200, /^{"status":"ok"}$/))
})

test('a second SIGTERM ends the base at once, and nothing of it is left', { timeout: 60_000 }, async t => {
  const base = await startBase(t, { cells: 2 })
  await makeScene(
    base.client,
    'slow',
    { rank: 'x => new Promise(done => { console.log("begun"); setTimeout(done, 9000, x) })' },
    {
      traffic: { unit: { header: 'x-unit-id' }, deadlineMs: 10_000, spec: { memoryMB: 64 } },
    },
  )
  const broken = assert.rejects(callScene(base, 'slow', 1))
  await base.logged(line => line.msg === 'begun')
  const { cells, keeper } = await base.client.status()
  const exited = once(base.process, 'exit')
  base.process.kill('SIGTERM')
  await base.logged(line => line.msg === 'cell retiring')
  // Signals closer together than 200 ms count as one.
  await delay(250)
  base.process.kill('SIGTERM')
  assert.deepEqual(await exited, [143, null])
  await broken
  for (const pid of [keeper.pid, ...cells.map(cell => cell.pid)]) await until(() => !lives(pid))
})

/** Whether a process with this id lives. One that has ended, and that its parent has not waited for yet, does not. */
function lives(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/status`, 'utf8').includes('State:\tZ')
  } catch {
    // The process may end while its file is read.
    return false
  }
}

test('children get nothing of the environment of the base', { timeout: 60_000 }, async t => {
  process.env.BERTH_TEST_SECRET_CANARY = 'canary'
  t.after(() => delete process.env.BERTH_TEST_SECRET_CANARY)
  const child = startBase(t, { cells: 1 })
  await assert.rejects(child, /BERTH_TEST_SECRET_CANARY/)
  // SECRET_CANARY was there when this one started.
  const { cells, keeper } = await pair.client.status()
  for (const pid of [keeper.pid, ...cells.map(cell => cell.pid)]) {
    assert.doesNotMatch(readFileSync(`/proc/${pid}/environ`, 'utf8'), /canary/i)
  }
})

test('a base is refused a port that is taken, saying which and what to do', async t => {
  const taken = createServer().listen(0, '127.0.0.1')
  t.after(() => taken.close())
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  const data = await tempFolder()
  for (const flag of ['--port', '--control-port']) {
    const other = flag === '--port' ? '--control-port' : '--port'
    const { code, stderr } = await startRefused([flag, String(port), other, '0', '--data', data], data)
    assert.equal(code, 1)
    assert.match(stderr, new RegExp(`Cannot listen on port ${port} of 127.0.0.1 \\(${flag}\\)`))
    assert.match(stderr, /Stop what uses it, or choose another/)
  }
})

test('a base is refused a data folder that another base runs on', { timeout: 60_000 }, async () => {
  const base = pair
  const { code, stderr } = await startRefused(['--port', '0', '--control-port', '0', '--data', base.data], base.data)
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`another base \\(process ${base.process.pid}\\) runs on it`))
})

test('a base is refused a data folder that it cannot write', async _t => {
  const data = await tempFolder()
  writeFileSync(join(data, 'file'), '')
  const { code, stderr } = await startRefused(['--port', '0', '--control-port', '0', '--data', join(data, 'file')], data)
  assert.equal(code, 1)
  assert.match(stderr, /Cannot write to the data folder/)
})

async function raiseFormat(data: string): Promise<void> {
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(join(data, 'berth.db'))
  database.exec('PRAGMA user_version = 999')
  database.close()
}

for (const [what, args, message] of [
  ['an unknown option', ['--prot', '1'], /--prot.*--port/s],
  ['a port that is none', ['--port', 'abc'], /--port/],
  ['too many cells', ['--cells', '0'], /--cells/],
  ['a config file that is not there', ['--config', 'nowhere.json'], /nowhere\.json/],
] as const) {
  test(`a base is refused ${what}`, async _t => {
    const data = await tempFolder()
    const { code, stderr } = await startRefused([...args, '--data', join(data, 'd')], data)
    assert.ok(code === 1 || code === 2)
    assert.match(stderr, message)
    assert.equal(existsSync(join(data, 'd')), false)
  })
}

test('the files of a data folder are for its owner only', { timeout: 60_000 }, async () => {
  const { data, client } = pair
  await makeScene(client, 'private', { rank: 'x => x' })
  for (const path of [data, join(data, 'token'), join(data, 'table.json')]) assert.equal(statSync(path).mode & 0o077, 0, path)
})

// The ends of the two bases.

test('SIGTERM lets requests under way finish and exits 0', { timeout: 60_000 }, async () => {
  const base = pair
  const seen = base.log.length
  await makeScene(base.client, 'slow', {
    rank: '(x, ctx) => new Promise(done => { ctx.log.info("begun"); console.log("begun"); setTimeout(done, 500, x) })',
  })
  const answer = callScene(base, 'slow', { n: 1 })
  await base.logged(line => line.msg === 'begun', seen)
  const exited = once(base.process, 'exit')
  base.process.kill('SIGTERM')
  const response = await answer
  assert.deepEqual([response.status, await response.json()], [200, { n: 1 }])
  assert.deepEqual(await exited, [0, null])
})

test('a base killed with everything in it comes back with all it had acknowledged', { timeout: 60_000 }, async () => {
  const base = single
  await makeScene(base.client, 'survivor', { rank: 'x => ({ x })' })
  const { keeper } = await base.client.status()
  process.kill(keeper.pid, 'SIGKILL')
  base.process.kill('SIGKILL')
  await once(base.process, 'exit')
  again = await launchBase({ cells: 2, data: base.data })
  assert.deepEqual(await (await callScene(again, 'survivor', 1)).json(), { x: 1 })
})

test('when the supervisor is killed its processes go with it', { timeout: 60_000 }, async () => {
  const { cells, keeper } = await again.client.status()
  assert.equal(cells.length, 2)
  again.process.kill('SIGKILL')
  for (const pid of [keeper.pid, ...cells.map(cell => cell.pid)]) await until(() => !lives(pid))
})

test('a base is refused a data folder that a newer Berth wrote, and changes nothing in it', { timeout: 60_000 }, async () => {
  const { data } = again
  await again.kill()
  await raiseFormat(data)
  const before = readdirSync(data)
    .filter(name => name.startsWith('berth.db'))
    .map(name => readFileSync(join(data, name), 'base64'))
  const { code, stderr } = await startRefused(['--port', '0', '--control-port', '0', '--data', data], data)
  assert.equal(code, 78)
  assert.match(stderr, /it has format 999/)
  assert.deepEqual(
    readdirSync(data)
      .filter(name => name.startsWith('berth.db'))
      .map(name => readFileSync(join(data, name), 'base64')),
    before,
  )
})
