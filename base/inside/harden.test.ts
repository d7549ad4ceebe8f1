/** What one module may not do to another, and what ordinary code may still do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import ivm from 'isolated-vm'
import { startGuest } from '../../test/support/isolate.ts'

const MB = 2 ** 20

test('every built-in that code can reach is frozen, but for the named exceptions', async t => {
  const guest = await startGuest(t)
  const open = (await guest.call(`
    const seen = new Set(), open = []
    const visit = (path, object) => {
      if ((typeof object !== 'object' && typeof object !== 'function') || object === null || seen.has(object)) return
      seen.add(object)
      if (object !== globalThis && !Object.isFrozen(object)) open.push(path)
      for (const key of Reflect.ownKeys(object)) {
        const { value, get, set } = Object.getOwnPropertyDescriptor(object, key)
        visit(path + '.' + String(key), value)
        visit(path + '.get ' + String(key), get)
        visit(path + '.set ' + String(key), set)
      }
      visit(path + '.__proto__', Object.getPrototypeOf(object))
    }
    for (const key of Object.getOwnPropertyNames(globalThis)) visit(key, globalThis[key])
    const unnamed = {
      generator: Object.getPrototypeOf(function* () {}), asyncGenerator: Object.getPrototypeOf(async function* () {}),
      asyncFunction: Object.getPrototypeOf(async () => {}), arrayIterator: Object.getPrototypeOf([].values()),
      mapIterator: Object.getPrototypeOf(new Map().values()), setIterator: Object.getPrototypeOf(new Set().values()),
      stringIterator: Object.getPrototypeOf(''[Symbol.iterator]()), matches: Object.getPrototypeOf(''.matchAll(/a/g)),
      helper: Object.getPrototypeOf([].values().map(String)), wrapped: Object.getPrototypeOf(Iterator.from({ next() {} })),
      typedArray: Object.getPrototypeOf(Int8Array), segments: Object.getPrototypeOf(new Intl.Segmenter().segment('')),
      segmentIterator: Object.getPrototypeOf(new Intl.Segmenter().segment('')[Symbol.iterator]()),
    }
    for (const name in unnamed) visit(name, unnamed[name])
    // The methods of URL are plain functions, of which nobody makes instances.
    return open.filter(path => !/^URL.*\\.prototype$/.test(path)).sort()`)) as string[]
  const arrays = open.filter(path => /^(Array|\w+\d+(Clamped)?Array)\.prototype$|^arrayIterator$/.test(path))
  assert.equal(arrays.length, 14)
  assert.deepEqual(
    open.filter(path => !arrays.includes(path)),
    ['Error', 'RegExp.prototype'],
  )
})

test('no property of a built-in can be set, defined, added or deleted', async t => {
  const guest = await startGuest(t)
  const done = await guest.call(`
    const attempts = {
      parse: () => { JSON.parse = () => 'evil' },
      global: () => { globalThis.JSON = { parse: () => 'evil' } },
      webGlobal: () => { globalThis.setTimeout = () => 'evil' },
      lazyGlobal: () => { globalThis.URL = class {} },
      redefineLazyGlobal: () => Object.defineProperty(globalThis, 'URL', { value: 1 }),
      deleteGlobal: () => { delete globalThis.Math },
      map: () => { Array.prototype.map = () => 'evil' },
      add: () => { Array.prototype.last = () => 'evil' },
      pollute: () => { Object.prototype.polluted = 'evil' },
      polluteByParse: () => { JSON.parse('{"__proto__":{}}').__proto__.__proto__.polluted = 'evil' },
      toStringSet: () => { Object.prototype.toString = () => 'evil' },
      toJSON: () => { Object.prototype.toJSON = () => 'evil' },
      then: () => Object.defineProperty(Object.prototype, 'then', { get() { return 'evil' } }),
      callOfMethod: () => { Array.prototype.slice.call = () => 'evil' },
      applyOfMethod: () => Object.defineProperty(Function.prototype.apply, 'call', { value: () => 'evil' }),
      promise: () => { Promise.prototype.then = () => 'evil' },
      promiseStatic: () => { Promise.resolve = () => 'evil' },
      species: () => Object.defineProperty(Array, Symbol.species, { value: class {} }),
      errorName: () => { TypeError.prototype.name = 'evil' },
      generatorNext: () => { Object.getPrototypeOf((function* () {})()).__proto__.next = () => 'evil' },
      deleteIterator: () => { delete Array.prototype[Symbol.iterator] },
      redefineConstructor: () => Object.defineProperty(Array.prototype, 'constructor', { get: () => 'evil' }),
      asyncFunction: () => { Object.getPrototypeOf(async () => {}).call = () => 'evil' },
      typedSet: () => { Object.getPrototypeOf(Int8Array).prototype.set = () => 'evil' },
      intl: () => { Intl.NumberFormat.prototype.format = () => 'evil' },
      mathRandom: () => { Math.random = () => 4 },
      now: () => { Date.now = () => 4 },
      log: () => { console.log = () => 'evil' },
      urlParse: () => { URL.prototype.toString = () => 'evil' },
      abort: () => { AbortSignal.abort = () => 'evil' },
      prototypeOfPrototype: () => Object.setPrototypeOf(Array.prototype, { evil: 1 }),
    }
    const done = []
    for (const name in attempts) {
      try { attempts[name](); done.push(name) } catch (error) { if (!(error instanceof TypeError)) done.push(name + ': ' + error) }
    }
    return done`)
  assert.deepEqual(done, [])
  assert.equal(await guest.call("return JSON.stringify([JSON.parse('[1]').map(x => x + 1), {}.polluted])"), '[[2],null]')
})

test('what a module puts on RegExp.prototype is found and taken off again', async t => {
  const guest = await startGuest(t)
  assert.equal(guest.mendOpen(), undefined)
  await guest.run(`RegExp.prototype.exec = () => null; RegExp.prototype.extra = 1; Object.setPrototypeOf(RegExp.prototype, { evil: 1 })
    Object.defineProperty(RegExp.prototype, 'flags', { get: () => 'g' })`)
  assert.deepEqual(guest.mendOpen(), { changed: ['flags', 'exec', 'extra'].sort(byKeyOrder).map(ofRegExp), complete: true })
  assert.equal(await guest.run("String([/b/.exec('abc').index, /b/i.flags, /b/.extra, /b/.evil])"), '1,i,,')
  assert.equal(guest.mendOpen(), undefined)
  await guest.run("Object.defineProperty(RegExp.prototype, 'exec', { value: () => null, configurable: false, writable: false })")
  assert.deepEqual(guest.mendOpen(), { changed: ['exec'].map(ofRegExp), complete: false })
})

test('what a module replaces of what stays writable of arrays is found and put back', async t => {
  const guest = await startGuest(t)
  assert.equal(guest.mendOpen(), undefined)
  await guest.run(`const next = Object.getPrototypeOf([].values())
    Array.prototype[Symbol.iterator] = () => next; Array.prototype.length = 2
    next.next = () => ({ done: true }); Array.prototype.constructor = Uint8Array.prototype.constructor = null`)
  const { changed, complete } = guest.mendOpen() ?? { changed: [], complete: false }
  assert.deepEqual([...changed].sort(), [
    'Array Iterator.next',
    'Array.prototype.constructor',
    'Array.prototype.length',
    'Array.prototype[Symbol.iterator]',
    'Uint8Array.prototype.constructor',
  ])
  assert(complete)
  assert.equal(await guest.run('String([...[2], Array.prototype.length, new Uint8Array(1).slice() instanceof Uint8Array])'), '2,0,true')
  assert.equal(guest.mendOpen(), undefined)
  await guest.run("Object.defineProperty(Array.prototype, 'constructor', { value: () => 'evil', writable: false })")
  assert.deepEqual(guest.mendOpen(), { changed: ['Array.prototype.constructor'], complete: false })
})

const ofRegExp = (key: string): string => `RegExp.prototype.${key}`

/** Sorts names as V8 lists them: `exec` before `flags`, new names at the end. */
function byKeyOrder(a: string, b: string): number {
  const order = ['exec', 'flags', 'extra']
  return order.indexOf(a) - order.indexOf(b)
}

