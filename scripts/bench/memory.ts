/**
 * `npm run bench:memory`: what a cell needs. It starts a base with one cell for each case, and reads the memory of the cell when nothing is loaded, while
 * one scene is hot, with many warm scenes, with many cold ones, and after some idleness of each. With `--hour` or
 * `--minutes N` it only asks one scene at a low rate for so long, and says whether the memory of the cell grows. Linux only.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { renderColumns } from '../../base/kernel/columns.ts'
import { launchBase, type RunningBase, root } from '../../test/support/base.ts'
import { checkSeconds, cloneIn, describeMachine, namesIn, readFlags } from './flags.ts'
import { defaultGenerator, Generator } from './generator.ts'
import { growthOf, isFlat } from './growth.ts'
import { askOnce, makeRanking, publishModule } from './peers.ts'
import { memoryOf, type ProcessMemory } from './process-memory.ts'
import { sampleInput } from './rank50/index.ts'

const caseNames = ['none', 'hot', 'warm', 'cold'] as const
const flags = readFlags({
  only: { value: caseNames.join(), about: 'cases, with commas between them' },
  seconds: { value: 60, about: 'seconds for which the hot scene is asked as often as it answers' },
  connections: { value: 32, about: 'connections of the load on the hot scene' },
  warm: { value: 100, about: 'scenes that are warm' },
  asks: { value: 100, about: 'how often each warm scene is asked' },
  cold: { value: 1000, about: 'scenes that are cold, each asked once' },
  idle: { value: 60, about: 'seconds of idleness after each case' },
  hour: { value: false, about: 'ask one scene at a low rate for an hour, in the place of all cases' },
  minutes: { value: 0, about: 'do that for so many minutes in the place of an hour' },
  rate: { value: 200, about: 'requests a second of that hour' },
  'sample-seconds': { value: 10, about: 'seconds between two samples of that hour' },
  'cell-memory-mb': { value: 0, about: 'memory that the cell may take (what the base gives it)' },
  project: { value: '', about: 'the folder of another checkout of this project, which is measured in the place of this one' },
})
const minutes = flags.minutes || (flags.hour ? 60 : 0)
const project = flags.project === '' ? root : cloneIn('project', flags.project)
if (minutes === 0) checkSeconds(defaultGenerator(), flags.seconds)
const chosenCases = namesIn('only', flags.only, caseNames)
const body = JSON.stringify(sampleInput())
const MB = 2 ** 20

interface Row extends ProcessMemory {
  readonly what: string
  readonly slots: number
  /** Megabytes of the heap of the process itself, which is a part of `heaps`. */
  readonly mainHeap: number
}

const rows: Row[] = []

async function cellOf({ client }: RunningBase): Promise<number> {
  const { cells } = await client.status()
  const pid = cells[0]?.pid
  if (pid === undefined || cells.length !== 1) throw new Error('There must be one cell, and it must run')
  return pid
}

async function read(base: RunningBase, what: string): Promise<void> {
  const memory = memoryOf(await cellOf(base))
  const metrics = await (await fetch(`${base.controlUrl}/metrics`, { headers: { authorization: `Bearer ${base.token}` } })).text()
  const gauge = (name: string) => Number(new RegExp(`^${name}\\{cell="1"\\} (\\S+)`, 'm').exec(metrics)?.[1])
  const row = { what, slots: gauge('berth_slots'), ...memory, mainHeap: gauge('nodejs_heap_size_total_bytes') / MB }
  rows.push(row)
  process.stderr.write(`${what}: ${row.rss.toFixed(0)} MB\n`)
}

async function withBase(work: (base: RunningBase) => Promise<void>): Promise<void> {
  const megabytes = flags['cell-memory-mb']
  const base = await launchBase({ project, ...(megabytes > 0 && { args: ['--cell-memory-mb', String(megabytes)] }) })
  try {
    await publishModule(base.client, 'rank50')
    await work(base)
  } finally {
    await base.kill()
  }
}

async function rest(base: RunningBase): Promise<void> {
  if (flags.idle === 0) return
  await delay(flags.idle * 1000)
  await read(base, `… after ${flags.idle} s of idleness`)
}

async function askEach(base: RunningBase, scenes: readonly string[]): Promise<void> {
  for (const scene of scenes) await askOnce(base, scene, body)
}

