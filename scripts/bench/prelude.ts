/**
 * What the globals cost a slot: `node bin/launch.cjs scripts/bench/prelude.ts`. Milliseconds to compile (from a code cache) and run their
 * script in a fresh isolate; KB of heap that stay after a collection. With and without a code cache.
 */
import { randomBytes } from 'node:crypto'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import v8 from 'node:v8'
import Table from 'cli-table3'
import ivm from 'isolated-vm'
import { globalsText, type LazyPart } from '../../base/inside/globals.ts'
import { lazyParts } from '../../base/inside/lazy/parts.ts'

interface Sample {
  readonly ms: number
  /** Heap kept after a collection, and heap taken until then, with what the run left behind. */
  readonly keptKB: number
  readonly takenKB: number
}

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '200' } } })
const rounds = Number(values.rounds)
// As cells do; and a collector to call, so that what stays can be told from what is in the way.
v8.setFlagsFromString('--no-turboshaft-loop-unrolling')
v8.setFlagsFromString('--expose-gc')

const filename = 'berth:///globals.js'
// In parentheses V8 compiles it at once, and not when it is first called, which is timed.
const setUpText = `((globals, load, seed) => { globals({ startTimer() {}, log() {}, fetch() {}, load, seed }, { slotTimers: 1000 }) })`
const cached = warmCache()

/** A code cache with the functions that running the script compiles, made as cells make theirs. */
function warmCache(): NonNullable<ivm.ScriptInfo['cachedData']> {
  return withIsolate((isolate, context) => {
    const globals = isolate.compileScriptSync(globalsText, { filename }).runSync(context, { reference: true })
    const values = [globals.derefInto(), new ivm.Callback(() => ''), '']
    context.evalSync(setUpText, { reference: true }).applySync(undefined, values)
    const { cachedData } = isolate.compileScriptSync(globalsText, { filename, produceCachedData: true }) as ivm.Script & ivm.ScriptInfo
    if (cachedData === undefined) throw new Error('V8 made no code cache')
    return cachedData
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
    const load = new ivm.Callback((part: LazyPart) => lazyParts[part])
    const setUp = context.evalSync(setUpText, { reference: true })
    const cachedData = useCache ? { cachedData: cached } : {}
    context.evalSync('gc()')
    const before = isolate.getHeapStatisticsSync().used_heap_size
    const start = performance.now()
    const script = isolate.compileScriptSync(globalsText, { filename, ...cachedData }) as ivm.Script & { cachedDataRejected?: boolean }
    if (script.cachedDataRejected) throw new Error('V8 rejected the code cache')
    const globals = script.runSync(context, { reference: true })
    setUp.applySync(undefined, [globals.derefInto(), load, randomBytes(32).toString('hex')])
    if (after !== '') context.evalSync(after)
    const ms = performance.now() - start
    const taken = isolate.getHeapStatisticsSync().used_heap_size
    context.evalSync('gc()')
    const kept = isolate.getHeapStatisticsSync().used_heap_size
    return { ms, keptKB: (kept - before) / 1024, takenKB: (taken - before) / 1024 }
  })
}

function quantile(samples: readonly Sample[], of: keyof Sample, at: number): number {
  return samples.map(each => each[of]).sort((a, b) => a - b)[Math.floor(samples.length * at)] ?? Number.NaN
}

const cases: readonly (readonly [string, boolean, string])[] = [
  ['prelude, from a code cache', true, ''],
  ['prelude, compiled', false, ''],
  ['… and structuredClone({})', true, 'structuredClone({});0'],
  ['… and new TextEncoder()', true, 'new TextEncoder();0'],
  ['… and new AbortController()', true, 'new AbortController();0'],
  ['… and new Response("{}").json()', true, 'new Response("{}").json();0'],
  ["… and new Request('https://a.example/')", true, "new Request('https://a.example/');0"],
  ['… and crypto.randomUUID()', true, 'crypto.randomUUID()'],
  ["… and new URL('https://a.example')", true, "new URL('https://a.example');0"],
]
const samples = new Map<string, Sample[]>(cases.map(([name]) => [name, []]))
for (let round = 0; round < rounds; round++) for (const [name, useCache, after] of cases) samples.get(name)?.push(sample(useCache, after))

console.log(`Node ${process.version}, ${cpus()[0]?.model}, ${cpus().length} CPUs; ${rounds} rounds, interleaved`)
const table = new Table({
  head: ['', 'ms p10', 'ms p50', 'KB kept', 'KB taken'],
  style: { head: [], border: [] },
  colAligns: ['left', 'right', 'right', 'right', 'right'],
})
for (const [name, found] of samples) {
  table.push([
    name,
    quantile(found, 'ms', 0.1).toFixed(2),
    quantile(found, 'ms', 0.5).toFixed(2),
    quantile(found, 'keptKB', 0.5).toFixed(0),
    quantile(found, 'takenKB', 0.5).toFixed(0),
  ])
}
console.log(table.toString())
