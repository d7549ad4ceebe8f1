/**
 * What a rehearsal puts in the place of the clock and of chance. This is a script of its own. It runs once per isolate before all other
 * code, which gets hold of the clock and of chance when it starts. `given` are the arguments of the function that its bundle is the body
 * of.
 */
import { FAKES, type Fakes, type GivenToFakes } from './protocol.ts'

declare const given: GivenToFakes

const [memory, fakesClock, fakesRandom] = given
const shared = new Float64Array(memory)
const { parse } = JSON
const inputs = new Map<string, string>()

function fakeClock(): void {
  const Native = Date
  const time = () => shared[FAKES.now] as number
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
    const state = ((shared[FAKES.random] as number) + 0x6d2b79f5) | 0
    shared[FAKES.random] = state
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  Object.defineProperty(Math, 'random', { value: draw })
}

if (fakesClock) fakeClock()
if (fakesRandom) fakeRandom()

export default {
  putInput: (requestId, json) => void inputs.set(requestId, json),
  module: {
    input: (_, { requestId }) => {
      const json = inputs.get(requestId) ?? 'null'
      inputs.delete(requestId)
      return parse(json)
    },
  },
} satisfies Fakes
