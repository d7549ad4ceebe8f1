// Made by "npm run build:inside". Not to be changed by hand.
'use strict';((...given) => {
// base/inside/lazy/tools.ts
var [tools] = given;

// base/inside/lazy/events.ts
var codes = [
  ...["IndexSizeError", "", "HierarchyRequestError", "WrongDocumentError", "InvalidCharacterError", "", "NoModificationAllowedError"],
  ...["NotFoundError", "NotSupportedError", "InUseAttributeError", "InvalidStateError", "SyntaxError", "InvalidModificationError"],
  ...["NamespaceError", "InvalidAccessError", "", "TypeMismatchError", "SecurityError", "NetworkError", "AbortError", "URLMismatchError"],
  ...["QuotaExceededError", "TimeoutError", "InvalidNodeTypeError", "DataCloneError"]
];
var DOMException = class extends Error {
  #name = "Error";
  constructor(message = "", options = "Error") {
    const { name = "Error", ...rest } = typeof options === "object" && options !== null ? options : { name: options };
    super(String(message), "cause" in rest ? rest : void 0);
    this.#name = String(name);
  }
  // `Error` reads the name for the stack before the fields of this class exist.
  get name() {
    return #name in this ? this.#name : "DOMException";
  }
  get code() {
    return codes.indexOf(this.name || " ") + 1;
  }
  get [Symbol.toStringTag]() {
    return "DOMException";
  }
};
codes.forEach((name, i) => {
  if (name === "") return;
  const constant = `${name.replace("InUse", "Inuse").replace("URL", "URL_").replace(/(?<=[a-z])(?=[A-Z])/g, "_").replace("_Error", "").toUpperCase()}_ERR`;
  for (const holder of [DOMException, DOMException.prototype])
    Object.defineProperty(holder, constant, {
      value: i + 1,
      enumerable: true,
      configurable: true
    });
});
var State = class {
  target = null;
  dispatching = false;
  stopped = false;
  prevented = false;
  passive = false;
  trusted = false;
};
var states = /* @__PURE__ */ new WeakMap();
var stateOf = (event) => {
  const state = states.get(event);
  if (state === void 0) throw new TypeError("Illegal invocation");
  return state;
};
var [NONE, AT_TARGET] = [0, 2];
var Event = class {
  static NONE = NONE;
  static CAPTURING_PHASE = 1;
  static AT_TARGET = AT_TARGET;
  static BUBBLING_PHASE = 3;
  #type;
  #options;
  #at = tools.sinceStart();
  constructor(...args) {
    if (args.length === 0) throw new TypeError('The "type" argument must be specified');
    this.#type = String(args[0]);
    this.#options = { ...args[1] };
    states.set(this, new State());
  }
  get type() {
    return this.#type;
  }
  get bubbles() {
    return Boolean(this.#options.bubbles);
  }
  get cancelable() {
    return Boolean(this.#options.cancelable);
  }
  get composed() {
    return Boolean(this.#options.composed);
  }
  get timeStamp() {
    return this.#at;
  }
  get target() {
    return stateOf(this).target;
  }
  get srcElement() {
    return stateOf(this).target;
  }
  get currentTarget() {
    return stateOf(this).dispatching ? stateOf(this).target : null;
  }
  get eventPhase() {
    return stateOf(this).dispatching ? AT_TARGET : NONE;
  }
  get defaultPrevented() {
    return stateOf(this).prevented;
  }
  get returnValue() {
    return !stateOf(this).prevented;
  }
  get isTrusted() {
    return stateOf(this).trusted;
  }
  get [Symbol.toStringTag]() {
    return "Event";
  }
  composedPath() {
    const { target, dispatching } = stateOf(this);
    return dispatching && target !== null ? [target] : [];
  }
  preventDefault() {
    const state = stateOf(this);
    if (this.cancelable && !state.passive) state.prevented = true;
  }
  /** Does nothing, since an event has nowhere to propagate to. */
  stopPropagation() {
  }
  stopImmediatePropagation() {
    stateOf(this).stopped = true;
  }
};
var CustomEvent = class extends Event {
  #detail;
  constructor(...args) {
    super(...args);
    this.#detail = args[1]?.detail ?? null;
  }
  get detail() {
    return this.#detail;
  }
  get [Symbol.toStringTag]() {
    return "CustomEvent";
  }
};
var EventTarget = class {
  #listeners = /* @__PURE__ */ new Map();
  addEventListener(type, callback, options) {
    const { capture, once, passive, signal } = typeof options === "boolean" ? { capture: options } : options ?? {};
    if (signal !== void 0 && !isSignal(signal)) throw new TypeError('The "signal" option must be an AbortSignal');
    if (callback === null || callback === void 0 || signal?.aborted) return;
    if (typeof callback !== "function" && typeof callback !== "object") throw new TypeError('The "listener" argument must be a function');
    const name = String(type);
    const listeners = this.#listeners.get(name) ?? [];
    if (listeners.some((listener2) => listener2.callback === callback && listener2.capture === Boolean(capture))) return;
    const listener = {
      callback,
      capture: Boolean(capture),
      once: Boolean(once),
      passive: Boolean(passive),
      removed: false
    };
    this.#listeners.set(name, [...listeners, listener]);
    signal?.addEventListener("abort", () => this.#remove(name, listener), { once: true });
  }
  removeEventListener(type, callback, options) {
    const capture = Boolean(typeof options === "boolean" ? options : options?.capture);
    const name = String(type);
    const found = this.#listeners.get(name)?.find((listener) => listener.callback === callback && listener.capture === capture);
    if (found !== void 0) this.#remove(name, found);
  }
  #remove(name, listener) {
    listener.removed = true;
    const rest = (this.#listeners.get(name) ?? []).filter((other) => other !== listener);
    if (rest.length > 0) this.#listeners.set(name, rest);
    else this.#listeners.delete(name);
  }
  dispatchEvent(event) {
    const state = states.get(event);
    if (state === void 0) throw new TypeError('The "event" argument must be an instance of Event');
    if (state.dispatching) throw new DOMException("The event is already being dispatched", "InvalidStateError");
    state.target = this;
    state.dispatching = true;
    state.stopped = false;
    for (const listener of this.#listeners.get(event.type) ?? []) {
      if (state.stopped) break;
      if (!listener.removed) this.#notify(listener, event, state);
    }
    state.dispatching = false;
    return !state.prevented;
  }
  /** An error of one listener must not keep the next from hearing of the event. */
  #notify(listener, event, state) {
    const { callback, once, passive } = listener;
    if (once) this.#remove(event.type, listener);
    state.passive = passive;
    try {
      if (typeof callback === "function") callback.call(this, event);
      else callback.handleEvent(event);
    } catch (error) {
      tools.report(`A listener for "${event.type}" threw:`, error);
    }
    state.passive = false;
  }
  get [Symbol.toStringTag]() {
    return "EventTarget";
  }
};
var secret = {};
var abort;
var AbortSignal = class extends EventTarget {
  #aborted = false;
  #reason;
  #handler = null;
  /** Signals that `any` has made of this one. */
  #dependents = /* @__PURE__ */ new Set();
  #sources = /* @__PURE__ */ new Set();
  static {
    abort = (signal, reason) => signal.#abort(reason);
  }
  constructor(key) {
    if (key !== secret) throw new TypeError("Illegal constructor");
    super();
  }
  static abort(reason = abortError()) {
    const signal = newSignal();
    signal.#aborted = true;
    signal.#reason = reason;
    return signal;
  }
  static timeout(delayMs) {
    if (!(Number(delayMs) >= 0)) throw new RangeError("AbortSignal.timeout takes a number of milliseconds that is not negative");
    const signal = newSignal();
    tools.setTimeout(() => signal.#abort(new DOMException("The operation was aborted due to timeout", "TimeoutError")), delayMs);
    return signal;
  }
  static any(signals) {
    const sources = [...signals];
    for (const source of sources) if (!isSignal(source)) throw new TypeError("AbortSignal.any takes abort signals");
    const aborted = sources.find((source) => source.#aborted);
    const signal = newSignal();
    if (aborted !== void 0) {
      signal.#aborted = true;
      signal.#reason = aborted.#reason;
      return signal;
    }
    for (const source of sources) {
      source.#dependents.add(signal);
      signal.#sources.add(source);
    }
    return signal;
  }
  get aborted() {
    return this.#aborted;
  }
  get reason() {
    return this.#reason;
  }
  throwIfAborted() {
    if (this.#aborted) throw this.#reason;
  }
  get onabort() {
    return this.#handler;
  }
  set onabort(handler) {
    if (this.#handler !== null) this.removeEventListener("abort", this.#handler);
    this.#handler = typeof handler === "function" ? handler : null;
    if (this.#handler !== null) this.addEventListener("abort", this.#handler);
  }
  get [Symbol.toStringTag]() {
    return "AbortSignal";
  }
  #abort(reason) {
    if (this.#aborted) return;
    const all = [this, ...this.#dependents].filter((signal) => !signal.#aborted);
    for (const signal of all) {
      signal.#aborted = true;
      signal.#reason = reason;
      for (const source of signal.#sources) source.#dependents.delete(signal);
      signal.#sources.clear();
    }
    for (const signal of all) signal.#notify();
  }
  #notify() {
    const event = new Event("abort");
    stateOf(event).trusted = true;
    this.dispatchEvent(event);
    for (const dependent of this.#dependents) dependent.#abort(this.#reason);
    this.#dependents.clear();
  }
};
var newSignal = () => new AbortSignal(secret);
var isSignal = (value) => value instanceof AbortSignal;
var abortError = () => new DOMException("This operation was aborted", "AbortError");
var AbortController = class {
  #signal = newSignal();
  get signal() {
    return this.#signal;
  }
  abort(reason = abortError()) {
    abort(this.#signal, reason);
  }
  get [Symbol.toStringTag]() {
    return "AbortController";
  }
};
var WorkerGlobalScope = class extends EventTarget {
  constructor() {
    super();
    throw new TypeError("Illegal constructor");
  }
  static [Symbol.hasInstance](value) {
    return value === globalThis;
  }
};
var events_default = { AbortController, AbortSignal, CustomEvent, DOMException, Event, EventTarget, WorkerGlobalScope };
return events_default;
})
//# sourceURL=berth:///events.js
