/**
 * `npm run bench:memory`: what a cell needs. It starts a base with one cell for each case, and reads the memory of the cell when nothing is loaded, while
 * one scene is hot, with many warm scenes, with many cold ones, and after some idleness of each. With `--hour` it only asks one scene at a low rate for
 * an hour, and says whether the memory of the cell grows. Linux only.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { renderColumns } from '../../base/kernel/columns.ts'
import { launchBase, type RunningBase, root } from '../../test/support/base.ts'
import { describeMachine, namesIn, readFlags } from './flags.ts'
import { defaultGenerator, Generator } from './generator.ts'
import { growthOf, isFlat } from './growth.ts'
import { makeRanking, publishModule } from './peers.ts'
import { memoryOf, type ProcessMemory } from './process-memory.ts'
import { sampleInput } from './rank50/index.ts'

const caseNames = ['none', 'hot', 'warm', 'cold'] as const
const flags = readFlags({
  /** Cases, with commas between them. */
  only: caseNames.join(','),
  /** Seconds for which the hot scene is asked as often as it answers. */
  seconds: 60,
  connections: 32,
  /** Scenes that are warm, and how often each is asked; scenes that are cold, each asked once. */
  warm: 100,
  asks: 100,
  cold: 1000,
  /** Seconds of idleness after each case. */
  idle: 60,
  /** Asks one scene at a rate for an hour in the place of all this, or for so many minutes. */
  hour: false,
  minutes: 60,
  rate: 200,
  'sample-seconds': 10,
  /** Memory that the cell may take. 0: what the base gives it. */
  'cell-memory-mb': 0,
  /** The folder of another checkout, which is measured in the place of this one. */
  project: root,
  json: false,
})
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
  const base = await launchBase({ project: flags.project, ...(megabytes > 0 && { args: ['--cell-memory-mb', String(megabytes)] }) })
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
  const headers = { 'content-type': 'application/json', 'x-unit-id': 'u42' }
  for (const scene of scenes) {
    const answer = await fetch(`${base.url}/scenes/${scene}`, { method: 'POST', headers, body })
    if (answer.status !== 200) throw new Error(`Scene "${scene}" answered ${answer.status}: ${await answer.text()}`)
    await answer.arrayBuffer()
  }
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
  const seconds = flags.minutes * 60
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
  await read(base, `one scene, ${flags.rate} requests/s for ${flags.minutes} min`)
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
  if (!flags.json) console.log(describeMachine())
  if (flags.hour) await withBase(base => watchGrowth(base, generator))
  else for (const name of namesIn('only', flags.only, caseNames)) await withBase(base => cases[name](base, generator))
  console.log(flags.json ? JSON.stringify(rows, undefined, 2) : tableOfRows())
} finally {
  await generator.stop()
}
