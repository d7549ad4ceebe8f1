import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limits } from './limits.ts'
import { openSourceMap } from './source-map.ts'
import { explainLoad, locate, type Stacks } from './stacks.ts'

/** A source map of one source, in which every place is the beginning of the source. */
const mapOf = (source: string, more: object = {}) => JSON.stringify({ version: 3, sources: [source], names: [], mappings: 'AAAA', ...more })
const stacksOf = (map: string): Stacks => ({
  locate: async (stack, modules) => locate(stack, modules, () => openSourceMap(map, limits.sourceMap)),
})
const modules = [{ name: 'm', version: '1.0.0', sourceMap: 's' }]
const stack = 'Error: no table\n    at load (berth:///m@1.0.0.js:1:1)'

test('a place without its source has no code frame', async () => {
  assert.deepEqual(await stacksOf(mapOf('index.ts')).locate(stack, modules), {
    stack: 'Error: no table\n    at load (m/index.ts:1:1)',
    place: 'index.ts:1:1',
    at: { file: 'index.ts', line: 1, column: 1 },
  })
})

test('of a long line the frame shows the part around the column', async () => {
  const sourcesContent = [`${'a'.repeat(500)}bad()${'c'.repeat(500)}`]
  const mapped = stacksOf(mapOf('index.ts', { sourcesContent, mappings: 'AAAof' }))
  const { frame = '' } = await mapped.locate(stack, modules)
  const [, line = '', mark = ''] = frame.split('\n')
  assert.ok(line.length < 200, frame)
  assert.equal(line.slice(mark.indexOf('^'), mark.indexOf('^') + 3), 'bad', frame)
})

test('a message that only looks like a frame is no place', async () => {
  const forged = 'Error: see berth:///m@1.0.0.js:1:1\n    at <anonymous>'
  assert.equal((await stacksOf(mapOf('index.ts')).locate(forged, modules)).place, undefined)
})

test('frames of the host, of the slot and of code that the bundler made are left out', async () => {
  const map = mapOf('index.ts', { mappings: 'AAAA;;' })
  const frames = ['at own (berth:///m@1.0.0.js:1:1)', 'at __require (berth:///m@1.0.0.js:3:1)', 'at turn (berth:///inside.js:1:1)']
  const thrown = ['Error: x', ...frames, 'at (<isolated-vm boundary>)', 'at load (file:///base/slot/specialise.ts:1:1)'].join('\n    ')
  assert.equal((await stacksOf(map).locate(thrown, modules)).stack, 'Error: x\n    at own (m/index.ts:1:1)')
})

test('a package is named even when the source map says nothing of it, or nonsense', async () => {
  for (const x_packages of [undefined, 5, [], { '../../node_modules/b': 5 }, { '../../node_modules/b': { version: {} } }]) {
    const { message } = await explainLoad(
      stacksOf(mapOf('../../node_modules/b/b.js', { x_packages })),
      { message: 'It threw', stack },
      modules,
    )
    assert.equal(message, 'It threw (node_modules/b/b.js:1:1 of the npm package b)')
  }
})
