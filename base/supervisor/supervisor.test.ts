import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { limits } from '../kernel/limits.ts'
import { type Options, resolveOptions } from '../kernel/options.ts'
import type { CellLoss, CellStatus, MemoryStatus } from '../wire/messages.ts'

const hostEntry = fileURLToPath(new URL('fixtures/host.ts', import.meta.url))

type Line = Readonly<Record<string, unknown>> & { readonly msg: string }

interface Host {
  readonly options: Options
  /** The first line with this message that no earlier call has returned. */
  line(msg: string): Promise<Line>
  /** Calls a stub cell or the stub keeper. */
  cell<T>(path: string): Promise<T>
  keeper<T>(path: string): Promise<T>
  signal(signal: NodeJS.Signals): void
  /** Exit code and signal. */
  readonly ended: Promise<[number | null, NodeJS.Signals | null]>
}

function newFolder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'berth-supervisor-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return join(path, 'data')
}

/**
 * @param machineRoot of the files that say what the machine has
 * @param env more variables of the environment
 */
function launch(
  t: TestContext,
  overrides: Partial<Options> = {},
  machineRoot?: string,
  env: NodeJS.ProcessEnv = {},
): Omit<Host, 'cell' | 'keeper'> {
  const options = { ...resolveOptions({ flags: {}, env: {} }), port: 0, controlPort: 0, cells: 2, data: newFolder(t), ...overrides }
  const args = [
    ...process.execArgv.filter(flag => flag.startsWith('--no-') || flag.startsWith('--disable-')),
    hostEntry,
    JSON.stringify(options),
    ...(machineRoot === undefined ? [] : [machineRoot]),
  ]
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, SECRET: 'of the caller', ...env },
  })
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  t.after(() => child.kill('SIGKILL') && ended)
  const seen: Line[] = []
  const reader = createInterface({ input: child.stdout }).on('line', text => {
    seen.push(JSON.parse(text))
    reader.emit('seen')
  })
  const line = async (msg: string): Promise<Line> => {
    for (;;) {
      const index = seen.findIndex(line => line.msg === msg)
      const [found] = index < 0 ? [] : seen.splice(index, 1)
      if (found) return found
      await once(reader, 'seen', { signal: AbortSignal.timeout(60_000) }).catch(cause => {
        throw new Error(`No line "${msg}" came; those that nobody took: ${JSON.stringify(seen)}`, { cause })
      })
    }
  }
  return { options, line, ended, signal: signal => child.kill(signal) }
}

async function start(t: TestContext, overrides: Partial<Options> = {}, machineRoot?: string): Promise<Host> {
  const host = launch(t, overrides, machineRoot)
  const { port, controlPort } = await host.line('base ready')
  const caller =
    (at: unknown) =>
    async <T>(path: string): Promise<T> =>
      (await fetch(`http://127.0.0.1:${at}/${path}`)).json() as Promise<T>
  return {
    ...host,
    options: { ...host.options, port: Number(port), controlPort: Number(controlPort) },
    cell: caller(port),
    keeper: caller(controlPort),
  }
}

const lives = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

interface Who {
  readonly cell: number
  readonly pid: number
  readonly env: Readonly<Record<string, string>>
}

/** The ordinals of crashed cells, once the keeper knows of two ready cells and of so many crashes. */
async function crashesOnce(host: Host, crashes: number): Promise<number[]> {
  for (;;) {
    const cells = await host.keeper<CellStatus[]>('cells')
    const crashed = cells.filter(cell => cell.crashes > 0).map(cell => cell.cell)
    if (cells.length === 2 && cells.every(cell => cell.state === 'ready' && cell.rssMB > 0) && crashed.length === crashes) return crashed
  }
}

test('a base with every cell ready says so, and a SIGTERM ends all of it with exit code 0', async t => {
  const host = await start(t)
  const { pid } = await host.cell<Who>('who')
  host.signal('SIGTERM')
  assert.deepEqual(await host.ended, [0, null])
  assert.equal(lives(pid), false)
})

test('two signals at once are one, and a later second one exits at once with 128 + its number', async t => {
  const host = await start(t)
  const held = await fetch(`http://127.0.0.1:${host.options.port}/hold`)
  host.signal('SIGINT')
  host.signal('SIGTERM')
  await host.line('cell retiring')
  // Signals that come together count as one, so time has to pass before the second.
  await setTimeout(2 * limits.process.signalDebounceMs)
  host.signal('SIGTERM')
  assert.deepEqual(await host.ended, [143, null])
  await assert.rejects(held.text())
})

test('the data folder is made for its owner only', async t => {
  const { options } = await start(t)
  assert.equal(statSync(options.data).mode & 0o777, 0o700)
})

