/** An isolate with the globals that slots have, and nothing else of a slot. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import ivm from 'isolated-vm'
import { type Globals, type GlobalsLimits, globalsText, type LazyPart } from '../../base/inside/globals.ts'
import { lazyParts } from '../../base/inside/lazy/parts.ts'

export interface Guest {
  /** Runs a script and returns a copy of its value; a promise is awaited. Scripts are sloppy unless they say 'use strict', bundles do. */
  run(code: string): Promise<unknown>
  /** Runs the body of an async function. */
  call(body: string): Promise<unknown>
  mendRegExp(): ReturnType<Globals['mendRegExp']>
  readonly logs: readonly { readonly level: string; readonly text: string }[]
  /** Wake-ups that the isolate has asked for. */
  readonly wakeUps: readonly { readonly no: number; readonly delayMs: number }[]
  /** Parts loaded so far. */
  readonly parts: readonly LazyPart[]
}

type SetUp = (
  globals: unknown,
  startTimer: ivm.Callback,
  log: ivm.Callback,
  load: ivm.Callback,
  seed: string,
  limits: GlobalsLimits,
) => Globals

/** Whatever is fetched is answered 200 with what was sent, as JSON. */
const echo = `(owner, method, sent, body) => {
  const head = { status: 200, statusText: 'OK', headers: [['content-type', 'application/json'], ['set-cookie', 'a'], ['set-cookie', 'b']] }
  const { url } = JSON.parse(sent)
  const text = JSON.stringify({ method, ...JSON.parse(sent), body: body instanceof ArrayBuffer ? [...new Uint8Array(body)] : body })
  return { answer: Promise.resolve({ head: JSON.stringify({ ...head, url, redirected: false }), body: text }), abort() {} }
}`
const setUpText = `(globals, startTimer, log, load, seed, limits) => globals({ startTimer, log, load, seed, fetch: ${echo} }, limits)`

export async function startGuest(t: TestContext, { slotTimers = 1000, seed = randomBytes(32).toString('hex') } = {}): Promise<Guest> {
  const isolate = new ivm.Isolate({ memoryLimit: 128 })
  const clocks = new Set<NodeJS.Timeout>()
  t.after(() => {
    for (const clock of clocks) clearTimeout(clock)
    isolate.dispose()
  })
  const context = await isolate.createContext()
  const logs: { level: string; text: string }[] = []
  const wakeUps: { no: number; delayMs: number }[] = []
  const parts: LazyPart[] = []
  const startTimer = new ivm.Callback(
    (no: number, delayMs: number) => {
      wakeUps.push({ no, delayMs })
      clocks.add(setTimeout(() => fireTimer.applyIgnored(undefined, [no]), delayMs))
    },
    { ignored: true },
  )
  const log = new ivm.Callback((level: string, text: string) => void logs.push({ level, text }), { ignored: true })
  const load = new ivm.Callback((part: LazyPart) => {
    parts.push(part)
    return lazyParts[part]
  })
  const globals = (await context.eval(globalsText, { reference: true, filename: 'berth:///globals.js' })) as ivm.Reference<unknown>
  const setUp = (await context.eval(setUpText, { reference: true })) as ivm.Reference<SetUp>
  const limits = new ivm.ExternalCopy<GlobalsLimits>({ slotTimers }).copyInto()
  const installed = (await setUp.apply(undefined, [globals.derefInto(), startTimer, log, load, seed, limits] as never, {
    result: { reference: true },
  })) as ivm.Reference<Globals>
  const fireTimer = await installed.get('fireTimer', { reference: true })
  const mendRegExp = await installed.get('mendRegExp', { reference: true })
  const run = async (code: string) => context.eval(code, { copy: true, promise: true })
  return {
    run,
    call: body => run(`(async () => { 'use strict'; ${body}\n})()`),
    mendRegExp: () => mendRegExp.applySync(undefined, [], { result: { copy: true } }),
    logs,
    wakeUps,
    parts,
  }
}

/** Promises that each of these bodies of async functions gives the same JSON in a slot as it does in Node.js. */
export function same(promise: string, bodies: readonly string[]): void {
  test(promise, async t => {
    const guest = await startGuest(t)
    for (const body of bodies) {
      const wrapped = `return JSON.stringify(await (async () => { ${body} })())`
      assert.equal(await guest.call(wrapped), await new Function(`return (async () => { 'use strict'; ${wrapped} })()`)(), body)
    }
  })
}

/** What expressions throw, as data. */
export const thrown = (...expressions: string[]) =>
  `return [${expressions.map(expression => `() => ${expression}`).join(', ')}].map(run => { try { return ['value', run()] } catch (error) { return [error.name, error.code, error instanceof Error, error instanceof DOMException] } })`
