import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { blobsPath, databasePath, featuresPath, tokenPath } from '../folder/paths.ts'
import type { WallPlan } from '../kernel/wall-plan.ts'
import { endOf } from './bubblewrap.ts'
import type { Order, Report } from './fixtures/intruder.ts'
import { planWallHere, type Role, roleCommand, spawnRole } from './roles.ts'
import { containerProfile, seccompFilter } from './seccomp.ts'
import { Wall } from './wall.ts'

const root = join(import.meta.dirname, '../..')
const intruder = join(import.meta.dirname, 'fixtures/intruder.ts')
const data = mkdtempSync(join(tmpdir(), 'berth-wall-'))
const server = createServer(socket => socket.destroy())
let plan: WallPlan

before(async () => {
  for (const folder of [blobsPath(data), featuresPath(data)]) mkdirSync(folder)
  for (const file of [databasePath(data), tokenPath(data), join(featuresPath(data), 'items.ndjson')]) writeFileSync(file, '')
  plan = await planWallHere('auto')
  await once(server.listen(0, '127.0.0.1'), 'listening')
})
after(() => {
  server.close()
  rmSync(data, { recursive: true })
})

/** The intruder in the place of a cell or trial, without Node's permission model. */
async function intrude(role: Role, using: WallPlan, services: readonly string[] = []): Promise<Report> {
  const order: Order = {
    secrets: [tokenPath(data), databasePath(data), '/etc/passwd'],
    // Without bubblewrap it succeeds.
    folders: using.bubblewrap === undefined ? [data] : [data, '/tmp', root],
    pid: process.pid,
    port: (server.address() as AddressInfo).port,
    isThorough: using.bubblewrap !== undefined,
  }
  const wall = new Wall(using, why => assert.fail(why))
  const command = roleCommand(role, data, { entry: intruder, wall, services })
  const args = ['--disable-warning=ExperimentalWarning', intruder, JSON.stringify(order)]
  const { child } = spawnRole({ ...command, args }, ['ignore', 'pipe', 'inherit'])
  const [chunks] = await Promise.all([child.stdout?.toArray() ?? [], once(child, 'exit')])
  return JSON.parse(Buffer.concat(chunks).toString()) as Report
}

/** Why a test of this layer cannot run here; undefined when it can. */
const missing = (name: string): string | undefined => plan.layers.find(({ layer, state }) => layer === name && state === 'off')?.detail

test('native code in a cell or trial reads, writes, starts and reaches nothing that the process does not need', async t => {
  const why = missing('namespaces')
  if (why !== undefined) return t.skip(why)
  // The folder of this service has the data folder in it.
  const service = join(data, '../service.mjs')
  const [cell, trial] = await Promise.all([intrude('cell', plan, [service]), intrude('trial', plan)])
  for (const { spawn, secrets, signal, processes, programs, noNewPrivileges, capabilities, filters } of [cell, trial]) {
    assert.equal(spawn, 'EPERM')
    assert.deepEqual(secrets, ['ENOENT', 'ENOENT', 'ENOENT'])
    assert.equal(signal, 'ESRCH')
    assert.deepEqual(processes, [1, 2])
    assert.deepEqual(programs, [])
    assert.deepEqual([noNewPrivileges, Number(`0x${capabilities}`), filters], [true, 0, '2'])
  }
  assert.deepEqual(cell.writes, ['EROFS', 'EROFS', 'EROFS'])
  // The data folder is not there, nor is the folder for temporary files, unless the project is below that.
  assert.deepEqual(trial.writes, ['ENOENT', root.startsWith('/tmp/') ? 'EROFS' : 'ENOENT', 'EROFS'])
  assert.deepEqual([cell.connect, trial.connect], ['done', 'ECONNREFUSED'])
})

test('native code in a cell or trial gets no system call by which it could become another process or reach one', async t => {
  const why = missing('system calls')
  if (why !== undefined) return t.skip(why)
  const { clone3, ...others } = (await intrude('trial', plan)).calls
  assert.equal(clone3, 'ENOSYS')
  assert.deepEqual(others, Object.fromEntries(Object.keys(others).map(name => [name, 'EPERM'])))
})

test('without bubblewrap, setpriv takes privileges and capabilities from a process, and filters its system calls where it can', async t => {
  if (plan.setpriv === undefined) return t.skip('setpriv does not work here')
  const { spawn, secrets, signal, noNewPrivileges, capabilities, filters } = await intrude('cell', { ...plan, bubblewrap: undefined })
  // What the intruder does would succeed: these attempts are refused above by the wall and by nothing else.
  assert.deepEqual([secrets, signal], [['done', 'done', 'done'], 'done'])
  assert.deepEqual([noNewPrivileges, Number(`0x${capabilities}`)], [true, 0])
  if (plan.setpriv.filters) assert.deepEqual([spawn, filters], ['EPERM', '2'])
  else assert.equal(spawn, 'done')
})

