import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Histogram as PromHistogram, Registry } from 'prom-client'
import { Histogram } from './histogram.ts'

/** As JSON, without the exemplars, which neither has. */
const plain = (metrics: unknown): unknown =>
  JSON.parse(JSON.stringify(metrics, (name, value: unknown) => (name === 'exemplar' ? undefined : value)))

test('a histogram says what that of prom-client says of the same observations', async () => {
  const observations = fc.array(fc.record({ host: fc.constantFrom('a', 'b'), value: fc.constantFrom(0, 0.5, 1, 1.5, 2, 9) }))
  await fc.assert(
    fc.asyncProperty(observations, async given => {
      const collect = async (observe: (register: Registry) => void) => {
        const register = new Registry()
        register.setDefaultLabels({ cell: '1' })
        observe(register)
        return register.getMetricsAsJSON()
      }
      const settings = { name: 'seconds', help: 'h', labelNames: ['host' as const], buckets: [1, 2] }
      const ours = collect(register => {
        const histogram = new Histogram({ ...settings, registers: [register] })
        const hosts = new Set(given.map(({ host }) => host))
        const series = new Map([...hosts].map(host => [host, histogram.begin({ host })]))
        for (const { host, value } of given) series.get(host)?.observe(value)
      })
      const theirs = collect(register => {
        const histogram = new PromHistogram({ ...settings, registers: [register] })
        for (const { host, value } of given) histogram.observe({ host }, value)
      })
      assert.deepEqual(plain(await ours), plain(await theirs))
    }),
    { numRuns: 50 },
  )
})
