/** Modules that are bad while they load: in the trial, or only when a cell loads them later. */
import { type Case, type Code, type Family, long } from '../case.ts'

const refused = (top: string, ...sees: readonly Code[]): Case => ({ stage: 'x => x', top, sees, isRefused: true })
/** When a cell cannot load a baseline any more, its scene is broken in that cell, and no other scene is. */
const turnsBad = (body: string, more: Partial<Case> = {}): Case => ({
  stage: 'x => x',
  top: `if (Date.now() > badAt) { ${body} }`,
  turnsBad: true,
  sees: ['SLOT_UNAVAILABLE'],
  ...more,
})
const stuck = 'Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)'

export const loading: Family = {
  name: 'loading',
  limits: long,
  cases: {
    'load-loop': refused('for (;;);', 'MODULE_LOAD_KILLED'),
    'load-microtask-loop': refused('const again = () => Promise.resolve().then(again); again()', 'MODULE_LOAD_KILLED'),
    'load-stuck': refused(stuck, 'MODULE_LOAD_THREW', 'MODULE_LOAD_KILLED'),
    'load-throw': refused('throw new Error("no table")', 'MODULE_LOAD_THREW'),
    'load-throw-undefined': refused('throw undefined', 'MODULE_LOAD_THREW'),
    'load-throw-looping': refused(
      'throw { get message() { for (;;); }, toString() { for (;;); } }',
      'MODULE_LOAD_THREW',
      'MODULE_LOAD_KILLED',
    ),
    'load-memory': refused('const all = []; for (;;) all.push([all.length])', 'MODULE_LOAD_KILLED'),
    'load-huge-fill': refused('new Array(1e8).fill(0)', 'MODULE_LOAD_KILLED'),
    'load-map': refused('const all = new Map(); for (let i = 0; ; i++) all.set(i, i)', 'MODULE_LOAD_KILLED'),
    'load-recursion': refused('const f = () => f() + 1; f()', 'MODULE_LOAD_THREW'),
    'load-tampering': refused('Array.prototype[Symbol.iterator] = () => 1', 'MODULE_CHANGES_BUILTINS'),
    'load-tampering-promise': refused('globalThis.Promise = class {}', 'MODULE_CHANGES_BUILTINS'),
    'load-syntax': refused(')', 'BUNDLE_INVALID'),
    'load-await': { ...refused('', 'BUNDLE_INVALID', 'MODULE_LOAD_AWAITS'), top: '})(); await 1; (() => {' },
    'load-rejection': refused('Promise.reject(new Error("forgotten"))', 'MODULE_LOAD_THREW'),
    'later-loop': turnsBad('for (;;);'),
    'later-throw': turnsBad('throw new Error("later")'),
    'later-memory': turnsBad('const all = []; for (;;) all.push([all.length])', {
      sees: ['SLOT_UNAVAILABLE', 'VERSION_QUARANTINED'],
      mayCostCell: true,
    }),
    'later-stuck': turnsBad(stuck, { sees: ['VERSION_QUARANTINED'], mayCostCell: true }),
    'later-stuck-as-previous': turnsBad(stuck, { sees: ['OK'], mayCostCell: true, isReplaced: true }),
  },
}