test('regular expressions keep the fast paths of V8', async t => {
  const guest = await startGuest(t)
  // The fast path takes as long as splitting at a string. The slow one takes ten times that.
  const leastUs = async (split: string) => {
    let least = Number.POSITIVE_INFINITY
    for (let round = 0; round < 10; round++) {
      const before = process.cpuUsage()
      await guest.call(`const text = 'The quick brown fox jumps over lazy dogs '.repeat(100); for (let i = 0; i < 200; i++) ${split}`)
      const { user, system } = process.cpuUsage(before)
      least = Math.min(least, user + system)
    }
    return least
  }
  const [regExp, string] = [await leastUs('text.split(/ +/)'), await leastUs(`text.split(' ')`)]
  assert(regExp < 5 * string, `splitting at a regular expression took ${regExp} µs of CPU, at a string ${string}`)
})

test('arrays keep the fast paths of V8', async t => {
  const guest = await startGuest(t)
  const bare = new ivm.Isolate()
  t.after(() => bare.dispose())
  const context = bare.createContextSync()
  // Without the fast paths these take ten times as long and more.
  for (const work of [
    'list.slice(1)',
    '[...list]',
    'list.map(x => x)',
    'for (const [i] of list.entries()) sum += i',
    'new Bytes(8).slice(1)',
  ]) {
    const code = `const list = Array.from({ length: 20 }, (_, i) => i), Bytes = Uint8Array; let sum = 0; for (let i = 0; i < 20000; i++) { ${work} }`
    const leastUs = async (run: () => unknown) => {
      let least = Number.POSITIVE_INFINITY
      for (let round = 0; round < 8; round++) {
        const before = process.cpuUsage()
        await run()
        const { user, system } = process.cpuUsage(before)
        least = Math.min(least, user + system)
      }
      return least
    }
    const here = await leastUs(() => guest.call(code))
    const there = await leastUs(() => context.eval(`(() => { ${code} })()`))
    assert(here < 5 * there, `${work} took ${here} µs of CPU, in a bare isolate ${there}`)
  }
})

