/** The launcher stands between whoever started a command and its process: signals go through it one way, and how the process ended the other. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { root, tempFolder } from './support/base.ts'

const launcher = [join(root, 'bin/launch.cjs'), fileURLToPath(new URL('fixtures/signalled.ts', import.meta.url))]
/** With this before it, a command is process 1, as in a container. */
const asProcess1 = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']
const noContainers = canBeProcess1() ? false : 'this user may not make process namespaces'

function canBeProcess1(): boolean {
  return process.platform === 'linux' && spawnSync(asProcess1[0] ?? '', [...asProcess1.slice(1), 'true']).status === 0
}

/** A shell that stays beside its command, as the one of npm does where it cannot make way for it. Both write to what the shell got. */
const inShell = ['sh', '-c', '"$@"; true', 'sh']
/** A process that starts a command and waits for it, as npm does. */
const waiting = `const [command, ...args] = process.argv.slice(1)
require('node:child_process').spawn(command, args, { stdio: 'inherit' })`
const asNpm = [process.execPath, '-e', waiting]
/** For a child that ends by signals only, and by its environment was started by npm. */
const staying = { args: ['stay'], env: { ...process.env, npm_lifecycle_event: 'start' } }

interface LaunchSettings {
  readonly args?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

interface Launched {
  readonly process: ChildProcess
  readonly pid: number
  readonly next: () => Promise<string | undefined>
}

async function launch(t: TestContext, before: readonly string[], { args: more, env }: LaunchSettings = {}): Promise<Launched> {
  const [command = '', ...args] = [...before, process.execPath, ...launcher, ...(more ?? [])]
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'], env })
  t.after(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => (await lines.next()).value
  assert.equal(await next(), 'ready')
  return { process: child, pid: before === asProcess1 ? childOf(child.pid) : (child.pid ?? 0), next }
}

/** The only child of a process. */
const childOf = (pid: number | undefined): number => Number(execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)]))

const endings = ['SIGKILL', 'SIGTERM', 'SIGABRT'] as const

describe('the launcher', { skip: process.platform === 'win32' && 'there are no signals', concurrency: 2 }, () => {
  test('ends with the exit code of its child', async t => {
    const { process: launched } = await launch(t, [])
    launched.stdin?.end('exit 3\n')
    assert.deepEqual(await once(launched, 'exit'), [3, null])
  })

  for (const signal of endings) {
    test(`ends by ${signal} when its child does`, async t => {
      const { process: launched } = await launch(t, [])
      launched.stdin?.end(`raise ${signal}\n`)
      assert.deepEqual(await once(launched, 'exit'), [null, signal])
    })
    test(`ends as process 1 with 128 and the number when its child ends by ${signal}`, { skip: noContainers }, async t => {
      const { process: launched } = await launch(t, asProcess1)
      launched.stdin?.end(`raise ${signal}\n`)
      assert.deepEqual(await once(launched, 'exit'), [128 + constants.signals[signal], null])
    })
  }

  for (const [how, before] of [
    ['', []],
    [' as process 1', asProcess1],
  ] as const) {
    test(`passes signals on to its child${how}`, { skip: before.length > 0 && noContainers }, async t => {
      const { process: launched, pid, next } = await launch(t, before)
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
        process.kill(pid, signal)
        assert.equal(await next(), `got ${signal}`)
      }
      launched.stdin?.end('exit 0\n')
      assert.deepEqual(await once(launched, 'exit'), [0, null])
    })
  }

  for (const [whose, before, signal] of [
    ['itself is killed', [], 'SIGKILL'],
    ['npm sends SIGTERM to its shell only', inShell, 'SIGTERM'],
    ['npm is killed and its shell stays', [...asNpm, ...inShell], 'SIGKILL'],
    ['npm is killed that has no shell in between', asNpm, 'SIGKILL'],
  ] as const) {
    test(`has its child end when ${whose}`, async t => {
      const { process: launched, next } = await launch(t, before, staying)
      launched.kill(signal)
      assert.equal(await next(), 'got SIGTERM')
      assert.equal(await next(), undefined)
    })
  }

  test('goes on without npm when it was started to stand by itself', {
    skip: process.platform !== 'linux' && 'there is no setsid',
  }, async t => {
    const [daemon, other] = [await launch(t, [...asNpm, 'setsid'], staying), await launch(t, asNpm, staying)]
    const pid = childOf(daemon.pid)
    t.after(() => process.kill(pid, 'SIGTERM'))
    for (const launched of [daemon, other]) launched.process.kill('SIGKILL')
    assert.equal(await other.next(), 'got SIGTERM')
    process.kill(pid, 'SIGUSR1')
    assert.equal(await daemon.next(), 'got SIGUSR1')
  })
})

test('without the Node.js of a package, and where the system cannot run it, the launcher says what to do', {
  skip: process.platform !== 'linux' && 'other systems have one C library',
}, async () => {
  const folder = await tempFolder()
  await cp(join(root, 'bin'), join(folder, 'bin'), { recursive: true })
  // A package has compiled code, and a clone has sources.
  await mkdir(join(folder, 'lib'))
  await writeFile(join(folder, 'lib/main.js'), '')
  const said = () => spawnSync(process.execPath, [join(folder, 'bin/base.cjs'), 'status'], { encoding: 'utf8' }).stderr
  assert.match(said(), /node-linux-\S+ is not installed.*"npm install --include=optional"/)
  const name = /the package (\S+) is not installed/.exec(said())?.[1] ?? ''
  await mkdir(join(folder, 'node_modules', name, 'bin'), { recursive: true })
  await writeFile(join(folder, 'node_modules', name, 'package.json'), '{}')
  // Like a program that is linked against another C library: it is there, and what loads it is not.
  await writeFile(join(folder, 'node_modules', name, 'bin/node'), '#!/no/such/loader\n', { mode: 0o755 })
  assert.match(said(), /Cannot start .*another C library than glibc.*Alpine/)
  const loader =
    '#!/bin/sh\necho "node: error while loading shared libraries: libatomic.so.1: cannot open shared object file" >&2; exit 127\n'
  await writeFile(join(folder, 'node_modules', name, 'bin/node'), loader)
  assert.match(said(), /libatomic\.so\.1.*"apt-get install libatomic1" on Debian/s)
})
