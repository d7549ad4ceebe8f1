// Made by "npm run build:inside". Not to be changed by hand.
'use strict';((...given) => {
// base/inside/primordials.ts
var { parse, stringify } = JSON;
var { floor, imul, max, min, trunc } = Math;
var { apply, construct, defineProperty: tryToDefine, deleteProperty, ownKeys, set, setPrototypeOf } = Reflect;
var {
  assign,
  create,
  defineProperties,
  defineProperty,
  entries,
  freeze,
  fromEntries,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  hasOwn,
  is,
  isExtensible,
  keys,
  seal,
  values
} = Object;

// base/inside/built-ins/stand-ins.ts
function shownAs(native, by) {
  const bound = by.bind(void 0);
  defineProperty(bound, "name", { value: native.name });
  defineProperty(bound, "length", { value: native.length });
  return bound;
}
function classShownAs(native, make) {
  const { prototype } = native;
  const standIn = shownAs(native, make);
  for (const key of ownKeys(native)) {
    const descriptor = getOwnPropertyDescriptor(native, key);
    if (key !== "name" && key !== "length") defineProperty(standIn, key, descriptor);
  }
  defineProperty(make, "prototype", { value: prototype, writable: false });
  defineProperty(prototype, "constructor", { value: standIn });
  return standIn;
}

// base/inside/protocol.ts
var AnswerKind = { ok: 0, failed: 1, waiting: 2, noted: 3 };
var REQUEST_STRIDE = 6;
var ANSWER_STRIDE = 3;
var TURNS_IN_FLIGHT = 2;
var CALL_STRIDE = 5;
var SETTLED_STRIDE = 3;
var CURSOR = {
  /** Number of the request that was started last; numbers only grow. */
  started: 0,
  /**
   * Number of the request whose code runs, from when a stage is called until it returns or comes to its first `await`, and while its answer is made; else 0.
   * After an `await`, nothing says which request code belongs to.
   */
  running: 1,
  /** Number of the request whose body is being parsed, before any code of a module runs for it; else 0. */
  reading: 2,
  /**
   * Number of the step whose code was entered last, from 1 on: the modules of each stage, then the one that merges, then the one that stands
   * in. Code that goes on after an `await` counts when a call or a timer woke it. 0 until there is one.
   */
  step: 3,
  /** Milliseconds for which timers ran that answered requests have left behind, and since when one runs now by the monotonic clock of the cell, or 0. */
  leftMs: 4,
  leftSince: 5,
  /** How often `running` has been set: two readings with the same number saw the same run. */
  run: 6,
  /** 1 while the body of the request that was started last is checked against the schema, before any code of a module runs for it. */
  checking: 7,
  /** 1 while requests only warm the slot up: what their code logs is dropped, and does not count. Written by the cell. */
  warmingUp: 8
};
var CLOCK = {
  /** Milliseconds by the monotonic clock of the cell at the last writing. */
  monotonic: 0,
  /** Milliseconds since the epoch by the wall clock at that time, less `monotonic`. */
  wallMinusMonotonic: 1
};
var TAPE = {
  /** A `TapeMode`. */
  mode: 0,
  /** How many readings were made since the cell has set this to 0, those included for which the tape had no place, or nothing to give. */
  count: 1,
  /** Of a replay: how many readings there are to give. */
  length: 2,
  /** Of a replay: what the clock shows when all readings are given, by the monotonic clock; the cell adds the CPU time that was used. */
  beyond: 3,
  /** Reasons why a replay may give something else, a set of `TapeMark`. The cell empties it. */
  marks: 4,
  /** 1 when the next turn is to seed chance anew from the words at `seed`; the turn sets it to 0. */
  reseed: 5,
  /** `SEED_WORDS` whole numbers of 32 bits: the first half seeds `Math.random`, the other half `crypto`. */
  seed: 6,
  /** The first of the readings, `limits.capsule.readingsMax` of them: milliseconds of the monotonic clock. */
  readings: 14
};
var SEED_WORDS = 8;
var TapeMode = { off: 0, recording: 1, replaying: 2 };
var TapeMark = { weakReferences: 1, stackOverflow: 2, tooManyReadings: 4 };
var LAZY_PARTS = ["clone", "encodings", "events", "fetch", "multibyte", "random", "schema-check", "text", "url"];
var REJECTION_REASON = /^[A-Z][A-Z0-9_]{0,63}$/;
var DEPTH_MAX = 32768;
var [QUOTE, BACKSLASH, OPENING, CLOSING, UPPER] = [34, 92, 123, 125, 32];
function demandShallow(json) {
  if (json.length <= 2 * DEPTH_MAX) return;
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) at = endOfString(json, at);
    else if ((code | UPPER) === OPENING && ++depth > DEPTH_MAX) {
      throw new Error(`it is nested more than ${DEPTH_MAX} levels deep at position ${at}`);
    } else if ((code | UPPER) === CLOSING) depth--;
  }
}
function endOfString(json, start2) {
  for (let at = start2 + 1; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) return at;
    if (code === BACKSLASH) at++;
  }
  return json.length;
}

// base/inside/host.ts
var [postToCell, cursorMemory, clockMemory, bounds, randomSeed, tapeMemory, ...partTexts] = given;
var post = postToCell;
var limits = bounds;
var seed = randomSeed;
var cursor = new Float64Array(cursorMemory);
var clock = new Float64Array(clockMemory);
var tape = tapeMemory === void 0 ? void 0 : new Float64Array(tapeMemory);
var partText = (part) => partTexts[LAZY_PARTS.indexOf(part)];

// base/inside/chance.ts
var HALF = SEED_WORDS / 2;
var THROWN_AWAY = 16;
var cryptoSeed = { words: [], seedings: 0 };
var state = new Int32Array(HALF);
function replaceRandom() {
  seedFrom((i) => Number.parseInt(seed.slice(8 * i, 8 * i + 8), 16));
  defineProperty(Math, "random", { value: shownAs(Math.random, random) });
}
function seedIfTold() {
  const places = tape;
  if (places === void 0 || places[TAPE.reseed] !== 1) return;
  places[TAPE.reseed] = 0;
  seedFrom((i) => places[TAPE.seed + i]);
}
function seedFrom(wordAt) {
  let mixed = 0;
  for (let i = 0; i < HALF; i++) state[i] = mixed = mix(mixed + wordAt(i));
  for (let i = HALF - 1; i >= 0; i--) state[i] = mixed = mix(mixed + state[i]);
  for (let i = 0; i < THROWN_AWAY; i++) step();
  cryptoSeed.words = [wordAt(HALF), wordAt(HALF + 1), wordAt(HALF + 2), wordAt(HALF + 3)];
  cryptoSeed.seedings++;
}
function mix(word) {
  let mixed = word + 2654435769 | 0;
  mixed = imul(mixed ^ mixed >>> 16, 2246822507);
  mixed = imul(mixed ^ mixed >>> 13, 3266489909);
  return mixed ^ mixed >>> 16;
}
function step() {
  const b = state[1];
  const c = state[2];
  const count = state[3];
  const sum = (state[0] + b | 0) + count;
  state[0] = b ^ b >>> 9;
  state[1] = c + (c << 3);
  state[2] = (c << 21 | c >>> 11) + sum;
  state[3] = count + 1;
  return sum;
}
function random() {
  const high = step() >>> 5;
  const low = step() >>> 6;
  return (high * 2 ** 26 + low) / 2 ** 53;
}

// base/inside/built-ins/refusals.ts
var madeGlobals = /* @__PURE__ */ new Map();
function refusal(object, key) {
  return new TypeError(`Cannot change ${memberName(object, key)}: the modules of a version share the built-ins, so none may change them`);
}
function memberName(object, key) {
  const owner = nameOf(object) ?? ownNameOf(object);
  if (typeof key === "symbol") return `${owner}[${key.description ?? ""}]`;
  return owner === "globalThis" ? `the global ${String(key)}` : `${owner}.${String(key)}`;
}
function ownNameOf(object) {
  if (typeof object === "function") return object.name;
  if (hasOwn(object, Symbol.toStringTag)) return String(object[Symbol.toStringTag]);
  return hasOwn(object, "constructor") ? `${object.constructor.name}.prototype` : "a built-in";
}
function nameOf(object) {
  if (object === globalThis) return "globalThis";
  for (const key of ownKeys(globalThis)) {
    const { value, get, configurable } = getOwnPropertyDescriptor(globalThis, key);
    if (configurable) continue;
    const known3 = get === void 0 ? value : madeGlobals.get(get);
    if (known3 === object) return String(key);
    if (typeof known3 === "function" && known3.prototype === object) return `${String(key)}.prototype`;
  }
  return void 0;
}

