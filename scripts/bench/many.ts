/**
 * `npm run bench:many`: whether a base carries many modules and many scenes. First it has modules, each with code of its own, published one after the
 * other, each the baseline of a scene for a while, called, and taken offline; it prints what memory the processes have at the beginning and at the
 * end, and by how much it grows. Then it defines scenes, restarts the base, and asks each of them; it prints how long that took. Linux only.
 */
import { once } from 'node:events'
import { renderColumns } from '../../base/kernel/columns.ts'
import { callScene, launchBase, publishCode, type RunningBase, tempFolder } from '../../test/support/base.ts'
import { vitalsOf } from '../soak/processes.ts'
import { readFlags } from './flags.ts'
import { type Point, slopeOf } from './growth.ts'

const flags = readFlags({
  modules: { value: 10_000, about: 'modules that go through the base' },
  scenes: { value: 1000, about: 'scenes that there are when it is restarted' },
  'top-level-ms': { value: 0, about: 'milliseconds that the top level of the module of these scenes computes' },
  'deadline-ms': { value: 1000, about: 'the deadline of these scenes' },
  cells: { value: 2, about: 'cells of the base' },
  'cell-memory-mb': { value: 1024, about: 'memory that each cell may take' },
})
const { modules, scenes, cells, 'top-level-ms': topLevelMs, 'deadline-ms': deadlineMs } = flags
/** Scenes that modules go through side by side, and clients that define and ask scenes. */
const CLIENTS = 4
/** A scene keeps its baseline, the one before, and one that is about to go. */
const VERSIONS_ONLINE = 2

const rows: string[][] = []
const data = await tempFolder()
const start = () => launchBase({ data, cells, args: ['--cell-memory-mb', String(flags['cell-memory-mb'])] })

/** Does so many things, some of them side by side. */
async function sideBySide(count: number, work: (index: number, client: number) => Promise<void>): Promise<void> {
  let next = 0
  const client = async (no: number) => {
    while (next < count) await work(next++, no)
  }
  await Promise.all(Array.from({ length: Math.min(CLIENTS, count) }, (_, no) => client(no)))
}

async function mustAnswer(base: RunningBase, scene: string, expected: unknown): Promise<void> {
  const answer = await callScene(base, scene, 1)
  const text = await answer.text()
  if (answer.status !== 200 || text !== JSON.stringify(expected)) throw new Error(`Scene "${scene}" answered ${answer.status}: ${text}`)
}

/** Resident MB of the cells on average, and of the keeper. */
async function memoryOf(base: RunningBase): Promise<{ readonly cell: number; readonly keeper: number }> {
  const { cells, keeper } = await base.client.status()
  const sizes = cells.map(({ pid }) => vitalsOf(pid)?.rssMB ?? 0)
  return { cell: sizes.reduce((sum, mb) => sum + mb, 0) / sizes.length, keeper: vitalsOf(keeper.pid)?.rssMB ?? 0 }
}

// ── many modules ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** About 20 KB of code that no other module has. */
const codeOf = (index: number): string => {
  const lines = Array.from(
    { length: 200 },
    (_, i) => `fs.push(x => x * ${index}.${i} + ${Math.sin(index + i)} * (x > ${i} ? 1 : ${Math.cos(i)}))`,
  )
  return `(() => { const fs = []\n${lines.join('\n')}\nreturn { rank: () => { fs.forEach(f => f(1)); return ${index} } } })()`
}

