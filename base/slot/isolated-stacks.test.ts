import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limits } from '../kernel/limits.ts'
import { checkSourceMap } from '../kernel/source-map.ts'
import { IsolatedStacks } from './isolated-stacks.ts'

const { segmentsMax, waitingMax } = limits.sourceMap
const BYTES = limits.module.sourceMapBytesMax
const mapOf = (members: object) => JSON.stringify({ version: 3, sources: ['index.ts'], names: [], mappings: 'AAAA', ...members })
const filled = (text: string) => text.repeat(Math.floor((BYTES - 200) / text.length))
const modules = [{ name: 'm', version: '1.0.0', sourceMap: 's' }]
const stack = 'Error: x\n    at f (berth:///m@1.0.0.js:1:1)'
const stacksOf = (t: { after(work: () => void): void }, text: string, memoryMB?: number) => {
  const stacks = new IsolatedStacks(() => Promise.resolve(Buffer.from(text)), memoryMB)
  t.after(() => stacks.close())
  return stacks
}

/** Maps of 8 MB, each of which would become hundreds of megabytes or take seconds. */
const hostile: Readonly<Record<string, readonly [text: string, why: RegExp]>> = {
  places: [mapOf({ mappings: filled('A,') }), /maps over 1000000 places/],
  lines: [mapOf({ mappings: filled(';') }), /maps over 1000000 places/],
  objects: [`{"version":3,"x":[${filled('{},')}1]}`, /over 200000 values/],
  nesting: [filled('['), /nested over 16 levels deep/],
  'a path': [mapOf({ sources: [filled('a')] }), /one of its sources has over 4096 characters/],
  'a root of all paths': [mapOf({ sourceRoot: 'a'.repeat(4000), sources: Array(20_000).fill('b') }), /has a sourceRoot/],
  'maps in a map': [mapOf({ sections: [] }), /has sections/],
  'other letters': [mapOf({ mappings: 'AAAA\u00e9' }), /not encoded as they should be/],
  'a list of lists': [mapOf({ sources: [[1]] }), /its sources are not all texts/],
  'no JSON': [`"${filled('\\"')}`, /not JSON/],
}

for (const [what, [text, why]] of Object.entries(hostile)) {
  test(`a source map that is made to grow is refused, and its stack says why: ${what}`, async t => {
    assert.throws(() => checkSourceMap(text, limits.sourceMap), why)
    const located = await stacksOf(t, text).locate(stack, modules)
    assert.equal(located.place, undefined)
    assert.match(
      located.stack,
      /^Error: x\n {4}at f \(berth:\/\/\/m@1\.0\.0\.js:1:1\)\n {4}\(lines and columns are those of the bundle: .*\)$/,
    )
    assert.match(located.stack, why)
  })
}

test('the largest source map is read while the process goes on', async t => {
  const text = mapOf({ mappings: 'AAAA,'.repeat(segmentsMax - 1) })
  checkSourceMap(text, limits.sourceMap)
  let isRead = false
  let turns = 0
  const count = () => {
    turns++
    if (!isRead) setImmediate(count)
  }
  setImmediate(count)
  const located = await stacksOf(t, text).locate(stack, modules)
  isRead = true
  assert.equal(located.place, 'index.ts:1:1')
  assert(turns > 100, `${turns} turns of the event loop`)
})

test('a source map that takes more memory than there is costs its own stack only', async t => {
  const maps: Readonly<Record<string, string>> = { large: mapOf({ mappings: 'AAAA,'.repeat(segmentsMax - 1) }), small: mapOf({}) }
  const stacks = new IsolatedStacks(digest => Promise.resolve(Buffer.from(maps[digest] ?? '')), 32)
  t.after(() => stacks.close())
  const ask = async (sourceMap: string) => (await stacks.locate(stack, [{ name: 'm', version: '1.0.0', sourceMap }])).stack
  for (let round = 0; round < 2; round++) {
    assert.match(await ask('large'), /the source map of m@1\.0\.0 cannot be read: it takes too much time or memory/)
    assert.equal(await ask('small'), 'Error: x\n    at f (m/index.ts:1:1)')
  }
})

test('of a flood of stacks a bounded number waits, and the others stay as they are', async t => {
  const stacks = stacksOf(t, mapOf({}))
  const located = await Promise.all(Array.from({ length: 2 * waitingMax }, () => stacks.locate(stack, modules)))
  assert.equal(located.filter(({ place }) => place !== undefined).length, waitingMax)
  assert.match(located.at(-1)?.stack ?? '', /too many stacks wait to be read/)
})

test('a stack of ten thousand frames with long names is cut off, and so is what it becomes', async t => {
  const stacks = stacksOf(t, mapOf({ sources: [`${'a'.repeat(4000)}.ts`] }))
  const frames = '\n    at f (berth:///m@1.0.0.js:1:1)'.repeat(10_000)
  assert((await stacks.locate(`Error${frames}`, modules)).stack.length <= 64 * 1024)
  assert((await stacks.locate(`Error\n    at ${'f'.repeat(1e6)} (berth:///m@1.0.0.js:1:1)`, modules)).stack.length <= 64 * 1024)
})