test('a cell gets nothing of the caller, and may neither read foreign files nor start processes nor open databases', async t => {
  const host = await start(t)
  const { env } = await host.cell<Who>('who')
  assert.deepEqual(
    // Bubblewrap sets PWD, to "/", and the base names the copy of its code and says how many arenas malloc may have.
    Object.keys(env).filter(
      name =>
        !/^(PWD|TZ|LANG|LC_ALL|TMPDIR|TEMP|TMP|TERM|NO_COLOR|FORCE_COLOR|LIBC|MALLOC_ARENA_MAX|BERTH_CODE_SNAPSHOT|NODE_CHANNEL.*)$/.test(
          name,
        ),
    ),
    [],
  )
  const { file, process: spawned, database } = await host.cell<Record<string, string>>('trespass')
  assert.match(`${file}`, /access to this API has been restricted/i)
  assert.match(`${spawned}`, /access to this API has been restricted/i)
  assert.equal(database, 'no node:sqlite')
})

test('a crashed cell is replaced under its ordinal while the other serves on', async t => {
  const host = await start(t)
  await host.line('cell ready')
  await host.line('cell ready')
  const pid = await host.cell<number>('crash')
  const ended = await host.line('cell ended')
  assert.equal(ended.pid, pid)
  assert.notEqual((await host.cell<Who>('who')).pid, pid)
  assert.equal((await host.line('cell ready')).cell, ended.cell)
  assert.deepEqual(await crashesOnce(host, 1), [ended.cell])
})

test('a cell that is to retire goes when its replacement is ready, and nobody is refused meanwhile', async t => {
  const host = await start(t)
  await host.keeper('retire/1')
  const leaving = await host.line('cell to be replaced')
  let calls = 0
  const gone = host.line('cell ended').then(line => line.pid)
  while ((await Promise.race([gone, host.cell<Who>('who').then(() => undefined)])) === undefined) calls++
  assert.equal(await gone, leaving.pid)
  assert.ok(calls > 0)
  assert.deepEqual(await crashesOnce(host, 0), [])
})

test('a lost cell is replaced before it goes, and counts as a crash', async t => {
  const host = await start(t)
  await host.cell('lose')
  const lost = await host.line('cell is lost')
  const retiring = await host.line('cell retiring')
  const ended = await host.line('cell ended')
  assert.deepEqual([retiring.pid, ended.pid], [lost.pid, lost.pid])
  assert.deepEqual(await crashesOnce(host, 1), [lost.cell])
})

/** The losses that the keeper knows of, once the last one has this number. */
async function lossesOnce(host: Host, last: number): Promise<readonly CellLoss[]> {
  for (;;) {
    const losses = await host.keeper<CellLoss[]>('losses')
    if (losses.at(-1)?.no === last) return losses
  }
}

const newKeeper = async (host: Host) => {
  await host.keeper('crash')
  await host.line('keeper ready')
}

test('the keeper is sent each cell that was lost to its code, again after a restart, until it has kept it', {
  timeout: 60_000,
}, async t => {
  const host = await start(t)
  await host.line('keeper ready')
  for (const end of ['die/SIGKILL', 'die/SIGABRT']) {
    await host.cell(end)
    await host.line('cell ended')
  }
  // Nothing speaks against the code of a cell that somebody has killed.
  const [aborted] = await lossesOnce(host, 1)
  assert.deepEqual([aborted?.why, aborted?.endedItself], ['signal SIGABRT', true])
  assert.deepEqual(
    aborted?.suspects.map(({ scene, isNamed }) => [scene, isNamed]),
    [['busy', false]],
  )
  await host.cell('lose')
  const { cell, pid } = await host.line('cell is lost')
  await newKeeper(host)
  const [first, second] = await lossesOnce(host, 2)
  assert.deepEqual(first, aborted)
  const { suspects, at, ...lost } = second as CellLoss
  assert.deepEqual(lost, { no: 2, cell, pid, why: 'the test says so', endedItself: false })
  const [{ runningMs, ...suspect } = { runningMs: -1 }, ...others] = suspects
  assert.deepEqual([suspect, others], [{ scene: 'busy', version: 'v1', isNamed: true, stage: 'rank' }, []])
  assert.ok(runningMs >= 0 && Date.parse(at) > 0)
  await host.keeper('keep/1')
  await newKeeper(host)
  assert.deepEqual(await lossesOnce(host, 2), [second])
})

