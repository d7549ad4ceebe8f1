/**
 * Ways out of the slot, through every value that the base hands in. A module looks at all that it can reach from the value, and answers which of it
 * belongs to the base: nothing may.
 */
import type { Case, Family } from '../case.ts'

/** `reach` answers what in a value, and in all that can be reached from it, is not of this slot. */
const prelude = `
const ambient = ['process', 'require', 'module', 'Buffer', 'WebAssembly', 'SharedArrayBuffer', 'Atomics', 'ivm', '_ivm', 'post', '__dirname']
const handles = /^(Reference|ExternalCopy|Callback|Isolate|Context|Script|Session|NativeModule)$/
function reach(...values) {
  const seen = new Set(), found = []
  const queue = values.map((value, i) => [value, String(i), 0])
  const look = make => { try { return make() } catch { return undefined } }
  for (let at = 0; at < queue.length && at < 20000; at++) {
    const [value, path, depth] = queue[at]
    if (value === null || (typeof value !== 'object' && typeof value !== 'function') || seen.has(value)) continue
    seen.add(value)
    const name = look(() => value.constructor.name)
    if (handles.test(name)) found.push(path + ' is a ' + name)
    const make = look(() => value.constructor.constructor)
    const made = typeof make === 'function' ? look(() => make('return this')()) : undefined
    const world = typeof made?.next === 'function' ? look(() => made.next().value) : made
    if (world !== undefined && world !== globalThis && !(world instanceof Promise)) found.push(path + ' is of another realm')
    for (const one of ambient) if (look(() => make('return typeof ' + one)()) === 'object') found.push(path + ' sees ' + one)
    if (depth > 6) continue
    const push = (what, key) => queue.push([what, path + '.' + key, depth + 1])
    push(look(() => Object.getPrototypeOf(value)), '__proto__')
    for (const key of look(() => Reflect.ownKeys(value)) ?? []) {
      push(look(() => value[key]), String(key))
      const { get, set } = look(() => Object.getOwnPropertyDescriptor(value, key)) ?? {}
      push(get, 'get ' + String(key))
      push(set, 'set ' + String(key))
    }
    if (typeof value === 'function') for (const key of ['caller', 'arguments', 'callee']) push(look(() => value[key]), key)
  }
  return found.length === 0 ? 'inside' : found.slice(0, 5).join('; ')
}
const caught = async make => { try { return await make() } catch (error) { return error } }`

const inside = (stage: string, more: Partial<Case> = {}): Case => ({ stage, sees: ['OK'], answer: 'inside', ...more })
/** A text of the base, such as a stack, must not name files of the machine. */
const noPaths = '(text => /file:|node:|node_modules|\\/base\\/|\\/tmp\\/|\\.ts\\b/.test(text) ? text : "inside")'

