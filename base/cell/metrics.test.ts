import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Metrics } from './metrics.ts'

function startMetrics(): Metrics {
  const none = () => 0
  return new Metrics(1, {
    slots: none,
    inFlight: none,
    connections: none,
    revision: none,
    breakers: () => [],
    serviceFaults: () => [],
    hasScene: () => true,
    tokenGuesses: none,
  })
}

test('whatever hosts modules list and phases experiments come to, the series of a cell stay bounded, and those dropped are counted', async () => {
  const metrics = startMetrics()
  for (let i = 0; i < 1500; i++) metrics.countFetch(`https://h${i}.example.com`, i % 2 === 0 ? 'OK' : 'FETCH_FAILED', 0.001)
  for (let phase = 0; phase < 10_500; phase++) {
    const arm = { experiment: 'exp-1', phase, arm: 'a' }
    metrics.countExposure({ plan: { scene: 'home' }, arm, layers: [] })
  }
  const valuesOf = async (name: string) => (await metrics.collect()).find(metric => metric.name === name)?.values ?? []
  assert.equal((await valuesOf('berth_exposures_total')).length, 10_000)
  const hosts = await valuesOf('berth_fetches_total')
  assert.equal(hosts.length, 1000)
  assert(hosts.some(({ labels }) => labels.host === 'https://h1499.example.com'))
  assert.equal(new Set((await valuesOf('berth_fetch_duration_seconds')).map(({ labels }) => labels.host)).size, 1000)
  assert.equal((await valuesOf('berth_metric_series_dropped_total'))[0]?.value, 1000)
})

test('versions that went offline are forgotten when there are too many, and no other', async () => {
  const metrics = startMetrics()
  const series = async () => {
    const collected = await metrics.collect()
    const versions = collected.flatMap(({ values }) =>
      values.flatMap(({ labels }) => (labels.scene === 'home' ? [String(labels.version)] : [])),
    )
    return new Set(versions)
  }
  const serveOne = (version: string) => {
    metrics.count({ scene: 'home', version }, 'OK', 0.001)
    metrics.count({ scene: 'home', version }, 'MODULE_THREW', 0.001)
    metrics.countKill('home', version)
  }
  for (let i = 0; i < 1000; i++) serveOne(`v${i}`)
  metrics.retain(() => false)
  assert.equal((await series()).size, 1000)

  for (let i = 1000; i < 1010; i++) serveOne(`v${i}`)
  await series()
  metrics.retain((scene, version) => scene === 'home' && version === 'v3')
  const left = await series()
  assert.equal(left.size, 1000)
  assert.deepEqual(
    ['v0', 'v3', 'v10', 'v11', 'v1009'].map(version => left.has(version)),
    [false, true, false, true, true],
  )
})
