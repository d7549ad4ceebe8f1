/**
 * `npm run bench:wall`: measures what the second wall costs. Two bases with one cell each, one with the wall and one without, rank 50 candidates, and
 * each of their cells is replaced many times. Both are measured in turn; medians are printed at the end, and the ratio of each pair of runs.
 */
import { launchBase, type RunningBase } from '../../test/support/base.ts'
import { printComparison } from './comparison.ts'
import { checkSeconds, describeMachine, readFlags } from './flags.ts'
import { defaultGenerator } from './generator.ts'
import { median } from './median.ts'
import { makeRanking, pidsOf, publishModule, replaceCell } from './peers.ts'
import { sampleInput } from './rank50/index.ts'
import { Rig, type Subject } from './rig.ts'

const { seconds, rounds, connections, starts } = readFlags({
  seconds: { value: 2, about: 'seconds of each run' },
  rounds: { value: 20, about: 'rounds, in each of which each base is measured once' },
  connections: { value: 32, about: 'connections of the load' },
  starts: { value: 20, about: 'how often the cell of each base is replaced' },
})
checkSeconds(defaultGenerator(), seconds)

interface Side extends Subject {
  readonly base: RunningBase
  readonly startsMs: number[]
}

async function start(name: string, mode: string): Promise<Side> {
  const base = await launchBase({ cells: 1, args: ['--wall', mode] })
  await publishModule(base.client, 'rank50')
  await makeRanking(base.client, { id: 'rank50' })
  return { name, url: `${base.url}/scenes/rank50`, pids: () => pidsOf(base), base, startsMs: [] }
}

const sides = [await start('no wall', 'off'), await start('wall', 'require')] as const
const [off, on] = sides
const rig = new Rig(defaultGenerator())
try {
  const { wall } = await on.base.client.status()
  console.log(`${describeMachine()}; one cell each`)
  console.log(`the wall: ${wall.map(({ layer, detail }) => `${layer} ${detail}`).join('; ')}`)
  const what = { scenario: 'wall', title: 'With and without the wall', load: `${connections} connections`, hasOwnLoad: true }
  const plan = { ...what, way: rig.bestWay, rounds, seconds } as const
  printComparison(await rig.closed({ ...plan, subjects: sides }, { body: JSON.stringify(sampleInput()), connections }))
  for (let i = 0; i < starts; i++)
    for (const side of i % 2 === 0 ? sides : sides.toReversed()) side.startsMs.push(await replaceCell(side.base))
  const later = median(on.startsMs.map((ms, i) => ms - (off.startsMs[i] ?? Number.NaN)))
  console.log(`A cell starts in ${median(off.startsMs).toFixed(0)} ms, and ${later.toFixed(0)} ms later with the wall`)
} finally {
  await Promise.all([rig.stop(), ...sides.map(({ base }) => base.kill())])
}