// base/inside/built-ins/open.ts
var openMembers = [];
var openKeys = /* @__PURE__ */ new Map();
function leaveGlobalOpen(key) {
  defineProperty(globalThis, key, { configurable: false });
  openMembers.push({ object: globalThis, key, value: globalThis[key] });
}
function closeGlobals() {
  const others = openMembers.filter(({ object }) => object !== globalThis);
  for (const { object, key } of openMembers) if (object === globalThis) defineProperty(object, key, { writable: false });
  openMembers.splice(0, openMembers.length, ...others);
}
function leaveOpen(object, key, { value, configurable }) {
  if (object !== Error) openMembers.push({ object, key, value });
  if (!configurable) return;
  const keys3 = openKeys.get(object);
  if (keys3 === void 0) openKeys.set(object, [key]);
  else keys3.push(key);
}
var isOpen = (object, key) => openKeys.get(object)?.includes(key) === true;
var regExpPrototype = RegExp.prototype;
var keys2 = ownKeys(regExpPrototype);
var parent = getPrototypeOf(regExpPrototype);
var descriptors = keys2.map((key) => getOwnPropertyDescriptor(regExpPrototype, key));
function mendOpen() {
  const members = mendMembers();
  const regExp = mendRegExp();
  if (regExp === void 0 || members === void 0) return regExp ?? members;
  return { changed: [...members.changed, ...regExp.changed], complete: members.complete && regExp.complete };
}
var putBackSoFar = [];
var complete = true;
function putBack() {
  for (let i = 0; i < openMembers.length; i++) {
    const member = openMembers[i];
    const { object, key, value } = member;
    if (object[key] === value) continue;
    putBackSoFar.push(member);
    complete = set(object, key, value) && complete;
  }
}
function mendMembers() {
  putBack();
  if (putBackSoFar.length === 0) return void 0;
  const changed = putBackSoFar.map(({ object, key }) => memberName(object, key));
  putBackSoFar = [];
  return { changed, complete };
}
function mendRegExp() {
  const keysNow = ownKeys(regExpPrototype);
  const moved = getPrototypeOf(regExpPrototype) !== parent;
  let changed;
  for (let i = 0; i < keys2.length; i++) {
    const key = keys2[i];
    if (isAsItWas(key, descriptors[i])) continue;
    changed ??= [];
    changed.push(key);
  }
  if (changed === void 0 && keysNow.length === keys2.length && !moved) return void 0;
  const added = keysNow.filter((key) => !keys2.includes(key));
  let complete2 = setPrototypeOf(regExpPrototype, parent);
  for (const key of added) complete2 = deleteProperty(regExpPrototype, key) && complete2;
  keys2.forEach((key, i) => {
    complete2 = tryToDefine(regExpPrototype, key, descriptors[i]) && complete2;
  });
  return { changed: [...changed ?? [], ...added].map((key) => memberName(regExpPrototype, key)), complete: complete2 };
}
function isAsItWas(key, { value, get }) {
  const now = getOwnPropertyDescriptor(regExpPrototype, key);
  return now !== void 0 && now.value === value && now.get === get;
}

// base/inside/built-ins/protect.ts
var guarded = /* @__PURE__ */ new Set([Error]);
var slow = [];
function protect(object) {
  let assignable = false;
  for (const key of ownKeys(object)) {
    const descriptor = getOwnPropertyDescriptor(object, key);
    protectValue(key, descriptor);
    if (!isAssignable(descriptor)) continue;
    defineProperty(object, key, overridable(object, key, descriptor.value));
    assignable = true;
  }
  freeze(object);
  if (assignable) noteGuarded(object);
}
function protectAround(object, open2) {
  const changes = create(null);
  for (const key of ownKeys(object)) {
    const descriptor = getOwnPropertyDescriptor(object, key);
    protectValue(key, descriptor);
    if (open2.includes(key)) leaveOpen(object, key, descriptor);
    else changes[key] = isAssignable(descriptor) ? overridable(object, key, descriptor.value) : locked(descriptor);
  }
  defineProperties(object, changes);
  seal(object);
  noteGuarded(object);
}
function noteGuarded(object) {
  guarded.add(object);
  slow.push(object);
}
var isAssignable = ({ writable, configurable }) => writable === true && configurable === true;
var locked = ({ get, set: set2 }) => get === void 0 && set2 === void 0 ? { writable: false, configurable: false } : { configurable: false };
function protectValue(key, descriptor) {
  const { value } = descriptor;
  if (key === "constructor" && typeof value === "function" && value !== Error && isExtensible(value)) protect(value);
  if (key !== "prototype") freezeFunctions(descriptor);
}
function freezeFunctions({ value, get, set: set2 }) {
  if (typeof value === "function" && value !== Error) freeze(value);
  if (get !== void 0) freeze(get);
  if (set2 !== void 0) freeze(set2);
}
function overridable(object, key, value) {
  const standIn = () => value;
  const { set: set2 } = {
    set(own) {
      if (this === object) refuseOther(object, key, value, own);
      else if (hasOwn(this, key)) this[key] = own;
      else defineProperty(this, key, { value: own, writable: true, enumerable: true, configurable: true });
    }
  };
  return { get: freeze(standIn), set: freeze(set2), configurable: false };
}
function refuseOther(object, key, value, own) {
  if (own !== value && !isIgnored(object, key)) throw refusal(object, key);
}
function isIgnored(object, key) {
  return object === Error && key === "prepareStackTrace" || object === Function.prototype && key === "toString";
}
var touch = (heir) => heir.constructor;
var TOUCHES = 10;
function makeFast() {
  const heirs = slow.splice(0).map((object) => create(object));
  for (let i = 0; i < TOUCHES; i++) for (const heir of heirs) touch(heir);
}
function lock(object, key) {
  const descriptor = getOwnPropertyDescriptor(object, key);
  if (descriptor.configurable) defineProperty(object, key, locked(descriptor));
}
function lockGlobals() {
  for (const key of ownKeys(globalThis)) {
    const { value, writable, configurable } = getOwnPropertyDescriptor(globalThis, key);
    if (writable && configurable && value !== globalThis) leaveGlobalOpen(key);
    else lock(globalThis, key);
  }
}

// base/inside/built-ins/classes.ts
var open = /* @__PURE__ */ new Map([
  [Array.prototype, ["length", "constructor", Symbol.iterator]],
  [getPrototypeOf([].values()), ["next"]]
]);
function protectAll(later) {
  for (const key of ownKeys(globalThis)) {
    if (key === "globalThis" || later.includes(key)) continue;
    const value = globalThis[key];
    if (typeof value === "function") protectClass(value);
    else if (typeof value === "object" && value !== null) protect(value);
  }
  protect(Array.prototype[Symbol.unscopables]);
  protectError();
  protectUnnamed();
}
function protectClass(type) {
  const { prototype } = type;
  if (prototype === regExpPrototype) freezeMethods(prototype);
  else if (prototype !== void 0) protectPrototype(prototype);
  if (type !== Error) protect(type);
}
function protectPrototype(prototype) {
  const keys3 = open.get(prototype);
  if (keys3 === void 0) protect(prototype);
  else protectAround(prototype, keys3);
}
function freezeMethods(prototype) {
  for (const key of ownKeys(prototype)) {
    if (key !== "constructor") freezeFunctions(getOwnPropertyDescriptor(prototype, key));
  }
}
function protectError() {
  defineProperty(Error, "prepareStackTrace", { value: void 0, writable: true, configurable: true });
  protectAround(Error, ["stackTraceLimit"]);
}
function protectUnnamed() {
  const instances = [
    (function* () {
    })(),
    (async function* () {
    })(),
    [].values(),
    (/* @__PURE__ */ new Map()).values(),
    (/* @__PURE__ */ new Set()).values(),
    ""[Symbol.iterator](),
    "".matchAll(/./g),
    [].values().map(String),
    Iterator.from({ next: () => ({ done: true, value: void 0 }) }),
    async () => {
    },
    function* () {
    },
    async function* () {
    },
    globalThis
  ];
  for (const instance of instances) protectChain(getPrototypeOf(instance));
}
function protectChain(prototype) {
  for (let object = prototype; object !== null && isExtensible(object); object = getPrototypeOf(object)) {
    protectPrototype(object);
    for (const key of ["constructor", "prototype"]) {
      const related = object[key];
      if ((typeof related === "function" || typeof related === "object") && related !== null && related !== Error) protect(related);
    }
  }
}

// base/inside/built-ins/definitions.ts
var { defineProperty: reflectDefine, getOwnPropertyDescriptor: reflectDescribe } = Reflect;
var { defineProperties: defineProperties2, getOwnPropertyDescriptors } = Object;
function replaceDefinitions() {
  replace(Object, "defineProperty", define);
  replace(Object, "defineProperties", defineAll);
  replace(
    Object,
    "getOwnPropertyDescriptor",
    (object, key) => shown(object, key, getOwnPropertyDescriptor(object, key))
  );
  replace(Object, "getOwnPropertyDescriptors", describeAll);
  replace(Reflect, "defineProperty", tryToDefine2);
  replace(Reflect, "getOwnPropertyDescriptor", (object, key) => shown(object, key, reflectDescribe(object, key)));
}
function replace(owner, name, by) {
  defineProperty(owner, name, { value: shownAs(owner[name], by) });
}
function define(object, key, descriptor) {
  try {
    return defineProperty(object, key, descriptor);
  } catch (error) {
    if (keepsOriginal(object, key, descriptor)) return object;
    throw isBuiltIn(object) ? refusal(object, key) : error;
  }
}
function defineAll(object, descriptors2) {
  try {
    return defineProperties2(object, descriptors2);
  } catch (error) {
    if (!isBuiltIn(object)) throw error;
    for (const key of ownKeys(descriptors2)) define(object, key, descriptors2[key]);
    return object;
  }
}
function tryToDefine2(object, key, descriptor) {
  return reflectDefine(object, key, descriptor) || keepsOriginal(object, key, descriptor);
}
var isBuiltIn = (object) => guarded.has(object) || nameOf(object) !== void 0;
function keepsOriginal(object, key, descriptor) {
  if (!isBuiltIn(object)) return false;
  const original = originalOf(object, key, getOwnPropertyDescriptor(object, key));
  return original !== void 0 && "value" in descriptor && is(original.value, descriptor.value);
}
function originalOf(object, key, descriptor) {
  if (descriptor === void 0) return void 0;
  const { get } = descriptor;
  if (get === void 0) return isOpen(object, key) ? { value: descriptor.value } : void 0;
  if (madeGlobals.has(get)) return { value: madeGlobals.get(get) };
  return guarded.has(object) && get.name === "standIn" ? { value: get() } : void 0;
}
function shown(object, key, descriptor) {
  const original = originalOf(object, key, descriptor);
  if (original === void 0) return descriptor;
  return { value: original.value, writable: true, enumerable: descriptor?.enumerable === true, configurable: true };
}
function describeAll(object) {
  const all = getOwnPropertyDescriptors(object);
  for (const key of ownKeys(all)) all[key] = shown(object, key, all[key]);
  return all;
}

