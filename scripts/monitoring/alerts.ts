/**
 * Tries deploy/prometheus with a real Prometheus (`npm run test:alerts`): it scrapes a base whose module loops and whose cell is killed, and has to
 * raise the alerts. It needs `prometheus` and `promtool` of Prometheus 2.42 or later, takes two minutes, and is no part of `npm test`.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { callScene, launchBase, makeScene, type RunningBase, tempFolder } from '../../test/support/base.ts'
import { alertsPath, dashboardQueries } from './queries.ts'

const folder = dirname(alertsPath)
/** What is to fire: the first three for the module, the last for the cell. */
const expected = ['BerthSlotsKilled', 'BerthVersionQuarantined', 'BerthSceneFailing', 'BerthCellsCrash']
const FIRE_MS_MAX = 240_000

const isInstalled = (program: string): boolean => spawnSync(program, ['--version']).error === undefined

/** Metrics that prom-client makes for Node.js, under names that it has kept for compatibility. */
const isOfPromClient = (complaint: string): boolean => /^nodejs_active_\w+_total /.test(complaint)

function promtool(...args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' })
  assert.equal(status, 0, `promtool ${args.join(' ')}\n${stdout}${stderr}`)
  console.log(`  ✔ promtool ${args.slice(0, 2).join(' ')}`)
}

function checkMetrics(page: string): void {
  const { stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: page, encoding: 'utf8' })
  const complaints = `${stdout}${stderr}`.split('\n').filter(line => line !== '' && !isOfPromClient(line))
  assert.deepEqual(complaints, [])
  console.log('  ✔ promtool check metrics')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

interface Prometheus {
  readonly process: ChildProcess
  /** What its API answers under `data`. */
  ask(path: string): Promise<unknown>
}

/** Starts a Prometheus with the rules of deploy/, which looks every second. Intervals of the rules are as they are. */
async function startPrometheus(target: string): Promise<Prometheus> {
  const data = await tempFolder()
  const config = join(data, 'prometheus.yml')
  const scrape = [{ job_name: 'berth', static_configs: [{ targets: [target] }] }]
  const global = { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' }
  // JSON is YAML.
  writeFileSync(config, JSON.stringify({ global, rule_files: [alertsPath], scrape_configs: scrape }))
  const address = `127.0.0.1:${await freePort()}`
  const args = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(data, 'tsdb')}`,
    `--web.listen-address=${address}`,
    '--log.level=warn',
  ]
  const process = spawn('prometheus', args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const ask = async (path: string) => {
    const response = await fetch(`http://${address}/api/v1/${path}`)
    const body = (await response.json()) as { readonly status: string; readonly error?: string; readonly data: unknown }
    assert.equal(body.status, 'success', `${path}: ${body.error}`)
    return body.data
  }
  return { process, ask }
}

async function firing({ ask }: Prometheus): Promise<string[]> {
  const { alerts } = (await ask('alerts').catch(() => ({ alerts: [] }))) as {
    readonly alerts: readonly { readonly state: string; readonly labels: { readonly alertname: string } }[]
  }
  return [...new Set(alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels.alertname))].sort()
}

/** Whether each rule can be evaluated, and each query of the dashboard answered. */
async function checkQueries({ ask }: Prometheus): Promise<void> {
  const { groups } = (await ask('rules')) as {
    readonly groups: readonly {
      readonly rules: readonly { readonly name: string; readonly health: string; readonly lastError?: string }[]
    }[]
  }
  const rules = groups.flatMap(group => group.rules)
  assert.deepEqual(
    rules.filter(({ health }) => health !== 'ok'),
    [],
  )
  const queries = dashboardQueries()
  for (const { expr } of queries) await ask(`query?query=${encodeURIComponent(expr.replaceAll(/\$(instance|scene)/g, '.*'))}`)
  console.log(`  ✔ ${rules.length} rules and ${queries.length} queries of the dashboard are answered`)
}

async function misbehave(base: RunningBase): Promise<void> {
  await callScene(base, 'home', '"loop"').then(
    response => response.text(),
    () => undefined,
  )
}

async function killCell(base: RunningBase): Promise<void> {
  const seen = base.log.length
  const { cells } = await base.client.status()
  const cell = cells.find(({ cell }) => cell === 1)
  if (cell !== undefined) process.kill(cell.pid, 'SIGKILL')
  await base.logged(({ msg, cell }) => msg === 'cell ready' && cell === 1, seen)
}

/** The state that alerts watch goes wrong: slots of a module are killed until it is quarantined, and a cell is killed twice. */
async function raiseAlerts(base: RunningBase, prometheus: Prometheus): Promise<void> {
  const startedAt = performance.now()
  const seen = new Map<string, number>()
  for (let round = 0; expected.some(name => !seen.has(name)); round++) {
    const ms = performance.now() - startedAt
    assert.ok(ms < FIRE_MS_MAX, `not fired: ${expected.filter(name => !seen.has(name)).join(', ')}`)
    await misbehave(base)
    if (round === 10 || round === 20) await killCell(base)
    await delay(200)
    for (const name of await firing(prometheus)) if (!seen.has(name)) console.log(`  ✔ ${name} fires after ${Math.round(ms / 1000)} s`)
    for (const name of await firing(prometheus)) seen.set(name, ms)
  }
  const others = [...seen.keys()].filter(name => !expected.includes(name))
  if (others.length > 0) console.log(`  others that fired: ${others.join(', ')}`)
}

async function tryWithBase(): Promise<void> {
  const base = await launchBase({ cells: 2 })
  const prometheus = await startPrometheus(new URL(base.controlUrl).host)
  try {
    await makeScene(base.client, 'home', { rank: `x => { if (x === 'loop') for (;;); return x }` }, { traffic: { cpuMs: 20 } })
    assert.equal((await callScene(base, 'home', 1)).status, 200)
    checkMetrics(await base.client.metrics())
    while (
      ((await prometheus.ask('query?query=berth_table_revision').catch(() => ({ result: [] }))) as { result: unknown[] }).result.length < 3
    )
      await delay(500)
    assert.deepEqual(await firing(prometheus), [], 'alerts of a base that is well')
    console.log('  ✔ no alert about a base that is well')
    await raiseAlerts(base, prometheus)
    checkMetrics(await base.client.metrics())
    await checkQueries(prometheus)
  } finally {
    prometheus.process.kill()
    await base.kill()
  }
}

const missing = ['promtool', 'prometheus'].filter(program => !isInstalled(program))
if (missing.includes('promtool')) console.log('  skipped: the checks of promtool')
else {
  promtool('check', 'config', join(folder, 'scrape.yml'))
  promtool('test', 'rules', join(folder, 'alerts.test.yml'))
}
if (missing.length === 0) await tryWithBase()
else
  console.log(
    `  skipped: a Prometheus that watches a base; not installed: ${missing.join(', ')} (Debian has both in the package "prometheus")`,
  )
