/**
 * `npm run bench:prelude`: measures what the code inside costs a slot before any module is loaded. It prints the milliseconds to compile and run its
 * script in a fresh isolate, with and without a code cache, and the KB of memory that stay after a garbage collection. That memory is the heap and
 * what the heap holds outside: the texts, of which those of the lazy parts are shared by all isolates.
 */
import { randomBytes } from 'node:crypto'
import v8 from 'node:v8'
import ivm from 'isolated-vm'
import { type InsideLimits, LAZY_PARTS } from '../../base/inside/protocol.ts'
import { renderColumns } from '../../base/kernel/columns.ts'
import { insideScript } from '../../base/slot/inside-script.ts'
import { describeMachine, readFlags } from './flags.ts'
import { quantile } from './median.ts'

interface Sample {
  readonly ms: number
  /** KB of memory after a garbage collection, and before it, with the garbage of the run. */
  readonly keptKB: number
  readonly takenKB: number
}

const { rounds } = readFlags({ rounds: { value: 200, about: 'rounds, in each of which every case runs once' } })
// The first flag is one that cells have. The second makes it possible to collect garbage before measuring the heap.
v8.setFlagsFromString('--no-turboshaft-loop-unrolling')
v8.setFlagsFromString('--expose-gc')

const filename = 'berth:///inside.js'
const insideText = insideScript('inside')
const limits: InsideLimits = {
  resultChars: 1e6,
  requestCalls: 100,
  callChars: 1e6,
  fetchBytes: 1e6,
  slotTimers: 1000,
  logLinesPerSecond: 100,
  logLineChars: 1000,
  paramsKept: 100,
  rejectionChars: 8192,
  misfits: 8,
}
const partTexts = LAZY_PARTS.map(part => new ivm.ExternalCopy(insideScript(part)))
const cached = warmCache()

/** A code cache that also has the functions that are compiled while the script runs. Cells make theirs in the same way. */
function warmCache(): NonNullable<ivm.ScriptInfo['cachedData']> {
  return withIsolate((isolate, context) => {
    setUp(isolate.compileScriptSync(insideText, { filename }), context)
    const { cachedData } = isolate.compileScriptSync(insideText, { filename, produceCachedData: true }) as ivm.Script & ivm.ScriptInfo
    if (cachedData === undefined) throw new Error('V8 made no code cache')
    return cachedData
  })
}

function setUp(script: ivm.Script, context: ivm.Context): void {
  const inside = script.runSync(context, { reference: true }) as ivm.Reference<(...given: ivm.Transferable[]) => unknown>
  const post = new ivm.Callback(() => undefined, { ignored: true })
  const [cursor, clock, bounds] = [new SharedArrayBuffer(16), new SharedArrayBuffer(16), limits].map(value =>
    new ivm.ExternalCopy(value).copyInto(),
  )
  const parts = partTexts.map(text => text.copyInto())
  inside.applySync(undefined, [post, cursor, clock, bounds, randomBytes(32).toString('hex'), undefined, ...parts] as ivm.Transferable[], {
    result: { reference: true },
  })
}

function withIsolate<T>(use: (isolate: ivm.Isolate, context: ivm.Context) => T): T {
  const isolate = new ivm.Isolate({ memoryLimit: 128 })
  try {
    return use(isolate, isolate.createContextSync())
  } finally {
    isolate.dispose()
  }
}

function sample(useCache: boolean, after: string): Sample {
  return withIsolate((isolate, context) => {
    const cachedData = useCache ? { cachedData: cached } : {}
    context.evalSync('gc()')
    const before = memoryOf(isolate)
    const start = performance.now()
    const script = isolate.compileScriptSync(insideText, { filename, ...cachedData }) as ivm.Script & { cachedDataRejected?: boolean }
    if (script.cachedDataRejected) throw new Error('V8 rejected the code cache')
    setUp(script, context)
    if (after !== '') context.evalSync(after)
    const ms = performance.now() - start
    const taken = memoryOf(isolate)
    context.evalSync('gc()')
    const kept = memoryOf(isolate)
    return { ms, keptKB: (kept - before) / 1024, takenKB: (taken - before) / 1024 }
  })
}

function memoryOf(isolate: ivm.Isolate): number {
  const { used_heap_size, externally_allocated_size } = isolate.getHeapStatisticsSync()
  return used_heap_size + externally_allocated_size
}

const cases: readonly (readonly [string, boolean, string])[] = [
  ['prelude, from a code cache', true, ''],
  ['prelude, compiled', false, ''],
  ['… and structuredClone({})', true, 'structuredClone({});0'],
  ['… and new TextEncoder()', true, 'new TextEncoder();0'],
  ["… and new TextDecoder('utf-16le')", true, "new TextDecoder('utf-16le');0"],
  ["… and new TextDecoder('big5').decode(…)", true, "new TextDecoder('big5').decode(Uint8Array.of(164, 164));0"],
  ['… and new Uint8Array(1)', true, 'new Uint8Array(1);0'],
  ['… and new AbortController()', true, 'new AbortController();0'],
  ['… and new Response("{}").json()', true, 'new Response("{}").json();0'],
  ["… and new Request('https://a.example/')", true, "new Request('https://a.example/');0"],
  ['… and crypto.randomUUID()', true, 'crypto.randomUUID()'],
  ["… and new URL('https://a.example')", true, "new URL('https://a.example');0"],
]
const samples = new Map<string, Sample[]>(cases.map(([name]) => [name, []]))
for (let round = 0; round < rounds; round++) for (const [name, useCache, after] of cases) samples.get(name)?.push(sample(useCache, after))

console.log(`${describeMachine()}; ${rounds} rounds, interleaved`)
const rows = [...samples].map(([name, found]) => {
  const at = (of: keyof Sample, q: number) =>
    quantile(
      found.map(each => each[of]).sort((a, b) => a - b),
      q,
    )
  return [name, at('ms', 0.1).toFixed(2), at('ms', 0.5).toFixed(2), at('keptKB', 0.5).toFixed(0), at('takenKB', 0.5).toFixed(0)]
})
console.log(renderColumns(['', 'ms p10', 'ms p50', 'KB kept', 'KB taken'], rows))