/** Starts Node.js behind the wall with this code. */
function start(code: string, using: WallPlan, onFailed: (why: string) => void = why => assert.fail(why)) {
  const wall = new Wall(using, onFailed)
  const { args: _, ...command } = roleCommand('trial', '', { wall })
  return { wall, ...spawnRole({ ...command, args: ['-e', code] }, ['ignore', 'ignore', 'ignore', 'ipc']) }
}

test('nothing is left of a process that is killed, however little of it there is yet', async t => {
  const why = missing('namespaces')
  if (why !== undefined) return t.skip(why)
  const { args: _, ...command } = roleCommand('trial', '', { wall: new Wall(plan, () => undefined) })
  for (let ms = 0; ms < 24; ms++) {
    const { child, kill } = spawnRole({ ...command, args: ['-e', 'setTimeout(() => {}, 60_000)'] }, ['ignore', 'pipe', 'ignore'])
    // Whatever is left of it holds the pipe open.
    const closes = once(child, 'close')
    child.stdout?.resume()
    await delay(ms)
    kill()
    await closes
  }
})

test('the process id is that of Node.js, only a kill reaches it, and its end is known by its signal', async t => {
  const why = missing('namespaces')
  if (why !== undefined) return t.skip(why)
  const stays = start('process.on("message", message => process.send(message)); process.send("up")', plan)
  await once(stays.child, 'message')
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    stays.child.kill(signal)
    stays.child.send(signal)
    assert.deepEqual((await once(stays.child, 'message'))[0], signal)
  }
  stays.child.kill('SIGKILL')
  const ends = ['SIGKILL', 'SIGABRT', 'SIGTERM'] as const
  for (const [index, signal] of ends.entries()) {
    const { child, pid } = start('process.on("message", signal => process.kill(process.pid, signal)); process.send("up")', plan)
    await once(child, 'message')
    const node = (await pid) ?? 0
    assert.match(readFileSync(`/proc/${node}/cmdline`, 'utf8'), /^[^\0]*node\0-e\0/)
    // The first is killed from outside through its wrapper, the others end themselves.
    if (index === 0) child.kill('SIGKILL')
    else child.send(signal)
    const [code, by] = await once(child, 'exit')
    assert.deepEqual(endOf(code, by), { how: `signal ${signal}`, signal })
    while (existsSync(`/proc/${node}`)) await new Promise(resolve => setImmediate(resolve))
  }
  const { child } = start('process.exit(3)', plan)
  assert.deepEqual(endOf(...((await once(child, 'exit')) as [number, null])), { how: 'exit code 3', signal: null })
})

test('a wall that stops working is left out with a warning, unless it is required', async t => {
  if (process.platform !== 'linux') return t.skip('it exists on Linux only')
  const broken = { ...plan, bubblewrap: '/bin/false' }
  for (const mode of ['auto', 'require'] as const) {
    const failed = Promise.withResolvers<string>()
    const { wall } = start('', { ...broken, mode }, failed.resolve)
    assert.match(await failed.promise, /^bubblewrap has ended with exit code 1, before it started Node\.js/)
    assert.equal(wall.plan.bubblewrap, mode === 'require' ? '/bin/false' : undefined)
    assert.equal(wall.plan.layers.find(({ layer }) => layer === 'namespaces')?.state === 'off', mode === 'auto')
  }
})

// The filter, run by a machine of its own, so that every call of both architectures can be tried.

interface Call {
  readonly number: number
  readonly architecture: number
  readonly argument?: number
}

const [LOAD, IF_EQUAL, IF_AT_LEAST, AND] = [0x20, 0x15, 0x35, 0x54]

/** @returns what the filter decides about the call */
function decide(filter: Buffer, { number, architecture, argument = 0 }: Call): string {
  const words: Readonly<Record<number, number>> = { 0: number, 4: architecture, 16: argument }
  let accumulator = 0
  for (let at = 0; ; at += 8) {
    const [code, k] = [filter.readUInt16LE(at), filter.readUInt32LE(at + 4)]
    if (code === LOAD) accumulator = words[k] ?? assert.fail(`it loads the word at ${k}`)
    else if (code === AND) accumulator = (accumulator & k) >>> 0
    else if (code === IF_EQUAL || code === IF_AT_LEAST) {
      const holds = code === IF_EQUAL ? accumulator === k : accumulator >= k
      at += 8 * filter.readUInt8(at + (holds ? 2 : 3))
    } else return decisions[k] ?? assert.fail(`it returns ${k}`)
  }
}