test('ordinary code may give its own objects properties with the names of built-in ones', async t => {
  const guest = await startGuest(t)
  assert.equal(
    await guest.call(`
    class Coded extends Error { constructor(message) { super(message); this.name = 'Coded'; this.message = 'm:' + message } }
    class Typed extends TypeError { constructor() { super(); this.name = 'Typed' } }
    function Old() { Error.call(this); this.name = 'Old'; this.message = 'old' }
    Old.prototype = Object.create(Error.prototype)
    Old.prototype.constructor = Old
    Old.prototype.toString = function () { return 'old style' }
    function Derived() { this.constructor = OldList }
    Derived.prototype = Array.prototype
    function OldList() { this.length = 0 }
    OldList.prototype = new Derived()
    OldList.prototype.includes = function () { return 'old list' }
    OldList.prototype[Symbol.iterator] = function () { return ['own iterator'].values() }
    function Bytes() {}
    Object.setPrototypeOf(Bytes.prototype, Uint8Array.prototype)
    Bytes.prototype.constructor = Bytes
    const old = new OldList()
    old.push('a')
    if (old.includes() !== 'old list' || [...old][0] !== 'own iterator' || old.length !== 1 || !(old instanceof Array)) throw new Error('OldList')
    const plain = {}
    plain.toString = () => 'own'
    plain.constructor = 1
    plain.hasOwnProperty = 2
    plain.valueOf = () => 3
    const fn = () => {}
    fn.bind = 4
    fn.call = 5
    fn.toString = () => 'fn'
    const list = []
    list.push = 6
    list.toString = () => 'list'
    class Lru extends Map { constructor() { super(); this.get = key => 'got ' + key } }
    const weak = new WeakMap()
    weak.get = weak.get
    const counts = {}
    for (const word of ['constructor', 'toString', 'a', 'a']) counts[word] = Object.hasOwn(counts, word) ? counts[word] + 1 : 1
    const event = new EventTarget()
    event.dispatchEvent = 7
    return [new Coded('x'), new Typed(), new Old(), plain, plain.constructor, plain + 1, fn.bind, String(fn), list, new Lru().get('k'),
      weak.get === WeakMap.prototype.get, JSON.stringify(counts), Object.keys(plain), event.dispatchEvent].join(' | ')`),
    'Coded: m:x | Typed | old style | own | 1 | 4 | 4 | fn | list | got k | true | {"constructor":1,"toString":1,"a":2} | toString,constructor,hasOwnProperty,valueOf | 7',
  )
})

test('an assignment that an heir makes leaves the built-in and other heirs as they are', async t => {
  const guest = await startGuest(t)
  assert.equal(
    await guest.call("const a = {}; a.toString = () => 'mine'; return String({}) + String(Object.create(a))"),
    '[object Object]mine',
  )
})

