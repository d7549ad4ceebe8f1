/** How code enters an isolate once it is loaded: what a slot calls there, and how the values cross. */
import ivm from 'isolated-vm'
import { byCopy, type Remotes } from './blank.ts'

/** The calls of `Inside` that a slot makes. Each promise settles when everything that the call has set off is over, and its posts have arrived here. */
export interface Entrance {
  turn(firstNo: number, values: readonly (string | number)[]): Promise<unknown>
  reportOf(firstNo: number): Promise<unknown>
  abandon(requestNo: number): void
  settleCalls(values: readonly (string | number)[]): Promise<unknown>
  /** @param body is handed over: an `ArrayBuffer` is empty afterwards */
  settleFetch(callNo: number, head: string, body: string | ArrayBuffer): Promise<unknown>
  fireTimer(timerNo: number): Promise<unknown>
  probe(): Promise<unknown>
}

export function entranceOf(inside: Remotes): Entrance {
  return {
    turn: (firstNo, values) => inside.turn.apply(undefined, [firstNo, values], byCopy),
    reportOf: firstNo => inside.reportOf.apply(undefined, [firstNo], byCopy),
    abandon: requestNo => inside.abandon.applyIgnored(undefined, [requestNo]),
    settleCalls: values => inside.settleCalls.apply(undefined, [values], byCopy),
    settleFetch: (callNo, head, body) =>
      inside.settleFetch.apply(undefined, [callNo, head, typeof body === 'string' ? body : handedOver(body)]),
    fireTimer: timerNo => {
      const fired = inside.fireTimer.apply(undefined, [timerNo])
      // It goes in right behind the timer, and so marks the moment when all that the timer has set off is over.
      inside.probe.applyIgnored(undefined, [])
      return fired
    },
    probe: () => inside.probe.apply(undefined, []),
  }
}

/** Bytes that go into the isolate without being copied. */
export function handedOver(body: ArrayBuffer): ivm.Copy<ArrayBuffer> {
  return new ivm.ExternalCopy(body, { transferOut: true }).copyInto({ transferIn: true, release: true })
}