const decisions: Readonly<Record<number, string>> = {
  2147418112: 'allow',
  2147483648: 'kill',
  [0x50000 | constants.errno.EPERM]: 'EPERM',
  [0x50000 | constants.errno.ENOSYS]: 'ENOSYS',
}
const machines = [
  { name: 'x64', architecture: 0xc000003e, clone: 56, clone3: 435, read: 0, ptrace: 101, socket: 41 },
  { name: 'arm64', architecture: 0xc00000b7, clone: 220, clone3: 435, read: 63, ptrace: 117, socket: 198 },
]

test('the filter decides by the number, the architecture and the flags of a call', () => {
  for (const { name, architecture, clone, clone3, read, ptrace, socket } of machines) {
    const [module, base] = (['module', 'base'] as const).map(confined => seccompFilter(confined, name) ?? assert.fail(name))
    const both = (number: number, argument = 0) =>
      [module, base].map(filter => filter && decide(filter, { number, architecture, argument }))
    assert.deepEqual(both(read), ['allow', 'allow'])
    assert.deepEqual(both(ptrace), ['EPERM', 'EPERM'])
    assert.deepEqual(both(clone3), ['ENOSYS', 'ENOSYS'])
    assert.deepEqual(both(100_000), ['ENOSYS', 'ENOSYS'])
    // A thread, a process, and a process with a namespace of users.
    assert.deepEqual(
      [0x3d0f00, 17, 0x10000011].map(flags => both(clone, flags)),
      [
        ['allow', 'allow'],
        ['EPERM', 'allow'],
        ['EPERM', 'EPERM'],
      ],
    )
    assert.deepEqual(
      [1, 2, 10, 16, 17, 40].map(domain => both(socket, domain)[0]),
      ['allow', 'allow', 'allow', 'allow', 'EPERM', 'EPERM'],
    )
    assert.equal(module && decide(module, { number: read, architecture: 0x40000003 }), 'kill')
  }
  assert.equal(decide(seccompFilter('module', 'x64') ?? Buffer.alloc(0), { number: 0x40000000, architecture: 0xc000003e }), 'kill')
  assert.equal(seccompFilter('module', 'riscv64'), undefined)
})

/** The calls that the profile for containers allows whatever their arguments. */
const profile = containerProfile() as {
  readonly syscalls: readonly { readonly names: readonly string[]; readonly args?: unknown; readonly action: string }[]
}
const allowed = profile.syscalls.flatMap(({ names, args, action }) => (args === undefined && action === 'SCMP_ACT_ALLOW' ? names : []))

test('the numbers of the table are those of the kernel', t => {
  const headers = { x64: '/usr/include/x86_64-linux-gnu/asm/unistd_64.h', arm64: '/usr/include/asm-generic/unistd.h' }
  for (const [name, path] of Object.entries(headers)) {
    if (!existsSync(path)) return t.skip(`it needs ${path}: on Debian, "apt-get install linux-libc-dev"`)
    const machine = machines.find(one => one.name === name) ?? assert.fail(name)
    const filter = seccompFilter('base', name) ?? assert.fail(name)
    const lines = [...readFileSync(path, 'utf8').matchAll(/^#define __NR(?:3264)?_(\w+)\s+(\d+)$/gm)]
    // The generic header has one name that differs.
    const numbers = new Map(lines.map(([, call = '', number]) => [call === 'fstatat' ? 'newfstatat' : call, Number(number)]))
    const isAllowed = (number: number) => decide(filter, { number, architecture: machine.architecture }) === 'allow'
    const here = allowed.filter(call => numbers.has(call))
    assert.deepEqual(
      here.filter(call => !isAllowed(numbers.get(call) ?? -1)),
      [],
    )
    const unknown = allowed.filter(call => !numbers.has(call) && !isLegacy(name, call))
    // `clone` with no flags is allowed too, and these headers may be older than the table.
    const count = Array.from({ length: 1000 }, (_, number) => number).filter(isAllowed).length
    assert.equal(count, here.length + unknown.length + 1)
  }
})

/** Whether the call is one of those that x64 alone has. The generic header has none of them. */
const isLegacy = (name: string, call: string): boolean => name === 'arm64' && !newest.includes(call)
const newest = ['fchmodat2', 'futex_waitv']

test('deploy/seccomp.json is what the table says', () => {
  assert.deepEqual(JSON.parse(readFileSync(join(root, 'deploy/seccomp.json'), 'utf8')), profile)
})
