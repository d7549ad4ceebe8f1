/** What a module has forged costs its caller an answer at most, and never costs the cell. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { answerPlainly } from '../../test/support/answers.ts'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { openSourceMap } from '../kernel/source-map.ts'
import { locate } from '../kernel/stacks.ts'
import { ModuleError } from '../slot/module-error.ts'
import { Connections } from './connections.ts'
import { createSceneServer, type SceneHandlers } from './scene-port.ts'

/** The code of a scene port's answer, and the outcomes that it counted. */
async function ask(t: TestContext, serve: SceneHandlers['serve']): Promise<{ code: string; status: number; counted: string[] }> {
  const counted: string[] = []
  const server = createSceneServer(
    1024,
    {
      enter: ({ sceneAsked }) => sceneAsked,
      exit: () => undefined,
      hold: () => undefined,
      serve,
      logFailure: async () => ({}),
      count: (_request, code) => counted.push(code),
      checkReady: () => [],
      shouldClose: () => true,
    },
    new Connections(100),
  )
  t.after(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`http://127.0.0.1:${port}/scenes/home`, { method: 'POST', headers, body: '1' })
  const { code } = (await response.json()) as { code: string }
  return { code, status: response.status, counted }
}

const internal = { code: 'INTERNAL', status: 500, counted: ['INTERNAL'] }

test('a failure whose code is in no row of the table is answered as a defect', async t => {
  for (const code of ['constructor', '__proto__', 'toString']) {
    assert.deepEqual(await ask(t, request => request.fail(new ModuleError({ code, message: 'forged' }))), internal)
  }
})

test('a failure that JSON cannot hold is answered as a defect', async t => {
  const failure = new BerthError('MODULE_THREW', 'forged', { extra: { module: 1n } })
  assert.deepEqual(await ask(t, request => request.fail(failure)), internal)
})

test('an answer that is no text is answered as a defect', async t => {
  assert.deepEqual(await ask(t, request => answerPlainly(request, JSON.parse('5'))), internal)
})

test('a stack is cut off before it is taken apart, however long a module made it', () => {
  assert.equal(locate('a\n'.repeat(1e6), [], () => assert.fail('nothing to read')).stack.length, 64 * 1024)
})

test('what a module only makes look like a place stays as it is', () => {
  const text = JSON.stringify({ version: 3, sources: ['index.ts'], names: [], mappings: 'AAAA' })
  const map = openSourceMap(text, limits.sourceMap)
  const modules = [{ name: 'm', version: '1.0.0', sourceMap: 's' }]
  const at = (place: string) => `at berth:///m@1.0.0.js:${place}`
  const shown = (place: string) => locate(at(place), modules, () => map).stack
  assert.equal(shown('1:1'), 'at m/index.ts:1:1')
  for (const place of ['0:0', '0:1', '1:0', '9'.repeat(30)]) assert.equal(shown(place), at(place))
})
