// Made by "npm run build:inside". Not to be changed by hand.
'use strict';((...given) => {
// base/inside/lazy/tools.ts
var [tools] = given;
var domException = (message, name) => new (tools.use("DOMException"))(message, name);

// base/inside/lazy/text.ts
var CHUNK = 8192;
var REPLACEMENT = 65533;
var PARTIAL = -1;
var BROKEN = -2;
var { fromCharCode } = String;
var isView = (source) => ArrayBuffer.isView(source);
function bytesOf(source) {
  if (source === void 0) return new Uint8Array(0);
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  throw new TypeError("TextDecoder.decode takes an ArrayBuffer or a view of one");
}
function codePointAt(text, i) {
  const code = text.codePointAt(i);
  return code >= 55296 && code <= 57343 ? REPLACEMENT : code;
}
function encodeInto(text, target) {
  const room = target.length;
  let at = 0;
  let i = 0;
  while (i < text.length) {
    const unit = text.charCodeAt(i);
    if (unit < 128) {
      if (at === room) break;
      target[at++] = unit;
      i++;
      continue;
    }
    const code = unit < 55296 ? unit : codePointAt(text, i);
    const size = code < 2048 ? 2 : code < 65536 ? 3 : 4;
    if (at + size > room) break;
    if (size === 2) target[at++] = 192 | code >> 6;
    else {
      if (size === 3) target[at++] = 224 | code >> 12;
      else {
        target[at++] = 240 | code >> 18;
        target[at++] = 128 | code >> 12 & 63;
        i++;
      }
      target[at++] = 128 | code >> 6 & 63;
    }
    target[at++] = 128 | code & 63;
    i++;
  }
  return { read: i, written: at };
}
function byteLength(text) {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 128) continue;
    if (unit < 2048) length += 1;
    else if (unit >= 55296 && unit <= 56319 && codePointAt(text, i) > 65535) {
      length += 2;
      i++;
    } else length += 2;
  }
  return length;
}
var TextEncoder = class {
  get encoding() {
    return "utf-8";
  }
  encode(text = "") {
    const string = String(text);
    const bytes = new Uint8Array(byteLength(string));
    encodeInto(string, bytes);
    return bytes;
  }
  encodeInto(text, target) {
    if (!(target instanceof Uint8Array)) throw new TypeError("TextEncoder.encodeInto writes into a Uint8Array");
    return encodeInto(String(text), target);
  }
  get [Symbol.toStringTag]() {
    return "TextEncoder";
  }
};
var utf8Labels = ["utf-8", "utf8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "x-unicode20utf8"];
var coded = (error, code) => Object.assign(error, { code });
function invalidData(encoding) {
  return coded(new TypeError(`The encoded data was not valid for encoding ${encoding}`), "ERR_ENCODING_INVALID_ENCODED_DATA");
}
var TextDecoder = class {
  #fatal;
  #ignoreBOM;
  #encoding = "utf-8";
  /** Undefined for UTF-8. */
  #decodeOther;
  // The state of a sequence that the end of a streamed chunk has cut in two.
  #code = 0;
  #needed = 0;
  #lower = 128;
  #upper = 191;
  #bomPassed = false;
  constructor(label = "utf-8", options) {
    this.#fatal = Boolean(options?.fatal);
    this.#ignoreBOM = Boolean(options?.ignoreBOM);
    if (utf8Labels.includes(String(label).trim().toLowerCase())) return;
    const { nameOf, decoderOf } = tools.load("encodings");
    const name = nameOf(String(label));
    if (name === void 0) throw coded(new RangeError(`The "${String(label)}" encoding is not supported`), "ERR_ENCODING_NOT_SUPPORTED");
    if (name === "utf-8") return;
    this.#encoding = name;
    this.#decodeOther = decoderOf(name, this.#fatal, this.#ignoreBOM);
  }
  get encoding() {
    return this.#encoding;
  }
  get fatal() {
    return this.#fatal;
  }
  get ignoreBOM() {
    return this.#ignoreBOM;
  }
  get [Symbol.toStringTag]() {
    return "TextDecoder";
  }
  decode(source, options) {
    const bytes = bytesOf(source);
    if (this.#decodeOther !== void 0) return this.#other(bytes, Boolean(options?.stream));
    const units = new Uint16Array(Math.min(bytes.length + 2, CHUNK));
    let text = "";
    let length = 0;
    const flush = () => {
      text += fromCharCode.apply(null, units.subarray(0, length));
      length = 0;
    };
    for (let i = 0; i < bytes.length; ) {
      if (length + 2 > units.length) flush();
      if (this.#needed === 0) {
        const end = Math.min(bytes.length, i + units.length - length);
        while (i < end && bytes[i] < 128) units[length++] = bytes[i++];
        if (i === end) continue;
        if (length + 2 > units.length) flush();
      }
      const code = this.#take(bytes[i]);
      if (code >= 0) length = append(units, length, code);
      if (code === BROKEN) {
        this.#fail();
        units[length++] = REPLACEMENT;
      } else i++;
    }
    flush();
    return this.#finish(text, Boolean(options?.stream));
  }
  #other(bytes, stream) {
    try {
      return this.#decodeOther(bytes, stream);
    } catch {
      throw invalidData(this.#encoding);
    }
  }
  /** The code point that this byte completes, `PARTIAL` or `BROKEN`. */
  #take(byte) {
    if (this.#needed === 0) return this.#start(byte);
    const fits = byte >= this.#lower && byte <= this.#upper;
    this.#lower = 128;
    this.#upper = 191;
    if (!fits) {
      this.#needed = 0;
      return BROKEN;
    }
    this.#code = this.#code << 6 | byte & 63;
    return --this.#needed === 0 ? this.#code : PARTIAL;
  }
  #start(byte) {
    if (byte < 128) return byte;
    if (byte < 194 || byte > 244) {
      this.#fail();
      return REPLACEMENT;
    }
    this.#needed = byte < 224 ? 1 : byte < 240 ? 2 : 3;
    this.#code = byte & 63 >> this.#needed;
    if (byte === 224) this.#lower = 160;
    else if (byte === 237) this.#upper = 159;
    else if (byte === 240) this.#lower = 144;
    else if (byte === 244) this.#upper = 143;
    return PARTIAL;
  }
  #fail() {
    if (!this.#fatal) return;
    this.#reset();
    throw invalidData("utf-8");
  }
  #reset() {
    this.#needed = 0;
    this.#lower = 128;
    this.#upper = 191;
    this.#bomPassed = false;
  }
  #finish(decoded, stream) {
    let text = decoded;
    if (!stream && this.#needed > 0) {
      this.#fail();
      text += fromCharCode(REPLACEMENT);
    }
    if (!this.#bomPassed && !this.#ignoreBOM && text.charCodeAt(0) === 65279) text = text.slice(1);
    if (!stream) this.#reset();
    else if (decoded !== "") this.#bomPassed = true;
    return text;
  }
};
function append(units, length, code) {
  if (code < 65536) {
    units[length] = code;
    return length + 1;
  }
  units[length] = 55232 + (code >> 10);
  units[length + 1] = 56320 + (code & 1023);
  return length + 2;
}
var native = Uint8Array;
var invalid = (message) => domException(message, "InvalidCharacterError");
function btoa(...args) {
  if (args.length === 0) throw new TypeError('The "data" argument must be specified');
  const text = String(args[0]);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 255) throw invalid("Invalid character");
    bytes[i] = unit;
  }
  return native.prototype.toBase64.call(bytes);
}
function atob(...args) {
  if (args.length === 0) throw new TypeError('The "data" argument must be specified');
  const compact = String(args[0]).replace(/[\t\n\f\r ]+/g, "");
  const bare = compact.length % 4 === 0 ? compact.replace(/={1,2}$/, "") : compact;
  if (bare.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(bare)) throw invalid("The string to be decoded is not correctly encoded.");
  const bytes = native.fromBase64(bare);
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    text += fromCharCode.apply(null, bytes.subarray(at, at + CHUNK));
  }
  return text;
}
var text_default = { TextDecoder, TextEncoder, atob, btoa };
return text_default;
})
//# sourceURL=berth:///text.js
