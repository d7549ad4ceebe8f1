/**
 * `npm run bench:idle`: what a base uses while it has nothing to do, or hardly anything. It prints the milliseconds of CPU in each second, by process and
 * thread, with no scene, with one slot loaded, with many slots loaded, and with one request a second to one of them. Linux only.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { renderColumns } from '../../base/kernel/columns.ts'
import { launchBase, type RunningBase, root } from '../../test/support/base.ts'
import { cloneIn, describeMachine, readFlags } from './flags.ts'
import { askOnce, makeRanking, pidsOf, publishModule } from './peers.ts'
import { CpuMeter, sumOf } from './processors.ts'
import { sampleInput } from './rank50/index.ts'

const flags = readFlags({
  seconds: { value: 20, about: 'seconds for which each case is measured' },
  slots: { value: 100, about: 'slots in the case with many' },
  settle: { value: 5, about: 'seconds between the loading of slots and the measurement, in which V8 finishes what it does after a load' },
  project: { value: '', about: 'the folder of another checkout of this project, which is measured in the place of this one' },
})
const project = flags.project === '' ? root : cloneIn('project', flags.project)
const body = JSON.stringify(sampleInput())
const roles = ['supervisor', 'keeper', 'cell'] as const

/** Makes scenes with a slot each and asks them once. */
async function load(base: RunningBase, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) {
    await makeRanking(base.client, { id: `scene-${i}` })
    await askOnce(base, `scene-${i}`, body)
  }
}

/** @returns a row of the table: milliseconds of CPU in a second, by process, and of the cell by thread */
async function measure(base: RunningBase, what: string, perSecond = 0): Promise<string[]> {
  await delay(flags.settle * 1000)
  const meter = new CpuMeter(await pidsOf(base))
  const until = performance.now() + flags.seconds * 1000
  for (let i = 1; i <= flags.seconds * perSecond; i++) {
    await askOnce(base, 'scene-0', body)
    await delay(until - flags.seconds * 1000 + (i * 1000) / perSecond - performance.now())
  }
  await delay(Math.max(0, until - performance.now()))
  const used = [...meter.usedUs()]
  const msPerSecond = (isCounted: (label: string) => boolean) =>
    (sumOf(used.filter(([label]) => isCounted(label)).map(([, us]) => us)) / 1000 / flags.seconds).toFixed(2)
  const [own, threads] = ['3 main', /^3 (?!main)/]
  return [
    what,
    msPerSecond(() => true),
    ...roles.map((_, i) => msPerSecond(label => label.startsWith(`${i + 1} `))),
    msPerSecond(label => label === own),
    msPerSecond(label => threads.test(label)),
  ]
}

const base = await launchBase({ project })
try {
  await publishModule(base.client, 'rank50')
  const rows = [await measure(base, 'no scene')]
  await load(base, 0, 1)
  rows.push(await measure(base, 'one slot'), await measure(base, 'one slot, one request a second', 1))
  await load(base, 1, flags.slots)
  rows.push(await measure(base, `${flags.slots} slots`), await measure(base, `${flags.slots} slots, one request a second`, 1))
  console.log(describeMachine())
  console.log('Milliseconds of CPU in a second')
  console.log(renderColumns(['', 'all', ...roles, 'cell: main thread', 'cell: other threads'], rows))
} finally {
  await base.kill()
}
