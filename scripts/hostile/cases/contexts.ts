/** What one request leaves for another of the same slot: rejections, contexts, promises of its calls. */
import type { Case, Family } from '../case.ts'

const right = (stage: string, more: Partial<Case> = {}): Case => ({ stage, sees: ['OK'], answer: 'right', ...more })
const kept = (use: string): string => `async (x, ctx) => {
  if (!globalThis.kept) { globalThis.kept = ctx; return 'right' }
  const old = globalThis.kept
  const late = new Promise(done => setTimeout(done, 300, 'late'))
  ${use}
}`
/** The first request keeps its context, and the second one uses it. */
const after = (use: string, more: Partial<Case> = {}): Case => right(kept(use), { inTurn: 2, ...more })

export const contexts: Family = {
  name: 'contexts',
  limits: { deadlineMs: 5000, cpuMs: 1000, memoryMB: 64 },
  cases: {
    'reject-for-others': right('x => { Promise.reject(new Error("of " + x.n)); return "right" }', { inTurn: 10 }),
    'reject-for-others-together': right('async x => { Promise.reject(new Error("of " + x.n)); await 1; return "right" }', { together: 30 }),
    'reject-for-others-later': right(
      'async x => { setTimeout(() => Promise.reject(new Error("of " + x.n)), 5); await new Promise(done => setTimeout(done, 50)); return "right" }',
      { together: 30 },
    ),
    'reject-after-answer': right('x => { setTimeout(() => { throw new Error("of " + x.n) }, 1); return "right" }', { inTurn: 5 }),
    'reject-null-for-others': right('x => { Promise.reject(null); Promise.reject(undefined); Promise.reject(Symbol()); return "right" }', {
      inTurn: 5,
    }),
    'answer-of-others': right(
      `(() => { const waiting = []; return x => new Promise(done => {
        waiting.push([x.n, done])
        setTimeout(() => { for (const [n, settle] of waiting.splice(0)) settle(n) }, 20)
      }).then(n => n === x.n ? 'right' : 'of another') })()`,
      { together: 20 },
    ),
    'settle-others-with-own': right(
      '(() => { let first; return x => { if (!first) { first = Promise.withResolvers(); setTimeout(() => first.resolve("right"), 50) } return first.promise } })()',
      { together: 20 },
    ),
    'context-call-after': after(
      'return await Promise.race([late, old.call("neighbour", 1).then(() => "called", () => "right")]) === "called" ? "called" : "right"',
    ),
    'context-service-after': after(
      'return await Promise.race([late, old.services.features.get("rows", "a").then(() => "asked", () => "right")]) === "asked" ? "asked" : "right"',
      { uses: ['features'] },
    ),
    'context-fetch-after': after('await Promise.race([late, old.fetch(host).then(r => r.text(), () => {})]); return "right"', {
      uses: ['fetch'],
    }),
    'context-log-after': after('old.log.info("of the first"); return "right"'),
    'context-fields-after': after(
      'return [old.requestId, old.unit, old.params, old.request.n, old.deadlineMs()].length === 5 && old.requestId !== ctx.requestId ? "right" : "mixed"',
    ),
    'context-across': right(
      `(() => { const open = []; return (x, ctx) => {
        open.push(ctx)
        return new Promise(done => setTimeout(() => done(open.filter(one => one === ctx).length === 1 && ctx.request.n === x.n ? 'right' : 'mixed'), 30))
      } })()`,
      { together: 20 },
    ),
    'context-forged': right(
      `(x, ctx) => {
        for (const forge of [() => new ctx.constructor({ calls: -1 }), () => Object.create(ctx), () => Object.assign(Object.create(Object.getPrototypeOf(ctx)), ctx)])
          try { const forged = forge(); if (forged.requestId !== undefined && forged !== ctx && Object.hasOwn(forged, 'requestId')) return 'forged'; void forged.call?.('neighbour', 1) } catch {}
        return 'right'
      }`,
      { sees: ['OK', 'MODULE_THREW'] },
    ),
    'context-method-borrowed': right(
      'async (x, ctx) => { const { call } = ctx; try { await call.call({}, "neighbour", 1); return "called" } catch { return "right" } }',
      { sees: ['OK', 'MODULE_THREW'] },
    ),
    'hold-others-up': right('x => x.n === 0 ? new Promise(() => {}) : "right"', {
      together: 20,
      okMin: 19,
      sees: ['OK', 'DEADLINE_EXCEEDED'],
    }),
    'kill-others': right('x => { if (x.n === 0) for (;;); return "right" }', {
      together: 20,
      okMin: 19,
      sees: ['OK', 'MODULE_KILLED', 'DEADLINE_EXCEEDED'],
      limits: { deadlineMs: 3000, cpuMs: 200 },
    }),
    'fill-memory-under-others': right('x => { if (x.n === 0) { const all = []; for (;;) all.push([all.length]) } return "right" }', {
      together: 20,
      okMin: 19,
      limits: { deadlineMs: 10_000, cpuMs: 5000, memoryMB: 16 },
      sees: ['OK', 'MODULE_KILLED', 'DEADLINE_EXCEEDED'],
      mayCostCell: true,
    }),
  },
}
