/** Modules that load badly, and how little that matters to others. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createClient } from '../sdk/api/client.ts'
import { callScene, launchBase, makeScene, publishCode, until } from './support/base.ts'

const base = await launchBase({ cells: 1 })
after(() => base.kill())

/** The code of a module that answers 1, and whose top level does something first. */
const codeOf = (topLevel: string): string => `(() => { ${topLevel}; return { rank: () => 1 } })()`

/** Makes a baseline whose top level has no end from a moment on, which comes after that. On a slow machine this takes more than one attempt. */
async function makeBaselineThatGoesBad(): Promise<void> {
  for (let patch = 0, ms = 1000; ; patch++, ms *= 2) {
    const badAt = Date.now() + ms
    try {
      await publishCode(base.client, 'bad', `1.0.${patch}`, ['rank'], codeOf(`while (Date.now() > ${badAt});`))
      await base.client.putScene({ id: 'bad', group: [{ stage: 'rank', modules: ['bad@^1'] }] }, undefined).catch(() => undefined)
      await base.client.createVersion('bad', { as: 'baseline' })
      await until(() => Date.now() > badAt)
      return
    } catch (error) {
      assert.match(String(error), /MODULE_LOAD_KILLED|used more than/)
    }
  }
}

test('a baseline that cannot be loaded any more fails its own scene, and holds up no commit and no other scene', async () => {
  await makeScene(base.client, 'good', { rank: '() => 1' })
  await makeBaselineThatGoesBad()
  const seen = base.log.length
  const [cell] = (await base.client.status()).cells
  process.kill(cell?.pid ?? 0, 'SIGKILL')
  await base.logged(({ msg }) => msg === 'cell connected', seen)
  const { id } = await base.client.createToken(['call'], 'short-lived')
  const { cells } = await base.client.revokeToken(id)
  assert.deepEqual(cells, { applied: 1, connected: 1 })
  assert.ok(!base.log.slice(seen).some(({ msg }) => msg === 'baseline cannot answer'), 'the commits have not waited for the load to fail')

  await base.logged(({ msg, cell }) => msg === 'cell ready' && cell === 1, seen)
  await base.logged(({ msg }) => msg === 'baseline cannot answer', seen)
  assert.equal((await callScene(base, 'good', 1)).status, 200)
  const refused = await callScene(base, 'bad', 1)
  assert.equal(refused.status, 503)
  assert.match(await refused.text(), /"SLOT_UNAVAILABLE".*module \\"bad@1.0.\d+\\": its top level used more than 2000 ms of CPU/)
  for (const url of [base.url, base.controlUrl]) {
    await until(async () => {
      const answer = await fetch(`${url}/readyz`)
      assert.equal(answer.status, 200)
      return /"failures":\[{"scene":"bad","version":"v1","code":"MODULE_LOAD_KILLED"/.test(await answer.text())
    })
  }
  const status = await base.client.status()
  assert.deepEqual(
    status.cells.map(({ failures }) => failures.map(({ scene }) => scene)),
    [['bad']],
  )
  const faults = /^berth_baseline_faults\{scene="bad",version="v1",code="MODULE_LOAD_KILLED",process="keeper"\} 1$/m
  assert.match(await base.client.metrics(), faults)
})

test('modules whose top level nothing can stop hold up no module of another publisher', async () => {
  const { token } = await base.client.createToken(['publish'], 'mallory')
  const mallory = createClient({ base: base.controlUrl, token })
  let refused = 0
  const stuck = Array.from({ length: 6 }, async (_, i) => {
    const code = codeOf(`Array.prototype.includes.call({ length: 2 ** 53 - 1 - ${i} }, 1)`)
    await assert.rejects(publishCode(mallory, `stuck-${i}`, '1.0.0', ['rank'], code))
    refused++
  })
  const all = Promise.all(stuck)
  await publishCode(base.client, 'fine', '1.0.0', ['rank'], codeOf(''))
  assert.ok(refused < 3, 'not even three of them were over')
  await base.kill()
  await all
})
