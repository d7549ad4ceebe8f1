import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { isAlive, isStopped, peersOf } from './processes.ts'

const supported = process.platform === 'linux' ? false : 'it reads /proc'

test('a process that has ended is not alive, has not stopped and holds no connections', { skip: supported }, async () => {
  const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' })
  const { pid = 0 } = child
  await once(child, 'exit')
  assert.deepEqual([isAlive(pid), isStopped(pid), peersOf(pid, 1)], [false, false, []])
})
