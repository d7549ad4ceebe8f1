/** Cells that are lost to code that nothing can stop: what they cost the others, who cannot know which version it will be. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { callScene, launchBase, makeScene, type RunningBase } from './support/base.ts'
import { UNSTOPPABLE } from './support/unstoppable.ts'

let single: RunningBase

before(async () => {
  single = await launchBase({ cells: 1 })
})
after(() => single?.kill())

test('a lost cell refuses the version that cost it, answers the others until its heir does, and ends each connection', {
  timeout: 240_000,
}, async () => {
  await makeScene(single.client, 'stuck', { rank: `x => x === 'bad' ? ${UNSTOPPABLE} : x` }, { traffic: { cpuMs: 50 } })
  await makeScene(single.client, 'other', { rank: 'x => x' })
  assert.equal((await callScene(single, 'stuck', '"bad"')).status, 503)
  const { pid } = await single.logged(({ msg }) => msg === 'cell is lost')
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
