/** `sdk replay` as its users type it, against a running base. One base for the whole file. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { publishBundle, uploadBundle } from '../sdk/api/publish-steps.ts'
import { bundleModule } from '../sdk/bundle/bundle.ts'
import { readScene } from '../sdk/cli/files/scene-file.ts'
import { launchBase, makeScene, type RunningBase, root, tempFolder } from './support/base.ts'
import { ended, type Run, sdkIn } from './support/cli.ts'

let base: RunningBase
let folder: string
let sdk: Run

before(async () => {
  base = await launchBase()
  folder = await tempFolder()
  sdk = sdkIn(folder, base)
})
after(() => base.kill())

async function logOf(name: string, lines: readonly unknown[]): Promise<string> {
  const file = join(folder, name)
  await writeFile(file, lines.map(line => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'))
  return file
}

const randomLog = join(root, 'fixtures/open-bandit/random_men.csv.gz')

test('the Open Bandit log goes through the random scene and comes back with a click rate', async () => {
  for (const name of ['recall-all', 'policy-random', 'diversify']) {
    const bundle = await bundleModule(join(root, 'modules', name))
    await uploadBundle(base.client, bundle)
    await publishBundle(base.client, bundle)
  }
  const scene = await readScene(join(root, 'fixtures/scenes/fashion-men-random.json'))
  await base.client.putScene({ ...scene, traffic: { ...scene.traffic, deadlineMs: 10_000 } }, undefined)
  await base.client.createVersion('fashion-men-random', { as: 'baseline' })

  const run = await sdk('replay', randomLog, '--scene', 'fashion-men-random', '--limit', '200', '--passes', '3', '--json')
  ended(run, 0)
  const report = JSON.parse(run.stdout)
  assert.deepEqual([report.entries, report.passes, report.sent, report.answered, report.failed], [200, 3, 600, 600, 0])
  assert.deepEqual([report.versions, report.ended, report.clickRates.rows], [{ v1: 600 }, 'done', 200])
  assert(report.latencyMs.p50 > 0 && report.latencyMs.p50 <= report.latencyMs.max)
  // Each of 600 answers matches with a chance of 1 in 34. That there are none, or a hundred, has a chance of one in a million.
  const { matchedRows, uniform, unlisted } = report.clickRates
  assert(matchedRows > 0 && matchedRows < 100, `${matchedRows} rows match`)
  assert.deepEqual([uniform, unlisted], [true, 0])
})

test('rates, versions and failures are shown to people too, and the request ids repeat', async () => {
  await makeScene(base.client, 'echo', {
    rank: `(input, ctx) => { if (input.fail) throw new Error('no such visitor'); return { shown: [{ id: ctx.requestId }] } }`,
  })
  const shown = (item: string, click: number) => ({ item, position: 1, click, propensity: 0.5 })
  const log = await logOf('echo.ndjson', [
    { body: {}, shown: shown('replay-0', 1) },
    { body: {}, shown: shown('replay-1', 0) },
    { body: {}, shown: shown('another', 1) },
    { body: { fail: true }, shown: shown('replay-3', 1) },
  ])
  const run = await sdk('replay', log, '--scene', 'echo', '--items', '/shown', '--item-id', 'id', '--rate', '500', '--version', 'v1')
  ended(run, 0, /answered +3 in .*\(asked for 500\)/, /by version +v1 3/, /1 +MODULE_THREW +.*no such visitor/)
  ended(
    run,
    0,
    /log +66\.667 %/,
    /replay +50\.000 % +± 35\.355 % +of 2 answers that show the logged item, to 2 rows, 1 clicked/,
    /IPS +66\.667 %/,
    /SNIPS +50\.000 %/,
  )
})

test('answers without the items, and rows without a match, are reported instead of a rate', async () => {
  const log = await logOf('none.ndjson', [{ scene: 'echo', body: {}, shown: { item: 'x', position: 1, click: 1, propensity: 0.5 } }])
  ended(await sdk('replay', log), 0, /1 of 1 answers have no item with "itemId" in a list at \/items: name them with --items and --item-id/)
  ended(
    await sdk('replay', log, '--items', '/shown', '--item-id', 'id'),
    0,
    /No answer shows the logged item at its position/,
    /SNIPS +– +–/,
  )
})

test('ids beyond 2^53 arrive as the log has them, and match the items that are shown with all their digits', async () => {
  await makeScene(base.client, 'exact', {
    rank: `({ items }, { unit }) => {
      if (unit !== '9007199254740993') throw new Error('for unit ' + unit)
      return { items: items.map(item => ({ itemId: JSON.rawJSON(item) })) }
    }`,
  })
  const shown = (item: string) => `{"item":${item},"position":2,"click":1,"propensity":0.5}`
  const line = (item: string) =>
    `{"scene":"exact","unit":9007199254740993,"body":{"items":["7","9007199254740995"]},"shown":${shown(item)}}`
  const log = await logOf('exact.ndjson', ['9007199254740994', '9007199254740995', '"9007199254740995"', '9007199254740996'].map(line))
  const run = await sdk('replay', log, '--json')
  ended(run, 0)
  const { answered, clickRates } = JSON.parse(run.stdout)
  assert.deepEqual([answered, clickRates.matchedRows, clickRates.unlisted], [4, 2, 0])
})

test('invoke shows an answer with all its digits, and says what of the body modules read rounded', async () => {
  const body = '{"items":["9007199254740995"],"seen":9007199254740997}'
  const run = await sdk('invoke', 'exact', '--data', body, '--unit', '9007199254740993')
  ended(run, 0, /"itemId": 9007199254740995/, /it has the number 9007199254740997 at \/seen, which JavaScript cannot hold exactly/)
})

test('what cannot be replayed is refused before anything is sent, with the exit code it deserves', async () => {
  const log = await logOf('home.ndjson', [{ body: {} }])
  const broken = await logOf('broken.ndjson', [{ body: {} }, '{'])
  ended(await sdk('replay', log, '--scene', 'nowhere'), 1, /SCENE_NOT_FOUND/, /sdk scene list/)
  ended(await sdk('replay', log, '--scene', 'echo', '--version', 'v9'), 1, /VERSION_NOT_FOUND/)
  ended(await sdk('replay', broken, '--scene', 'echo'), 1, /broken\.ndjson" line 2: it is not JSON/)
  ended(await sdk('replay', join(folder, 'missing.ndjson'), '--scene', 'echo'), 1, /FILE_UNREADABLE/)
  ended(await sdk('replay', log), 2, /it names no scene/, /--scene/)
  ended(await sdk('replay', log, '--rate', '5', '--connections', '5'), 2, /both --rate and --connections/)
  ended(await sdk('replay', log, '--scene', 'echo', '--limit', '0'), 2, /"0" as --limit/)
  ended(await sdk('replay', log, '--scene', 'echo', '--url', 'http://127.0.0.1:1'), 3, /No base answers/)
})

test('what the options say goes before what the log says, in the first look at a scene too', async () => {
  const headers = { 'x-scene-version': 'v9', authorization: 'Bearer of-the-log' }
  const log = await logOf('pinned.ndjson', [{ scene: 'echo', headers, body: {} }])
  ended(await sdk('replay', log, '--version', 'v1'), 0, /answered +1 /, /by version +v1 1/)
})

test('a replay of which nothing is answered ends with 1', async () => {
  const log = await logOf('fail.ndjson', [{ scene: 'echo', body: { fail: true } }])
  ended(await sdk('replay', log), 1, /answered +0/, /MODULE_THREW/)
})

test('Ctrl-C prints what was measured so far', async t => {
  let served = 0
  const server = createServer((_, res) => {
    res.end('{}')
    // The first request asks whether the scene is there.
    if (++served === 6) child.kill('SIGINT')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const log = await logOf('long.ndjson', [{ scene: 'echo', body: {} }])
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const args = ['replay', log, '--passes', '10000', '--rate', '100', '--url', url, '--json']
  const child = spawn(process.execPath, [join(root, 'sdk/cli/main.ts'), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [stdout, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  const report = JSON.parse(stdout)
  assert.equal(code, 0)
  assert.equal(report.ended, 'stopped')
  assert(report.answered >= 1 && report.answered < 10_000)
})