async function churn(base: RunningBase): Promise<void> {
  const samples: { readonly at: number; readonly cell: number; readonly keeper: number }[] = []
  const every = Math.max(1, Math.floor(modules / 100))
  const startedAt = performance.now()
  let done = 0
  const online = new Map<string, string[]>()
  await sideBySide(modules, async (index, client) => {
    const [scene, name] = [`churn-${client}`, `churn-${client}`]
    await publishCode(base.client, name, `1.0.${index}`, ['rank'], codeOf(index))
    const versions = online.get(scene) ?? []
    if (versions.length === 0) await base.client.putScene({ id: scene, group: [{ stage: 'rank', modules: [`${name}@^1`] }] }, undefined)
    const { version } = await base.client.createVersion(scene, { modules: [`${name}@1.0.${index}`], as: 'baseline' })
    online.set(scene, [...versions, version.id])
    await mustAnswer(base, scene, index)
    const gone = versions.length >= VERSIONS_ONLINE ? online.get(scene)?.shift() : undefined
    if (gone !== undefined) await base.client.setOnline(scene, gone, false, {})
    if (++done % every > 0) return
    const memory = await memoryOf(base)
    samples.push({ at: done, ...memory })
    process.stderr.write(`${done} modules: ${memory.cell.toFixed(0)} MB a cell, ${memory.keeper.toFixed(0)} MB the keeper\n`)
  })
  rows.push(['modules through the base', String(modules), ''], ['… in', seconds(startedAt), 's'])
  for (const role of ['cell', 'keeper'] as const) {
    const points: Point[] = samples.map(sample => ({ x: sample.at / 1000, y: sample[role] }))
    const [half, last] = [points.slice(points.length >> 1), points.at(-1)]
    rows.push([`memory of a ${role}: after the first of 100 parts, and at the end`, `${mb(points[0])} → ${mb(last)}`, 'MB'])
    rows.push([`… growth in the second half, for 1,000 modules`, slopeOf(half).toFixed(2), 'MB'])
  }
}

const seconds = (since: number): string => ((performance.now() - since) / 1000).toFixed(1)
const mb = (point: Point | undefined): string => (point?.y ?? Number.NaN).toFixed(0)

// ── many scenes ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What cells have used of the processor cannot be read inside, so the top level counts, and is measured once here. */
function loopFor(ms: number): string {
  const startedAt = performance.now()
  let rounds = 0
  for (let x = 1; performance.now() - startedAt < 100; rounds++) for (let i = 0; i < 1e4; i++) x = (x * 16_807) % 2_147_483_647
  return `let x = 1; for (let i = 0; i < ${Math.round((rounds * 1e4 * ms) / 100)}; i++) x = (x * 16807) % 2147483647`
}

async function defineScenes(base: RunningBase): Promise<void> {
  const startedAt = performance.now()
  await publishCode(base.client, 'one', '1.0.0', ['rank'], `(() => { ${loopFor(topLevelMs)}; return { rank: () => 'one' } })()`)
  await sideBySide(scenes, async index => {
    const id = `scene-${index}`
    await base.client.putScene({ id, group: [{ stage: 'rank', modules: ['one@^1'] }], traffic: { deadlineMs } }, undefined)
    await base.client.createVersion(id, { as: 'baseline' })
  })
  rows.push([`scenes, each with a top level of ${topLevelMs} ms`, String(scenes), ''], ['… defined in', seconds(startedAt), 's'])
}

/** Asks every scene until it answers. A caller that is answered 503 or 504 comes again, as `Retry-After` asks. */
async function askAll(base: RunningBase): Promise<void> {
  const startedAt = performance.now()
  let late = 0
  await sideBySide(scenes, async index => {
    for (let tries = 0; ; tries++) {
      const answer = await callScene(base, `scene-${index}`, 1)
      if (answer.status === 200) break
      if (answer.status !== 504) throw new Error(`Scene ${index} answered ${answer.status}: ${await answer.text()}`)
      if (tries === 0) late++
    }
  })
  rows.push(['all scenes answered, from the restart on ready, in', seconds(startedAt), 's'])
  rows.push(['scenes whose first request was past its deadline', String(late), ''])
}

async function restart(base: RunningBase): Promise<RunningBase> {
  const ended = once(base.process, 'exit')
  base.process.kill('SIGTERM')
  await ended
  const startedAt = performance.now()
  const again = await start()
  rows.push(['restarted and ready in', seconds(startedAt), 's'])
  return again
}

let base = await start()
try {
  if (modules > 0) await churn(base)
  if (scenes > 0) {
    await defineScenes(base)
    base = await restart(base)
    await askAll(base)
    const killed = base.log.filter(({ msg }) => /cannot answer|slot killed|cannot be loaded/.test(msg)).length
    const memory = await memoryOf(base)
    rows.push(['versions killed or refused', String(killed), ''], ['memory of a cell', memory.cell.toFixed(0), 'MB'])
  }
  console.log(renderColumns(['what', 'value', 'unit'], rows))
} finally {
  await base.kill()
}
