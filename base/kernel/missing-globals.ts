/**
 * Globals of Node.js, of browsers and of workers that a slot does not have, for whoever explains why a package does not run. docs/globals.md
 * shows this table; a test compares the two with a real slot.
 */

const buffer =
  'Use `Uint8Array`, `TextEncoder`, `TextDecoder`, `atob` and `btoa`. For a package that needs it, install `buffer` and bring it with `"inject": { "Buffer": "buffer/" }` under `berth` in package.json.'
const settings =
  'Take settings from `ctx.params`. For a package that reads `process.env`, set it to constants with `"define": { "process.env": { … } }` under `berth` in package.json.'
const files = 'There are no files at run time. Import JSON and text files, which become part of the bundle, or ask a feature table.'
const memory = 'No limit covers its memory. Use an `ArrayBuffer`; requests of one slot never run at the same time.'
const threads = 'A slot is one thread and has no other. Do the work where it is, or call another scene with `ctx.call`.'
const streams =
  'Bodies are whole, not streams: use `text()`, `json()` or `arrayBuffer()` of the `Response`, and generators for data that comes in parts.'
const blobs = 'Use a `Uint8Array`; `fetch` takes one as a body.'
const forms = 'Send JSON or `URLSearchParams` with `fetch`, or write the multipart body yourself.'
const channels = 'There is nobody to send to. Call functions, `queueMicrotask` or `setTimeout`; `structuredClone` copies a value.'
const compression = 'Bundle a package in JavaScript for it, such as `fflate`.'
const connections = 'Use `fetch`: a slot has no connections of its own that stay open.'
const hashing = 'Bundle a package in JavaScript for it, such as `@noble/hashes`. `crypto` has `getRandomValues` and `randomUUID`.'
const measures = 'Subtract two values of `performance.now()`. `sdk profile` shows where the time goes.'
const pages = 'There is no page. Take the build of the package for Node.js or for workers, or a package that does not need a page.'
const keeping = 'Keep values in variables of the module: they last as long as the slot. What must last longer belongs in a feature table.'
const bundled = 'Everything is bundled before it runs. Write `import` at the top of the file, with a name that is a constant.'
const newest = 'It would cost every slot memory and time. Use `Date`, or bundle `@js-temporal/polyfill`.'
const assembly =
  'Its memory is outside of the limit of a slot. Take a build of the package in JavaScript, often named asm.js or "fallback".'

/** What to do in the place of each global, by its name. The texts are whole sentences with Markdown code spans. */
export const missingGlobals: Readonly<Record<string, string>> = {
  ...shared(settings, 'process'),
  ...shared(buffer, 'Buffer'),
  ...shared(bundled, 'require', 'module', 'exports', 'importScripts'),
  ...shared(files, '__dirname', '__filename', 'FileReader'),
  ...shared(assembly, 'WebAssembly'),
  ...shared(memory, 'SharedArrayBuffer', 'Atomics'),
  ...shared(newest, 'Temporal'),
  ...shared(threads, 'Worker', 'SharedWorker'),
  ...shared(
    streams,
    ...['ReadableStream', 'ReadableStreamDefaultReader', 'ReadableStreamBYOBReader', 'ReadableStreamBYOBRequest'],
    ...['ReadableStreamDefaultController', 'ReadableByteStreamController', 'WritableStream', 'WritableStreamDefaultWriter'],
    ...['WritableStreamDefaultController', 'TransformStream', 'TransformStreamDefaultController', 'ByteLengthQueuingStrategy'],
    ...['CountQueuingStrategy', 'TextDecoderStream', 'TextEncoderStream'],
  ),
  ...shared(compression, 'CompressionStream', 'DecompressionStream'),
  ...shared(blobs, 'Blob', 'File'),
  ...shared(forms, 'FormData'),
  ...shared(channels, 'MessageChannel', 'MessagePort', 'MessageEvent', 'BroadcastChannel', 'postMessage'),
  ...shared(connections, 'XMLHttpRequest', 'WebSocket', 'CloseEvent', 'EventSource'),
  ...shared(hashing, 'Crypto', 'CryptoKey', 'SubtleCrypto'),
  ...shared(
    measures,
    ...['Performance', 'PerformanceEntry', 'PerformanceMark', 'PerformanceMeasure', 'PerformanceObserver'],
    ...['PerformanceObserverEntryList', 'PerformanceResourceTiming'],
  ),
  ...shared(keeping, 'localStorage', 'sessionStorage', 'Storage', 'indexedDB'),
  ...shared(pages, 'window', 'document', 'location', 'history', 'Image', 'HTMLElement', 'requestAnimationFrame', 'cancelAnimationFrame'),
  ...shared('Use a regular expression, or bundle `urlpattern-polyfill`.', 'URLPattern'),
  ...shared('Read `navigator`.', 'Navigator'),
  ...shared('Log the error with `console.error`.', 'reportError', 'ErrorEvent', 'PromiseRejectionEvent'),
  ...shared('Catch a `DOMException`, and compare its `name`.', 'QuotaExceededError'),
  ...shared('V8 collects garbage by itself.', 'gc'),
}

function shared(advice: string, ...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map(name => [name, advice]))
}

const ownFunction =
  'a function of your own instead, or take a package that leaves built-ins as they are (a ponyfill, such as `core-js-pure`).'

/** What to do when code could not change a built-in, or an object that may be one: V8 says that by itself, without a name. Undefined for any other message. */
export function frozenAdviceFor(message: string): string | undefined {
  if (/Cannot change .*: the modules of a version share the built-ins/.test(message)) return `Call ${ownFunction}`
  if (!/Cannot (?:add|define|delete) property |Cannot assign to read only property |Cannot redefine property: /.test(message))
    return undefined
  return `The modules of a version share the built-ins, so none may change them. If the line changes one, call ${ownFunction} Otherwise the object was frozen by the module.`
}

/** The global that is missing and what to do instead, when that is what the message of a `ReferenceError` is about. */
export function missingGlobalIn(message: string): { readonly name: string; readonly advice: string } | undefined {
  const name = /(?:^|\s)([\w$]+) is not defined$/.exec(message)?.[1] ?? ''
  const advice = Object.hasOwn(missingGlobals, name) ? missingGlobals[name] : undefined
  return advice === undefined ? undefined : { name, advice }
}
