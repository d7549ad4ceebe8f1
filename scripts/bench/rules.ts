/**
 * `npm run bench:rules`: measures what rules cost a request. One base with one cell has two scenes that rank 50 candidates: one with only a baseline,
 * and one with a whitelist, code experiments, a cutover and layers of parameters. The runs of both are interleaved; medians are printed at the end.
 */
import type { Client } from '../../sdk/api/client.ts'
import { launchBase } from '../../test/support/base.ts'
import { checkSeconds, describeMachine, readFlags } from './flags.ts'
import { defaultGenerator } from './generator.ts'
import { compareScenes, makeRanking, publishModule } from './peers.ts'
import { sampleInput } from './rank50/index.ts'

const { seconds, rounds, connections, whitelist } = readFlags({
  seconds: { value: 5, about: 'seconds of each run' },
  rounds: { value: 5, about: 'rounds, in each of which each scene is measured once' },
  connections: { value: 32, about: 'connections of the load' },
  whitelist: { value: 100_000, about: 'units on the whitelist' },
})
checkSeconds(defaultGenerator(), seconds)
const EXPERIMENTS = 20
const LAYERS = 5
const CUTOVER = 1000
/** Unit ids, one in a hundred of them on the whitelist. */
const units = Array.from({ length: 1000 }, (_, i) => (i % 100 === 0 ? `listed-${i}` : `user-${i * 7919}`))

const halves = (arms: readonly [object, object]) => arms.map((arm, i) => ({ name: i === 0 ? 'control' : 'treatment', share: 5000, ...arm }))

/** Adds all kinds of rules: a unit meets the whitelist, a code experiment with two arms, the cutover if no arm takes it, and every layer. */
async function addRules(client: Client, scene: string): Promise<void> {
  await client.createVersion(scene, { as: 'cutover', share: CUTOVER })
  await client.setWhitelist(scene, Array.from({ length: whitelist }, (_, i) => `listed-${i},v2`).join('\n'), {})
  for (let i = 0; i < EXPERIMENTS; i++) {
    const arms = halves([{ version: 'v1' }, { version: 'v2' }])
    const where = [{ attribute: 'app', op: 'gte', value: '8.2.0' } as const]
    // Half of the units are in the segments of an experiment. Whether they fulfil its condition depends on what the caller sends.
    await client.createExperiment(scene, { id: `exp-${i}`, segments: 5000 / EXPERIMENTS, arms, ...(i % 2 === 0 ? {} : { where }) })
    await client.startExperiment(scene, `exp-${i}`, {})
  }
  for (let i = 0; i < LAYERS; i++) {
    const layer = `layer-${i}`
    await client.createLayer(scene, { id: layer, keys: [`key${i}`] })
    const arms = halves([{ values: { [`key${i}`]: 0 } }, { values: { [`key${i}`]: 1 } }])
    await client.createExperiment(scene, { id: `param-${i}`, layer, arms })
    await client.startExperiment(scene, `param-${i}`, {})
  }
}

const base = await launchBase({ cells: 1 })
try {
  const { client } = base
  await publishModule(client, 'rank50')
  await makeRanking(client, { id: 'bare' })
  await makeRanking(client, { id: 'ruled', attributes: { app: { header: 'x-app', type: 'semver' } } })
  await addRules(client, 'ruled')
  console.log(describeMachine())
  console.log('bare: one version, the baseline, for everyone')
  console.log(
    `ruled: two versions of the same code; a whitelist of ${whitelist} unit ids; ${EXPERIMENTS} code experiments of two arms on half of the units, every other one targeted; a cutover of ${CUTOVER / 100}%; ${LAYERS} layers with an experiment of two arms each`,
  )
  const load = { body: JSON.stringify(sampleInput()), connections, units }
  await compareScenes(base, { title: 'All rules in use', scenes: ['bare', 'ruled'], rounds, seconds }, load)
} finally {
  await base.kill()
}