// base/inside/built-ins/memory.ts
function removeUnmetered() {
  for (const name of ["WebAssembly", "SharedArrayBuffer", "Atomics"]) deleteProperty(globalThis, name);
  deleteProperty(globalThis, "Temporal");
  deleteProperty(Date.prototype, "toTemporalInstant");
  deleteProperty(globalThis, "console");
  boundArrayBuffer();
}
function boundArrayBuffer() {
  const Native = ArrayBuffer;
  const prototype = Native.prototype;
  for (const key of ownKeys(prototype)) {
    if (typeof key === "string" && (key === "resize" || key.startsWith("transfer"))) deleteProperty(prototype, key);
  }
  function Bound(length) {
    if (new.target === void 0) throw new TypeError("Constructor ArrayBuffer requires 'new'");
    return construct(Native, [length], new.target);
  }
  defineProperty(Bound, "name", { value: "ArrayBuffer" });
  defineProperty(Bound, "prototype", { value: prototype, writable: false });
  defineProperty(Bound, "isView", { value: Native.isView, writable: true, configurable: true });
  const species = getOwnPropertyDescriptor(Native, Symbol.species);
  if (species !== void 0) defineProperty(Bound, Symbol.species, species);
  defineProperty(prototype, "constructor", { value: Bound });
  defineProperty(globalThis, "ArrayBuffer", { value: Bound });
  freeze(Native);
}

// base/inside/readings.ts
var hasTape = tape !== void 0;
var lastReading = 0;
function reading(time) {
  const places = tape;
  const mode = places[TAPE.mode];
  const count = places[TAPE.count];
  places[TAPE.count] = count + 1;
  lastReading = mode === TapeMode.replaying ? given2(places, count) : time;
  if (mode === TapeMode.recording) keep(places, count, time);
  return lastReading;
}
var given2 = (places, count) => places[count < places[TAPE.length] ? TAPE.readings + count : TAPE.beyond];
function keep(places, count, time) {
  const place = TAPE.readings + count;
  if (place < places.length) places[place] = time;
  else mark(TapeMark.tooManyReadings);
}
function mark(why) {
  if (tape !== void 0) tape[TAPE.marks] = tape[TAPE.marks] | why;
}
var STACK_OVERFLOW = "Maximum call stack size exceeded";
function lookForOverflow(text) {
  if (hasTape && text.includes(STACK_OVERFLOW)) mark(TapeMark.stackOverflow);
}

// base/inside/clock.ts
var AHEAD_MS_MAX = 500;
var { now: nativeWallTime } = Date;
function cellTime() {
  const written = clock[CLOCK.monotonic];
  const time = nativeWallTime() - clock[CLOCK.wallMinusMonotonic];
  if (time > written + AHEAD_MS_MAX) return written + AHEAD_MS_MAX;
  return time < written - 1 ? written : time;
}
var latest = -Infinity;
function monotonicTime() {
  const time = cellTime();
  if (time > latest) latest = floor(time);
  return latest;
}
var lastWrittenTime = () => clock[CLOCK.monotonic];
var readTime = hasTape ? () => reading(cellTime()) : cellTime;
var readWrittenTime = hasTape ? () => reading(lastWrittenTime()) : lastWrittenTime;
var readWallTime = hasTape ? shownAs(nativeWallTime, () => floor(readTime() + clock[CLOCK.wallMinusMonotonic])) : nativeWallTime;
function noteEntry() {
  if (hasTape) readTime();
}
var recentTime = hasTape ? () => lastReading : lastWrittenTime;
var startedAt = readTime();
var timeOrigin = floor(startedAt + clock[CLOCK.wallMinusMonotonic]);
var latestShown = floor(startedAt);
function readWholeTime() {
  const time = readTime();
  if (time > latestShown) latestShown = floor(time);
  return latestShown;
}
var startedAtWhole = latestShown;
var sinceStart = () => readWholeTime() - startedAtWhole;

// base/inside/built-ins/dates.ts
function dateOf(Native) {
  const { toString: textOf2 } = Native.prototype;
  function DateOfSlot(...values2) {
    if (new.target === void 0) return apply(textOf2, new Native(readWallTime()), []);
    const date2 = values2.length === 0 ? new Native(readWallTime()) : new Native(...values2);
    if (new.target === DateOfSlot) return date2;
    const { prototype } = new.target;
    if (typeof prototype === "object" && prototype !== null) setPrototypeOf(date2, prototype);
    return date2;
  }
  const date = classShownAs(Native, DateOfSlot);
  defineProperty(date, "now", { value: readWallTime });
  return date;
}
function replaceFormats({ DateTimeFormat: { prototype } }) {
  const { get: nativeFormat } = getOwnPropertyDescriptor(prototype, "format");
  const nativeParts = prototype.formatToParts;
  const formats = /* @__PURE__ */ new WeakMap();
  const own = {
    get format() {
      const native = apply(nativeFormat, this, []);
      const known3 = formats.get(native);
      if (known3 !== void 0) return known3;
      const format = shownAs(native, orNow(native));
      formats.set(native, format);
      return format;
    },
    formatToParts(date) {
      return apply(nativeParts, this, [date === void 0 ? readWallTime() : date]);
    }
  };
  defineProperty(prototype, "format", { get: getOwnPropertyDescriptor(own, "format")?.get });
  defineProperty(prototype, "formatToParts", { value: own.formatToParts });
}
var orNow = (format) => (date) => format(date === void 0 ? readWallTime() : date);

// base/inside/built-ins/weak.ts
function watched(Native) {
  if (!hasTape) return Native;
  return classShownAs(Native, function(...values2) {
    if (new.target === void 0) return apply(Native, void 0, values2);
    mark(TapeMark.weakReferences);
    return construct(Native, values2, new.target);
  });
}

// base/inside/built-ins/on-use.ts
var typedArrays = [
  ...["Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array"],
  ...["BigInt64Array", "BigUint64Array", "Float16Array", "Float32Array", "Float64Array"]
];
var classes = ["AsyncDisposableStack", "DataView", "DisposableStack", "WeakMap", "WeakSet"];
var protectedOnUse = ["Intl", "Date", "FinalizationRegistry", "WeakRef", ...classes, ...typedArrays];
function protectOnUse() {
  protectLater("Intl", Intl, protectIntl);
  protectLater("Date", Date, protectClass, dateOf);
  protectLater("FinalizationRegistry", FinalizationRegistry, protectClass, watched);
  protectLater("WeakRef", WeakRef, protectClass, watched);
  for (const name of classes) protectLater(name, globalThis[name], protectClass);
  for (const name of typedArrays) protectLater(name, globalThis[name], protectTypedArray);
}
function protectLater(name, native, protectValue2, replace2 = (value) => value) {
  defineGlobal(name, () => {
    putBack();
    const value = replace2(native);
    protectValue2(value);
    makeFast();
    return value;
  });
}
function defineGlobal(name, make) {
  let value;
  const standIn = () => {
    if (value === void 0) {
      value = make();
      madeGlobals.set(standIn, value);
    }
    return value;
  };
  const set2 = (own) => refuseOther(globalThis, name, standIn(), own);
  defineProperty(globalThis, name, { get: freeze(standIn), set: freeze(set2), enumerable: false, configurable: false });
}
function protectTypedArray(type) {
  protectAround(type.prototype, ["constructor"]);
  protect(type);
  protectChain(getPrototypeOf(type));
}
function protectIntl(namespace) {
  replaceFormats(namespace);
  for (const key of ownKeys(namespace)) {
    const member = namespace[key];
    if (typeof member === "function" && "prototype" in member) protectClass(member);
  }
  protect(namespace);
  const segments = new namespace.Segmenter().segment("");
  for (const unnamed of [segments, segments[Symbol.iterator]()]) protectChain(getPrototypeOf(unnamed));
}

// base/inside/built-ins/harden.ts
function harden() {
  removeUnmetered();
  replaceDefinitions();
  replaceRandom();
  protectAll(protectedOnUse);
  protectOnUse();
  makeFast();
}

