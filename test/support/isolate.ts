/** Starts an isolate with everything that slots have, and with one request that waits, so that code can run that no stage has called. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import ivm from 'isolated-vm'
import type { Mended } from '../../base/inside/built-ins/open.ts'
import { type InsideLimits, LAZY_PARTS, type LazyPart, type LogLine, type Posted, type StagePlan } from '../../base/inside/protocol.ts'
import { insideScript } from '../../base/slot/inside-script.ts'
import { machineClock, type SlotClock } from '../../base/slot/slot-clock.ts'
import type { Tape } from '../../base/slot/tape.ts'
import { bundleOf, scriptOf } from '../../scripts/build-inside.ts'
import type { GuestInside } from './guest-inside.ts'

export interface Guest {
  /** Runs a script and returns a copy of its value; a promise is awaited. The script is sloppy unless it has 'use strict', as bundles do. */
  run(code: string): Promise<unknown>
  /** Runs the body of an async function. */
  call(body: string): Promise<unknown>
  mendOpen(): Mended | undefined
  readonly logs: readonly { readonly level: string; readonly text: string }[]
  /** The timers that the isolate has asked the host for. */
  readonly wakeUps: readonly { readonly no: number; readonly delayMs: number }[]
  /** The lazy parts that have been loaded so far, each as often as it was loaded. */
  readonly parts: readonly LazyPart[]
}

type SetUp = (...given: ivm.Transferable[]) => GuestInside

const guestLimits: InsideLimits = {
  resultChars: 1e6,
  requestCalls: 1000,
  callChars: 1e6,
  fetchBytes: 1e6,
  slotTimers: 1000,
  logLinesPerSecond: 1e6,
  logLineChars: 10_000,
  paramsKept: 10,
  rejectionChars: 8192,
  misfits: 8,
}
const script = bundleOf('test/support/guest-inside.ts').then(bundle => scriptOf(bundle))
const stage = { stage: 'wait', modules: ['guest'], parallel: false, onFailure: 'fail' } as const
const plan: StagePlan = { ...stage, merge: undefined, deadlineMs: undefined, fallbackModule: undefined, fallbackValue: undefined }

const copyOf = <T>(value: T) => new ivm.ExternalCopy(value).copyInto() as ivm.Copy<T>

interface GuestOptions {
  readonly slotTimers?: number
  /** 64 hexadecimal digits. */
  readonly seed?: string
  readonly clock?: SlotClock
  readonly tape?: Tape
}

export async function startGuest(t: TestContext, options: GuestOptions = {}): Promise<Guest> {
  const { slotTimers = 1000, seed = randomBytes(32).toString('hex'), clock = machineClock(), tape } = options
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

  const posts: Readonly<Record<string, (...values: Posted[]) => void>> = {
    log: (_, lines) => {
      for (const { level, message } of JSON.parse(String(lines)) as LogLine[]) logs.push({ level, text: message })
    },
    timer: (no, delay) => {
      const [wakeUp, delayMs] = [Number(no), Number(delay)]
      wakeUps.push({ no: wakeUp, delayMs })
      const wake = () => {
        clock.write()
        fireTimer.applyIgnored(undefined, [wakeUp])
      }
      clocks.add(setTimeout(wake, delayMs))
    },
    fetch: (callNo, _, __, method, head, body) => {
      settleFetch.applyIgnored(undefined, [Number(callNo), ...echo(String(method), String(head), body)])
    },
  }
  const post = new ivm.Callback((kind: string, ...values: Posted[]) => posts[kind]?.(...values), { ignored: true })
  // The isolate keeps this global, which slots do not have: it is how the tests see that a part is loaded.
  await context.global.set('partLoaded', new ivm.Callback((part: LazyPart) => void parts.push(part)))
  const partTexts = LAZY_PARTS.map(part => `'use strict';partLoaded('${part}');${insideScript(part)}`)
  const setUp = (await context.eval(await script, { reference: true, filename: 'berth:///inside.js' })) as ivm.Reference<SetUp>
  const given = [
    post,
    copyOf(new SharedArrayBuffer(16)),
    copyOf(clock.memory),
    copyOf({ ...guestLimits, slotTimers }),
    seed,
    tape && copyOf(tape.memory),
    ...partTexts,
  ]
  const inside = (await setUp.apply(undefined, given, { result: { reference: true } })) as ivm.Reference<GuestInside>
  const fireTimer = await inside.get('fireTimer', { reference: true })
  const settleFetch = await inside.get('settleFetch', { reference: true })
  const mendOpen = await inside.get('mendOpen', { reference: true })
  await startWaiting(context, inside)

  const run = async (code: string) => {
    clock.write()
    return context.eval(code, { copy: true, promise: true })
  }
  return {
    run,
    call: body => run(`(async () => { 'use strict'; ${body}\n})()`),
    mendOpen: () => mendOpen.applySync(undefined, [], { result: { copy: true } }),
    logs,
    wakeUps,
    parts,
  }
}

/** Starts a request that is never answered. */
async function startWaiting(context: ivm.Context, inside: ivm.Reference<GuestInside>): Promise<void> {
  const exports = (await context.eval('({ wait: () => new Promise(() => {}) })', { reference: true })) as ivm.Reference<unknown>
  const define = await inside.get('define', { reference: true })
  const link = await inside.get('link', { reference: true })
  const turn = await inside.get('turn', { reference: true })
  await define.apply(undefined, ['guest', copyOf(['wait']), exports.derefInto()])
  await link.apply(undefined, ['guest', 'v1', copyOf([plan]), copyOf({}), copyOf({ request: '', answer: '' })])
  await turn.apply(undefined, [1, ['request', '{}', '', performance.now() + 1e9, '{}', -1]], { arguments: { copy: true } })
}

/** Answers every fetch with status 200 and, as JSON, what was sent. */
function echo(method: string, head: string, sent: Posted | undefined): [head: string, body: string] {
  const { url } = JSON.parse(head) as { url: string }
  const headers = [
    ['content-type', 'application/json'],
    ['set-cookie', 'a'],
    ['set-cookie', 'b'],
  ]
  const body = sent instanceof ArrayBuffer ? [...new Uint8Array(sent)] : sent
  const answer = { status: 200, statusText: 'OK', headers, url, redirected: false }
  return [JSON.stringify(answer), JSON.stringify({ method, ...JSON.parse(head), body })]
}

/** Tests that each of these bodies of async functions gives the same JSON in a slot as in Node.js. */
export function same(promise: string, bodies: readonly string[]): void {
  test(promise, async t => {
    const guest = await startGuest(t)
    for (const body of bodies) {
      const wrapped = `return JSON.stringify(await (async () => { ${body} })())`
      assert.equal(await guest.call(wrapped), await new Function(`return (async () => { 'use strict'; ${wrapped} })()`)(), body)
    }
  })
}

/** The body of a function that returns, as data, what each expression gives or throws. */
export const thrown = (...expressions: string[]) =>
  `return [${expressions.map(expression => `() => ${expression}`).join(', ')}].map(run => { try { return ['value', run()] } catch (error) { return [error.name, error.code, error instanceof Error, error instanceof DOMException] } })`