/** Makes scenes with the default memory for slots. */
async function makeScenes({ client }: RunningBase, prefix: string, count: number): Promise<string[]> {
  const scenes = Array.from({ length: count }, (_, i) => `${prefix}-${i}`)
  for (const id of scenes) await makeRanking(client, { id, traffic: { deadlineMs: 5000 } })
  return scenes
}

const cases: Readonly<Record<(typeof caseNames)[number], (base: RunningBase, generator: Generator) => Promise<void>>> = {
  async none(base) {
    await delay(2000)
    await read(base, 'no scene')
  },
  async hot(base, generator) {
    await makeRanking(base.client, { id: 'hot' })
    const { seconds, connections } = flags
    const load = { url: `${base.url}/scenes/hot`, body, connections, seconds, units: ['u42'] }
    const { answered, failed } = await generator.closed(load)
    if (failed > 0) throw new Error(`${failed} of ${answered + failed} requests failed`)
    await read(base, `one hot scene, ${Math.round(answered / seconds)} requests/s for ${seconds} s`)
    await rest(base)
  },
  async warm(base) {
    const scenes = await makeScenes(base, 'warm', flags.warm)
    for (let i = 0; i < flags.asks; i++) await askEach(base, scenes)
    await read(base, `${flags.warm} warm scenes, each asked ${flags.asks} times`)
    await rest(base)
  },
  async cold(base) {
    const scenes = await makeScenes(base, 'cold', flags.cold)
    await askEach(base, scenes)
    await read(base, `${flags.cold} cold scenes, each asked once`)
    await rest(base)
  },
}

/** Asks one scene at a low rate, and prints by how much the memory of the cell grows once it is warm. */
async function watchGrowth(base: RunningBase, generator: Generator): Promise<void> {
  await makeRanking(base.client, { id: 'hot' })
  const pid = await cellOf(base)
  const seconds = minutes * 60
  const samples: (ProcessMemory & { readonly hours: number })[] = []
  const startedAt = performance.now()
  const timer = setInterval(() => {
    const sample = { hours: (performance.now() - startedAt) / 3_600_000, ...memoryOf(pid) }
    samples.push(sample)
    process.stderr.write(`${(sample.hours * 60).toFixed(1)} min: ${sample.rss.toFixed(0)} MB\n`)
  }, flags['sample-seconds'] * 1000)
  const load = { base: base.url, scene: 'hot', body, seconds, connections: 64, perSecond: flags.rate }
  const { answered, refused, others, held, unanswered } = await generator.flood(load)
  clearInterval(timer)
  if ((await cellOf(base)) !== pid) throw new Error('The cell was replaced')
  await read(base, `one scene, ${flags.rate} requests/s for ${minutes} min`)
  // It warms up first: code is compiled, and heaps find their size.
  const warm = samples.slice(Math.ceil(samples.length / 6))
  for (const part of ['rss', 'malloc', 'heaps'] as const) {
    const growth = growthOf(warm.map(sample => ({ x: sample.hours, y: sample[part] })))
    const [slope, low, high] = [growth.slope, growth.low, growth.high].map(perHour => perHour.toFixed(1))
    console.log(`${part}: ${slope} MB an hour (${low} to ${high}): ${isFlat(growth) ? 'flat' : 'it grows'}`)
  }
  const failed = `${refused.count} refused, ${others.count} answered otherwise, ${unanswered} under way at the end`
  console.log(`${answered.count} requests answered, ${failed}; ${held} not sent, because every connection waited for an answer`)
  console.log(`${warm.length} samples after the first sixth`)
}

function tableOfRows(): string {
  const head = ['one cell, MB', 'slots', 'RSS', 'PSS', 'programs', 'malloc', 'heaps', '… its own']
  const sizesOf = (row: Row) => [row.rss, row.pss, row.programs, row.malloc, row.heaps, row.mainHeap].map(size => size.toFixed(0))
  return renderColumns(
    head,
    rows.map(row => [row.what, String(row.slots), ...sizesOf(row)]),
  )
}

const generator = new Generator(defaultGenerator())
try {
  console.log(describeMachine())
  if (minutes > 0) await withBase(base => watchGrowth(base, generator))
  else for (const name of chosenCases) await withBase(base => cases[name](base, generator))
  console.log(tableOfRows())
} finally {
  await generator.stop()
}
