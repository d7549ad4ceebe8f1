/** A base whose memory is short: that which a cell may take, and that which the kernel gives it, for which the right to make a control group is needed. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { limits } from '../base/kernel/limits.ts'
import { callScene, makeScene, publishStages, startBase, until } from './support/base.ts'

const MB = 2 ** 20

interface Group {
  /** Moves a process into the group; the processes that it starts from then on are in it too. */
  take(pid: number): void
  limit(bytes: number): void
  readonly usedBytes: number
  /** Takes this process out. */
  leave(): void
  /** Waits until no process is left. */
  remove(): Promise<void>
}

/** A group below that of this process. @throws when that is not allowed here */
function makeGroup(): Group {
  const memberships = readFileSync('/proc/self/cgroup', 'utf8')
  const v1 = /^\d+:(?:.*,)?memory(?:,.*)?:(.*)$/m.exec(memberships)?.[1]
  const parent = v1 === undefined ? join('/sys/fs/cgroup', /^0::(.*)$/m.exec(memberships)?.[1] ?? '') : join('/sys/fs/cgroup/memory', v1)
  const folder = join(parent, `berth-test-${process.pid}`)
  mkdirSync(folder)
  const file = (v1Name: string, v2Name: string) => join(folder, v1 === undefined ? v2Name : v1Name)
  const limit = (bytes: number) => writeFileSync(file('memory.limit_in_bytes', 'memory.max'), String(bytes))
  limit(512 * MB)
  return {
    take: pid => writeFileSync(join(folder, 'cgroup.procs'), String(pid)),
    limit,
    leave: () => writeFileSync(join(parent, 'cgroup.procs'), String(process.pid)),
    remove: async () => {
      // The last process of the base may not have left yet.
      await until(() => readFileSync(join(folder, 'cgroup.procs'), 'utf8') === '')
      rmdirSync(folder)
    },
    get usedBytes() {
      return Number(readFileSync(file('memory.usage_in_bytes', 'memory.current'), 'utf8'))
    },
  }
}

test('under a limit of memory a base takes less, and a cell that the kernel kills for it accuses no module', {
  timeout: 60_000,
}, async t => {
  let group: Group
  try {
    group = makeGroup()
  } catch (error) {
    t.skip(`no control group can be made here: ${(error as Error).message}`)
    return
  }
  // What this process has used so far does not count in the group.
  group.take(process.pid)
  // The group is removed after the base.
  const base = await startBase(t).finally(() => {
    group.leave()
    t.after(() => group.remove())
  })
  const { memory, cells, keeper } = await base.client.status()
  assert.deepEqual([memory?.limitMB, memory?.kernelKills, cells.length], [512, 0, 1])
  assert.match(memory?.limitFile ?? '', /memory\.(limit_in_bytes|max)$/)
  assert.ok((memory?.neededMB ?? 0) <= 512)

  // More than is left now, and less than the module and the cell may have, so that nothing else than the limit is in the way.
  const hoard = 'n => { globalThis.kept = Array.from({ length: n }, () => new Array(131_072).fill(0.5)); return n }'
  await makeScene(base.client, 'hoard', { rank: hoard })
  assert.equal((await callScene(base, 'hoard', 1)).status, 200)
  const pid = cells[0]?.pid ?? 0
  writeFileSync(`/proc/${pid}/oom_score_adj`, '1000')
  // While the memory of the cell is being freed, the kernel may look for another process to kill. Without the supervisor nothing would say so.
  writeFileSync(`/proc/${keeper.pid}/oom_score_adj`, '500')
  group.limit(group.usedBytes + 32 * MB)
  await callScene(base, 'hoard', 100).catch(() => undefined)
  const ended = await base.logged(({ msg, pid: of }) => msg === 'cell ended' && of === pid)
  group.limit(512 * MB)
  assert.equal(ended.how, 'signal SIGKILL')
  assert.match(String(ended.why), /^memory is short, so the kernel ended it: give the base more memory/)
  assert.equal(ended.suspects, undefined)
  // The keeper may have been killed too.
  const kernelKills = () =>
    base.client.status().then(
      ({ memory }) => memory?.kernelKills ?? 0,
      () => 0,
    )
  await until(async () => (await kernelKills()) > 0)
})

test('more scenes than fit into a cell take turns in it: those go that were idle the longest, a busy one stays, and so does the cell', {
  timeout: 60_000,
}, async t => {
  const cellMemoryMB = 192
  const base = await startBase(t, { cells: 1, args: ['--cell-memory-mb', String(cellMemoryMB)] })
  const pidOfCell = async () => (await base.client.status()).cells[0]?.pid
  const pid = await pidOfCell()
  const metric = async (series: string) => {
    const text = await (await fetch(`${base.controlUrl}/metrics`)).text()
    return Number(
      text
        .split('\n')
        .find(line => line.startsWith(`${series} `))
        ?.slice(series.length),
    )
  }
  // It holds as many MB as it is first asked for, and answers how often it was asked since it was loaded. A text takes memory when somebody looks into it.
  const hold =
    'n => { globalThis.held ??= "x".repeat(n * 2 ** 20); held.indexOf("y"); return globalThis.asked = (globalThis.asked ?? 0) + 1 }'
  await publishStages(base.client, 'hold', '1.0.0', { rank: hold })
  const scenes = Array.from({ length: 14 }, (_, i) => `held-${i}`)
  for (const id of ['busy', ...scenes]) {
    await base.client.putScene({ id, group: [{ stage: 'rank', modules: ['hold@^1'] }] }, undefined)
    await base.client.createVersion(id, { as: 'baseline' })
  }
  const ask = async (scene: string, megabytes = 0) => {
    const answer = await callScene(base, scene, megabytes)
    assert.equal(answer.status, 200, scene)
    return answer.json()
  }
  let asked = 0
  const stayBusy = async () => assert.equal(await ask('busy'), ++asked)
  for (const scene of scenes) {
    assert.equal(await ask(scene, 8), 1)
    await until(async () => {
      await stayBusy()
      return (await metric('process_resident_memory_bytes{cell="1"}')) < cellMemoryMB * MB * limits.cell.memoryKillShare
    })
  }
  assert.equal(await ask('held-13'), 2)
  assert.equal(await ask('held-0'), 1)
  await stayBusy()
  assert.equal(await pidOfCell(), pid)
  assert.ok((await metric('berth_slots_evicted_total{cause="memory",cell="1"}')) > 0)
})
