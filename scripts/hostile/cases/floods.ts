/** Too much of what is allowed: logs, timers, calls to the base, promises, and work that is left behind. */
import { type Case, type Family, stuck } from '../case.ts'

const fine = (stage: string, more: Partial<Case> = {}): Case => ({ stage, sees: ['OK', 'MODULE_THREW', ...stuck], ...more })
/** The answer comes before what is left behind begins. */
const leaves = (stage: string, more: Partial<Case> = {}): Case => ({
  stage,
  sees: ['OK', 'MODULE_KILLED', 'SLOT_UNAVAILABLE', 'DEADLINE_EXCEEDED', 'MODULE_THREW'],
  isLeftAlone: true,
  ...more,
})

export const floods: Family = {
  name: 'floods',
  limits: { deadlineMs: 5000, cpuMs: 1000, memoryMB: 64 },
  cases: {
    'flood-logs': fine('(x, ctx) => { for (let i = 0; i < 2e5; i++) ctx.log.info("line " + i, { i }); return 1 }'),
    'flood-errors-logged': fine('(x, ctx) => { for (let i = 0; i < 2e4; i++) ctx.log.error("line", new Error("e" + i)); return 1 }'),
    'flood-huge-log': fine('(x, ctx) => { for (let i = 0; i < 10; i++) ctx.log.info("x".repeat(2e7), { a: "y".repeat(1e7) }); return 1 }'),
    'flood-wide-log-fields': fine(
      '(x, ctx) => { const all = {}; for (let i = 0; i < 1e5; i++) all["k" + i] = i; ctx.log.info("wide", all); return 1 }',
    ),
    'flood-log-injection': fine('(x, ctx) => { ctx.log.info("a\\n{\\"level\\":\\"error\\"}\\r\\u2028\\u0000\\u001b[2J"); return 1 }', {
      sees: ['OK'],
    }),
    'flood-console': fine('() => { for (let i = 0; i < 2e5; i++) console.error("line " + i); return 1 }'),
    'flood-timers': fine('() => { for (let i = 0; i < 1e5; i++) setTimeout(() => {}, 1e6); return 1 }', { sees: ['MODULE_THREW'] }),
    'flood-timers-cleared': fine('() => { for (let i = 0; i < 1e5; i++) clearTimeout(setTimeout(() => {}, 1)); return 1 }'),
    'flood-intervals': leaves('() => { for (let i = 0; i < 900; i++) setInterval(() => {}, 1); return 1 }'),
    'flood-interval-burning': leaves('() => { setInterval(() => { for (let i = 0, n = 0; i < 5e7; i++) n += i % 7 }, 1); return 1 }', {
      inTurn: 3,
    }),
    'flood-timer-again': leaves('() => { const again = () => setTimeout(again, 0); for (let i = 0; i < 100; i++) again(); return 1 }'),
    'flood-timer-doubling': leaves('() => { const again = () => { setTimeout(again, 1); setTimeout(again, 1) }; again(); return 1 }'),
    'flood-microtasks-left-behind': leaves('() => { const again = () => Promise.resolve().then(again); again(); return 1 }'),
    'flood-microtasks': fine('async () => { for (let i = 0; i < 1e6; i++) Promise.resolve().then(() => {}); return 1 }'),
    'flood-pending-promises': fine('() => { for (let i = 0; i < 1e6; i++) new Promise(() => {}); return 1 }'),
    'flood-never-settling': {
      stage: '() => new Promise(() => {})',
      sees: ['DEADLINE_EXCEEDED', 'SCENE_OVERLOADED', 'BREAKER_OPEN'],
      together: 300,
      limits: { deadlineMs: 1000 },
    },
    'flood-unhandled-rejections': fine('() => { for (let i = 0; i < 1e5; i++) Promise.reject(new Error("r" + i)); return 1 }'),
    'flood-unhandled-later': leaves(
      '() => { for (let i = 0; i < 900; i++) setTimeout(() => { Promise.reject(new Error("r" + i)) }, i); return 1 }',
    ),
    'flood-services': fine(
      '(x, ctx) => { for (let i = 0; i < 1e5; i++) ctx.services.features.get("rows", "a").catch(() => {}); return 1 }',
      {
        uses: ['features'],
      },
    ),
    'flood-service-keys': fine('(x, ctx) => ctx.services.features.getMany("rows", Array.from({ length: 1e6 }, (_, i) => "k" + i))', {
      uses: ['features'],
      sees: ['MODULE_THREW', 'SERVICE_INPUT_INVALID'],
    }),
    'flood-services-in-turn': fine('async (x, ctx) => { for (;;) await ctx.services.features.get("rows", "a") }', {
      uses: ['features'],
      sees: stuck,
    }),
    'flood-calls': fine('(x, ctx) => { for (let i = 0; i < 1e4; i++) ctx.call("neighbour", { i }).catch(() => {}); return 1 }'),
    'flood-calls-awaited': fine('(x, ctx) => Promise.all(Array.from({ length: 1e4 }, (_, i) => ctx.call("neighbour", { i })))', {
      sees: ['MODULE_THREW'],
    }),
    'flood-calls-in-turn': fine('async (x, ctx) => { for (;;) await ctx.call("neighbour", 1) }', { sees: stuck }),
    'flood-calls-many-callers': fine(
      'async (x, ctx) => (await Promise.allSettled(Array.from({ length: 64 }, (_, i) => ctx.call("neighbour", { i })))).length',
      { together: 16 },
    ),
    'flood-huge-call': fine('(x, ctx) => ctx.call("neighbour", "x".repeat(5e7))', { sees: ['MODULE_THREW'] }),
    'flood-call-itself': fine('(x, ctx) => ctx.call(ctx.scene, x)', { sees: ['CALL_CYCLE'] }),
    'flood-fetches': fine('(x, ctx) => { for (let i = 0; i < 2000; i++) ctx.fetch(host).catch(() => {}); return 1 }', { uses: ['fetch'] }),
    'flood-fetches-unlisted': fine('(x, ctx) => Promise.all(Array.from({ length: 50 }, () => ctx.fetch("http://127.0.0.1:1/")))', {
      sees: ['MODULE_THREW'],
    }),
    'flood-fetch-body': fine('(x, ctx) => ctx.fetch(host, { method: "POST", body: "x".repeat(5e7) })', {
      uses: ['fetch'],
      sees: ['MODULE_THREW'],
    }),
    'flood-fetch-endless-answer': fine('async (x, ctx) => (await ctx.fetch(host + "/endless")).text()', {
      uses: ['fetch'],
      sees: ['MODULE_THREW'],
    }),
    'flood-random': fine('() => { for (;;) crypto.getRandomValues(new Uint8Array(65536)) }', { sees: stuck }),
    'flood-big-answers': fine('() => "x".repeat(7e6)', { together: 40, sees: ['OK', 'SCENE_OVERLOADED', ...stuck] }),
  },
}
