import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Metrics } from './metrics.ts'

test('versions that went offline are forgotten when there are too many, and no other', async () => {
  const none = () => 0
  const metrics = new Metrics(1, {
    slots: none,
    inFlight: none,
    connections: none,
    revision: none,
    breakers: () => [],
    serviceFaults: () => [],
    tokenGuesses: none,
  })
  const series = async () => {
    const collected = await metrics.collect()
    const versions = collected.flatMap(({ values }) =>
      values.flatMap(({ labels }) => (labels.scene === 'home' ? [String(labels.version)] : [])),
    )
    return new Set(versions)
  }
  const serveOne = (version: string) => {
    metrics.count('home', version, 'OK', 0.001)
    metrics.count('home', version, 'MODULE_THREW', 0.001)
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