test('a cell that ends by a fault of its own while it retires is a loss, which proves nothing against the code that ran', async t => {
  const host = await start(t)
  const held = await fetch(`http://127.0.0.1:${host.options.port}/hold`)
  const pid = Number(held.headers.get('x-pid'))
  const cells = await host.keeper<CellStatus[]>('cells')
  await host.keeper(`retire/${cells.find(cell => cell.pid === pid)?.cell}`)
  await host.line('cell retiring')
  process.kill(pid, 'SIGABRT')
  const [loss] = await lossesOnce(host, 1)
  assert.deepEqual([loss?.pid, loss?.why, loss?.endedItself], [pid, 'signal SIGABRT', false])
  await assert.rejects(held.text())
})

test('a lost cell that has not taken a table in time is ended, and no other cell is', async t => {
  const host = await start(t)
  // They are asked for first, since a lost cell ends by itself once another one is ready in its place.
  await crashesOnce(host, 0)
  const cells = await host.keeper<CellStatus[]>('cells')
  await host.cell('lose')
  const { pid } = await host.line('cell is lost')
  for (const cell of cells) await host.keeper(`end/${cell.pid}`)
  assert.equal((await host.line('cell ended')).pid, pid)
  const stays = cells.find(cell => cell.pid !== pid)
  assert.deepEqual(await crashesOnce(host, 1), [cells.find(cell => cell.pid === pid)?.cell])
  assert.ok((await host.keeper<CellStatus[]>('cells')).some(cell => cell.pid === stays?.pid))
})

test('a killed keeper comes back on its port while the cells serve on', async t => {
  const host = await start(t)
  await host.line('keeper ready')
  await host.keeper('crash')
  await host.line('keeper ended; cells serve on while it is started again')
  await host.cell<Who>('who')
  const again = await host.line('keeper ready')
  assert.equal(again.controlPort, host.options.controlPort)
  assert.deepEqual(await crashesOnce(host, 0), [])
})

test('a second base on a data folder is refused with the process that has it', async t => {
  const { options } = await start(t)
  const second = launch(t, { data: options.data })
  const { code, message } = await second.line('failed')
  assert.equal(code, 'DATA_LOCKED')
  assert.match(String(message), /another base \(process \d+\) runs on it$/)
  assert.deepEqual(await second.ended, [1, null])
})

test('a taken port and a foreign address are refused before anything is started', async t => {
  const taken = createServer().listen(0, '127.0.0.1')
  t.after(() => taken.close())
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo
  for (const [overrides, code] of [
    [{ port }, 'PORT_TAKEN'],
    [{ controlPort: port }, 'PORT_TAKEN'],
    [{ host: '192.0.2.1' }, 'PORT_DENIED'],
  ] as const) {
    assert.equal((await launch(t, overrides).line('failed')).code, code)
  }
})

test('a data folder that cannot be made is refused', async t => {
  // For the second folder, the system says that what cannot be made is not there.
  for (const data of ['/dev/null/berth', '/proc/berth']) {
    assert.equal((await launch(t, { data }).line('failed')).code, 'DATA_UNWRITABLE')
  }
})

test('what the keeper refuses at the first start ends the base', async t => {
  const host = launch(t, { bodyLimitBytes: 4321 })
  const { code, message } = await host.line('failed')
  assert.deepEqual({ code, message }, { code: 'DATA_DAMAGED', message: 'Cannot open the store: the test says so' })
  assert.deepEqual(await host.ended, [1, null])
})

interface Container {
  readonly root: string
  /** Says that the kernel has killed so many processes. */
  counts(oomKills: number): void
}

function container(t: TestContext, memoryMB: number): Container {
  const root = mkdtempSync(join(tmpdir(), 'berth-machine-'))
  t.after(() => rmSync(root, { recursive: true }))
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), `${text}\n`)
  }
  const counts = (oomKills: number) => write('sys/fs/cgroup/memory.events', `oom ${oomKills}\noom_kill ${oomKills}`)
  write('proc/self/mountinfo', '30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw')
  write('proc/self/cgroup', '0::/')
  write('sys/fs/cgroup/memory.max', `${memoryMB * 1024 ** 2}`)
  counts(0)
  return { root, counts }
}

test('a cell that the kernel killed for want of memory has no suspects, and the base says what to do', async t => {
  const { root, counts } = container(t, 2000)
  const host = await start(t, { cellMemoryMB: 500 }, root)
  const found = await host.line('base has found its memory and processors')
  assert.deepEqual([found.limitMB, found.limitFile, found.cells, found.cellMemoryMB], [2000, '/sys/fs/cgroup/memory.max', 2, 500])
  counts(1)
  await host.cell('die/SIGKILL')
  const { why, suspects, running, rssMB } = await host.line('cell ended')
  assert.equal(
    why,
    'memory is short, so the kernel ended it: give the base more memory, or take fewer --cells or a smaller --cell-memory-mb',
  )
  assert.deepEqual([suspects, (running as { scene: string }[]).map(({ scene }) => scene), typeof rssMB], [undefined, ['busy'], 'number'])
  await crashesOnce(host, 1)
  const { limitMB, kernelKills, shortage } = await host.keeper<MemoryStatus>('memory')
  assert.deepEqual([limitMB, kernelKills], [2000, 1])
  assert.match(`${shortage}`, /^the kernel killed processes of the base, the last at 20.*: give the base more memory/)
})