/** Makes a list of built-ins with their paths: what globals lead to, and what has no global. */
const builtIns = `
  const named = Object.getOwnPropertyNames(globalThis).filter(name => !['globalThis', 'self', 'global', 'partLoaded'].includes(name))
  const list = named.flatMap(name => [[name, globalThis[name]], [name + '.prototype', globalThis[name]?.prototype]])
  list.push(...Object.entries({
    '%TypedArray%': Object.getPrototypeOf(Int8Array), '%TypedArray%.prototype': Object.getPrototypeOf(Int8Array.prototype),
    '%ArrayIterator%': Object.getPrototypeOf([].values()), '%MapIterator%': Object.getPrototypeOf(new Map().values()),
    '%SetIterator%': Object.getPrototypeOf(new Set().values()), '%StringIterator%': Object.getPrototypeOf(''[Symbol.iterator]()),
    '%Generator%': Object.getPrototypeOf(function* () {}).prototype, '%AsyncGenerator%': Object.getPrototypeOf(async function* () {}).prototype,
    '%AsyncFunction%': Object.getPrototypeOf(async () => {}), '%IteratorHelper%': Object.getPrototypeOf([].values().map(String)),
  }))
  for (const name of Object.getOwnPropertyNames(Intl)) list.push(['Intl.' + name, Intl[name]], ['Intl.' + name + '.prototype', Intl[name].prototype])
  const found = list.filter(([, object]) => (typeof object === 'object' && object !== null) || typeof object === 'function')
  const members = found.flatMap(([path, object]) => Reflect.ownKeys(object).map(key => [path, object, key, path + '.' + String(key)]))`

type Member = readonly [path: string, assigned: boolean, isFunction: boolean]

test('heirs of every built-in may have every property assigned that they may have in V8 alone', async t => {
  const assignable = `${builtIns}
    return members.map(([, object, key, path]) => {
      const heir = Object.create(object), own = {}
      const isFunction = typeof Object.getOwnPropertyDescriptor(object, key).value === 'function'
      try { heir[key] = own } catch { return [path, false, isFunction] }
      return [path, Object.getOwnPropertyDescriptor(heir, key)?.value === own && heir[key] === own, isFunction]
    })`
  const bare = new ivm.Isolate()
  t.after(() => bare.dispose())
  const inBare = (await bare.createContextSync().eval(`(() => { 'use strict'; ${assignable} })()`, { copy: true })) as Member[]
  const here = (await (await startGuest(t)).call(assignable)) as Member[]
  const lost = new Map(here.map(([path, assigned]) => [path, !assigned]))
  const free = inBare.filter(([path, assigned]) => assigned && lost.has(path)).map(([path]) => path)
  assert(free.length > 500, `${free.length} properties`)
  assert.deepEqual(
    free.filter(path => lost.get(path)),
    [],
  )
  // V8 alone has none of those of the web.
  const known = new Set(inBare.map(([path]) => path))
  const methods = here.filter(([path, , isFunction]) => isFunction && !known.has(path))
  assert(methods.length > 60, `${methods.length} methods`)
  assert.deepEqual(
    methods.filter(([, assigned]) => !assigned),
    [],
  )
})

test('a built-in may be given the value that it has, by whatever polyfills do; another value is refused with its name', async t => {
  const guest = await startGuest(t)
  const wrong = await guest.call(`${builtIns}
    const wrong = [], opened = []
    const refused = (path, run) => {
      try { run(); wrong.push(path + ' was changed') } catch (error) {
        if (!(error instanceof TypeError) || !/^Cannot (change|assign to read only property|redefine property)/.test(error.message)) wrong.push(path + ': ' + error)
        return error.message
      }
    }
    for (const [path, object, key, member] of members) {
      const { value, writable, configurable } = Object.getOwnPropertyDescriptor(object, key)
      if (!writable || !configurable || path.startsWith('RegExp.prototype') || member === 'Error.stackTraceLimit') continue
      if (member === 'Error.prepareStackTrace' || member === 'Function.prototype.toString') continue
      try {
        object[key] = value
        Object.defineProperty(object, key, { value, writable: true, configurable: true })
        if (!Reflect.defineProperty(object, key, { value })) wrong.push(member)
      } catch (error) { wrong.push(member + ': ' + error) }
      if (/^(Array\\.prototype|\\w+\\d+(Clamped)?Array\\.prototype|%ArrayIterator%)$/.test(path)) {
        try { object[key] = 0 } catch { /* it is one of those that are refused at once */ }
        if (object[key] === 0) { opened.push(member); object[key] = value; continue }
      }
      const message = refused(member, () => { object[key] = {} })
      refused(member, () => Object.defineProperty(object, key, { value: {} }))
      if (Reflect.defineProperty(object, key, { value: {} })) wrong.push(member + ' was changed')
      const shown = typeof key === 'symbol' ? path + '[' + key.description + ']' : member
      if (!/^(%|Intl)/.test(path) && !message.startsWith('Cannot change ' + shown + ': ')) wrong.push(message)
    }
    return [wrong, opened.length]`)
  // What is opened of arrays is put back; another test shows that.
  assert.deepEqual(wrong, [[], 15])
})

