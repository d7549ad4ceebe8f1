/** Memory that grows without end, or at once: in the heap, outside of it, and on the stack. */
import { type Case, type Family, long } from '../case.ts'

/** A slot over its memory is killed. What V8 itself refuses, such as a string that is too long, the module may throw or answer. */
const grows = (stage: string, more: Partial<Case> = {}): Case => ({
  stage,
  sees: ['MODULE_KILLED', 'MODULE_THREW', 'DEADLINE_EXCEEDED'],
  mayCostCell: true,
  ...more,
})
/** The stack overflows, which is an error like any other. */
const overflows = (stage: string, more: Partial<Case> = {}): Case => ({
  stage,
  sees: ['MODULE_THREW', 'RESULT_TOO_DEEP', 'RESULT_CYCLE', 'MODULE_KILLED'],
  ...more,
})
const forever = (body: string): string => `() => { const all = []; for (let i = 0; ; i++) { ${body} } }`

export const memory: Family = {
  name: 'memory',
  limits: long,
  cases: {
    'grow-objects': grows(forever('all.push({ a: [i] })')),
    'grow-doubles': grows(forever('all.push(i + 0.5)')),
    'grow-arrays': grows(forever('all.push(new Array(100).fill(0))')),
    'grow-strings': grows(forever('all.push("x".repeat(1e4) + i)')),
    'grow-doubling-string': grows('() => { let s = "x"; for (;;) { s += s; s.charCodeAt(0) } }'),
    'grow-flat-string': grows('() => { let s = "x"; for (;;) { s += s; /y/.test(s) } }'),
    'grow-pad-end': grows(forever('all.push("x".padEnd(2 ** 28, "ab"))')),
    'grow-pad-start-flat': grows(forever('const s = "x".padStart(2 ** 26, "ab"); /y/.test(s); all.push(s)')),
    'grow-repeat-flat': grows(forever('const s = "ab".repeat(2 ** 25); /y/.test(s); all.push(s)')),
    'grow-join': grows(forever('all.push(new Array(1e6).fill("abcdefgh").join("-"))')),
    'grow-normalize': grows('() => { const s = "\\u1e9b\\u0323".repeat(2 ** 24); for (;;) s.normalize("NFKD") }'),
    'grow-encode-uri': grows('() => { const s = "\\u00e9".repeat(2 ** 25); for (;;) encodeURIComponent(s) }'),
    'grow-upper-case': grows('() => { const s = "\\u00df".repeat(2 ** 26); const all = []; for (;;) all.push(s.toUpperCase()) }'),
    'grow-json-text': grows('() => { const s = "\\u0001".repeat(2 ** 25); const all = []; for (;;) all.push(JSON.stringify(s)) }'),
    'grow-text-encoder': grows('() => { const s = "\\u00e9".repeat(2 ** 25), all = []; for (;;) all.push(new TextEncoder().encode(s)) }'),
    'grow-typed-arrays': grows(forever('all.push(new Uint8Array(1e7).fill(1))')),
    'grow-small-typed-arrays': grows(forever('all.push(new Float64Array(16))')),
    'grow-huge-typed-array': grows('() => new Uint8Array(2 ** 33 - 1).fill(1).length'),
    'grow-resizable-array': grows(
      '() => { const b = new ArrayBuffer(8, { maxByteLength: 2 ** 30 }); b.resize(2 ** 30); return new Uint8Array(b).fill(1).length }',
    ),
    'grow-array-buffer-transfer': grows(
      '() => { const all = []; for (;;) { const b = new ArrayBuffer(8).transfer(2 ** 27); new Uint8Array(b).fill(1); all.push(b) } }',
    ),
    'grow-clones': grows('() => { const one = new Uint8Array(1e7).fill(1), all = []; for (;;) all.push(structuredClone(one)) }'),
    'grow-map': grows('() => { const all = new Map(); for (let i = 0; ; i++) all.set(i, i) }'),
    'grow-set': grows('() => { const all = new Set(); for (let i = 0; ; i++) all.add(i) }'),
    'grow-weak-map': grows(
      '() => { const all = new WeakMap(), keys = []; for (;;) { const key = {}; keys.push(key); all.set(key, key) } }',
    ),
    'grow-dictionary': grows('() => { const all = {}; for (let i = 0; ; i++) all["key" + i] = i }'),
    'grow-group-by': grows('() => Map.groupBy((function* () { for (let i = 0; ; i++) yield i })(), one => one)'),
    'grow-spread': grows('() => [...(function* () { for (let i = 0; ; i++) yield [i] })()]'),
    'grow-huge-fill': grows('() => new Array(1e8).fill(0).length'),
    'grow-huge-from': grows('() => Array.from({ length: 1e8 }).length'),
    'grow-huge-fill-again': grows(forever('all.push(new Array(3e7).fill(i))')),
    'grow-bigint': grows('() => { let n = 3n; for (;;) n *= n }'),
    'grow-bigints': grows(forever('all.push(2n ** 1000000n + BigInt(i))')),
    'grow-bigint-shift': grows(forever('all.push(1n << 1000000000n)')),
    'grow-intl': grows(forever('all.push(new Intl.NumberFormat("en", { style: "currency", currency: "EUR" }))')),
    'grow-intl-dates': grows(forever('all.push(new Intl.DateTimeFormat("ar-EG", { dateStyle: "full" }))')),
    'grow-intl-segments': grows(forever('all.push(new Intl.Segmenter("th").segment("a".repeat(1e6)))')),
    'grow-intl-dropped': grows('() => { for (;;) new Intl.Collator("de") }'),
    'grow-closures': grows(forever('const kept = [i]; all.push(() => kept)')),
    'grow-promises': grows(forever('all.push(new Promise(() => {}))')),
    'grow-promise-reactions': grows('() => { const one = new Promise(() => {}); for (;;) one.then(() => {}) }'),
    'grow-symbols': grows(forever('all.push(Symbol.for("symbol" + i))')),
    'grow-errors': grows(forever('all.push(new Error("an error " + i).stack)')),
    'grow-generators': grows(forever('const g = (function* () { yield i })(); g.next(); all.push(g)')),
    'grow-classes': grows(forever('all.push(class { static #a = i; static b() { return this.#a } })')),
    'grow-compiled-code': grows(forever('all.push(new Function("a" + i, "return a" + i + "+" + "1+".repeat(100) + i))')),
    'grow-regexp-captures': grows(forever('all.push(/(.+)(.+)(.+)/.exec("abcdefgh".repeat(1e4)))')),
    'grow-regexps': grows(forever('all.push(new RegExp("a{1,50}b" + i)); all[i].test("aab")')),
    'grow-headers': grows('() => { const all = new Headers(); for (let i = 0; ; i++) all.append("x-" + i, "x".repeat(1000)) }'),
    'grow-search-params': grows('() => { const all = new URLSearchParams(); for (let i = 0; ; i++) all.append("k" + i, "x".repeat(100)) }'),
    'grow-abort-listeners': grows(
      '() => { const { signal } = new AbortController(); for (;;) signal.addEventListener("abort", () => {}) }',
    ),
    'grow-over-requests': grows('() => { (globalThis.kept ??= []).push(new Array(5e5).fill(Math.random())); return 1 }', {
      inTurn: 30,
      sees: ['OK', 'MODULE_KILLED', 'MODULE_THREW'],
    }),
    'recurse-function': overflows('() => { const f = () => f() + 1; return f() }'),
    'recurse-wide-frames': overflows('() => { const f = (...all) => f(...all, 1); return f() }'),
    'recurse-caught': overflows('() => { const f = () => { try { return f() } catch { return f() } }; return f() }', {
      sees: ['DEADLINE_EXCEEDED', 'MODULE_KILLED', 'MODULE_THREW'],
      limits: { deadlineMs: 400, cpuMs: 400 },
    }),
    'recurse-proxy': overflows('() => { const p = new Proxy({}, { get: (_, key) => p[key] }); return p.a }'),
    'recurse-proxy-prototype': overflows('() => { const p = new Proxy({}, {}); Object.setPrototypeOf(p, p); return p.a }'),
    'recurse-to-string': overflows('() => { const a = { toString() { return "" + a } }; return "" + a }'),
    'recurse-array-join': overflows('() => { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return String(a) }'),
    'recurse-to-json': overflows('() => { const a = { toJSON() { return JSON.stringify(a) } }; return a }'),
    'recurse-json-parse': overflows('() => JSON.parse("[".repeat(1e6) + "]".repeat(1e6))', {
      sees: ['RESULT_TOO_DEEP', 'MODULE_THREW', 'OK'],
    }),
    'recurse-regexp': overflows('() => new RegExp("(".repeat(1e5) + ")".repeat(1e5)).test("a")'),
    'recurse-source': overflows('() => new Function("return " + "[".repeat(1e5) + "]".repeat(1e5))()'),
    'recurse-async': overflows('() => { const f = async () => { await f() }; return f() }', {
      sees: ['MODULE_THREW', 'MODULE_KILLED', 'DEADLINE_EXCEEDED'],
    }),
    'recurse-thrown-message': overflows('() => { const e = { get message() { return e.message } }; throw e }'),
  },
}