// base/inside/json-losses.ts
var DEPTH_MAX2 = 64;
function lossesIn(root, valuesMax) {
  const found = [];
  const path = [];
  let left = valuesMax;
  const enter2 = (key, value) => {
    path.push(key);
    visit(value, typeof key === "number");
    path.pop();
  };
  const visit = (value, inList) => {
    if (--left < 0) return;
    const text = lossOf(value, inList);
    if (text !== void 0) {
      const key = `${pointer(path, (step2) => typeof step2 === "number" ? "*" : step2)} ${text}`;
      if (!found.some((loss) => loss.key === key)) found.push({ path: pointer(path, String), text, key });
    } else if (typeof value === "object" && value !== null && path.length < DEPTH_MAX2 && !hasToJson(value)) {
      if (Array.isArray(value)) for (let i = 0; i < value.length && left > 0; i++) enter2(i, value[i]);
      else for (const key of keys(value)) if (left > 0) enter2(key, value[key]);
    }
  };
  visit(root, false);
  return found;
}
function pointer(path, shown2) {
  return path.map((key) => `/${shown2(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}
function lossOf(value, inList) {
  switch (typeof value) {
    case "number":
      return Number.isFinite(value) ? void 0 : `is ${value}, which became null: check how it is computed, or use null`;
    case "undefined":
      return inList ? "is undefined, which became null: filter it out, or use null" : "is undefined and was left out: leave it out, or use null";
    case "function":
    case "symbol":
      return `is a ${typeof value}, which ${inList ? "became null" : "was left out"}: return data`;
    default:
      return typeof value === "object" && value !== null ? lossOfObject(value) : void 0;
  }
}
var instead = {
  Promise: "await it",
  Map: "use Object.fromEntries(map) or [...map]",
  Set: "use [...set]",
  RegExp: "use its source"
};
function lossOfObject(value) {
  if (value instanceof Date)
    return Number.isNaN(value.getTime()) ? "is an invalid date, which became null: check what it is made from" : void 0;
  if (Array.isArray(value) || hasToJson(value)) return void 0;
  const name = classOf(value);
  if (ArrayBuffer.isView(value)) return `is a ${name}, which became an object, not a list: use Array.from(array)`;
  if (value instanceof Error) return `is an error (${name}), which lost its message: use error.message`;
  return isHollow(value) ? `is a ${name}, which became {}: ${instead[name] ?? "return a plain object"}` : void 0;
}
function isHollow(value) {
  const prototype = getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype || keys(value).length > 0) return false;
  const isBoxed = value instanceof Number || value instanceof String || value instanceof Boolean;
  return !isBoxed && ownKeys(prototype).length > 1;
}
var hasToJson = (value) => "toJSON" in value && typeof value.toJSON === "function";
function classOf(value) {
  const { constructor: maker } = value;
  return typeof maker === "function" && maker.name !== "" ? maker.name : "object of a class";
}

// base/inside/by-number.ts
var ByNumber = class {
  #numbers = [];
  #values = [];
  get size() {
    return this.#numbers.length;
  }
  /** The smallest number; undefined when there is none. */
  get first() {
    return this.#numbers[0];
  }
  get(no) {
    const at = this.#indexOf(no);
    return at < 0 ? void 0 : this.#values[at];
  }
  has(no) {
    return this.#indexOf(no) >= 0;
  }
  /** Adds a value under a number that has none. */
  add(no, value) {
    let at = this.#numbers.length;
    for (; at > 0 && this.#numbers[at - 1] > no; at--) {
      this.#numbers[at] = this.#numbers[at - 1];
      this.#values[at] = this.#values[at - 1];
    }
    this.#numbers[at] = no;
    this.#values[at] = value;
  }
  delete(no) {
    const at = this.#indexOf(no);
    if (at < 0) return;
    const last = this.#numbers.length - 1;
    for (let i = at; i < last; i++) {
      this.#numbers[i] = this.#numbers[i + 1];
      this.#values[i] = this.#values[i + 1];
    }
    this.#numbers.length = this.#values.length = last;
  }
  clear() {
    this.#numbers.length = this.#values.length = 0;
  }
  /** All values as they are now, by their numbers. */
  values() {
    const values2 = [];
    for (let i = 0; i < this.#values.length; i++) values2[i] = this.#values[i];
    return values2;
  }
  /** Where the number is, or -1. */
  #indexOf(no) {
    let low = 0;
    let high = this.#numbers.length;
    while (low < high) {
      const middle = low + high >>> 1;
      if (this.#numbers[middle] < no) low = middle + 1;
      else high = middle;
    }
    return this.#numbers[low] === no ? low : -1;
  }
};

// base/inside/open-request.ts
var openRequests = new ByNumber();
var running = { module: void 0, request: void 0, inTurn: false };
function beginRun({ no }) {
  if (cursor[CURSOR.running] !== 0) return false;
  cursor[CURSOR.run] = cursor[CURSOR.run] + 1;
  cursor[CURSOR.running] = no;
  return true;
}
function endRun() {
  cursor[CURSOR.running] = 0;
}
var current;
function causeNow() {
  const { request } = running;
  if (request === void 0 && current !== void 0) return current;
  return { request: request?.no, latest: cursor[CURSOR.started], step: cursor[CURSOR.step] };
}
function runFor(cause, run) {
  closeLeftover();
  if (isLeftover(cause)) cursor[CURSOR.leftSince] = cellTime();
  cursor[CURSOR.step] = cause.step;
  current = cause;
  try {
    run();
  } finally {
    current = void 0;
  }
}
function isLeftover({ request, latest: latest3 }) {
  if (request !== void 0) return !openRequests.has(request);
  const oldest = openRequests.first;
  return oldest === void 0 || oldest > latest3;
}
function closeLeftover() {
  const since = cursor[CURSOR.leftSince];
  if (since === 0) return;
  cursor[CURSOR.leftMs] = cursor[CURSOR.leftMs] + max(0, cellTime() - since - 1);
  cursor[CURSOR.leftSince] = 0;
}

// base/inside/to-text.ts
var UNPRINTABLE = "[unprintable]";
function textOf(value) {
  if (typeof value === "string") return value;
  try {
    if (value instanceof Error) return String(value.stack ?? value.message);
    return typeof value === "object" && value !== null ? stringify(value) ?? String(value) : String(value);
  } catch {
    return UNPRINTABLE;
  }
}
function messageOf(thrown) {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown).slice(0, limits.logLineChars);
  } catch {
    return UNPRINTABLE;
  }
}
function stackOf(thrown) {
  try {
    return thrown instanceof Error ? { stack: `${thrown.stack}`.slice(0, limits.logLineChars) } : {};
  } catch {
    return {};
  }
}
function nameOf2(thrown) {
  try {
    return thrown instanceof Error ? thrown.name : "";
  } catch {
    return "";
  }
}
function kindOf(value) {
  if (value === null) return "null";
  if (value === void 0) return "undefined";
  return `a ${typeof value}`;
}

// base/inside/log-lines.ts
var second = 0;
var linesInSecond = 0;
var dropped = 0;
function logLine(level, module, message, fields) {
  if (cursor[CURSOR.warmingUp] === 1) return void 0;
  const thisSecond = floor(recentTime() / 1e3);
  if (thisSecond !== second) {
    second = thisSecond;
    linesInSecond = 0;
  }
  if (++linesInSecond > limits.logLinesPerSecond) {
    dropped++;
    return void 0;
  }
  const line = { level, module, message: message.slice(0, limits.logLineChars), ...fieldsOf(fields), ...dropped > 0 && { dropped } };
  dropped = 0;
  return line;
}
function fieldsOf(fields) {
  if (fields === void 0) return {};
  const stack = stackOf(fields);
  if (stack.stack !== void 0) return stack;
  try {
    return { fields: stringify(fields)?.slice(0, limits.logLineChars) ?? "" };
  } catch (error) {
    return { fields: stringify({ unprintable: messageOf(error) }) };
  }
}
function logFor(request, level, message, fields) {
  const line = logLine(level, running.module, textOf(message), fields);
  if (line !== void 0) keepLine(request, line);
}
function keepLine(request, line) {
  if (request.done) postLines(request.no, [line]);
  else if (request.lines === void 0) request.lines = [line];
  else request.lines.push(line);
}
function logText(level, text) {
  const line = logLine(level, running.module, text);
  if (line !== void 0) postLines(0, [line]);
}
function postLines(requestNo, lines) {
  const json = stringify(lines);
  lookForOverflow(json);
  post("log", requestNo, json);
}

// base/inside/looks.ts
var LOOKED_AT_FIRST = 16;
var PAUSE_MS = 1e3;
var PAUSE_FACTOR = 100;
var INNER_VALUES_MAX = 1e4;
var FINDINGS_MAX = 16;
var looks = [lookForLosses];
function lookForLosses(what, value) {
  return lossesIn(value, INNER_VALUES_MAX).map(({ path, text, key }) => {
    const where = path === "" ? "it" : `"${path}"`;
    return { code: "DATA_LOST", message: `${what} loses data as JSON: ${where} ${text}`, key: `${what} ${key}` };
  });
}
var Sampler = class {
  #firstLeft = LOOKED_AT_FIRST;
  #nextAt = 0;
  /** Whether a value is to be looked at. If so, call `noteLook` afterwards. */
  isDue() {
    return this.#firstLeft > 0 || recentTime() >= this.#nextAt || limits.findingsFail === true;
  }
  /** @param beganAt when the look began, by `monotonicTime()` */
  noteLook(beganAt) {
    if (this.#firstLeft > 0) this.#firstLeft--;
    const tookMs = hasTape ? 0 : monotonicTime() - beganAt;
    this.#nextAt = recentTime() + max(PAUSE_MS, PAUSE_FACTOR * tookMs);
  }
};
var logged = /* @__PURE__ */ new Set();
function lookAt(request, module, what, value) {
  const findings = findingsOf(what, value);
  if (limits.findingsFail) return findings[0];
  findings.forEach((finding) => {
    warnOnce(request, module, finding);
  });
  return void 0;
}
function warnOnce(request, module, { code, message, key }) {
  if (logged.has(key) || logged.size >= FINDINGS_MAX) return;
  const line = logLine("warn", module, message);
  if (line === void 0) return;
  logged.add(key);
  keepLine(request, { ...line, code, once: key });
}
function findingsOf(what, value) {
  try {
    return looks.flatMap((look) => look(what, value));
  } catch {
    return [];
  }
}

// base/inside/calls/failures.ts
var CODES_OF_REQUESTS = ["CALL_CYCLE", "CALL_TOO_DEEP", "DEADLINE_EXCEEDED"];
var codes = /* @__PURE__ */ new WeakMap();
var callError = ({ code, message, ...more }) => assign(known(new Error(message), code), more);
var fetchError = ({ code, message }) => known(new TypeError(message), code);
function known(error, code) {
  codes.set(error, code);
  return assign(error, { code });
}
function codesOf(thrown) {
  const code = typeof thrown === "object" && thrown !== null ? codes.get(thrown) : void 0;
  if (code === void 0) return { code: "MODULE_THREW" };
  return CODES_OF_REQUESTS.includes(code) ? { code } : { code: "MODULE_THREW", uncaught: code };
}

// base/inside/calls/open-calls.ts
var openCalls = new ByNumber();
var lastCall = 0;
var withoutCaller = 0;
function admit(caller, what) {
  if (caller.done) throw new Error(`${what}: the request has been answered already`);
  if (caller.calls >= limits.requestCalls) throw new RangeError(`${what}: ${limits.requestCalls} calls are open in this request already`);
}
function admitWithoutCaller() {
  if (withoutCaller >= limits.requestCalls) throw new RangeError(`fetch: ${limits.requestCalls} are under way already`);
}
function enter(call) {
  if (call.caller === void 0) withoutCaller++;
  else call.caller.calls++;
  const no = ++lastCall;
  openCalls.add(no, { ...call, no });
  return no;
}
function leave(callNo) {
  const call = openCalls.get(callNo);
  if (call === void 0) return void 0;
  openCalls.delete(callNo);
  if (call.caller === void 0) withoutCaller--;
  else call.caller.calls--;
  return call;
}
function forget(caller) {
  for (const { no, caller: waits } of openCalls.values()) if (waits === caller) leave(no);
}

// base/inside/calls/calls.ts
var VALUES_POSTED_MAX = 500 * CALL_STRIDE;
var METHOD_CHARS_MAX = 128;
var sampler = new Sampler();
var callbox = [];
function ask(caller, service, method, input) {
  const what = service === "" ? "ctx.call" : `ctx.services.${service}.${method}`;
  return new Promise((resolve, reject2) => {
    admit(caller, what);
    const json = stringify(input);
    if (json === void 0) throw new TypeError(`${what}: the input must be data that JSON can hold`);
    if (json.length > limits.callChars)
      throw new RangeError(`${what}: the input has ${json.length} characters of JSON, over ${limits.callChars}`);
    if (method.length > METHOD_CHARS_MAX) throw new RangeError(`${what.slice(0, 140)}: the name is too long`);
    if (sampler.isDue()) demandData(caller, what, input);
    const no = enter({ caller, resolve, reject: reject2, kind: "call" });
    callbox.push(no, caller.no, service, method, json);
    if (callbox.length === CALL_STRIDE && !running.inTurn) Promise.resolve().then(flush);
  });
}
function demandData(caller, what, input) {
  const beganAt = monotonicTime();
  const finding = lookAt(caller, running.module, `The input of ${what}`, input);
  sampler.noteLook(beganAt);
  if (finding !== void 0) throw new TypeError(finding.message);
}
function flush() {
  const values2 = callbox;
  callbox = [];
  for (let i = 0; i < values2.length; i += VALUES_POSTED_MAX) post("calls", ...values2.slice(i, i + VALUES_POSTED_MAX));
}
function settleCalls(values2) {
  closeLeftover();
  noteEntry();
  for (let i = 0; i < values2.length; i += SETTLED_STRIDE) settleCall(values2[i], values2[i + 1] === 1, values2[i + 2]);
}
function settleCall(callNo, answered, text) {
  const call = leave(callNo);
  if (call === void 0) return;
  if (call.caller !== void 0) cursor[CURSOR.step] = call.caller.step;
  try {
    const value = parse(text);
    if (answered) call.resolve(value);
    else call.reject(call.kind === "fetch" ? fetchError(value) : callError(value));
  } catch (error) {
    call.reject(error);
  }
}

// base/inside/calls/fetch-calls.ts
function send(owner, method, head, body) {
  const caller = owner ?? running.request;
  const stands = caller ?? latest2();
  if (caller !== void 0) admit(caller, "fetch");
  else admitWithoutCaller();
  if (stands === void 0) throw new Error("fetch: no request is under way; fetch in a stage");
  const size = body === void 0 ? 0 : typeof body === "string" ? body.length : body.byteLength;
  if (head.length + size > limits.fetchBytes) {
    const message = `Cannot fetch: the request has ${head.length + size} bytes, the limit is ${limits.fetchBytes}`;
    throw fetchError({ code: "FETCH_TOO_LARGE", message });
  }
  let callNo = 0;
  const answer = new Promise((resolve, reject2) => {
    callNo = enter({ caller, resolve, reject: reject2, kind: "fetch" });
  });
  post("fetch", callNo, stands.no, caller === void 0 ? 0 : 1, method, head, ...body === void 0 ? [] : [body]);
  return { answer, abort: () => leave(callNo) !== void 0 && post("unfetch", callNo) };
}
function latest2() {
  let found;
  for (const request of openRequests.values()) if (found === void 0 || request.deadlineAt > found.deadlineAt) found = request;
  return found;
}
function settleFetch(callNo, head, body) {
  closeLeftover();
  noteEntry();
  const call = leave(callNo);
  if (call?.caller !== void 0) cursor[CURSOR.step] = call.caller.step;
  call?.resolve({ head, body });
}

// base/inside/globals/console.ts
var LABELS_MAX = 1e3;
var INDENT_CHARS_MAX = 64;
var indent = "";
var counts = /* @__PURE__ */ new Map();
var started = /* @__PURE__ */ new Map();
function write(level, values2) {
  logText(level, indent + textOfAll(values2));
}
function report(what, error) {
  logText("error", textOfAll([what, error]));
}
function textOfAll(values2) {
  const [first, ...rest] = values2;
  if (typeof first !== "string" || rest.length === 0 || !first.includes("%")) return values2.map(textOf).join(" ");
  let used = 0;
  const text = first.replace(/%([sdifjoOc%])/g, (directive, kind) => {
    if (kind === "%") return "%";
    return used < rest.length ? directed(kind, rest[used++]) : directive;
  });
  return [text, ...rest.slice(used).map(textOf)].join(" ");
}
function directed(kind, value) {
  if (kind === "c") return "";
  if (kind !== "d" && kind !== "i" && kind !== "f") return textOf(value);
  const number = typeof value === "symbol" || typeof value === "object" ? Number.NaN : Number(value);
  return String(kind === "i" ? trunc(number) : number);
}
function elapsed(label) {
  return `${label}: ${readWholeTime() - (started.get(label) ?? readWholeTime())}ms`;
}
function keep2(table, label, value) {
  if (table.size < LABELS_MAX || table.has(label)) table.set(label, value);
}
var consoleOfSlot = {
  log: (...values2) => write("info", values2),
  info: (...values2) => write("info", values2),
  debug: (...values2) => write("debug", values2),
  warn: (...values2) => write("warn", values2),
  error: (...values2) => write("error", values2),
  dir: (value) => write("info", [value]),
  dirxml: (...values2) => write("info", values2),
  table: (value) => write("info", [value]),
  trace: (...values2) => write("debug", [...values2, new Error("Trace").stack]),
  assert: (condition, ...values2) => {
    if (!condition) write("error", ["Assertion failed", ...values2]);
  },
  group: (...values2) => {
    if (values2.length > 0) write("info", values2);
    if (indent.length < INDENT_CHARS_MAX) indent += "  ";
  },
  groupCollapsed: (...values2) => consoleOfSlot.group(...values2),
  groupEnd: () => {
    indent = indent.slice(2);
  },
  count: (label = "default") => {
    keep2(counts, String(label), (counts.get(String(label)) ?? 0) + 1);
    write("info", [`${String(label)}: ${counts.get(String(label)) ?? 1}`]);
  },
  countReset: (label = "default") => {
    counts.delete(String(label));
  },
  time: (label = "default") => keep2(started, String(label), readWholeTime()),
  timeLog: (label = "default", ...values2) => write("info", [elapsed(String(label)), ...values2]),
  timeEnd: (label = "default") => {
    write("info", [elapsed(String(label))]);
    started.delete(String(label));
  },
  clear: () => {
  }
};

// base/inside/globals/timers.ts
var DELAY_MS_MAX = 2 ** 31 - 1;
var BEHIND_MS_MAX = 2;
var timers = /* @__PURE__ */ new Map();
var wakeUps = /* @__PURE__ */ new Map();
var lastTimer = 0;
var lastWakeUp = 0;
var nextWakeAt = Infinity;
function openTimer(name, run, delayMs, values2, repeats) {
  if (typeof run !== "function") throw new TypeError(`${name} takes a function`);
  if (timers.size >= limits.slotTimers) throw new RangeError(`${name}: ${limits.slotTimers} timers are open in this slot already`);
  const delay = Number(delayMs);
  const ms = delay > 0 ? min(trunc(delay), DELAY_MS_MAX) : 0;
  const at = readTime() + ms;
  wakeBy(name, at, ms);
  const no = ++lastTimer;
  timers.set(no, { no, run: () => run(...values2), everyMs: repeats ? max(ms, 1) : void 0, cause: causeNow(), at });
  return no;
}
function wakeBy(name, at, delayMs) {
  if (at >= nextWakeAt) return;
  if (wakeUps.size >= limits.slotTimers) throw new RangeError(`${name}: too many timers were opened and cleared in this slot`);
  nextWakeAt = at;
  wakeUps.set(++lastWakeUp, at);
  post("timer", lastWakeUp, delayMs);
}
function closeTimer(no) {
  timers.delete(Number(no));
}
function fireTimer(no) {
  closeLeftover();
  const wakeAt = wakeUps.get(no);
  if (wakeAt === void 0) return;
  wakeUps.delete(no);
  nextWakeAt = min(Infinity, ...wakeUps.values());
  const now = readTime();
  const time = max(now, min(wakeAt, now + BEHIND_MS_MAX));
  const due = [...timers.values()].filter((timer) => timer.at <= time).sort((a, b) => a.at - b.at || a.no - b.no);
  runDue(due, 0, time);
}
function runDue(due, index, time) {
  const timer = due[index];
  if (timer === void 0) {
    wakeForRest(time);
    return;
  }
  if (timers.has(timer.no)) runTimer(timer, time);
  if (index + 1 < due.length) Promise.resolve().then(() => runDue(due, index + 1, time));
  else wakeForRest(time);
}
function runTimer(timer, time) {
  if (timer.everyMs === void 0) timers.delete(timer.no);
  else timer.at = time + timer.everyMs;
  try {
    runFor(timer.cause, timer.run);
  } catch (error) {
    report("A timer threw:", error);
  }
}
function wakeForRest(time) {
  let at = Infinity;
  for (const timer of timers.values()) if (timer.at < at) at = timer.at;
  if (at !== Infinity) wakeBy("setInterval", at, max(at - time, 0));
}

// base/inside/globals/lazy.ts
var globalsOf = {
  clone: ["structuredClone"],
  encodings: [],
  events: ["AbortController", "AbortSignal", "CustomEvent", "DOMException", "Event", "EventTarget", "WorkerGlobalScope"],
  fetch: ["Headers", "Request", "Response"],
  multibyte: [],
  random: ["crypto"],
  "schema-check": [],
  text: ["TextDecoder", "TextEncoder", "atob", "btoa"],
  url: ["URL", "URLSearchParams"]
};
var tools = {
  use: (name) => globalThis[name],
  load,
  cryptoSeed,
  fetch: send,
  sinceStart,
  setTimeout: (run, delayMs) => openTimer("setTimeout", run, delayMs, [], false),
  report
};
var evaluate = eval;
var loaded = /* @__PURE__ */ new Map();
function defineLazyGlobals() {
  for (const [part, names] of entries(globalsOf)) {
    for (const name of names) defineGlobal(name, () => load(part)[name]);
  }
}
function load(part) {
  const before = loaded.get(part);
  if (before !== void 0) return before;
  loaded.set(part, {});
  const define3 = evaluate(partText(part));
  const defined = define3(tools);
  for (const value of values(defined)) protectDeep(value);
  makeFast();
  loaded.set(part, freeze(defined));
  return defined;
}
function protectDeep(value) {
  if (typeof value !== "object" && typeof value !== "function" || value === null || !isExtensible(value)) return;
  const { prototype } = value;
  if (prototype !== void 0) protect(prototype);
  protect(value);
  protectDeep(getPrototypeOf(value));
}
function compileSchema(json) {
  return load("schema-check").compileSchema(json);
}
function fetchFor(owner, input, init) {
  return load("fetch").fetchFor(owner, input, init);
}

// base/inside/globals/globals.ts
var performanceOfSlot = {
  timeOrigin,
  now: sinceStart,
  toJSON: () => ({ timeOrigin })
};
var functions = {
  setImmediate: (run, ...values2) => openTimer("setImmediate", run, 0, values2, false),
  clearImmediate: (no) => closeTimer(no),
  setTimeout: (run, delayMs, ...values2) => openTimer("setTimeout", run, delayMs, values2, false),
  setInterval: (run, delayMs, ...values2) => openTimer("setInterval", run, delayMs, values2, true),
  clearTimeout: (no) => closeTimer(no),
  clearInterval: (no) => closeTimer(no),
  queueMicrotask: (run) => {
    if (typeof run !== "function") throw new TypeError("queueMicrotask takes a function");
    Promise.resolve().then(() => {
      try {
        run();
      } catch (error) {
        report("A microtask threw:", error);
      }
    });
  },
  fetch: (input, init) => fetchFor(void 0, input, init)
};
var navigatorOfSlot = { userAgent: "Berth", language: "en-US", languages: freeze(["en-US"]), hardwareConcurrency: 1 };
function defineGlobals() {
  const values2 = { ...functions, console: consoleOfSlot, performance: performanceOfSlot, navigator: navigatorOfSlot };
  for (const [name, value] of entries(values2))
    defineGlobal(name, () => {
      protect(value);
      return value;
    });
  for (const name of ["global", "self"]) defineProperty(globalThis, name, { value: globalThis, enumerable: false });
  defineLazyGlobals();
  lockGlobals();
}

// base/inside/stages/answers.ts
var outbox = [];
function settle(request, answer) {
  if (request.done) return;
  openRequests.delete(request.no);
  pushAnswer(outbox, request, answer);
  if (outbox.length === ANSWER_STRIDE) Promise.resolve().then(flushOutbox);
}
function flushOutbox() {
  const answers = outbox;
  outbox = [];
  post("answers", ...answers);
}
function pushAnswer(answers, request, answer) {
  request.done = true;
  if (request.lines !== void 0) postLines(request.no, request.lines);
  const text = typeof answer === "string" ? answer : stringify(answer);
  lookForOverflow(text);
  if (typeof answer !== "string") answers.push(request.no, AnswerKind.failed, text);
  else if (request.degraded === void 0 && request.tookMs === void 0) answers.push(request.no, AnswerKind.ok, text);
  else {
    const notes = `${request.degraded?.join(",") ?? ""} ${request.tookMs?.join(",") ?? ""}`;
    answers.push(request.no, AnswerKind.noted, `${notes}
${text}`);
  }
}

// base/inside/calls/services.ts
var offered = {};
var noService = null;
var noMethods = /* @__PURE__ */ new Map();
function offer(services) {
  offered = services;
  noService = sayingNo(
    (name) => `Cannot use ctx.services.${name}: no module of this group declares it; add "${name}" to berth.services in package.json`
  );
  noMethods.clear();
  for (const [service, methods] of entries(services)) {
    const has = methods.join(", ");
    noMethods.set(
      service,
      sayingNo((name) => `Cannot call ctx.services.${service}.${name}: the service has no such method, only ${has}`)
    );
  }
}
function sayingNo(why) {
  return new Proxy(freeze({}), {
    get(target, name, receiver) {
      if (typeof name === "symbol" || name === "then" || name === "toJSON" || name in target) return Reflect.get(target, name, receiver);
      throw new Error(why(name));
    }
  });
}
function servicesFor(caller) {
  const method = (service, name) => [name, (...values2) => ask(caller, service, name, values2)];
  const methodsOf = ([service, names]) => [service, frozenWith(noMethods.get(service) ?? null, fromEntries(names.map((name) => method(service, name))))];
  return frozenWith(noService, fromEntries(entries(offered).map(methodsOf)));
}
var frozenWith = (prototype, members) => freeze(assign(create(prototype), members));

// base/inside/deep-freeze.ts
function deepFreeze(root) {
  const left = [root];
  for (let value = left.pop(); left.length > 0 || value !== void 0; value = left.pop()) {
    if (typeof value !== "object" || value === null) continue;
    freeze(value);
    for (const member of values(value)) if (typeof member === "object" && member !== null) left.push(member);
  }
  return root;
}

// base/inside/stages/rejection.ts
var rejections = /* @__PURE__ */ new WeakMap();
function reject(request, reason, message, details) {
  if (typeof reason !== "string" || !REJECTION_REASON.test(reason)) {
    const got = typeof reason === "string" ? `"${reason.slice(0, 80)}"` : kindOf(reason);
    throw new TypeError(`ctx.reject: the code must be a name in capitals such as ITEMS_EMPTY, of at most 64 characters, got ${got}`);
  }
  const text = messageOf(message);
  const error = assign(new Error(text), { name: "RequestRejected", code: reason, details });
  rejections.set(error, { reason, message: text, ...asJson(request, details) });
  throw error;
}
function asJson(request, details) {
  if (details === void 0) return {};
  try {
    const json = stringify(details);
    if (json === void 0) throw new TypeError(`JSON cannot hold ${kindOf(details)}`);
    if (json.length <= limits.rejectionChars) return { details: json };
    throw new RangeError(`they have ${json.length} characters of JSON, over ${limits.rejectionChars}`);
  } catch (error) {
    const line = logLine("warn", running.module, `ctx.reject: the details were left out: ${messageOf(error)}`);
    if (line !== void 0) keepLine(request, line);
    return {};
  }
}
var rejectionOf = (thrown) => typeof thrown === "object" && thrown !== null ? rejections.get(thrown) : void 0;

// base/inside/stages/schemas.ts
var compiled = /* @__PURE__ */ new Map();
var requestSchema;
var answerSchema;
function useSchemas({ request, answer }) {
  requestSchema = compiledOnce(request);
  answerSchema = compiledOnce(answer);
}
function compiledOnce(json) {
  if (json === "") return void 0;
  const known3 = compiled.get(json) ?? compileSchema(json);
  compiled.set(json, known3);
  return known3;
}
function bodyFailure(schema, body) {
  const faults = misfits(schema, body);
  return faults && { code: "REQUEST_INVALID", message: `The body does not fit the schema of the scene: ${inWords(faults)}`, faults };
}
function misfits(schema, value) {
  try {
    return schema.fits(value) ? void 0 : schema.misfits(value, limits.misfits);
  } catch (error) {
    const isTooDeep = nameOf2(error) === "RangeError";
    return [{ pointer: "", expected: isTooDeep ? `must not be nested so deeply: ${messageOf(error)}` : "must fit the schema" }];
  }
}
var inWords = (faults) => faults.map(({ pointer: pointer2, expected }) => `${pointer2 === "" ? "it" : pointer2} ${expected}`).join("; ");
function checkAnswer(schema, json, where) {
  const faults = misfits(schema, parse(json));
  if (faults === void 0) return void 0;
  const maker = `stage "${where.stage}"${where.module === void 0 ? "" : ` of module "${where.module}"`}`;
  const message = `The answer of ${maker} does not fit the schema of the scene: ${inWords(faults)}`;
  if (limits.findingsFail) return { code: "RESULT_UNFIT", message, ...where, faults };
  post("misfit", message.slice(0, limits.logLineChars));
  return void 0;
}

// base/inside/stages/version.ts
var modules = /* @__PURE__ */ new Map();
var scene = "";
var version = "";
var stages = [];
var lastStep = 0;
function define2(module, stages2, exports) {
  const mended = mendMembers();
  if (mended !== void 0) {
    const message = `Cannot load module "${module}": it has changed ${mended.changed.join(", ")}, which the modules of a version share`;
    return { code: "MODULE_CHANGES_BUILTINS", message, module };
  }
  const found = typeof exports === "object" && exports !== null ? exports : {};
  const names = keys(found);
  if (names.length === 0) return { code: "MODULE_EXPORTS_NOTHING", message: `Cannot load module "${module}": it exports nothing`, module };
  for (const stage of stages2) {
    if (!names.includes(stage)) {
      const message = `Cannot load module "${module}": it does not export "${stage}", only ${names.join(", ")}`;
      return { code: "MODULE_EXPORT_MISSING", message, module, stage };
    }
    if (typeof found[stage] !== "function") {
      const message = `Cannot load module "${module}": its export "${stage}" is not a function but ${kindOf(found[stage])}`;
      return { code: "MODULE_EXPORT_NOT_FUNCTION", message, module, stage };
    }
  }
  modules.set(module, found);
  return void 0;
}
function link(sceneId, versionId, plans, services, schemas) {
  closeGlobals();
  offer(services);
  useSchemas(schemas);
  scene = sceneId;
  version = versionId;
  lastStep = 0;
  stages = plans.map((plan, i) => bindStage(plan, i === 0));
}
function bindStage({ modules: keys3, merge: merge2, fallbackModule, ...plan }, first) {
  const bind = (module) => ({
    no: ++lastStep,
    stage: plan.stage,
    module,
    run: modules.get(module)?.[plan.stage]
  });
  const optional = (module) => module === void 0 ? void 0 : bind(module);
  return { ...plan, first, steps: keys3.map(bind), merge: optional(merge2), fallbackStep: optional(fallbackModule) };
}

// base/inside/stages/context.ts
var requestOf;
var Context = class {
  #request;
  #input;
  #services;
  static {
    requestOf = (ctx) => ctx.#request;
  }
  constructor(request) {
    this.#request = request;
  }
  get request() {
    this.#input ??= deepFreeze(parse(this.#request.body));
    return this.#input;
  }
  get scene() {
    return scene;
  }
  get version() {
    return version;
  }
  get unit() {
    return this.#request.unit;
  }
  get bucket() {
    return this.#request.bucket;
  }
  get requestId() {
    return this.#request.id;
  }
  get params() {
    return this.#request.params;
  }
  get log() {
    const request = this.#request;
    return {
      debug: (message, fields) => logFor(request, "debug", message, fields),
      info: (message, fields) => logFor(request, "info", message, fields),
      warn: (message, fields) => logFor(request, "warn", message, fields),
      error: (message, fields) => logFor(request, "error", message, fields)
    };
  }
  deadlineMs() {
    return this.#request.deadlineAt - readWholeTime();
  }
  call(callee, input) {
    return ask(this.#request, "", String(callee), input);
  }
  reject(reason, message, details) {
    return reject(this.#request, reason, message, details);
  }
  get services() {
    this.#services ??= servicesFor(this.#request);
    return this.#services;
  }
  get fetch() {
    const request = this.#request;
    return (input, init) => fetchFor(request, input, init);
  }
};
deleteProperty(Context.prototype, "constructor");
freeze(Context.prototype);

// base/inside/stages/fault.ts
var Fault = class {
  failure;
  constructor(failure) {
    this.failure = failure;
  }
  /** Whether a stage has refused the request. That is no failure of the stage, so nothing stands in for it. */
  get isRejection() {
    return this.failure.code === "REQUEST_REJECTED";
  }
};
function threw({ stage, module }, error) {
  const rejection = rejectionOf(error);
  if (rejection !== void 0) return new Fault({ code: "REQUEST_REJECTED", ...rejection, stage, module });
  return new Fault({ ...codesOf(error), message: messageOf(error), stage, module, ...stackOf(error) });
}
function orFault(step2, value) {
  const type = typeof value;
  if (type === "object" || type === "string" || type === "number" || type === "boolean") return value;
  const code = type === "undefined" ? "RESULT_UNDEFINED" : type === "bigint" ? "RESULT_BIGINT" : "RESULT_NOT_DATA";
  const message = `Stage "${step2.stage}" of module "${step2.module}" returned ${kindOf(value)}`;
  return new Fault({ code, message, stage: step2.stage, module: step2.module });
}
var brokenBy = (error) => ({ code: "MODULE_THREW", message: messageOf(error) });

// base/inside/stages/parsed-params.ts
var lastText = "{}";
var lastParams = freeze({});
var known2 = /* @__PURE__ */ new Map();
function paramsOf(json) {
  if (json === lastText) return lastParams;
  lastParams = known2.get(json);
  if (lastParams === void 0) {
    if (known2.size >= limits.paramsKept) known2.clear();
    lastParams = deepFreeze(parse(json));
    known2.set(json, lastParams);
  }
  lastText = json;
  return lastParams;
}

// base/inside/stages/json.ts
var sampler2 = new Sampler();
function toJson(request, value) {
  let json;
  try {
    json = stringify(value);
  } catch (error) {
    return unserialisable(error, lastStep2());
  }
  if (json === void 0) return { code: "RESULT_UNDEFINED", message: "The answer turns into undefined as JSON", ...lastStep2() };
  if (json.length > limits.resultChars) {
    const message = `The answer has ${json.length} characters of JSON, over the limit of ${limits.resultChars}`;
    return { code: "RESULT_TOO_LARGE", message, ...lastStep2() };
  }
  return (sampler2.isDue() ? lookAtAnswer(request, value, json) : void 0) ?? json;
}
function lookAtAnswer(request, value, json) {
  const beganAt = monotonicTime();
  const where = lastStep2();
  const finding = lookAt(request, where.module, `The answer of stage "${where.stage}"`, value);
  const misfit = answerSchema === void 0 ? void 0 : checkAnswer(answerSchema, json, where);
  sampler2.noteLook(beganAt);
  return finding === void 0 ? misfit : { code: finding.code, message: finding.message, ...where };
}
function lastStep2() {
  const { stage, steps, merge: merge2, parallel } = stages[stages.length - 1];
  const step2 = merge2 ?? (parallel && steps.length > 1 ? void 0 : steps[steps.length - 1]);
  return step2 === void 0 ? { stage } : { stage, module: step2.module };
}
function unserialisable(error, where) {
  const message = messageOf(error);
  const name = nameOf2(error);
  if (name === "RangeError") {
    const tooLarge = message.includes("string length");
    return { code: tooLarge ? "RESULT_TOO_LARGE" : "RESULT_TOO_DEEP", message: `The answer cannot become JSON: ${message}`, ...where };
  }
  if (name === "TypeError" && message.startsWith("Converting circular")) return { code: "RESULT_CYCLE", message, ...where };
  if (name === "TypeError" && message.includes("BigInt")) return { code: "RESULT_BIGINT", message, ...where };
  return { code: "MODULE_THREW", message, ...where, ...stackOf(error) };
}

// base/inside/stages/run.ts
function runStages(request, ctx, index, input) {
  let value = input;
  let beganAt = monotonicTime();
  for (let i = index; i < stages.length; i++) {
    value = runStage(request, ctx, stages[i], value);
    if (value instanceof Promise) {
      value.then(
        (result) => continueAfter(request, ctx, i, beganAt, result),
        (error) => settle(request, brokenBy(error))
      );
      return void 0;
    }
    if (value instanceof Fault) return value.failure;
    beganAt = markTime(request, i, beganAt);
  }
  return toJson(request, value);
}
function markTime(request, index, beganAt) {
  const endedAt = monotonicTime();
  if (endedAt > beganAt) {
    request.tookMs ??= stages.map(() => 0);
    request.tookMs[index] = endedAt - beganAt;
  }
  return endedAt;
}
function continueAfter(request, ctx, index, beganAt, result) {
  if (request.done) return;
  markTime(request, index, beganAt);
  beginRun(request);
  cursor[CURSOR.step] = request.step;
  try {
    const answer = result instanceof Fault ? result.failure : runStages(request, ctx, index + 1, result);
    if (answer !== void 0) settle(request, answer);
  } catch (error) {
    settle(request, brokenBy(error));
  } finally {
    endRun();
  }
}
function runStage(request, ctx, stage, input) {
  const result = stage.parallel ? runParallel(request, ctx, stage, input) : runSequence(ctx, stage.steps, 0, input);
  if (result instanceof Promise) {
    const bounded = stage.parallel ? result : withinDeadline(stage, result);
    return bounded.then((settled) => orInstead(request, ctx, stage, input, settled));
  }
  return orInstead(request, ctx, stage, input, result);
}
function runSequence(ctx, steps, index, input) {
  let value = input;
  for (let i = index; i < steps.length; i++) {
    value = runStep(ctx, steps[i], value);
    if (value instanceof Fault) return value;
    if (value instanceof Promise) return value.then((result) => result instanceof Fault ? result : runSequence(ctx, steps, i + 1, result));
  }
  return value;
}
function runParallel(request, ctx, stage, input) {
  const results = stage.steps.map((step2) => runStep(ctx, step2, input));
  if (!results.some((result) => result instanceof Promise)) return merge(request, ctx, stage, results);
  const bounded = results.map((result) => result instanceof Promise ? withinDeadline(stage, result) : result);
  return Promise.all(bounded).then((settled) => merge(request, ctx, stage, settled));
}
function merge(request, ctx, stage, results) {
  const faults = results.filter((result) => result instanceof Fault);
  const rejection = faults.find((fault) => fault.isRejection);
  if (rejection !== void 0) return rejection;
  const fine = results.filter((result) => !(result instanceof Fault));
  if (faults.length > 0 && (stage.onFailure !== "skip" || fine.length === 0)) return faults[0];
  for (const { failure } of faults) markDegraded(request, stage, failure);
  if (stage.merge !== void 0) return runStep(ctx, stage.merge, fine);
  const other = fine.find((result) => !Array.isArray(result));
  if (other === void 0) return fine.flat();
  const message = `Stage "${stage.stage}" cannot join the results of its modules: one returned ${kindOf(other)}, not a list`;
  return new Fault({ code: "RESULT_NOT_LIST", message, stage: stage.stage });
}
function runStep(ctx, step2, input) {
  const { run } = step2;
  let begins = false;
  try {
    const request = requestOf(ctx);
    begins = beginRun(request);
    running.module = step2.module;
    running.request = request;
    request.step = step2.no;
    cursor[CURSOR.step] = step2.no;
    const value = run(input, ctx);
    if (!isThenable(value)) return orFault(step2, value);
    return new Promise((resolve) => resolve(value)).then(
      (settled) => orFault(step2, settled),
      (error) => threw(step2, error)
    );
  } catch (error) {
    return threw(step2, error);
  } finally {
    running.module = void 0;
    running.request = void 0;
    if (begins) endRun();
  }
}
function isThenable(value) {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
function orInstead(request, ctx, stage, input, result) {
  if (!(result instanceof Fault) || stage.onFailure === "fail" || result.isRejection) return result;
  markDegraded(request, stage, result.failure);
  if (stage.onFailure === "skip") return stage.first ? [] : input;
  return stage.fallbackStep === void 0 ? parse(stage.fallbackValue) : runStep(ctx, stage.fallbackStep, input);
}
function markDegraded(request, { stage, onFailure }, { message, module, stack }) {
  request.degraded ??= [];
  if (!request.degraded.includes(stage)) request.degraded.push(stage);
  const line = logLine("warn", module, `Stage "${stage}" failed (${onFailure}): ${message}`);
  if (line !== void 0) keepLine(request, stack === void 0 ? line : { ...line, stack });
}
function withinDeadline({ stage, deadlineMs }, result) {
  if (deadlineMs === void 0) return result;
  return new Promise((resolve, reject2) => {
    const message = `Stage "${stage}" had no result after ${deadlineMs} ms`;
    const onLate = () => resolve(new Fault({ code: "DEADLINE_EXCEEDED", message, stage }));
    const timer = openTimer("setTimeout", onLate, deadlineMs, [], false);
    result.then((value) => {
      closeTimer(timer);
      resolve(value);
    }, reject2);
  });
}

// base/inside/stages/turn.ts
var reports = [];
var REPORT_CHARS_MAX = 2 ** 20;
function turn(firstNo, values2) {
  closeLeftover();
  seedIfTold();
  const answers = [];
  let someWait = false;
  let chars = 0;
  let params = "";
  for (let i = 0; i < values2.length; i += REQUEST_STRIDE) {
    if (values2[i + 4] !== "") params = values2[i + 4];
    const request = begin(firstNo + i / REQUEST_STRIDE, values2, i, params);
    const answer = startSafely(request);
    if (answer === void 0) {
      openRequests.add(request.no, request);
      answers.push(request.no, AnswerKind.waiting, "");
      someWait = true;
    } else {
      pushAnswer(answers, request, answer);
      chars += answers.at(-1).length;
    }
  }
  mend();
  flush();
  if (someWait || chars > REPORT_CHARS_MAX) {
    post("answers", ...answers);
    return [];
  }
  reports.push(answers);
  if (reports.length > TURNS_IN_FLIGHT) reports.shift();
  return answers;
}
var reportOf = (firstNo) => reports.find((report2) => report2[0] === firstNo) ?? [];
function mend() {
  const mended = mendOpen();
  if (mended === void 0) return;
  logText("warn", `A module has changed what the modules of a version share, and the change was undone: ${mended.changed.join(", ")}`);
  if (!mended.complete) post("broken");
}
function begin(no, values2, i, params) {
  const unit = values2[i + 2];
  const bucket = values2[i + 5];
  return {
    no,
    id: values2[i],
    body: values2[i + 1],
    unit: unit === "" ? void 0 : unit,
    deadlineAt: values2[i + 3],
    params: paramsOf(params),
    bucket: bucket < 0 ? void 0 : bucket,
    done: false,
    lines: void 0,
    degraded: void 0,
    tookMs: void 0,
    calls: 0,
    step: 0
  };
}
function startSafely(request) {
  try {
    return start(request);
  } catch (error) {
    return brokenBy(error);
  }
}
function start(request) {
  if (request.deadlineAt <= readWrittenTime()) return { code: "DEADLINE_EXCEEDED", message: "Its deadline passed before it began" };
  let input;
  cursor[CURSOR.reading] = request.no;
  try {
    demandShallow(request.body);
    input = parse(request.body);
  } catch (error) {
    return { code: "BODY_MALFORMED", message: `Cannot read the body: ${messageOf(error)}` };
  } finally {
    cursor[CURSOR.reading] = 0;
  }
  cursor[CURSOR.started] = request.no;
  running.inTurn = true;
  beginRun(request);
  try {
    const failure = requestSchema === void 0 ? void 0 : checkBody(requestSchema, input);
    return failure ?? runStages(request, new Context(request), 0, input);
  } finally {
    endRun();
    running.inTurn = false;
  }
}
function checkBody(schema, body) {
  cursor[CURSOR.checking] = 1;
  try {
    return bodyFailure(schema, body);
  } finally {
    cursor[CURSOR.checking] = 0;
  }
}
function abandon(no) {
  closeLeftover();
  const request = openRequests.get(no);
  if (request === void 0) return;
  openRequests.delete(no);
  request.done = true;
  if (request.lines !== void 0) postLines(no, request.lines);
  forget(request);
}

// base/inside/inside.ts
harden();
defineGlobals();
var inside_default = { define: define2, link, turn, reportOf, abandon, settleCalls, settleFetch, fireTimer, probe: closeLeftover };
return inside_default;
})
