/** A debugger stops in a module and in its tests, started as an editor starts it: by the launch configuration that comes with a module. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { temporaryFolder } from '../base/store/fixtures/folder.ts'
import { root } from './support/base.ts'
import { ended, sdkAlone } from './support/cli.ts'
import { Debugger, type Launch, type Line } from './support/debugger.ts'

const DEADLINE_MS = 300
const source = `import type { Stage } from '@berth/sdk'

export const rank: Stage<number[], number[]> = async (values, ctx) => {
  const doubled = values.map(value => value * 2)
  const later = await new Promise<number[]>(resolve => setTimeout(() => resolve(doubled), 1))
  ctx.log.info('ranked')
  return later.toReversed()
}
`
const tests = `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openSlot } from '@berth/sdk/testing'

const slot = await openSlot<typeof import('./index.ts')>(import.meta.dirname, { deadlineMs: ${DEADLINE_MS} })

test('the last comes first', async () => {
  const input = [1, 2]
  const { output, logs } = await slot.run('rank', input)
  assert.deepEqual(output, [4, 2])
  assert.equal(logs[0]?.message, 'ranked')
})
`

/** A module as `sdk init` makes it, with another stage and test. */
async function freshModule(t: TestContext): Promise<string> {
  const folder = realpathSync(temporaryFolder(t))
  ended(await sdkAlone(folder)('init', '--module', 'shop-rank', '--yes'), 0)
  const module = join(folder, 'shop-rank')
  writeFileSync(join(module, 'index.ts'), source)
  writeFileSync(join(module, 'index.test.ts'), tests)
  // What an installation makes.
  mkdirSync(join(module, 'node_modules/.bin'), { recursive: true })
  const command = join(module, 'node_modules/.bin/sdk')
  if (!existsSync(command)) symlinkSync(join(root, 'bin/sdk.cjs'), command)
  return module
}

const lineOf = (text: string, part: string): number => text.split('\n').findIndex(line => line.includes(part)) + 1

interface Configuration extends Launch {
  readonly name: string
  readonly pauseForSourceMap: boolean
}

/** What an editor starts in which `file` of the folder is open. */
function configuration(folder: string, name: string, file: string): Configuration {
  const { configurations } = JSON.parse(readFileSync(join(folder, '.vscode/launch.json'), 'utf8')) as {
    readonly configurations: readonly Configuration[]
  }
  const found = configurations.find(each => each.name === name)
  assert(found, `there is no configuration "${name}"`)
  const filled = JSON.stringify(found)
    .replace(/\$\{workspaceFolder\}/g, folder)
    .replace(/\$\{file\}/g, join(folder, file))
  return JSON.parse(filled) as Configuration
}

test('breakpoints in a module and in its test stop both, with their variables, for as long as one likes', async t => {
  const folder = await freshModule(t)
  const line = (file: string, part: string): Line => ({
    source: pathToFileURL(join(folder, file)).href,
    line: lineOf(readFileSync(join(folder, file), 'utf8'), part),
  })
  const [inTest, before, after] = [line('index.test.ts', 'slot.run'), line('index.ts', 'const later'), line('index.ts', 'ctx.log')]
  const started = configuration(folder, 'Debug this test file', 'index.test.ts')
  assert.equal(started.pauseForSourceMap, true)
  const debug = new Debugger()
  const child = await debug.launch(t, started, [inTest, before, after])
  const [printed, complained] = [text(child.stdout), text(child.stderr)]
  const closed = once(child, 'close')

  const inTests = await debug.stopped()
  assert.deepEqual(await inTests.evaluate('input'), [1, 2])
  await inTests.resume()

  const inStage = await debug.stopped()
  assert.deepEqual(inStage.at, before)
  assert.deepEqual(await inStage.evaluate('({ values, doubled, unit: ctx.unit })'), { values: [1, 2], doubled: [2, 4] })
  // The time in which it is stopped does not count.
  await delay(2 * DEADLINE_MS)
  await inStage.resume()

  const afterAwait = await debug.stopped()
  assert.deepEqual(afterAwait.at, after)
  assert.deepEqual(await afterAwait.evaluate('later'), [2, 4])
  const stepped = await afterAwait.stepOver()
  assert.deepEqual(stepped.at, { ...after, line: after.line + 1 })
  await stepped.resume()

  const [code] = await closed
  assert.equal(code, 0, await complained)
  assert.match(await printed, /1 passed/)
})

test('a debugger that attaches to the printed port is stopped in the first stage, at a port of its own when the usual one is taken', async t => {
  const folder = await freshModule(t)
  const taken = createServer()
  // Another program may have it already.
  await new Promise(resolve => taken.once('listening', resolve).once('error', resolve).listen(9229, '127.0.0.1'))
  t.after(() => taken.close())
  const debug = new Debugger()
  const child = await debug.attach({ runtimeExecutable: 'npx', runtimeArgs: ['sdk', 'test', '--inspect'], cwd: folder })
  const [printed, complained] = [text(child.stdout), text(child.stderr)]
  const closed = once(child, 'close')

  const inStage = await debug.stopped()
  assert.deepEqual(inStage.at, { source: pathToFileURL(join(folder, 'index.ts')).href, line: lineOf(source, 'const doubled') })
  assert.deepEqual(await inStage.evaluate('values'), [1, 2])
  await inStage.resume()

  const [code] = await closed
  assert.equal(code, 0, await complained)
  assert.match(await printed, /1 passed/)
})
