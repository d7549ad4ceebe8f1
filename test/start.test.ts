/** `npm start`: one command after the clone, and a recommendation answers. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { keeperSocketPath } from '../base/folder/paths.ts'
import { callScene, type RunningBase, root, startBase, tempFolder } from './support/base.ts'

const fixture = (path: string) => readFileSync(join(root, 'fixtures', path), 'utf8')
const scenes = readdirSync(join(root, 'fixtures/scenes')).flatMap(name => (name.endsWith('.json') ? [name.slice(0, -5)] : []))

/** Runs `npm start` and waits until it has printed everything. */
async function start(t: TestContext, data: string, args: readonly string[] = []): Promise<RunningBase> {
  const base = await startBase(t, { script: 'scripts/start.ts', data, args })
  await base.printed(/\/docs$/)
  return base
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Asks a base that starts for its readiness and then for a scene, again and again until it is ready. @returns the answers to both */
async function untilReady(port: number): Promise<{ readonly ready: Response; readonly scene: Response }[]> {
  const url = `http://127.0.0.1:${port}`
  const answers = []
  for (;;) {
    const ready = await fetch(`${url}/readyz`).catch(() => undefined)
    const scene = await callScene({ url }, 'fashion-men', fixture('requests/fashion-men.json')).catch(() => undefined)
    if (ready && scene) answers.push({ ready, scene })
    if (ready?.status === 200) return answers
    await delay(20)
  }
}

interface RankedItem {
  readonly itemId: number
  readonly position: number
  readonly score: number
}

async function answer(base: RunningBase, scene: string): Promise<string> {
  const request = scene.startsWith('fashion-men') ? 'fashion-men' : 'fashion-women'
  // A kept connection would let the base wait for its client when it stops.
  const headers = { 'x-unit-id': 'u1', connection: 'close' }
  const response = await callScene(base, scene, fixture(`requests/${request}.json`), headers)
  const text = await response.text()
  assert.equal(response.status, 200, `${scene}: ${text}`)
  return text
}

async function recommend(base: RunningBase, scene: string): Promise<RankedItem[]> {
  return (JSON.parse(await answer(base, scene)) as { items: RankedItem[] }).items
}

/**
 * Sends the launcher the signal that a service manager or `kill` sends. Resolves with its exit code once every process of the base is gone.
 */
async function terminate(base: RunningBase): Promise<number | null> {
  base.process.kill('SIGTERM')
  const [code] = await once(base.process, 'close')
  return code
}

test('npm start serves the example scenes, and started again changes nothing', { timeout: 120_000 }, async t => {
  const data = await tempFolder()
  const port = await freePort()
  const [first, answers] = await Promise.all([start(t, data, ['--port', String(port)]), untilReady(port)])

  await t.test('it is ready once its scenes answer, and until then asks callers to wait for them', () => {
    const [last, ...earlier] = answers.toReversed()
    assert.equal(last?.ready.status, 200)
    assert.ok(earlier.length > 0)
    for (const { ready } of earlier) assert.equal(ready.status, 503)
    // On a busy machine a scene that is there may miss its deadline.
    for (const { scene } of answers) {
      assert.ok([200, 503, 504].includes(scene.status), String(scene.status))
      if (scene.status === 503) assert.equal(scene.headers.get('retry-after'), '1')
    }
  })

  await t.test('it keeps with the examples the commit that this clone is at', async () => {
    const { release } = await first.client.status()
    for (const module of ['recall-all', 'rank-lr', 'diversify']) {
      const [published] = await first.client.modules(module)
      assert.equal(published?.origin?.commit, release?.commit ?? undefined, module)
    }
  })

  await t.test('it says which scenes are live, how to call one and how to publish a change', () => {
    const said = first.output.join('\n')
    for (const scene of scenes) assert.match(said, new RegExp(`^${scene} +v1 +recall-all@1\\.1\\.0 → `, 'm'))
    assert.match(said, new RegExp(`curl -s ${first.url}/scenes/fashion-men .* -d @\\S+fashion-men\\.json`))
    assert.match(
      said,
      new RegExp(`npx sdk publish \\S+rank-lr --bump patch --scene fashion-men --as baseline --base ${first.controlUrl}$`, 'm'),
    )
    assert.equal(first.output.at(-1)?.trim(), `${first.controlUrl}/docs`)
  })

  await t.test('the README shows the line that is printed, and its answer', async () => {
    const printed = first.output.find(line => line.includes('curl ')) ?? ''
    const fromRoot = printed
      .trim()
      .replace(first.url, 'http://127.0.0.1:8080')
      .replace(`${relative(tmpdir(), root)}/`, '')
    const readme = readFileSync(join(root, 'README.md'), 'utf8')
    for (const line of [fromRoot, await answer(first, 'fashion-men')]) assert.ok(readme.includes(`\n${line}\n`), line)
  })

  await t.test('every example scene answers three items in order', async () => {
    assert.equal(scenes.length, 6)
    for (const scene of scenes) {
      const items = await recommend(first, scene)
      assert.deepEqual(
        items.map(({ position }) => position),
        [1, 2, 3],
        scene,
      )
      assert.equal(new Set(items.map(({ itemId }) => itemId)).size, 3, scene)
    }
  })

  await t.test('the model ranks the same visitor the same way, by numbers', async () => {
    const items = await recommend(first, 'fashion-men')
    for (const { score } of items) assert.ok(score > 0 && score < 1, `score ${score}`)
    assert.deepEqual(await recommend(first, 'fashion-men'), items)
  })

  const { revision } = await first.client.status()
  const ranked = await recommend(first, 'fashion-men')

  await t.test('SIGTERM to the launcher ends every process of it with exit code 0', async () => {
    const { keeper, cells } = await first.client.status()
    assert.equal(await terminate(first), 0)
    for (const { pid } of [keeper, ...cells]) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
    assert.ok(!existsSync(keeperSocketPath(data)))
  })

  await t.test('a second start on the data folder writes nothing, and everything is live again', async t => {
    const table = join(data, 'features/users-women.ndjson')
    assert.equal(readFileSync(table, 'utf8'), fixture('features/users-women.ndjson'))
    writeFileSync(table, '{"key":"mine"}\n')
    const second = await start(t, data)
    assert.equal(readFileSync(table, 'utf8'), '{"key":"mine"}\n')
    assert.equal((await second.client.status()).revision, revision)
    assert.deepEqual(await recommend(second, 'fashion-men'), ranked)
    assert.equal(await terminate(second), 0)
  })
})
