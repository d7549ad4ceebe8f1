import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import ivm from 'isolated-vm'
import { CodeCache } from './code-cache.ts'

setFlagsFromString('--no-turboshaft-loop-unrolling')

function startIsolate(t: TestContext): ivm.Isolate {
  const isolate = new ivm.Isolate({ memoryLimit: 32 })
  t.after(() => isolate.dispose())
  return isolate
}

/** What isolated-vm says of a compilation: `cachedData` when it made a cache, `cachedDataRejected` when it was given one. */
type Compiled = ivm.Script & { readonly cachedData?: ivm.ExternalCopy<ArrayBuffer>; readonly cachedDataRejected?: boolean }

const name = 'berth:///test.js'
const code = `(() => { const twice = x => x * 2; return twice(21) })`

test('what a script has compiled when it ran is taken over by the next isolate', async t => {
  const codeCache = new CodeCache(1e6)
  const first = startIsolate(t)
  const cold = (await codeCache.compile(first, code, name)) as Compiled
  const run = await cold.run(await first.createContext(), { reference: true })
  assert.equal(await (run as ivm.Reference<() => number>).apply(undefined, []), 42)
  await codeCache.keepWarm(first, code, name)

  const warm = (await codeCache.compile(startIsolate(t), code, name)) as Compiled
  assert.equal(warm.cachedDataRejected, false)
  assert.equal(warm.cachedData, undefined)
})

test('a kept script outlives any number of others that there is no room for', async t => {
  const codeCache = new CodeCache(100)
  const isolate = startIsolate(t)
  await codeCache.keepWarm(isolate, code, name)
  for (let i = 0; i < 20; i++) await codeCache.compile(isolate, `${code}/* ${i} */`, name)
  assert.equal(((await codeCache.compile(startIsolate(t), code, name)) as Compiled).cachedDataRejected, false)
})
