/** The benches run, so that they cannot rot. How fast they are, only a quiet machine can say. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { root } from './support/base.ts'

const figure = String.raw`\d+\.\d\d`
const peers = ['bare Fastify', 'Berth', 'Berth, service', 'worker thread', 'worker thread, tuned', 'workerd']

async function bench(script: string, ...args: string[]): Promise<{ stdout: string; rows: string[][] }> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'bin/launch.cjs'), script, ...args], { cwd: tmpdir() })
  const rows = stdout.split('\n').flatMap(line => (line.startsWith('│') ? [line.split('│').map(cell => cell.trim())] : []))
  return { stdout, rows: rows.map(row => row.slice(1, -1)) }
}

test('the bench measures every peer without a failed request and compares their medians', { timeout: 240_000 }, async () => {
  const { stdout, rows } = await bench('scripts/bench/run.ts', '--seconds', '0.2', '--rounds', '1')
  const closed = rows.slice(0, 1 + 2 * peers.length)
  assert.deepEqual(closed[0], ['peer', 'round', 'req/s', 'p50 ms', 'p99 ms', 'CPU µs/req', 'failed'])
  assert.deepEqual(
    closed.slice(1).map(([peer, round, , , , , failed]) => [peer, round, failed]),
    [...peers.map(peer => [peer, '1', '0']), ...peers.map(peer => [peer, 'median', ''])],
  )
  for (const [peer, , requests, , , cpu] of closed.slice(1)) assert.ok(Number(requests) > 0 && Number(cpu) > 0, `${peer}`)
  const open = rows.slice(closed.length + 1)
  for (const [peer, , p50, p99, failed] of open.slice(0, 2))
    assert.ok(Number(p99) >= Number(p50) && Number(p50) > 0 && failed === '0', `${peer}`)
  for (const line of ['throughput', 'CPU per request', 'p99 at half its rate']) {
    assert.match(stdout, new RegExp(`^Berth / bare Fastify: ${line} ${figure}$`, 'm'))
  }
  for (const line of ['Berth / worker thread', 'Berth / worker thread, tuned', 'Berth / workerd', 'with one service call / without']) {
    assert.match(stdout, new RegExp(`^${line}: throughput ${figure}$`, 'm'))
  }
})

test('the bench of slots loads, fills and empties a process', { timeout: 120_000 }, async () => {
  const { rows } = await bench('scripts/bench/slots.ts', '--scenes', '20', '--cycles', '20', '--rounds', '2')
  assert.equal(rows.length, 14)
  for (const [what, p50] of rows.slice(1)) assert.match(p50 ?? '', /^-?\d/, `${what}`)
})

test('the overload bench answers, refuses and probes, and compares what is left with the peak', { timeout: 120_000 }, async () => {
  // The load is so many times the peak that it is too much even when a busy machine let the peak be a fraction of what the cell can do. At
  // the peak there are so few connections that their requests meet their deadline there.
  const args = ['--seconds', '1', '--rounds', '1', '--work', '1000000', '--factor', '20', '--connections', '4']
  const { stdout } = await bench('scripts/bench/overload.ts', ...args)
  for (const count of [/^peak: (\d+) req\/s on 4 connections/m, /^goodput: (\d+) req\/s/m, /^refused: (\d+), p50/m]) {
    assert.ok(Number(count.exec(stdout)?.[1]) > 0, stdout)
  }
  assert.match(stdout, /^other answers: \d+; slowest health probe: \d+\.\d ms$/m)
  assert.match(stdout, /^Overloaded 20 times: goodput \d+\.\d\d of the peak, refusals in \d+\.\d ms at p99$/m)
})

test('the bench of decisions sets up its peers to decide alike, and compares what a decision costs', { timeout: 120_000 }, async () => {
  const { stdout, rows } = await bench('scripts/bench/decide.ts', '--ms', '20', '--rounds', '1', '--whitelist', '100')
  const peers = rows.filter(([name]) => name !== '')
  assert.equal(peers.length, 6)
  for (const [name, share, cost] of peers) {
    assert.ok(Math.abs(Number.parseFloat(share ?? '') - 30) < 3, `${name} sends ${share} to v2`)
    assert.ok(Number(cost) > 0, `${name}`)
  }
  assert.match(stdout, /^With the whitelist: \d+\.\d{3} µs, \d+\.\dx faster than @growthbook\/growthbook, /m)
})

test('the bench of publishing brings every round to every cell, and times each step', { timeout: 120_000 }, async () => {
  const { stdout, rows } = await bench('scripts/bench/publish.ts', '--rounds', '1', '--kilobytes', '20', '--pause', '0')
  const steps = rows.map(([step]) => step)
  for (const step of ['bundle', 'check', 'upload', 'load', 'live', 'total']) assert.ok(steps.includes(step), step)
  for (const [what, p50] of rows) if (!what?.startsWith('sdk')) assert.ok(Number(p50) >= 0, `${what}`)
  for (const line of ['sdk publish to every cell answering', 'sdk --help', 'sdk dev, save to answer']) {
    assert.match(stdout, new RegExp(`^${line}: p50 \\d+ ms, p99 \\d+ ms \\(to be at most \\d+ at p50\\)$`, 'm'))
  }
})

test('the bench of many modules and scenes takes all of them through a base, and each scene answers after a restart', {
  timeout: 240_000,
}, async () => {
  const args = ['--modules', '3', '--scenes', '4', '--top-level-ms', '20', '--cells', '1', '--deadline-ms', '10000']
  const { rows } = await bench('scripts/bench/many.ts', ...args)
  const values = new Map(rows.map(([what, value]) => [what, value]))
  assert.equal(values.get('modules through the base'), '3')
  assert.equal(values.get('scenes whose first request was past its deadline'), '0')
  assert.equal(values.get('versions killed or refused'), '0')
  for (const [what, value] of values) if (/^memory/.test(what ?? '')) assert.match(value ?? '', /^\d+/)
})
