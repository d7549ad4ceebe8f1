/** Isolates before they serve. That what is wrong with a module is told is promised in slot.test.ts, at the door that slots have. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import ivm from 'isolated-vm'
import { Counter } from '../trial/function-counter.ts'
import { CodeCache, makeBlank, warmUp } from './isolate.ts'

setFlagsFromString('--no-turboshaft-loop-unrolling')

function startIsolate(t: TestContext): ivm.Isolate {
  const isolate = new ivm.Isolate({ memoryLimit: 32 })
  t.after(() => isolate.dispose())
  return isolate
}

/** What isolated-vm tells of a compilation: `cachedData` when it made a cache, `cachedDataRejected` when it was given one. */
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

test('every blank of a warm cell runs code that was compiled before', async t => {
  const rejected: unknown[] = []
  // Without room: what is there all the same was kept as the cell's own.
  const codeCache = new (class extends CodeCache {
    override async compile(...what: Parameters<CodeCache['compile']>): Promise<ivm.Script> {
      const script: Compiled = await super.compile(...what)
      rejected.push(script.cachedDataRejected)
      return script
    }
  })(0)
  await warmUp(codeCache)
  rejected.length = 0
  const blank = await makeBlank(32, codeCache)
  t.after(() => blank.isolate.dispose())
  assert.deepEqual(rejected, [false])
})

test('an isolate whose code is counted may be disposed of twice, as any other, and ends once its session has', {
  timeout: 60_000,
}, async () => {
  let guarded: ivm.Isolate | undefined
  const { isolate } = await makeBlank(32, new CodeCache(0), {
    seed: undefined,
    prepare: async (bare, context) => {
      const counter = await Counter.start(bare, context)
      guarded = counter.guard(bare)
      const taken = counter.take(name)
      // V8 answers meanwhile, and nothing else is due in this process then that would move the promise on.
      for (const until = performance.now() + 50; performance.now() < until; );
      assert.deepEqual(await taken, [])
    },
  })
  guarded?.dispose()
  guarded?.dispose()
  while (!isolate.isDisposed) await new Promise(resolve => setImmediate(resolve))
})
