/** Cells that are lost to code that nothing can stop: what they cost the others, who cannot know which version it will be. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { callScene, launchBase, makeScene, publishCode, type RunningBase } from './support/base.ts'
import { startLoad } from './support/load.ts'
import { UNSTOPPABLE } from './support/unstoppable.ts'

/** A base with two cells and one with one. */
let base: RunningBase
let single: RunningBase

before(async () => {
  ;[base, single] = await Promise.all([launchBase({ cells: 2 }), launchBase({ cells: 1 })])
})
after(() => Promise.all([base?.kill(), single?.kill()]))

/**
 * Makes a baseline that loads well for a while, and from then on never comes back from its top level. Resolves when that time has come.
 * @returns its module
 */
async function makeTimeBomb(scene: string): Promise<string> {
  let isDefined = false
  // It is not known how long the machine takes to bring a version online.
  for (let [patch, ms] = [0, 1500]; ; patch++, ms *= 2) {
    const at = Date.now() + ms
    const code = `(() => { if (Date.now() > ${at}) ${UNSTOPPABLE}; return { rank: x => x } })()`
    const bring = async () => {
      await publishCode(base.client, scene, `1.0.${patch}`, ['rank'], code)
      if (!isDefined) await base.client.putScene({ id: scene, group: [{ stage: 'rank', modules: [`${scene}@^1`] }] }, undefined)
      isDefined = true
      await base.client.createVersion(scene, { as: 'baseline' })
      return Date.now() < at
    }
    if (!(await bring().catch(() => false))) continue
    await delay(at + 1 - Date.now())
    return `${scene}@1.0.${patch}`
  }
}

/** Makes a token and revokes it. When that is acknowledged, no cell may take it. */
async function revoke(scene: string): Promise<void> {
  const { token, id } = await base.client.createToken(['call'], 'to be revoked')
  const ask = async () => (await callScene(base, scene, 1, { authorization: `Bearer ${token}`, connection: 'close' })).status
  assert.equal(await ask(), 200)
  await base.client.revokeToken(id)
  // Whoever has sent so many tokens that are not known is answered 429.
  for (const status of await Promise.all(Array.from({ length: 8 }, ask))) assert.ok(status === 401 || status === 429, `${status}`)
}

test('a baseline that no new cell can load costs those cells alone: others answer, and changes and revocations are in force at once', {
  timeout: 240_000,
}, async () => {
  await makeScene(base.client, 'neighbour', { rank: 'x => x' })
  await makeScene(base.client, 'guarded', { rank: 'x => x' }, { access: 'token' })
  const bomb = await makeTimeBomb('bomb')
  const load = startLoad(`${base.url}/scenes/neighbour`, 4, true)
  const seen = base.log.length
  await base.client.retireCell(1)
  const { pid } = await base.logged(({ msg, cell }) => msg === 'cell connected' && cell === 1, seen)
  const of = (what: string) => base.logged(line => line.msg === what && line.cell === 1 && line.pid === pid, seen)
  // The cell loads the baseline until it is lost. Meanwhile it takes every table.
  let isLost = false
  const lost = of('cell is lost').finally(() => {
    isLost = true
  })
  let [changes, most] = [0, 0]
  while (!isLost) {
    await revoke('guarded')
    changes++
    most = Math.max(most, (await base.client.status()).cells.length)
  }
  assert.ok(changes > 2, `${changes} changes were acknowledged while the cell was loading`)
  const { scene, module } = await lost
  assert.deepEqual([scene, module], ['bomb', bomb])
  const heir = base.logged(line => line.msg === 'cell ready' && line.cell === 1 && line.pid !== pid, seen)
  const { suspects } = await of('cell ended')
  assert.deepEqual(
    (suspects as Record<string, unknown>[]).map(suspect => [suspect.scene, suspect.module]),
    [['bomb', bomb]],
  )
  await heir
  const { refused, broken, answered } = await load.stop()
  assert.deepEqual({ refused, broken }, { refused: [], broken: [] })
  assert.ok(answered > 0)
  // The cell of the other seat, and in this one the cell that leaves and its heir.
  assert.ok(most <= 3, `${most} cells`)
})

test('a lost cell refuses the version that cost it, answers the others until its heir does, and ends each connection', {
  timeout: 240_000,
}, async () => {
  await makeScene(single.client, 'stuck', { rank: `x => x === 'bad' ? ${UNSTOPPABLE} : x` }, { traffic: { cpuMs: 50, deadlineMs: 5000 } })
  await makeScene(single.client, 'other', { rank: 'x => x' })
  assert.equal((await callScene(single, 'stuck', '"bad"')).status, 503)
  // Until it is known that the thread cannot be stopped, the version is loaded again beside it.
  assert.equal((await callScene(single, 'stuck', '"good"')).status, 200)
  const { pid, stage } = await single.logged(({ msg }) => msg === 'cell is lost')
  assert.equal(stage, 'rank')
  let isReady = false
  const ready = single
    .logged(line => line.msg === 'cell ready' && line.pid !== pid)
    .finally(() => {
      isReady = true
    })
  let refusals = 0
  while (!isReady) {
    const other = await callScene(single, 'other', 1)
    assert.equal(other.status, 200)
    const answer = await callScene(single, 'stuck', 1)
    if (answer.status === 200) continue
    const { code, detail } = (await answer.json()) as { code: string; detail: string }
    assert.deepEqual([answer.status, code, answer.headers.get('connection')], [503, 'SLOT_UNAVAILABLE', 'close'])
    assert.match(detail, /code of it cannot be stopped, so this cell is about to be replaced/)
    refusals++
  }
  await ready
  assert.ok(refusals > 0)
})

test('a cell ends when it is asked to, though a thread of it cannot be stopped and nobody knows that yet', {
  timeout: 60_000,
}, async () => {
  const seen = single.log.length
  const killed = single.logged(({ msg }) => msg === 'slot killed', seen)
  assert.equal((await callScene(single, 'stuck', '"bad"', { connection: 'close' })).status, 503)
  await killed
  const exited = once(single.process, 'exit')
  single.process.kill('SIGTERM')
  assert.deepEqual(await exited, [0, null])
  const outlived = single.log.slice(seen).filter(({ msg }) => msg === 'cell killed')
  assert.deepEqual(outlived, [])
})