test('who adds to a built-in, or replaces a global, learns which, and why not', async t => {
  const guest = await startGuest(t)
  const messages = (await guest.call(`
    const run = code => { try { code(); return 'done' } catch (error) { return error.message.split(':')[0] } }
    return [
      () => Object.defineProperty(Reflect, 'metadata', { value: () => 1 }), () => Object.defineProperties(Array.prototype, { last: { get() {} } }),
      () => { globalThis.fetch = () => 1 }, () => { console.log = () => 1 }, () => { URL.canParse = () => true }, () => { Math.random = () => 4 },
      () => Object.defineProperty(globalThis, 'Date', { value: class {} }), () => { Date.now = () => 4 }, () => Object.defineProperty(Object.freeze({}), 'a', { value: 1 }),
      () => { Array.prototype[Symbol.unscopables].flat = 1 }, () => { globalThis.mine = Object.freeze({}); Object.defineProperty(mine, 'a', { value: 1 }) },
      () => { Error.prepareStackTrace = () => 1; Function.prototype.toString = () => ''; Error.stackTraceLimit = 20; globalThis.URL = URL; globalThis.Date = Date },
    ].map(run)`)) as string[]
  assert.deepEqual(messages, [
    'Cannot change Reflect.metadata',
    'Cannot change Array.prototype.last',
    'Cannot change the global fetch',
    'Cannot change console.log',
    'Cannot change URL.canParse',
    'Cannot change Math.random',
    'Cannot change the global Date',
    'Cannot change Date.now',
    'Cannot define property a, object is not extensible',
    'Cannot change a built-in.flat',
    'Cannot define property a, object is not extensible',
    'done',
  ])
})

test('descriptors show the properties of built-ins as Node.js does, and what is copied by them can be changed', async t => {
  const guest = await startGuest(t)
  const body = `
    const shown = ({ value, get, set, ...flags }) => [typeof value, typeof get, typeof set, flags]
    const mine = Object.defineProperties({}, Object.getOwnPropertyDescriptors(Map.prototype))
    mine.get = 1
    return JSON.stringify([
      shown(Object.getOwnPropertyDescriptor(Array.prototype, 'concat')), typeof Reflect.getOwnPropertyDescriptor(Map.prototype, 'size').get, mine.get,
      Object.getOwnPropertyDescriptor(Object.prototype, 'toString').value === Object.prototype.toString, String(Object.defineProperty), Object.defineProperty.length,
      Object.defineProperty.name, Object.getOwnPropertyDescriptor({}, 'a')])`
  assert.equal(await guest.call(body), (new Function(body)() as string).replace('function defineProperty() {', 'function () {'))
})

test('definitions and descriptors of a proxy ask it once, as in Node.js', async t => {
  const guest = await startGuest(t)
  const body = `
    const seen = []
    const log = trap => (target, ...values) => { seen.push(trap); return Reflect[trap](target, ...values) }
    const traps = { defineProperty: log('defineProperty'), getOwnPropertyDescriptor: log('getOwnPropertyDescriptor'), ownKeys: log('ownKeys') }
    const proxy = new Proxy(Object.freeze({ get a() { return 1 } }), traps)
    const run = code => { try { code(); return 'done' } catch (error) { return error.name } }
    const done = [
      () => Object.getOwnPropertyDescriptor(proxy, 'a'), () => Reflect.getOwnPropertyDescriptor(proxy, 'a'), () => Object.getOwnPropertyDescriptors(proxy),
      () => Object.defineProperty(proxy, 'b', { value: 1 }), () => Reflect.defineProperty(proxy, 'b', { value: 1 }), () => Object.defineProperties(proxy, { b: { value: 1 } }),
    ].map(run)
    return JSON.stringify([done, seen])`
  assert.equal(await guest.call(body), new Function(body)())
})

