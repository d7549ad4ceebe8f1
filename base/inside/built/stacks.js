// Made by "npm run build:inside". Not to be changed by hand.
// It holds @jridgewell/trace-mapping (MIT, Justin Ridgewell).
'use strict';((...given) => {
var __create = Object.create;
var __defProp = Object.defineProperty;
var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __getProtoOf = Object.getPrototypeOf;
var __hasOwnProp = Object.prototype.hasOwnProperty;
var __commonJS = (cb, mod) => function __require() {
  try {
    return mod || (0, cb[__getOwnPropNames(cb)[0]])((mod = { exports: {} }).exports, mod), mod.exports;
  } catch (e) {
    throw mod = 0, e;
  }
};
var __copyProps = (to, from, except, desc) => {
  if (from && typeof from === "object" || typeof from === "function") {
    for (let key of __getOwnPropNames(from))
      if (!__hasOwnProp.call(to, key) && key !== except)
        __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
  }
  return to;
};
var __toESM = (mod, isNodeMode, target) => (target = mod != null ? __create(__getProtoOf(mod)) : {}, __copyProps(
  // If the importer is in node compatibility mode or this is not an ESM
  // file that has been converted to a CommonJS file using a Babel-
  // compatible transform (i.e. "__esModule" has not been set), then set
  // "default" to the CommonJS "module.exports" for node compatibility.
  isNodeMode || !mod || !mod.__esModule ? __defProp(target, "default", { value: mod, enumerable: true }) : target,
  mod
));

// node_modules/@jridgewell/resolve-uri/dist/resolve-uri.umd.js
var require_resolve_uri_umd = __commonJS({
  "node_modules/@jridgewell/resolve-uri/dist/resolve-uri.umd.js"(exports, module) {
    (function(global, factory) {
      typeof exports === "object" && typeof module !== "undefined" ? module.exports = factory() : typeof define === "function" && define.amd ? define(factory) : (global = typeof globalThis !== "undefined" ? globalThis : global || self, global.resolveURI = factory());
    })(exports, (function() {
      "use strict";
      const schemeRegex = /^[\w+.-]+:\/\//;
      const urlRegex = /^([\w+.-]+:)\/\/([^@/#?]*@)?(\[[^\]]+\]|[^:/#?]*)(:\d+)?(\/[^#?]*)?(\?[^#]*)?(#.*)?/;
      const fileRegex = /^file:(?:\/\/((?![a-z]:)[^/#?]*)?)?(\/?[^#?]*)(\?[^#]*)?(#.*)?/i;
      function isAbsoluteUrl(input) {
        return schemeRegex.test(input);
      }
      function isSchemeRelativeUrl(input) {
        return input.startsWith("//");
      }
      function isAbsolutePath(input) {
        return input.startsWith("/");
      }
      function isFileUrl(input) {
        return input.startsWith("file:");
      }
      function isRelative(input) {
        return /^[.?#]/.test(input);
      }
      function parseAbsoluteUrl(input) {
        const match = urlRegex.exec(input);
        return makeUrl(match[1], match[2] || "", match[3], match[4] || "", match[5] || "/", match[6] || "", match[7] || "");
      }
      function parseFileUrl(input) {
        const match = fileRegex.exec(input);
        const path = match[2];
        return makeUrl("file:", "", match[1] || "", "", isAbsolutePath(path) ? path : "/" + path, match[3] || "", match[4] || "");
      }
      function makeUrl(scheme, user, host, port, path, query, hash) {
        return {
          scheme,
          user,
          host,
          port,
          path,
          query,
          hash,
          type: 7
        };
      }
      function parseUrl(input) {
        if (isSchemeRelativeUrl(input)) {
          const url2 = parseAbsoluteUrl("http:" + input);
          url2.scheme = "";
          url2.type = 6;
          return url2;
        }
        if (isAbsolutePath(input)) {
          const url2 = parseAbsoluteUrl("http://foo.com" + input);
          url2.scheme = "";
          url2.host = "";
          url2.type = 5;
          return url2;
        }
        if (isFileUrl(input))
          return parseFileUrl(input);
        if (isAbsoluteUrl(input))
          return parseAbsoluteUrl(input);
        const url = parseAbsoluteUrl("http://foo.com/" + input);
        url.scheme = "";
        url.host = "";
        url.type = input ? input.startsWith("?") ? 3 : input.startsWith("#") ? 2 : 4 : 1;
        return url;
      }
      function stripPathFilename(path) {
        if (path.endsWith("/.."))
          return path;
        const index = path.lastIndexOf("/");
        return path.slice(0, index + 1);
      }
      function mergePaths(url, base) {
        normalizePath(base, base.type);
        if (url.path === "/") {
          url.path = base.path;
        } else {
          url.path = stripPathFilename(base.path) + url.path;
        }
      }
      function normalizePath(url, type) {
        const rel = type <= 4;
        const pieces = url.path.split("/");
        let pointer = 1;
        let positive = 0;
        let addTrailingSlash = false;
        for (let i = 1; i < pieces.length; i++) {
          const piece = pieces[i];
          if (!piece) {
            addTrailingSlash = true;
            continue;
          }
          addTrailingSlash = false;
          if (piece === ".")
            continue;
          if (piece === "..") {
            if (positive) {
              addTrailingSlash = true;
              positive--;
              pointer--;
            } else if (rel) {
              pieces[pointer++] = piece;
            }
            continue;
          }
          pieces[pointer++] = piece;
          positive++;
        }
        let path = "";
        for (let i = 1; i < pointer; i++) {
          path += "/" + pieces[i];
        }
        if (!path || addTrailingSlash && !path.endsWith("/..")) {
          path += "/";
        }
        url.path = path;
      }
      function resolve(input, base) {
        if (!input && !base)
          return "";
        const url = parseUrl(input);
        let inputType = url.type;
        if (base && inputType !== 7) {
          const baseUrl = parseUrl(base);
          const baseType = baseUrl.type;
          switch (inputType) {
            case 1:
              url.hash = baseUrl.hash;
            // fall through
            case 2:
              url.query = baseUrl.query;
            // fall through
            case 3:
            case 4:
              mergePaths(url, baseUrl);
            // fall through
            case 5:
              url.user = baseUrl.user;
              url.host = baseUrl.host;
              url.port = baseUrl.port;
            // fall through
            case 6:
              url.scheme = baseUrl.scheme;
          }
          if (baseType > inputType)
            inputType = baseType;
        }
        normalizePath(url, inputType);
        const queryHash = url.query + url.hash;
        switch (inputType) {
          // This is impossible, because of the empty checks at the start of the function.
          // case UrlType.Empty:
          case 2:
          case 3:
            return queryHash;
          case 4: {
            const path = url.path.slice(1);
            if (!path)
              return queryHash || ".";
            if (isRelative(base || input) && !isRelative(path)) {
              return "./" + path + queryHash;
            }
            return path + queryHash;
          }
          case 5:
            return url.path + queryHash;
          default:
            return url.scheme + "//" + url.user + url.host + url.port + url.path + queryHash;
        }
      }
      return resolve;
    }));
  }
});

// node_modules/@jridgewell/sourcemap-codec/dist/sourcemap-codec.mjs
var comma = ",".charCodeAt(0);
var semicolon = ";".charCodeAt(0);
var chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
var intToChar = new Uint8Array(64);
var charToInt = new Uint8Array(128);
for (let i = 0; i < chars.length; i++) {
  const c = chars.charCodeAt(i);
  intToChar[i] = c;
  charToInt[c] = i;
}
function decodeInteger(reader) {
  let value = 0;
  let shift = 0;
  let integer = 0;
  do {
    const c = reader.next();
    integer = charToInt[c];
    value |= (integer & 31) << shift;
    shift += 5;
  } while (integer & 32);
  return value;
}
function decodeSign(num) {
  return num & 1 ? -2147483648 | -(num >>> 1) : num >>> 1;
}
function hasMoreVlq(reader, max) {
  if (reader.pos >= max) return false;
  return reader.peek() !== comma;
}
var bufLength = 1024 * 16;
var StringReader = class {
  constructor(buffer2) {
    this.pos = 0;
    this.buffer = buffer2;
  }
  next() {
    return this.buffer.charCodeAt(this.pos++);
  }
  peek() {
    return this.buffer.charCodeAt(this.pos);
  }
  indexOf(char) {
    const { buffer: buffer2, pos } = this;
    const idx = buffer2.indexOf(char, pos);
    return idx === -1 ? buffer2.length : idx;
  }
};
function decode(mappings) {
  const { length } = mappings;
  const reader = new StringReader(mappings);
  const decoded = [];
  let genColumn = 0;
  let sourcesIndex = 0;
  let sourceLine = 0;
  let sourceColumn = 0;
  let namesIndex = 0;
  do {
    const semi = reader.indexOf(";");
    const line = [];
    let sorted = true;
    let lastCol = 0;
    genColumn = 0;
    while (reader.pos < semi) {
      let seg;
      genColumn += decodeSign(decodeInteger(reader));
      if (genColumn < lastCol) sorted = false;
      lastCol = genColumn;
      if (hasMoreVlq(reader, semi)) {
        sourcesIndex += decodeSign(decodeInteger(reader));
        sourceLine += decodeSign(decodeInteger(reader));
        sourceColumn += decodeSign(decodeInteger(reader));
        if (hasMoreVlq(reader, semi)) {
          namesIndex += decodeSign(decodeInteger(reader));
          seg = [genColumn, sourcesIndex, sourceLine, sourceColumn, namesIndex];
        } else {
          seg = [genColumn, sourcesIndex, sourceLine, sourceColumn];
        }
      } else {
        seg = [genColumn];
      }
      line.push(seg);
      reader.pos++;
    }
    if (!sorted) sort(line);
    decoded.push(line);
    reader.pos = semi + 1;
  } while (reader.pos <= length);
  return decoded;
}
function sort(line) {
  line.sort(sortComparator);
}
function sortComparator(a, b) {
  return a[0] - b[0];
}

// node_modules/@jridgewell/trace-mapping/dist/trace-mapping.mjs
var import_resolve_uri = __toESM(require_resolve_uri_umd(), 1);
function stripFilename(path) {
  if (!path) return "";
  const index = path.lastIndexOf("/");
  return path.slice(0, index + 1);
}
function resolver(mapUrl, sourceRoot) {
  const from = stripFilename(mapUrl);
  const prefix = sourceRoot ? sourceRoot + "/" : "";
  return (source) => (0, import_resolve_uri.default)(prefix + (source || ""), from);
}
var COLUMN = 0;
var SOURCES_INDEX = 1;
var SOURCE_LINE = 2;
var SOURCE_COLUMN = 3;
var NAMES_INDEX = 4;
function maybeSort(mappings, owned) {
  const unsortedIndex = nextUnsortedSegmentLine(mappings, 0);
  if (unsortedIndex === mappings.length) return mappings;
  if (!owned) mappings = mappings.slice();
  for (let i = unsortedIndex; i < mappings.length; i = nextUnsortedSegmentLine(mappings, i + 1)) {
    mappings[i] = sortSegments(mappings[i], owned);
  }
  return mappings;
}
function nextUnsortedSegmentLine(mappings, start) {
  for (let i = start; i < mappings.length; i++) {
    if (!isSorted(mappings[i])) return i;
  }
  return mappings.length;
}
function isSorted(line) {
  for (let j = 1; j < line.length; j++) {
    if (line[j][COLUMN] < line[j - 1][COLUMN]) {
      return false;
    }
  }
  return true;
}
function sortSegments(line, owned) {
  if (!owned) line = line.slice();
  return line.sort(sortComparator2);
}
function sortComparator2(a, b) {
  return a[COLUMN] - b[COLUMN];
}
var found = false;
function binarySearch(haystack, needle, low, high) {
  while (low <= high) {
    const mid = low + (high - low >> 1);
    const cmp = haystack[mid][COLUMN] - needle;
    if (cmp === 0) {
      found = true;
      return mid;
    }
    if (cmp < 0) {
      low = mid + 1;
    } else {
      high = mid - 1;
    }
  }
  found = false;
  return low - 1;
}
function upperBound(haystack, needle, index) {
  for (let i = index + 1; i < haystack.length; index = i++) {
    if (haystack[i][COLUMN] !== needle) break;
  }
  return index;
}
function lowerBound(haystack, needle, index) {
  for (let i = index - 1; i >= 0; index = i--) {
    if (haystack[i][COLUMN] !== needle) break;
  }
  return index;
}
function memoizedState() {
  return {
    lastKey: -1,
    lastNeedle: -1,
    lastIndex: -1
  };
}
function memoizedBinarySearch(haystack, needle, state, key) {
  const { lastKey, lastNeedle, lastIndex } = state;
  let low = 0;
  let high = haystack.length - 1;
  if (key === lastKey) {
    if (needle === lastNeedle) {
      found = lastIndex !== -1 && haystack[lastIndex][COLUMN] === needle;
      return lastIndex;
    }
    if (needle >= lastNeedle) {
      low = lastIndex === -1 ? 0 : lastIndex;
    } else {
      high = lastIndex;
    }
  }
  state.lastKey = key;
  state.lastNeedle = needle;
  return state.lastIndex = binarySearch(haystack, needle, low, high);
}
function parse(map) {
  return typeof map === "string" ? JSON.parse(map) : map;
}
var LINE_GTR_ZERO = "`line` must be greater than 0 (lines start at line 1)";
var COL_GTR_EQ_ZERO = "`column` must be greater than or equal to 0 (columns start at column 0)";
var LEAST_UPPER_BOUND = -1;
var GREATEST_LOWER_BOUND = 1;
var TraceMap = class {
  constructor(map, mapUrl) {
    const isString = typeof map === "string";
    if (!isString && map._decodedMemo) return map;
    const parsed = parse(map);
    const { version, file, names, sourceRoot, sources, sourcesContent } = parsed;
    this.version = version;
    this.file = file;
    this.names = names || [];
    this.sourceRoot = sourceRoot;
    this.sources = sources;
    this.sourcesContent = sourcesContent;
    this.ignoreList = parsed.ignoreList || parsed.x_google_ignoreList || void 0;
    const resolve = resolver(mapUrl, sourceRoot);
    this.resolvedSources = sources.map(resolve);
    const { mappings } = parsed;
    if (typeof mappings === "string") {
      this._encoded = mappings;
      this._decoded = void 0;
    } else if (Array.isArray(mappings)) {
      this._encoded = void 0;
      this._decoded = maybeSort(mappings, isString);
    } else if (parsed.sections) {
      throw new Error(`TraceMap passed sectioned source map, please use FlattenMap export instead`);
    } else {
      throw new Error(`invalid source map: ${JSON.stringify(parsed)}`);
    }
    this._decodedMemo = memoizedState();
    this._bySources = void 0;
    this._bySourceMemos = void 0;
  }
};
function cast(map) {
  return map;
}
function decodedMappings(map) {
  var _a;
  return (_a = cast(map))._decoded || (_a._decoded = decode(cast(map)._encoded));
}
function originalPositionFor(map, needle) {
  let { line, column, bias } = needle;
  line--;
  if (line < 0) throw new Error(LINE_GTR_ZERO);
  if (column < 0) throw new Error(COL_GTR_EQ_ZERO);
  const decoded = decodedMappings(map);
  if (line >= decoded.length) return OMapping(null, null, null, null);
  const segments = decoded[line];
  const index = traceSegmentInternal(
    segments,
    cast(map)._decodedMemo,
    line,
    column,
    bias || GREATEST_LOWER_BOUND
  );
  if (index === -1) return OMapping(null, null, null, null);
  const segment = segments[index];
  if (segment.length === 1) return OMapping(null, null, null, null);
  const { names, resolvedSources } = map;
  return OMapping(
    resolvedSources[segment[SOURCES_INDEX]],
    segment[SOURCE_LINE] + 1,
    segment[SOURCE_COLUMN],
    segment.length === 5 ? names[segment[NAMES_INDEX]] : null
  );
}
function sourceIndex(map, source) {
  const { sources, resolvedSources } = map;
  let index = sources.indexOf(source);
  if (index === -1) index = resolvedSources.indexOf(source);
  return index;
}
function sourceContentFor(map, source) {
  const { sourcesContent } = map;
  if (sourcesContent == null) return null;
  const index = sourceIndex(map, source);
  return index === -1 ? null : sourcesContent[index];
}
function OMapping(source, line, column, name) {
  return { source, line, column, name };
}
function traceSegmentInternal(segments, memo, line, column, bias) {
  let index = memoizedBinarySearch(segments, column, memo, line);
  if (found) {
    index = (bias === LEAST_UPPER_BOUND ? upperBound : lowerBound)(segments, column, index);
  } else if (bias === LEAST_UPPER_BOUND) index++;
  if (index === -1 || index === segments.length) return -1;
  return index;
}

// base/kernel/source-map.ts
var PACKAGES_MEMBER = "x_packages";
var SourceMapFault = class extends Error {
};
function openSourceMap(text, bounds) {
  const raw = parse2(text, bounds);
  const packages = raw[PACKAGES_MEMBER];
  const isRecord = typeof packages === "object" && packages !== null && !Array.isArray(packages);
  const map = new TraceMap(raw);
  decodedMappings(map);
  return { map, packages: isRecord ? packages : {} };
}
function parse2(text, bounds) {
  checkStructure(text, bounds);
  const raw = parseJson(text);
  if (raw.version !== 3) throw new SourceMapFault("it has not version 3");
  if (raw.sections !== void 0) throw new SourceMapFault("it has sections");
  if (raw.sourceRoot !== void 0 && raw.sourceRoot !== "" && raw.sourceRoot !== null) throw new SourceMapFault("it has a sourceRoot");
  checkTexts("sources", raw.sources, bounds.nameCharsMax);
  checkTexts("names", raw.names ?? [], bounds.nameCharsMax);
  checkTexts("sourcesContent", raw.sourcesContent ?? [], Number.POSITIVE_INFINITY);
  checkMappings(raw.mappings, bounds.segmentsMax);
  return raw;
}
function parseJson(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    throw new SourceMapFault("it is not JSON");
  }
}
function checkStructure(text, { valuesMax, depthMax }) {
  let values = 0;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '"') i = endOfText(text, i);
    else if (char === "{" || char === "[") {
      if (++depth > depthMax) throw new SourceMapFault(`it is nested over ${depthMax} levels deep`);
      values++;
    } else if (char === "}" || char === "]") depth--;
    else if (char === "," && ++values > valuesMax) throw new SourceMapFault(`it has over ${valuesMax} values`);
  }
}
function endOfText(text, start) {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text[end - 1 - slashes] === "\\") slashes++;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
}
function checkTexts(member, texts, charsMax) {
  if (!Array.isArray(texts)) throw new SourceMapFault(`its ${member} are no list`);
  for (const text of texts) {
    if (text !== null && typeof text !== "string") throw new SourceMapFault(`its ${member} are not all texts`);
    if (text !== null && text.length > charsMax) throw new SourceMapFault(`one of its ${member} has over ${charsMax} characters`);
  }
}
function checkMappings(mappings, segmentsMax) {
  if (typeof mappings !== "string" || !/^[A-Za-z0-9+/,;]*$/.test(mappings))
    throw new SourceMapFault("its mappings are not encoded as they should be");
  let segments = 1;
  for (let i = 0; i < mappings.length; i++) {
    const char = mappings[i];
    if ((char === "," || char === ";") && ++segments > segmentsMax) throw new SourceMapFault(`it maps over ${segmentsMax} places`);
  }
}
function placeIn({ map }, line, column) {
  const { source, line: found2, column: at2 } = originalPositionFor(map, { line, column });
  return typeof source === "string" && found2 !== null && at2 !== null ? { source, line: found2, column: at2 } : void 0;
}
var contentIn = ({ map }, source) => sourceContentFor(map, source) ?? void 0;

// base/kernel/missing-globals.ts
var buffer = 'Use `Uint8Array`, `TextEncoder`, `TextDecoder`, `atob` and `btoa`. For a package that needs it, install `buffer` and bring it with `"inject": { "Buffer": "buffer/" }` under `berth` in package.json.';
var settings = 'Take settings from `ctx.params`. For a package that reads `process.env`, set it to constants with `"define": { "process.env": { \u2026 } }` under `berth` in package.json.';
var files = "There are no files at run time. Import JSON and text files, which become part of the bundle, or ask a feature table.";
var memory = "No limit covers its memory. Use an `ArrayBuffer`; requests of one slot never run at the same time.";
var threads = "A slot is one thread and has no other. Do the work where it is, or call another scene with `ctx.call`.";
var streams = "Bodies are whole, not streams: use `text()`, `json()` or `arrayBuffer()` of the `Response`, and generators for data that comes in parts.";
var blobs = "Use a `Uint8Array`; `fetch` takes one as a body.";
var forms = "Send JSON or `URLSearchParams` with `fetch`, or write the multipart body yourself.";
var channels = "There is nobody to send to. Call functions, `queueMicrotask` or `setTimeout`; `structuredClone` copies a value.";
var compression = "Bundle a package in JavaScript for it, such as `fflate`.";
var connections = "Use `fetch`: a slot has no connections of its own that stay open.";
var hashing = "Bundle a package in JavaScript for it, such as `@noble/hashes`. `crypto` has `getRandomValues` and `randomUUID`.";
var measures = "Subtract two values of `performance.now()`. `sdk profile` shows where the time goes.";
var pages = "There is no page. Take the build of the package for Node.js or for workers, or a package that does not need a page.";
var keeping = "Keep values in variables of the module: they last as long as the slot. What must last longer belongs in a feature table.";
var bundled = "Everything is bundled before it runs. Write `import` at the top of the file, with a name that is a constant.";
var newest = "It would cost every slot memory and time. Use `Date`, or bundle `@js-temporal/polyfill`.";
var assembly = 'Its memory is outside of the limit of a slot. Take a build of the package in JavaScript, often named asm.js or "fallback".';
var missingGlobals = {
  ...shared(settings, "process"),
  ...shared(buffer, "Buffer"),
  ...shared(bundled, "require", "module", "exports", "importScripts"),
  ...shared(files, "__dirname", "__filename", "FileReader"),
  ...shared(assembly, "WebAssembly"),
  ...shared(memory, "SharedArrayBuffer", "Atomics"),
  ...shared(newest, "Temporal"),
  ...shared(threads, "Worker", "SharedWorker"),
  ...shared(
    streams,
    ...["ReadableStream", "ReadableStreamDefaultReader", "ReadableStreamBYOBReader", "ReadableStreamBYOBRequest"],
    ...["ReadableStreamDefaultController", "ReadableByteStreamController", "WritableStream", "WritableStreamDefaultWriter"],
    ...["WritableStreamDefaultController", "TransformStream", "TransformStreamDefaultController", "ByteLengthQueuingStrategy"],
    ...["CountQueuingStrategy", "TextDecoderStream", "TextEncoderStream"]
  ),
  ...shared(compression, "CompressionStream", "DecompressionStream"),
  ...shared(blobs, "Blob", "File"),
  ...shared(forms, "FormData"),
  ...shared(channels, "MessageChannel", "MessagePort", "MessageEvent", "BroadcastChannel", "postMessage"),
  ...shared(connections, "XMLHttpRequest", "WebSocket", "CloseEvent", "EventSource"),
  ...shared(hashing, "Crypto", "CryptoKey", "SubtleCrypto"),
  ...shared(
    measures,
    ...["Performance", "PerformanceEntry", "PerformanceMark", "PerformanceMeasure", "PerformanceObserver"],
    ...["PerformanceObserverEntryList", "PerformanceResourceTiming"]
  ),
  ...shared(keeping, "localStorage", "sessionStorage", "Storage", "indexedDB"),
  ...shared(pages, "window", "document", "location", "history", "Image", "HTMLElement", "requestAnimationFrame", "cancelAnimationFrame"),
  ...shared("Use a regular expression, or bundle `urlpattern-polyfill`.", "URLPattern"),
  ...shared("Read `navigator`.", "Navigator"),
  ...shared("Log the error with `console.error`.", "reportError", "ErrorEvent", "PromiseRejectionEvent"),
  ...shared("Catch a `DOMException`, and compare its `name`.", "QuotaExceededError"),
  ...shared("V8 collects garbage by itself.", "gc")
};
function shared(advice, ...names) {
  return Object.fromEntries(names.map((name) => [name, advice]));
}

// base/kernel/stacks.ts
var FRAME = /berth:\/\/\/([a-z0-9-]+@[^/\s]+)\.js:([1-9]\d{0,8}):([1-9]\d{0,8})/;
var FRAME_LINE = /^\s+at /;
var BOUNDARY = "(<isolated-vm boundary>)";
var STACK_CHARS_MAX = 64 * 1024;
var LINES_BEFORE = 2;
var LINES_AFTER = 1;
var LINE_CHARS_MAX = 100;
var NAME_CHARS_MAX = 300;
function locate(stack, modules, mapOf) {
  const lines = linesOf(stack);
  const places = withoutScript(placesOf(lines, modules, mapOf));
  const mapped = cutStack(lines.flatMap((line, i) => lineInSource(line, places[i]) ?? []).join("\n"));
  const thrown = places.find((place, i) => typeof place === "object" && FRAME_LINE.test(lines[i] ?? ""));
  if (thrown === void 0) return { stack: mapped };
  const located = describePlace(thrown);
  const code = codeFrame(thrown);
  return { stack: mapped, ...located, ...code !== void 0 && { frame: `${located.place}
${code}` } };
}
var cutStack = (stack) => stack.slice(0, STACK_CHARS_MAX);
function placesOf(lines, modules, mapOf) {
  const digests = /* @__PURE__ */ new Map();
  for (const { name, version, sourceMap } of modules) if (sourceMap !== void 0) digests.set(`${name}@${version}`, sourceMap);
  return lines.map((line) => {
    const [, key = "", row, column] = FRAME.exec(line) ?? [];
    const digest = digests.get(key);
    const map = digest === void 0 ? void 0 : mapOf(digest);
    if (map === void 0) return void 0;
    const found2 = placeIn(map, Number(row), Number(column) - 1);
    if (found2 === void 0 || isGenerated(found2.source)) return "nowhere";
    return { ...found2, module: key.slice(0, key.indexOf("@")), map };
  });
}
function linesOf(stack) {
  const lines = cutStack(stack).split("\n");
  const boundary = lines.findIndex((line) => line.includes(BOUNDARY));
  return (boundary < 0 ? lines : lines.slice(0, boundary)).filter((line) => !line.includes("berth:///inside.js"));
}
function withoutScript(places) {
  const last = places.findLastIndex((place) => typeof place === "object");
  const isScript = last < places.length - 1 && places.slice(last + 1).every((place) => place === "nowhere");
  const isOnly = places.findIndex((place) => typeof place === "object") === last;
  return isScript && !isOnly ? places.with(last, "nowhere") : places;
}
function lineInSource(line, place) {
  if (place === void 0) return line;
  if (place === "nowhere") return FRAME_LINE.test(line) ? void 0 : line;
  return line.replace(FRAME, () => `${place.module}/${at(place)}`);
}
var at = ({ source, line, column }) => `${source.slice(-NAME_CHARS_MAX)}:${line}:${column + 1}`;
var sourceAt = ({ source, line, column }) => ({ file: source.slice(-NAME_CHARS_MAX), line, column: column + 1 });
function describePlace(place) {
  const folder = packageFolderOf(place.source);
  if (folder === void 0) return { place: at(place), at: sourceAt(place) };
  const known = Object(place.map.packages[folder]);
  const [version, importedBy, through] = [known.version, known.importedBy, known.through].map(shortText);
  const name = `${nameIn(folder).slice(0, NAME_CHARS_MAX)}${version === void 0 ? "" : `@${version}`}`;
  const way = importedBy === void 0 ? "" : `, which ${importedBy} imports${through === void 0 ? "" : ` through ${through}`}`;
  const shown = { ...place, source: place.source.slice(folder.lastIndexOf("node_modules/")) };
  return { place: `${at(shown)} of the npm package ${name}${way}`, at: sourceAt(shown), package: name };
}
var shortText = (value) => typeof value === "string" ? value.slice(0, NAME_CHARS_MAX) : void 0;
var isGenerated = (source) => /^berth[.-](stages|common|link)/.test(source);
function packageFolderOf(source) {
  const [folder] = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(source) ?? [];
  return folder;
}
var nameIn = (folder) => folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
function codeFrame({ map, source, line, column }) {
  const content = contentIn(map, source);
  if (content === void 0) return void 0;
  const lines = content.trimEnd().split("\n", line + LINES_AFTER);
  if (lines.length < line) return void 0;
  const from = Math.max(0, column - LINE_CHARS_MAX / 2);
  const start = column < LINE_CHARS_MAX ? 0 : from;
  const first = Math.max(1, line - LINES_BEFORE);
  const width = String(lines.length).length;
  return lines.slice(first - 1).flatMap((text, i) => {
    const no = first + i;
    const shown = text.replaceAll("	", " ").trimEnd().slice(start, start + LINE_CHARS_MAX + LINE_CHARS_MAX / 2);
    const row = `${no === line ? ">" : " "} ${String(no).padStart(width)} | ${shown}`.trimEnd();
    return no === line ? [row, `  ${" ".repeat(width)} | ${" ".repeat(column - start)}^`] : [row];
  }).join("\n");
}

// base/slot/stacks-inside.ts
var maps = /* @__PURE__ */ new Map();
function keep(digest, text, bounds) {
  try {
    maps.set(digest, openSourceMap(text, bounds));
    return void 0;
  } catch (error) {
    if (error instanceof SourceMapFault) return error.message;
    throw error;
  }
}
var stacks_inside_default = {
  keep,
  locate: (stack, modules) => JSON.stringify(locate(stack, modules, (digest) => maps.get(digest)))
};
return stacks_inside_default;
})
