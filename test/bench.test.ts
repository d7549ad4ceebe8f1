/** The benches run, so that they cannot rot. How fast they are, only a quiet machine can say. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { Report } from '../scripts/bench/comparison.ts'
import { scenarios } from '../scripts/bench/scenarios.ts'
import { targets } from '../scripts/bench/targets.ts'
import { root, tempFolder } from './support/base.ts'

async function bench(script: string, ...args: string[]): Promise<{ stdout: string; rows: string[][] }> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'bin/launch.cjs'), script, ...args], { cwd: tmpdir() })
  const rows = stdout.split('\n').flatMap(line => (/\S {2,}\S/.test(line) ? [line.trim().split(/ {2,}/)] : []))
  return { stdout, rows }
}

describe('side by side', { concurrency: 2 }, () => {
  test('the bench measures every scenario without a failed request, and judges no target by another load', {
    timeout: 240_000,
  }, async () => {
    const file = join(await tempFolder(), 'bench.json')
    // With few connections, every peer answers some requests in so short a time on a busy machine too.
    const args = '--seconds 0.2 --rounds 1 --connections 4 --ways free --scenes 3 --generator autocannon --json'.split(' ')
    const { stdout } = await bench('scripts/bench/run.ts', ...args, file)
    const { comparisons } = JSON.parse(readFileSync(file, 'utf8')) as Report
    assert.deepEqual(
      comparisons.map(({ scenario }) => scenario),
      Object.keys(scenarios),
    )
    for (const { scenario, results } of comparisons) {
      for (const { subject, runs } of results) {
        assert.equal(runs.length, 1)
        for (const { requestsPerSecond, p99Ms, cpuUs, failed } of runs)
          assert.ok(requestsPerSecond > 0 && p99Ms > 0 && cpuUs > 0 && failed === 0, `${scenario}, ${subject}: ${JSON.stringify(runs)}`)
      }
    }
    for (const { what } of targets) assert.match(stdout, new RegExp(`^${what} .* not judged: the load is not that of the target$`, 'm'))
  })

  test('the bench of slots loads, fills and empties a process', { timeout: 120_000 }, async () => {
    const { rows } = await bench('scripts/bench/slots.ts', '--scenes', '20', '--cycles', '20', '--rounds', '2')
    assert.equal(rows.length, 19)
    for (const [what, p50] of rows.slice(1)) assert.match(p50 ?? '', /^-?\d/, `${what}`)
  })

  test('the bench of warm-ups compares a cold, a warm and a hot slot of each version', { timeout: 120_000 }, async () => {
    const { rows } = await bench('scripts/capsules/warm-up.ts', '--rounds', '1', '--hot', '200', '--ratio', '1000')
    assert.equal(rows.length, 3)
    for (const [what, ...figures] of rows.slice(1))
      for (const figure of figures.slice(0, 5)) assert.ok(Number(figure) > 0, `${what}: ${figure}`)
  })

  test('the bench of the code inside makes an isolate in each of its cases', { timeout: 120_000 }, async () => {
    const { rows } = await bench('scripts/bench/prelude.ts', '--rounds', '1')
    assert.ok(rows.length > 5)
    for (const [what, ...figures] of rows.slice(1)) for (const figure of figures) assert.ok(Number(figure) > 0, `${what}: ${figure}`)
  })

  test('the overload bench answers, refuses and probes, and compares what is left with the peak', { timeout: 120_000 }, async () => {
    // The load is so many times the peak that it is too much even when a busy machine let the peak be a fraction of what the cell can do. At
    // the peak there are so few connections that their requests meet their deadline there.
    const args = '--seconds 0.5 --rounds 1 --work 1000000 --factor 20 --connections 4'.split(' ')
    const { stdout } = await bench('scripts/bench/overload.ts', ...args)
    for (const count of [/^peak: (\d+) req\/s on 4 connections/m, /^goodput: (\d+) req\/s/m, /^refused: (\d+), p50/m]) {
      assert.ok(Number(count.exec(stdout)?.[1]) > 0, stdout)
    }
    assert.match(stdout, /^other answers: \d+; slowest health probe: \d+\.\d ms$/m)
    assert.match(stdout, /^Overloaded 20 times: goodput \d+\.\d\d of the peak, refusals in \d+\.\d ms at p99$/m)
  })

  test('the bench of decisions sets up its peers to decide alike, and compares what a decision costs', { timeout: 120_000 }, async () => {
    const { stdout, rows } = await bench('scripts/bench/decide.ts', '--ms', '20', '--rounds', '1', '--whitelist', '100')
    const peers = rows.filter(([, share]) => share?.endsWith('%'))
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

  test('a bench says what it measures, and refuses what it cannot measure before it starts anything', { timeout: 60_000 }, async () => {
    const { stdout } = await bench('scripts/bench/run.ts', '--help')
    assert.match(stdout, /^`npm run bench`: compares .*Flags:.*--against/s)
    for (const [wrong, why] of [
      [['--against', tmpdir()], /--against: there is no checkout of this project in /],
      [['--only', 'connections-2', '--peers', 'workerd'], /There is nothing to measure/],
    ] as const) {
      await assert.rejects(bench('scripts/bench/run.ts', ...wrong), { code: 2, stdout: '', stderr: why })
    }
  })
})
