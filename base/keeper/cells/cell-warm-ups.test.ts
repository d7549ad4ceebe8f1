import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { keeperSocketPath } from '../../folder/paths.ts'
import { limits } from '../../kernel/limits.ts'
import { createLog } from '../../kernel/log.ts'
import { temporaryFolder } from '../../store/fixtures/folder.ts'
import { emptyTable } from '../../traffic/table.ts'
import type { WarmUpJob } from '../../wire/messages.ts'
import { connectCell } from '../fixtures/keeper.ts'
import { CellConnections, type SlotWarmUp } from './cells.ts'

const plan = { key: 'home/v1@128', scene: 'home', version: 'v1', memoryMB: 128, lock: [] }
const request = { requestId: 'r', body: '1', unit: undefined, bucket: undefined, deadlineMs: 100, params: '{}', replies: [] }
const found: SlotWarmUp = { plan, requests: [request], cpuMs: 25, isProven: false }

/** Cells whose warm-ups are noted in order, as `cell: once` and `cell: until it is warm`. */
async function connect(t: TestContext, count: number, warmUpOf?: (scene: string, version: string) => Promise<SlotWarmUp | undefined>) {
  const data = temporaryFolder(t)
  const cells = await CellConnections.listen(keeperSocketPath(data), emptyTable, createLog('keeper', 'silent'), {
    ...(warmUpOf && { warmUpOf }),
  })
  t.after(() => cells.close())
  const noted: string[] = []
  const jobs: WarmUpJob[] = []
  const connected = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const cell = connectCell(t, data, i + 1)
      await cell.ready
      cell.onWarmUp = job => {
        noted.push(`${i + 1}: ${job.once ? 'once' : 'until it is warm'}`)
        jobs.push(job)
        return true
      }
      return cell
    }),
  )
  return { cells, connected, noted, jobs }
}

test('one cell answers the requests of another version once before every cell does, and all of it has its time', async t => {
  const { cells, noted, jobs } = await connect(t, 3)
  await cells.warmUp(found)
  assert.match(noted[0] ?? '', /: once$/)
  assert.deepEqual(noted.slice(1).sort(), ['1: until it is warm', '2: until it is warm', '3: until it is warm'])
  assert.ok(jobs.every(({ msMax }) => msMax > 0 && msMax <= limits.capsule.warmUpMs))
  assert.deepEqual(jobs[0]?.requests, [{ requestId: 'r', body: '1', deadlineMs: 100, params: '{}', replies: [] }])
})

test('every cell answers at once what the version has answered before', async t => {
  const { cells, noted } = await connect(t, 2)
  await cells.warmUp({ ...found, isProven: true })
  assert.deepEqual(noted.sort(), ['1: until it is warm', '2: until it is warm'])
})

for (const [what, outcome] of [
  ['is lost over', 'end'],
  ['throws its slot away over', false],
] as const)
  test(`when the first cell ${what} the requests of another version, the others never get them`, async t => {
    const { cells, connected, noted } = await connect(t, 2)
    for (const cell of connected) {
      cell.onWarmUp = () => {
        noted.push('asked')
        return outcome
      }
    }
    await cells.warmUp(found)
    assert.deepEqual(noted, ['asked'])
  })

test('a change is refused when a slot was thrown away over its warm-up and cannot be loaded again', async t => {
  const { cells, connected } = await connect(t, 1)
  for (const cell of connected) cell.onWarmUp = () => ({ code: 'MODULE_LOAD_THREW', message: 'boom' })
  await assert.rejects(cells.warmUp(found), { code: 'UPGRADE_FAILED', message: /version "v1" of scene "home" online.*boom/ })
})

test('a cell that starts warms up what it has loaded, as far as there is something to do that with', async t => {
  const warmUpOf = async (scene: string) => {
    if (scene === 'unreadable') throw new Error('no')
    return scene === 'home' ? { ...found, isProven: false } : undefined
  }
  const { connected, noted } = await connect(t, 1, warmUpOf)
  await connected[0]?.load(['away', 'unreadable', 'home', 'home'].map(scene => ({ scene, version: 'v1' })))
  assert.deepEqual(noted, ['1: until it is warm', '1: until it is warm'])
})
