// Made by "npm run build:inside". Not to be changed by hand.
'use strict';((...given) => {
// base/inside/protocol.ts
var FAKES = {
  /** Milliseconds since the epoch that every clock of the isolate shows. */
  now: 0,
  /** State of `Math.random`, a 32-bit whole number. */
  random: 1
};

// base/inside/fakes.ts
var [memory, fakesClock, fakesRandom] = given;
var shared = new Float64Array(memory);
var { parse } = JSON;
var inputs = /* @__PURE__ */ new Map();
function fakeClock() {
  const Native = Date;
  const time = () => shared[FAKES.now];
  function FakeDate(...values) {
    if (new.target === void 0) return new Native(time()).toString();
    return Reflect.construct(Native, values.length === 0 ? [time()] : values, new.target);
  }
  for (const key of ["UTC", "parse", "name", "length"]) {
    Object.defineProperty(FakeDate, key, Object.getOwnPropertyDescriptor(Native, key));
  }
  Object.defineProperty(FakeDate, "now", { value: time, writable: true, configurable: true });
  Object.defineProperty(FakeDate, "prototype", { value: Native.prototype, writable: false });
  Object.defineProperty(Native.prototype, "constructor", { value: FakeDate });
  Object.defineProperty(globalThis, "Date", { value: FakeDate });
}
function fakeRandom() {
  const draw = () => {
    const state = shared[FAKES.random] + 1831565813 | 0;
    shared[FAKES.random] = state;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
  Object.defineProperty(Math, "random", { value: draw });
}
if (fakesClock) fakeClock();
if (fakesRandom) fakeRandom();
var fakes_default = {
  putInput: (requestId, json) => void inputs.set(requestId, json),
  module: {
    input: (_, { requestId }) => {
      const json = inputs.get(requestId) ?? "null";
      inputs.delete(requestId);
      return parse(json);
    }
  }
};
return fakes_default;
})