test('a cell that somebody killed has no suspects, and one that ended by a fault of its own has', async t => {
  const { root } = container(t, 2000)
  const host = await start(t, { cellMemoryMB: 500 }, root)
  await host.cell('die/SIGKILL')
  const killed = await host.line('cell ended')
  assert.deepEqual([killed.why, killed.suspects], ['something outside of the base ended it', undefined])
  await host.cell('die/SIGABRT')
  const aborted = await host.line('cell ended')
  assert.deepEqual([aborted.why, (aborted.suspects as { scene: string }[]).map(({ scene }) => scene)], [undefined, ['busy']])
  assert.equal((await host.keeper<MemoryStatus>('memory')).kernelKills, 0)
})

test('a base that cannot fit its memory is refused with the sum before anything is started', async t => {
  const { root } = container(t, 512)
  const { code, message } = await launch(t, { cells: 4, cellMemoryMB: 500 }, root).line('failed')
  assert.equal(code, 'MEMORY_TOO_SMALL')
  assert.match(
    `${message}`,
    /^Cannot run in 512 MB \(\/sys\/fs\/cgroup\/memory\.max\): .* \+ 4 cells of up to 500 MB, with room to replace and to kill them, 2260 = 2500 MB\. What fits are/,
  )
})

/** What a program in the place of `systemd-notify` sends: it posts its arguments to the URL in `NOTIFY_SOCKET`. */
const notifier = `#!${process.execPath}
fetch(process.env.NOTIFY_SOCKET, { method: 'POST', body: process.argv.slice(2).join('\\n') })`

/** A service manager that notes what it is sent, each time with what `whenSent` gives. */
async function startServiceManager<T>(t: TestContext, whenSent: (assignments: readonly string[]) => Promise<T>) {
  const folder = dirname(newFolder(t))
  writeFileSync(join(folder, 'systemd-notify'), notifier, { mode: 0o755 })
  const sent: { readonly assignments: readonly string[]; readonly seen: T }[] = []
  const server = createServer(async (request, response) => {
    const assignments = (await text(request)).split('\n')
    sent.push({ assignments, seen: await whenSent(assignments) })
    server.emit('sent')
    response.end()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => server.close())
  const find = (assignment: string | RegExp) =>
    sent.find(({ assignments }) => assignments.some(text => (typeof assignment === 'string' ? text === assignment : assignment.test(text))))
  const hears = async (assignment: string | RegExp) => {
    while (find(assignment) === undefined) await once(server, 'sent', { signal: AbortSignal.timeout(60_000) })
    return find(assignment)
  }
  const { port } = server.address() as AddressInfo
  return { hears, env: { NOTIFY_SOCKET: `http://127.0.0.1:${port}`, PATH: folder, WATCHDOG_USEC: '1000' } }
}

test('the service manager hears that the base is ready when it answers, and signs of life, and that it stops', {
  skip: process.platform === 'win32' && 'there is no such service manager',
}, async t => {
  const data = newFolder(t)
  const answers = async () => {
    const { scenes } = JSON.parse(readFileSync(join(data, 'base.json'), 'utf8')) as { readonly scenes: string }
    return (await fetch(`${scenes}/who`)).status
  }
  const manager = await startServiceManager(t, async said => (said.includes('READY=1') ? answers() : undefined))
  const host = launch(t, { data }, undefined, manager.env)
  const { port } = await host.line('base ready')
  assert.equal((await manager.hears('READY=1'))?.seen, 200)
  await manager.hears(`STATUS=serving on http://127.0.0.1:${port}: 2 of 2 cells ready`)
  await manager.hears('WATCHDOG=1')
  // The end of the base is put off, so that what it says on the way is sent.
  await fetch(`http://127.0.0.1:${port}/hold`)
  host.signal('SIGTERM')
  const stopping = await manager.hears('STOPPING=1')
  assert.ok(stopping?.assignments.includes('STATUS=stopping'))
})

test('a base that cannot notify the service manager says so once, and serves', async t => {
  const env = { PATH: dirname(newFolder(t)), NOTIFY_SOCKET: '/run/nowhere' }
  const host = launch(t, {}, undefined, env)
  await host.line('base ready')
  const warned = await host.line(
    'the service manager is not notified, and may take the base for one that does not start: systemd-notify is not installed; install it (it comes with systemd), or use Type=exec',
  )
  assert.equal(warned.level, 40)
})
