/** The launcher stands between whoever started a command and its process: signals go through it one way, and how the process ended the other. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { root } from './support/base.ts'

const launcher = [join(root, 'bin/launch.cjs'), fileURLToPath(new URL('fixtures/signalled.ts', import.meta.url))]
/** With this before it, a command is process 1, as in a container. */
const asProcess1 = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']
const noContainers = canBeProcess1() ? false : 'this user may not make process namespaces'

function canBeProcess1(): boolean {
  return process.platform === 'linux' && spawnSync(asProcess1[0] ?? '', [...asProcess1.slice(1), 'true']).status === 0
}

interface Launched {
  readonly process: ChildProcess
  readonly pid: number
  readonly next: () => Promise<string | undefined>
}

async function launch(t: TestContext, before: readonly string[]): Promise<Launched> {
  const [command = '', ...args] = [...before, process.execPath, ...launcher]
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] })
  t.after(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => (await lines.next()).value
  assert.equal(await next(), 'ready')
  // `unshare` has one child, the launcher.
  const pid = before.length === 0 ? child.pid : Number(execFileSync('ps', ['-o', 'pid=', '--ppid', String(child.pid)]))
  return { process: child, pid: pid ?? 0, next }
}

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
})
