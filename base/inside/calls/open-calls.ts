/** The calls of scenes, services and fetches that requests wait for. */
import { ByNumber } from '../by-number.ts'
import { limits } from '../host.ts'
import type { Request } from '../open-request.ts'

interface OpenCall extends NewCall {
  readonly no: number
}

interface NewCall {
  /** Undefined for a fetch when it is not known which request makes it. */
  readonly caller: Request | undefined
  readonly resolve: (value: never) => void
  readonly reject: (reason: Error) => void
  readonly kind: 'call' | 'fetch'
}

const openCalls = new ByNumber<OpenCall>()
let lastCall = 0
let withoutCaller = 0

/** @throws when the request has been answered, or has too many calls open */
export function admit(caller: Request, what: string): void {
  if (caller.done) throw new Error(`${what}: the request has been answered already`)
  if (caller.calls >= limits.requestCalls) throw new RangeError(`${what}: ${limits.requestCalls} calls are open in this request already`)
}

/** @throws RangeError when too many fetches of unknown requests are under way */
export function admitWithoutCaller(): void {
  if (withoutCaller >= limits.requestCalls) throw new RangeError(`fetch: ${limits.requestCalls} are under way already`)
}

/** Returns the number of the call. */
export function enter(call: NewCall): number {
  if (call.caller === undefined) withoutCaller++
  else call.caller.calls++
  const no = ++lastCall
  openCalls.add(no, { ...call, no })
  return no
}

/** Takes a call out. Returns undefined when nobody waits for it any more. */
export function leave(callNo: number): OpenCall | undefined {
  const call = openCalls.get(callNo)
  if (call === undefined) return undefined
  openCalls.delete(callNo)
  if (call.caller === undefined) withoutCaller--
  else call.caller.calls--
  return call
}

/** Drops the calls that the request waits for. */
export function forget(caller: Request): void {
  for (const { no, caller: waits } of openCalls.values()) if (waits === caller) leave(no)
}
