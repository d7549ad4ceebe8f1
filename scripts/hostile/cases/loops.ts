/** Code that does not end: wherever the base calls it, and inside of built-ins that V8 does not interrupt. */
import { brief, type Case, type Family, short, stuck } from '../case.ts'

const loop = (stage: string, more: Partial<Case> = {}): Case => ({ stage, sees: stuck, ...more })
/** A base that looks at what is thrown without running code of the module need not wait for its deadline. */
const throwing = (stage: string): Case => loop(stage, { sees: ['MODULE_THREW', ...stuck] })
/** V8 may not be able to stop the built-in. Then its cell has to be replaced. A base that bounds the built-in lets it throw. */
const unstoppable = (stage: string, more: Partial<Case> = {}): Case => ({
  stage,
  sees: ['MODULE_THREW', 'OK', ...stuck, 'RESULT_TOO_LARGE'],
  mayCostCell: true,
  ...more,
  limits: { ...brief, ...more.limits },
})

export const loops: Family = {
  name: 'loops',
  limits: short,
  cases: {
    'loop-sync': loop('() => { for (;;); }'),
    'loop-killed-for-cpu': { stage: '() => { for (;;); }', sees: ['MODULE_KILLED'], limits: brief },
    'loop-allocating': loop('() => { let a; for (;;) a = new Array(1000).fill(1); return a }'),
    'loop-allocating-objects': loop('() => { let a; for (;;) a = { a }.b; return a }'),
    'loop-catching': loop('() => { for (;;) try { for (;;); } catch {} finally { continue } }'),
    'loop-in-finally': loop('() => { try { throw 1 } finally { for (;;); } }'),
    'loop-microtask': loop('() => { const again = () => Promise.resolve().then(again); again(); return new Promise(() => {}) }'),
    'loop-queue-microtask': loop('() => { const again = () => queueMicrotask(again); again(); return new Promise(() => {}) }'),
    'loop-thenable': loop('() => { const self = { then(done) { done(self) } }; return self }'),
    'loop-thenable-anew': loop('() => { const make = () => ({ then: done => done(make()) }); return make() }'),
    'loop-then-getter': loop('() => ({ get then() { for (;;); } })'),
    'loop-async-await': loop('async () => { for (;;) await 1 }'),
    'loop-for-await': loop('async () => { for await (const one of (async function* () { for (;;) yield 1 })()); }'),
    'loop-after-await': loop('async () => { await 1; for (;;); }'),
    'loop-after-timer': loop('async () => { await new Promise(done => setTimeout(done, 5)); for (;;); }'),
    'loop-after-service': loop('async (x, ctx) => { await ctx.services.features.get("rows", "a"); for (;;); }', { uses: ['features'] }),
    'loop-after-call': loop('async (x, ctx) => { await ctx.call("neighbour", 1); for (;;); }'),
    'loop-after-failed-call': loop('async (x, ctx) => { await ctx.call("nowhere", 1).catch(() => {}); for (;;); }'),
    'loop-after-fetch': loop('async (x, ctx) => { await ctx.fetch(host); for (;;); }', { uses: ['fetch'] }),
    'loop-in-timer-left-behind': { stage: '() => { setTimeout(() => { for (;;); }, 5); return 1 }', sees: ['OK'], isLeftAlone: true },
    'loop-in-microtask-left-behind': {
      stage: '() => { Promise.resolve().then(() => { for (;;); }); return 1 }',
      sees: ['OK', ...stuck],
      isLeftAlone: true,
    },
    'loop-in-result-getter': loop('() => ({ get a() { for (;;); } })'),
    'loop-in-to-json': loop('() => ({ toJSON() { for (;;); } })'),
    'loop-in-result-proxy': loop('() => new Proxy({}, { ownKeys() { for (;;); } })'),
    'loop-in-result-prototype-trap': loop('() => new Proxy({}, { getPrototypeOf() { for (;;); } })'),
    'loop-in-result-get-trap': loop('() => new Proxy({}, { get() { for (;;); } })'),
    'loop-in-endless-proxy-array': unstoppable('() => new Proxy([], { get: (_, key) => key === "length" ? 2 ** 53 - 1 : 0 })'),
    'loop-in-thrown-message': throwing('() => { throw { get message() { for (;;); } } }'),
    'loop-in-thrown-stack': throwing(
      '() => { const e = new Error("a"); Object.defineProperty(e, "stack", { get() { for (;;); } }); throw e }',
    ),
    'loop-in-thrown-to-string': throwing('() => { throw { toString() { for (;;); } } }'),
    'loop-in-thrown-proxy': throwing('() => { throw new Proxy({}, { get() { for (;;); }, getPrototypeOf() { for (;;); } }) }'),
    'loop-in-rejected-message': throwing('async () => { await 1; throw { get message() { for (;;); } } }'),
    'loop-in-prepare-stack-trace': throwing('() => { Error.prepareStackTrace = () => { for (;;); }; throw new Error("a") }'),
    'loop-in-prepare-stack-trace-async': throwing(
      'async () => { await 1; Error.prepareStackTrace = () => { for (;;); }; throw new Error("a") }',
    ),
    'loop-in-log-fields': loop('(x, ctx) => { ctx.log.info("a", { get a() { for (;;); } }); return 1 }'),
    'loop-in-log-message': loop('(x, ctx) => { ctx.log.info({ toString() { for (;;); } }); return 1 }', { sees: ['OK', ...stuck] }),
    'loop-in-console': loop('() => { console.log({ toString() { for (;;); }, get a() { for (;;); } }); return 1 }', {
      sees: ['OK', ...stuck],
    }),
    'loop-in-call-input': loop('(x, ctx) => ctx.call("neighbour", { toJSON() { for (;;); } })'),
    'loop-in-service-input': loop('(x, ctx) => ctx.services.features.get("rows", { toJSON() { for (;;); } })', { uses: ['features'] }),
    'loop-in-fetch-init': loop('(x, ctx) => ctx.fetch(host, { get method() { for (;;); } })', { uses: ['fetch'] }),
    'loop-in-callee-name': loop('(x, ctx) => ctx.call({ toString() { for (;;); } }, 1)'),
    'loop-in-regexp': loop('() => /^(a+)+$/.test("a".repeat(40) + "b")'),
    'loop-in-regexp-replace': loop('() => ("a".repeat(40) + "b").replace(/(a|a)*c/, "")'),
    'loop-in-regexp-backreference': loop('() => /(x+x+)+y\\1/.test("x".repeat(60))'),
    'loop-in-comparator': loop('() => [2, 1].sort(() => { for (;;); })'),
    'loop-in-endless-iterator': loop('() => { for (const one of (function* () { for (;;) yield 1 })()); }'),
    'loop-in-endless-promise-all': unstoppable('() => Promise.all((function* () { for (;;) yield 1 })())', {
      sees: ['MODULE_THREW', ...stuck],
    }),
    'loop-in-endless-weak-set': loop('() => new WeakSet((function* () { const one = {}; for (;;) yield one })())'),
    'stuck-in-includes': unstoppable('() => Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)'),
    'stuck-in-index-of': unstoppable('() => Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)'),
    'stuck-in-last-index-of': unstoppable('() => Array.prototype.lastIndexOf.call({ length: 2 ** 53 - 1 }, 1)'),
    'stuck-in-for-each': unstoppable('() => Array.prototype.forEach.call({ length: 2 ** 53 - 1 }, () => 1)'),
    'stuck-in-some': unstoppable('() => Array.prototype.some.call({ length: 2 ** 53 - 1 }, () => false)'),
    'stuck-in-reduce': unstoppable('() => Array.prototype.reduce.call({ length: 2 ** 53 - 1, 0: 1 }, () => 1)'),
    'stuck-in-find': unstoppable('() => Array.prototype.find.call({ length: 2 ** 53 - 1 }, () => false)'),
    'stuck-in-reverse': unstoppable('() => Array.prototype.reverse.call({ length: 2 ** 53 - 1 })'),
    'stuck-in-copy-within': unstoppable('() => Array.prototype.copyWithin.call({ length: 2 ** 53 - 1 }, 0, 3)'),
    'stuck-in-unshift': unstoppable('() => Array.prototype.unshift.call({ length: 2 ** 53 - 3 }, 1)'),
    'stuck-in-splice': unstoppable('() => Array.prototype.splice.call({ length: 2 ** 53 - 3 }, 0, 1)'),
    'stuck-in-shift': unstoppable('() => Array.prototype.shift.call({ length: 2 ** 53 - 1 })'),
    'stuck-in-join': unstoppable('() => new Array(2 ** 32 - 1).join("")'),
    'stuck-in-sparse-sort': unstoppable('() => Array.prototype.sort.call({ length: 2 ** 32 - 1 })'),
    'stuck-in-array-sort': unstoppable('() => new Array(2 ** 32 - 1).sort()'),
    'stuck-in-array-fill': unstoppable('() => new Array(2 ** 32 - 1).fill(0)'),
    'stuck-in-array-reverse': unstoppable('() => new Array(2 ** 32 - 1).reverse()'),
    'stuck-in-flat': unstoppable('() => new Array(2 ** 32 - 1).flat().length'),
    'stuck-in-concat': unstoppable('() => [].concat({ length: 2 ** 32 - 1, [Symbol.isConcatSpreadable]: true }).length'),
    'stuck-in-slice-of-string': unstoppable('() => [].slice.call("1".repeat(0x7ffffff)).length', { limits: { memoryMB: 512 } }),
    'stuck-in-split': unstoppable('() => "a".repeat(2 ** 27).split("").length', { limits: { memoryMB: 512 } }),
    'stuck-in-replace-all': unstoppable('() => "a".repeat(2 ** 26).replaceAll("a", "bb").length', { limits: { memoryMB: 512 } }),
    'stuck-in-string-search': unstoppable('() => ("a".repeat(2 ** 26) + "b").indexOf("a".repeat(2 ** 18) + "c")', {
      limits: { memoryMB: 512 },
    }),
    'stuck-in-bigint-power': unstoppable('() => ((2n ** 1000000n) ** 100n > 0n)', { limits: { memoryMB: 512 } }),
    'stuck-in-bigint-product': unstoppable('() => { let n = 3n ** 500000n; for (let i = 0; i < 12; i++) n *= n; return n > 0n }', {
      limits: { memoryMB: 512 },
    }),
    'stuck-in-bigint-to-string': unstoppable('() => (2n ** 60000000n).toString().length', { limits: { memoryMB: 512 } }),
    'stuck-in-bigint-division': unstoppable('() => (3n ** 9000000n / 7n ** 2000000n > 0n)', { limits: { memoryMB: 512 } }),
    'stuck-in-typed-sort': unstoppable('() => new Float64Array(2 ** 24).map(() => Math.random()).sort().length', {
      limits: { memoryMB: 512 },
    }),
    'stuck-in-json-parse': unstoppable('() => { const text = "[" + "0,".repeat(2 ** 26) + "0]"; for (;;) JSON.parse(text) }', {
      limits: { memoryMB: 512 },
    }),
    'stuck-in-clone': unstoppable(
      '() => { const all = new Array(2e6).fill({ a: 1 }).map(x => ({ ...x })); for (;;) structuredClone(all) }',
      {
        limits: { memoryMB: 512 },
      },
    ),
  },
}
