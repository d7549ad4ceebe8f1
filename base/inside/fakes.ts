/**
 * What a rehearsal puts in the place of the clock and of chance, before anything in the isolate has taken hold of either. The text of
 * `installFakes` is compiled there, so it may use nothing from outside its own body.
 */

/** Places in the memory that a rehearsal shares with its isolate. */
export const FAKES = {
  /** Milliseconds since the epoch that every clock of the isolate shows. */
  now: 0,
  /** State of `Math.random`, a 32-bit whole number. */
  random: 1,
} as const

export interface Fakes {
  /** Sets apart the JSON of what a stage is to get when the request is something else. */
  putInput(requestId: string, json: string): void
  /** The exports of a module whose stage `input` returns that. */
  readonly module: { input(_: unknown, ctx: { readonly requestId: string }): unknown }
}

/** Runs once per isolate, before all other code. */
export function installFakes(memory: SharedArrayBuffer, fakesClock: boolean, fakesRandom: boolean): Fakes {
  const shared = new Float64Array(memory)
  const [now, random] = [0, 1]
  const { parse } = JSON

  function fakeClock(): void {
    const Native = Date
    const time = () => shared[now] as number
    function FakeDate(...values: number[]) {
      if (new.target === undefined) return new Native(time()).toString()
      return Reflect.construct(Native, values.length === 0 ? [time()] : values, new.target)
    }
    for (const key of ['UTC', 'parse', 'name', 'length'] as const) {
      Object.defineProperty(FakeDate, key, Object.getOwnPropertyDescriptor(Native, key) as PropertyDescriptor)
    }
    Object.defineProperty(FakeDate, 'now', { value: time, writable: true, configurable: true })
    Object.defineProperty(FakeDate, 'prototype', { value: Native.prototype, writable: false })
    Object.defineProperty(Native.prototype, 'constructor', { value: FakeDate })
    Object.defineProperty(globalThis, 'Date', { value: FakeDate })
  }

  /** mulberry32, a 32-bit generator by Tommy Ettinger. */
  function fakeRandom(): void {
    const draw = () => {
      const state = ((shared[random] as number) + 0x6d2b79f5) | 0
      shared[random] = state
      let mixed = Math.imul(state ^ (state >>> 15), state | 1)
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
    }
    Object.defineProperty(Math, 'random', { value: draw })
  }

  if (fakesClock) fakeClock()
  if (fakesRandom) fakeRandom()

  const inputs = new Map<string, string>()
  return {
    putInput: (requestId, json) => void inputs.set(requestId, json),
    module: {
      input: (_, { requestId }) => {
        const json = inputs.get(requestId) ?? 'null'
        inputs.delete(requestId)
        return parse(json)
      },
    },
  }
}
