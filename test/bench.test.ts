/** The bench runs, so that it cannot rot; how fast is for a quiet machine to say. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { root } from './support/base.ts'

const number = String.raw`(\d+(?:\.\d+)?)`
const peers = ['bare Fastify', 'Berth, one cell']

test('the bench measures both peers without a failed request and compares their medians', { timeout: 60_000 }, async () => {
  const args = [join(root, 'bin/launch.cjs'), 'scripts/bench/run.ts', '--seconds', '1', '--rounds', '1']
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: tmpdir() })
  const rows = stdout.split('\n').flatMap(line => (line.startsWith('│') ? [line.split('│').map(cell => cell.trim())] : []))
  const [head, ...runs] = rows.map(row => row.slice(1, -1))
  assert.deepEqual(head, ['round', 'peer', 'req/s', 'p50 ms', 'p99 ms', 'CPU µs/req', 'failed'])
  assert.deepEqual(
    runs.map(([round, peer, , , , , failed]) => [round, peer, failed]),
    [...peers.map(peer => ['1', peer, '0']), ...peers.map(peer => ['median', peer, ''])],
  )
  for (const [round, peer, requests, p50, p99, cpu] of runs) {
    // Latencies are whole milliseconds: a fast machine has 0.
    assert.ok(Number(requests) > 0 && Number(p99) >= Number(p50) && Number(cpu) > 0, `${round} ${peer}: ${[requests, p50, p99, cpu]}`)
  }
  assert.match(stdout, new RegExp(`^Berth / bare Fastify: throughput ${number}, p99 ${number}, CPU per request ${number}$`, 'm'))
})
