// Made by "npm run build:inside". Not to be changed by hand.
'use strict';((...given) => {
// base/inside/lazy/tools.ts
var [tools] = given;
var domException = (message, name) => new (tools.use("DOMException"))(message, name);

// base/inside/lazy/clone.ts
var { defineProperty, getPrototypeOf, hasOwn, keys } = Object;
function getterOf(prototype, key) {
  return Object.getOwnPropertyDescriptor(prototype, key)?.get;
}
var bufferLength = getterOf(ArrayBuffer.prototype, "byteLength");
var mapSize = getterOf(Map.prototype, "size");
var setSize = getterOf(Set.prototype, "size");
var regExpSource = getterOf(RegExp.prototype, "source");
var regExpFlags = getterOf(RegExp.prototype, "flags");
var viewTag = getterOf(getPrototypeOf(Int8Array.prototype), Symbol.toStringTag);
var errorNames = ["EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError", "URIError"];
var globals = globalThis;
var brands = {
  Map: (value) => mapSize.call(value),
  Set: (value) => setSize.call(value),
  Date: (value) => Date.prototype.getTime.call(value),
  RegExp: (value) => value !== RegExp.prototype && regExpSource.call(value),
  ArrayBuffer: (value) => bufferLength.call(value),
  Boolean: (value) => Boolean.prototype.valueOf.call(value),
  Number: (value) => Number.prototype.valueOf.call(value),
  String: (value) => String.prototype.valueOf.call(value),
  BigInt: (value) => BigInt.prototype.valueOf.call(value),
  Symbol: (value) => Symbol.prototype.valueOf.call(value),
  WeakMap: (value) => WeakMap.prototype.has.call(value, value),
  WeakSet: (value) => WeakSet.prototype.has.call(value, value),
  WeakRef: (value) => WeakRef.prototype.deref.call(value),
  Promise: (value) => {
    if (!(value instanceof Promise)) throw new TypeError("not a promise");
  }
};
var kinds = keys(brands);
function is(kind, value) {
  try {
    brands[kind](value);
    return true;
  } catch {
    return false;
  }
}
function kindOf(value) {
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  if (tag === "Object") return void 0;
  return hasOwn(brands, tag) && is(tag, value) ? tag : kinds.find((kind) => is(kind, value));
}
function refuse(value) {
  const shown = typeof value === "function" ? value.name === "" ? "(anonymous)" : value.name : describe(value);
  return domException(`${shown} could not be cloned.`, "DataCloneError");
}
function describe(value) {
  return typeof value === "symbol" ? String(value) : `#<${Object.prototype.toString.call(value).slice(8, -1)}>`;
}
var Cloner = class {
  /** Copies by their originals: an object that occurs twice, or within itself, is copied once. */
  #copies = /* @__PURE__ */ new Map();
  seed(original, copy) {
    this.#copies.set(original, copy);
  }
  copy(value) {
    if (typeof value === "symbol" || typeof value === "function") throw refuse(value);
    if (typeof value !== "object" || value === null) return value;
    const known = this.#copies.get(value);
    if (known !== void 0) return known;
    if (Array.isArray(value)) return this.#members(value, this.#begin(value, new Array(value.length)));
    if (ArrayBuffer.isView(value)) return this.#view(value);
    const kind = kindOf(value);
    if (kind !== void 0) return this.#special(kind, value);
    if (isError(value)) return this.#error(value);
    return this.#members(value, this.#begin(value, {}));
  }
  #begin(original, copy) {
    this.#copies.set(original, copy);
    return copy;
  }
  #members(value, copy) {
    for (const key of keys(value)) {
      if (!hasOwn(value, key)) continue;
      const member = this.copy(value[key]);
      defineProperty(copy, key, { value: member, writable: true, enumerable: true, configurable: true });
    }
    return copy;
  }
  #view(view) {
    const buffer = this.copy(view.buffer);
    if (view instanceof DataView) return this.#begin(view, new DataView(buffer, view.byteOffset, view.byteLength));
    const type = globals[viewTag.call(view)];
    return this.#begin(view, new type(buffer, view.byteOffset, view.length));
  }
  #special(kind, value) {
    switch (kind) {
      case "Map": {
        const copy = this.#begin(value, /* @__PURE__ */ new Map());
        for (const [key, member] of [...Map.prototype.entries.call(value)]) copy.set(this.copy(key), this.copy(member));
        return copy;
      }
      case "Set": {
        const copy = this.#begin(value, /* @__PURE__ */ new Set());
        for (const member of [...Set.prototype.values.call(value)]) copy.add(this.copy(member));
        return copy;
      }
      case "Date":
        return this.#begin(value, new Date(Date.prototype.getTime.call(value)));
      case "RegExp":
        return this.#begin(value, new RegExp(regExpSource.call(value), regExpFlags.call(value)));
      case "ArrayBuffer":
        return this.#begin(value, ArrayBuffer.prototype.slice.call(value, 0));
      case "Boolean":
      case "Number":
      case "String":
      case "BigInt":
        return this.#begin(value, Object(globals[kind].prototype.valueOf.call(value)));
      default:
        throw refuse(value);
    }
  }
  #error(error) {
    const name = String(error.name);
    const type = errorNames.includes(name) ? globals[name] : Error;
    const copy = this.#begin(error, new type());
    const hidden = (key, value) => defineProperty(copy, key, { value, writable: true, configurable: true, enumerable: false });
    for (const key of ["stack", "message"]) if (hasOwn(error, key)) hidden(key, String(error[key]));
    if (hasOwn(error, "cause")) hidden("cause", this.copy(error.cause));
    return copy;
  }
};
function isError(value) {
  return Error.isError(value);
}
function structuredClone(...args) {
  if (args.length === 0) throw new TypeError('The "value" argument must be specified');
  for (const object of args[1]?.transfer ?? []) if (!is("ArrayBuffer", object)) throw refuse(object);
  return new Cloner().copy(args[0]);
}
var clone_default = { structuredClone };
return clone_default;
})
//# sourceURL=berth:///clone.js