test('modules may define globals of their own, and change them', async t => {
  const guest = await startGuest(t)
  assert.equal(await guest.call('globalThis.mine = 1; globalThis.mine = 2; return mine'), 2)
})

test('what URLs keep, and what iterates headers and parameters, is out of reach, also of who comes before they are loaded', async t => {
  const guest = await startGuest(t)
  const code = `
    globalThis['__core-js_shared__'] = { mine: true }
    const { href } = new URL('http://a.example/?b=1')
    const lists = [new Headers({ b: '1' }), new URLSearchParams('b=1')]
    for (const list of lists) for (const iterator of [list.entries(), list.keys(), list.values()])
      for (let shared = Object.getPrototypeOf(iterator); shared !== null; shared = Object.getPrototypeOf(shared))
        Reflect.defineProperty(shared, 'next', { value: () => ({ done: true }) })
    return JSON.stringify([href, Object.keys(globalThis['__core-js_shared__']), ...lists.map(list => [...list])])`
  assert.equal(await guest.call(code), '["http://a.example/?b=1",["mine"],[["b","1"]],[["b","1"]]]')
})

test('there is no way to memory outside the limit of the heap', async t => {
  const guest = await startGuest(t)
  assert.deepEqual(
    await guest.call(`
    const Buffers = [ArrayBuffer, new Uint8Array(1).buffer.constructor, ArrayBuffer.prototype.constructor, Object.getPrototypeOf(new ArrayBuffer(1)).constructor]
    return [
      typeof WebAssembly, typeof SharedArrayBuffer, typeof Atomics, typeof Temporal,
      Buffers.every(Buffer => Buffer === ArrayBuffer),
      Buffers.some(Buffer => new Buffer(8, { maxByteLength: ${512 * MB} }).resizable),
      Reflect.construct(ArrayBuffer, [8, { maxByteLength: 16 }]).resizable,
      new (class extends ArrayBuffer {})(8, { maxByteLength: 16 }).resizable,
      ['resize', 'transfer', 'transferToFixedLength'].filter(name => name in ArrayBuffer.prototype),
    ]`),
    ['undefined', 'undefined', 'undefined', 'undefined', true, false, false, false, []],
  )
})

test('ArrayBuffer is otherwise as it was', async t => {
  const guest = await startGuest(t)
  const code = `
    const kinds = class Mine extends ArrayBuffer {}
    let refused
    try { ArrayBuffer(1) } catch (error) { refused = error.message }
    return [ArrayBuffer.name, ArrayBuffer.length, new ArrayBuffer(3).byteLength, new ArrayBuffer(8).slice(2).byteLength, new ArrayBuffer().byteLength,
      new Uint8Array(2).buffer instanceof ArrayBuffer, ArrayBuffer.isView(new DataView(new ArrayBuffer(1))), ArrayBuffer[Symbol.species] === ArrayBuffer,
      new kinds(2) instanceof kinds, new kinds(4).slice(1) instanceof kinds, String(new ArrayBuffer(1)), refused, Object.keys(ArrayBuffer)].join()`
  assert.equal(await guest.call(code), await new Function(`return (async () => {${code}})()`)())
})

test('the limit of stack traces can be set, a formatter of stack traces has no effect', async t => {
  const guest = await startGuest(t)
  assert.equal(
    await guest.call(`
    Error.prepareStackTrace = () => 'evil'
    const stack = new Error('plain').stack
    Error.stackTraceLimit = 0
    return [stack.startsWith('Error: plain\\n    at '), new Error('bare').stack].join()`),
    'true,Error: bare',
  )
})

test('code made from strings works and sees no more than other code', async t => {
  const guest = await startGuest(t)
  assert.equal(
    await guest.call(`return [new Function('a', 'return a + 1')(1), (0, eval)('typeof bridge + typeof hardened + typeof process')].join()`),
    [2, 'undefined'.repeat(3)].join(),
  )
})

test('an error that a full stack throws keeps its type and message', async t => {
  const guest = await startGuest(t)
  assert.equal(
    await guest.call(`const deep = () => deep() + 1; try { deep() } catch (error) { return error instanceof RangeError && error.message }`),
    'Maximum call stack size exceeded',
  )
})
