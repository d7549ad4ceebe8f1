/**
 * Isolates before they serve. That a module is answered with what is wrong with it is tested in slot.test.ts, at the door that slots have.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import type ivm from 'isolated-vm'
import { Counter } from '../trial/function-counter.ts'
import { makeBlank, warmUp } from './blank.ts'
import { CodeCache } from './code-cache.ts'

setFlagsFromString('--no-turboshaft-loop-unrolling')

/** A script that isolated-vm was given a cache for. */
type Compiled = ivm.Script & { readonly cachedDataRejected?: boolean }

test('every blank of a warm cell runs code that was compiled before', async t => {
  const rejected: unknown[] = []
  // This cache has no room: what is there all the same was kept as the cell's own code.
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
    clock: undefined,
    prepare: async (bare, context) => {
      const counter = await Counter.start(bare, context)
      guarded = counter.guard(bare)
      const taken = counter.take('berth:///test.js')
      // V8 answers meanwhile, and nothing else is due in this process that would move the promise on.
      for (const until = performance.now() + 50; performance.now() < until; );
      assert.deepEqual(await taken, [])
    },
  })
  guarded?.dispose()
  guarded?.dispose()
  while (!isolate.isDisposed) await new Promise(resolve => setImmediate(resolve))
})