export const escapes: Family = {
  name: 'escapes',
  limits: { deadlineMs: 5000, cpuMs: 2000, memoryMB: 64 },
  prelude,
  cases: {
    'escape-input': inside('x => reach(x)'),
    'escape-context': inside('(x, ctx) => reach(ctx)'),
    'escape-request': inside('(x, ctx) => reach(ctx.request)'),
    'escape-params': inside('(x, ctx) => reach(ctx.params)'),
    'escape-log': inside('(x, ctx) => reach(ctx.log, ctx.log.info("a"), ctx.deadlineMs)'),
    'escape-global': inside('() => reach(globalThis)'),
    'escape-arguments': inside('function (x) { return reach(arguments, this ?? null) }'),
    'escape-caller': inside(
      'function hostile() { const found = []; for (let f = hostile.caller, i = 0; f && i < 20; f = f.caller, i++) found.push(f, f.arguments); return reach(...found) }',
      { sees: ['OK', 'MODULE_THREW'] },
    ),
    'escape-call': inside('async (x, ctx) => { const call = ctx.call("neighbour", 1); return reach(ctx.call, call, await call) }'),
    'escape-call-error': inside('async (x, ctx) => reach(await caught(() => ctx.call("nowhere", 1)))'),
    'escape-call-arguments': inside(
      'async (x, ctx) => reach(await caught(() => ctx.call({ toString() { return "neighbour" } }, new Proxy({}, {}))), await caught(() => ctx.call("__proto__", 1)))',
    ),
    'escape-services': inside('(x, ctx) => reach(ctx.services, ctx.services.features)', { uses: ['features'] }),
    'escape-services-unlisted': inside('(x, ctx) => ctx.services.features === undefined ? "inside" : "features is there"', {
      sees: ['OK', 'MODULE_THREW'],
    }),
    'escape-services-inherited': inside(
      `async (x, ctx) => {
        for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'then']) {
          const service = ctx.services[name], method = ctx.services.features[name]
          const answer = typeof method === 'function' ? await caught(() => method.call(ctx.services.features, 'rows')) : undefined
          const found = reach(service, method, answer)
          if (found !== 'inside') return found
        }
        return 'inside'
      }`,
      { uses: ['features'] },
    ),
    'escape-service-result': inside('async (x, ctx) => reach(await ctx.services.features.getMany("rows", ["a", "b"]))', {
      uses: ['features'],
    }),
    'escape-service-error': inside(
      'async (x, ctx) => reach(await caught(() => ctx.services.features.get("none", "a")), await caught(() => ctx.services.features.get("rows", {})))',
      { uses: ['features'] },
    ),
    'escape-service-path': inside(
      `async (x, ctx) => {
        for (const table of ['../token', '../../etc/passwd', '/etc/passwd', 'rows.ndjson', '..%2ftoken', '__proto__', ''])
          if (!((await caught(() => ctx.services.features.get(table, 'a'))) instanceof Error)) return table
        return 'inside'
      }`,
      { uses: ['features'] },
    ),
    'escape-fetch': inside(
      'async (x, ctx) => { const fetched = ctx.fetch(host); return reach(fetch, ctx.fetch, fetched, await fetched) }',
      {
        uses: ['fetch'],
      },
    ),
    'escape-fetch-response': inside(
      'async (x, ctx) => { const r = await ctx.fetch(host); return reach(r, r.headers, [...r.headers], r.clone(), await r.text(), r.body) }',
      { uses: ['fetch'] },
    ),
    'escape-fetch-error': inside('async (x, ctx) => reach(await caught(() => ctx.fetch("http://127.0.0.1:1/")))'),
    'escape-fetch-other-hosts': inside(
      `async (x, ctx) => {
        const at = new URL(host)
        const there = ['file:///etc/passwd', 'data:text/plain,a', 'blob:a', 'http://localhost:' + at.port, 'http://[::1]:' + at.port, 'http://127.1:1', 'http://169.254.169.254/', 'http://127.0.0.1:' + at.port + '@example.com/', host + '/away']
        for (const url of there) if (!((await caught(() => ctx.fetch(url))) instanceof Error)) return url
        return 'inside'
      }`,
      { uses: ['fetch'] },
    ),
    'escape-fetch-header-injection': inside(
      `async (x, ctx) => {
        for (const headers of [{ 'x-a': 'a\\r\\nx-b: c' }, { 'x-a\\r\\nx-b': 'c' }, [['x-a', '\\u0000']]])
          if (!((await caught(() => ctx.fetch(host, { headers }))) instanceof Error)) return JSON.stringify(headers)
        return 'inside'
      }`,
      { uses: ['fetch'] },
    ),
    'escape-timers': inside('() => reach(setTimeout(() => {}, 1), setInterval, clearTimeout(1), queueMicrotask)'),
    'escape-timer-arguments': inside(
      '() => new Promise(done => setTimeout(function () { done(reach(this ?? null, arguments, arguments.callee)) }, 1, {}))',
    ),
    'escape-timer-text': inside('() => { try { setTimeout("globalThis.ran = 1", 0) } catch { return "inside" } return "a text is run" }'),
    'escape-web-globals': inside(
      `() => reach(console, crypto, crypto.getRandomValues(new Uint8Array(1)), performance, new URL('http://a'), new TextEncoder().encode('a'),
        new TextDecoder(), new AbortController().signal, AbortSignal.timeout(1), structuredClone({ a: new Map([[1, {}]]) }), new Headers(), new Event('a'))`,
    ),
    'escape-event-handlers': inside(
      `() => new Promise(done => {
        const { signal, abort } = new AbortController()
        AbortSignal.timeout(1).addEventListener('abort', function (event) { done(reach(event, this ?? null, arguments)) })
      })`,
    ),
    'escape-constructor': inside(
      `(x, ctx) => {
        for (const value of [x, ctx, ctx.log, ctx.log.info, ctx.call, ctx.fetch, ctx.params, ctx.request])
          try { if (value.constructor.constructor('return typeof process')() !== 'undefined') return 'process' } catch {}
        return 'inside'
      }`,
    ),
    'escape-function-constructors': inside(
      `async () => {
        const makers = [Function, (async () => {}).constructor, (function* () {}).constructor, (async function* () {}).constructor]
        for (const make of makers) {
          const made = make('return typeof process + typeof require + (this === undefined || this === globalThis)')
          const value = await made.call(undefined)
          const text = typeof value?.next === 'function' ? (await value.next()).value : value
          if (text !== 'undefinedundefinedtrue') return String(text)
        }
        return 'inside'
      }`,
    ),
    'escape-eval': inside('() => (0, eval)("typeof process + typeof require") === "undefinedundefined" ? "inside" : "process"', {
      sees: ['OK', 'MODULE_THREW'],
    }),
    'escape-import': inside(
      'async () => { for (const name of ["node:fs", "fs", "./a.js", "data:text/javascript,1", "isolated-vm"]) try { await (new Function("name", "return import(name)"))(name); return name } catch {} return "inside" }',
    ),
    'escape-import-direct': inside('async () => { try { await import("node:fs"); return "fs" } catch { return "inside" } }'),
    'escape-require': inside(
      '() => ["require", "module", "process", "exports", "__filename"].filter(name => { try { return eval("typeof " + name) !== "undefined" } catch { return false } }).join() || "inside"',
    ),
    'escape-import-meta': { stage: '() => import.meta', sees: ['BUNDLE_INVALID'], isRefused: true },
    'escape-ivm': inside(
      '() => Object.getOwnPropertyNames(globalThis).filter(name => /ivm|isolate|^reference$|callback|external|^_|^post|install/i.test(name)).join() || "inside"',
    ),
    'escape-call-sites': inside(
      `() => {
        const found = []
        Error.prepareStackTrace = (error, sites) => { found.push(sites, ...sites.flatMap(site => [site.getThis?.(), site.getFunction?.(), site.getFileName?.(), site.getEvalOrigin?.()])) }
        void new Error('a').stack
        const text = found.filter(one => typeof one === 'string').join()
        const path = ${noPaths}(text)
        return path === 'inside' ? reach(...found) : path
      }`,
      { sees: ['OK', 'MODULE_THREW'] },
    ),
    'escape-stack-paths': inside(`() => ${noPaths}(new Error('a').stack)`),
    'escape-error-paths': inside(
      `async (x, ctx) => {
        const errors = [await caught(() => ctx.call('nowhere', 1)), await caught(() => ctx.services.features.get('none', 'a')), await caught(() => ctx.fetch('http://127.0.0.1:1/'))]
        return ${noPaths}(errors.map(error => [error.stack, error.message, JSON.stringify(error), String(error.cause)].join()).join())
      }`,
      { uses: ['features'] },
    ),
    'escape-stack-overflow': inside(
      `async (x, ctx) => {
        const errors = []
        const deep = () => { try { deep() } catch (error) { if (errors.length < 40) { errors.push(error); try { ctx.call({}, 1).catch(() => {}) } catch (e) { errors.push(e) } } throw error } }
        try { deep() } catch {}
        return reach(...errors)
      }`,
      { sees: ['OK', 'MODULE_THREW'] },
    ),
    'escape-stack-overflow-in-log': inside(
      `(x, ctx) => {
        const errors = []
        const deep = () => { try { ctx.log.info({ toString() { return deep() } }) } catch (error) { errors.push(error) } return 'a' }
        try { deep() } catch (error) { errors.push(error) }
        return reach(...errors.slice(0, 20))
      }`,
      { sees: ['OK', 'MODULE_THREW'] },
    ),
    'escape-prototype-setter': inside(
      `(x, ctx) => {
        const caught = []
        for (const value of [ctx, ctx.params, ctx.request, ctx.log]) try { value.__proto__ = { get polluted() { return this } } } catch (error) { caught.push(error) }
        return reach(...caught, ({}).polluted, ctx.polluted)
      }`,
    ),
    'escape-species': inside(
      `async (x, ctx) => {
        const found = []
        class Species extends Promise { constructor(run) { super((done, no) => { found.push(done, no); run(done, no) }); found.push(this) } static get [Symbol.species]() { return Species } }
        const call = ctx.call('neighbour', 1)
        Object.defineProperty(call, 'constructor', { value: Species })
        await call.then(value => found.push(value))
        return reach(...found)
      }`,
      { sees: ['OK', 'MODULE_THREW'] },
    ),
    'escape-proxied-input': inside(
      `async (x, ctx) => {
        const found = []
        const spy = new Proxy(function () {}, Object.fromEntries(Reflect.ownKeys(Reflect).filter(key => typeof key === 'string').map(key => [key, (...all) => { found.push(...all); return Reflect[key](...all) }])))
        await caught(() => ctx.call('neighbour', spy))
        ctx.log.info(spy, spy)
        await caught(() => ctx.fetch(spy, spy))
        return reach(...found)
      }`,
    ),
    'escape-weak-ref': inside(
      '() => reach(typeof WeakRef === "function" ? new WeakRef({}) : {}, typeof FinalizationRegistry === "function" ? new FinalizationRegistry(() => {}) : {})',
    ),
    'escape-error-capture': inside('(x, ctx) => { const o = {}; Error.captureStackTrace?.(o, ctx.call); return reach(o, o.stack) }', {
      sees: ['OK', 'MODULE_THREW'],
    }),
  },
}
