/** The web globals of a slot, compared with those of Node.js where it has them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { same, startGuest, thrown } from '../../test/support/isolate.ts'
import { LAZY_PARTS } from './protocol.ts'

same('timers fire in the order of their delays, with their arguments, after promise reactions', [
  `const seen = []; await new Promise(done => { setTimeout(() => seen.push('b'), 15); setTimeout(value => seen.push(value), 1, 'a'); setTimeout(done, 30) }); return seen`,
  `const seen = []; setTimeout(() => { seen.push(1); Promise.resolve().then(() => seen.push(2)) }); setTimeout(() => seen.push(3)); await new Promise(done => setTimeout(done, 5)); return seen`,
  `const seen = []; const no = setTimeout(() => seen.push('never'), 1); clearTimeout(no); clearTimeout(undefined); clearTimeout(null); clearTimeout(99999); await new Promise(done => setTimeout(done, 5)); return seen`,
  `let n = 0; await new Promise(done => { const no = setInterval(() => { if (++n === 3) { clearInterval(no); done() } }, 1) }); await new Promise(done => setTimeout(done, 10)); return n`,
  `const seen = []; queueMicrotask(() => seen.push('microtask')); setTimeout(() => seen.push('timer'), 0); seen.push('now'); await new Promise(done => setTimeout(done, 5)); return seen`,
])

test('timers are bounded, and so is what the cell has to keep for them', async t => {
  const guest = await startGuest(t, { slotTimers: 10 })
  assert.equal(
    await guest.call(
      'for (let i = 0; i < 10; i++) setTimeout(() => {}, 60_000); try { setInterval(() => {}, 1) } catch (error) { return error.message }',
    ),
    'setInterval: 10 timers are open in this slot already',
  )
  assert.equal(guest.wakeUps.length, 1)
})

test('opening and clearing timers asks the cell for one wake-up, not for one each', async t => {
  const guest = await startGuest(t, { slotTimers: 10 })
  await guest.call('for (let i = 0; i < 1000; i++) clearTimeout(setTimeout(() => {}, 60_000))')
  assert(guest.wakeUps.length <= 1 + 1, `${guest.wakeUps.length} wake-ups`)
  assert.equal(
    await guest.call(
      'try { for (let i = 0; i < 1000; i++) clearTimeout(setTimeout(() => {}, 50_000 - 10 * i)) } catch (error) { return error.message }',
    ),
    'setTimeout: too many timers were opened and cleared in this slot',
  )
})

test('what a timer or a microtask throws is logged and stops nothing else', async t => {
  const guest = await startGuest(t)
  await guest.call(`
    setTimeout(() => { throw new Error('from a timer') })
    queueMicrotask(() => { throw new Error('from a microtask') })
    await new Promise(done => setTimeout(done, 5))`)
  assert.deepEqual(
    guest.logs.map(({ level, text }) => `${level}: ${text.split('\n')[0]}`),
    ['error: A microtask threw: Error: from a microtask', 'error: A timer threw: Error: from a timer'],
  )
})

same('text becomes UTF-8 and comes back as the standard has it', [
  `return ['', 'abc', 'h\\u00e9llo \\u20ac \\u{1f600}', '\\ud800', 'a\\udc00b', '\\ud83d\\ude00\\ud83d'].map(text => [...new TextEncoder().encode(text)])`,
  `return [...new TextEncoder().encode()]`,
  `const bytes = new Uint8Array(5); return [new TextEncoder().encodeInto('a\\u20ac\\u{1f600}', bytes), [...bytes], new TextEncoder().encoding]`,
  `return [[0xff], [0xc3], [0xe2, 0x82], [0xe2, 0x28, 0xa1], [0xf0, 0x9f, 0x98, 0x80], [0xf0, 0x9f, 0x98], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe0, 0x80, 0x80, 0x41], [0xef, 0xbb, 0xbf, 0x41], [0x41, 0x80, 0x42]].map(bytes => new TextDecoder().decode(new Uint8Array(bytes)))`,
  `const decoder = new TextDecoder(); const bytes = new TextEncoder().encode('\\ufeffh\\u00e9 \\u20ac \\u{1f600}'); return [...bytes].map(byte => decoder.decode(new Uint8Array([byte]), { stream: true })).join('') + decoder.decode()`,
  `return ['utf8', ' UTF-8 ', 'unicode-1-1-utf-8'].map(label => new TextDecoder(label, { fatal: true, ignoreBOM: true })).map(decoder => [decoder.encoding, decoder.fatal, decoder.ignoreBOM])`,
  `return new TextDecoder('utf-8', { ignoreBOM: true }).decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x41])).length`,
  `const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => (i * 7919) % 251); return new TextDecoder().decode(bytes)`,
  `const text = 'a\\u00e9\\u20ac\\u{1f600}'.repeat(9000); return new TextDecoder().decode(new TextEncoder().encode(text)) === text`,
  `return [new TextDecoder().decode(new TextEncoder().encode('abc').buffer), new TextDecoder().decode(new DataView(new ArrayBuffer(2))), new TextDecoder().decode()]`,
  thrown(
    `new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([0xff]))`,
    `new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([0xe2]))`,
  ).replace('error.code, ', ''),
])

const encodings = [
  ...[
    'utf-16le',
    'utf-16be',
    'gbk',
    'gb18030',
    'macintosh',
    'ibm866',
    'koi8-r',
    'koi8-u',
    'x-mac-cyrillic',
    'x-user-defined',
    'windows-874',
  ],
  ...Array.from({ length: 9 }, (_, i) => `windows-125${i}`),
  ...[2, 3, 4, 5, 6, 7, 8, '8-i', 10, 13, 14, 15, 16].map(part => `iso-8859-${part}`),
]

same('text of other encodings decodes as in Node.js: every byte, every pair of bytes, and any bytes in any pieces', [
  ...encodings.map(
    name => `
    const decoded = []
    const decoders = [false, true].map(fatal => new TextDecoder('${name}', { fatal }))
    const decode = (decoder, bytes, options) => { try { return decoder.decode(bytes, options) } catch (error) { return [error.name, error.code] } }
    for (let a = 0; a < 256; a++) for (const decoder of decoders) decoded.push(decode(decoder, Uint8Array.of(a)))
    const pairs = Uint8Array.from({ length: 2 * 65_536 }, (_, i) => (i % 2 === 0 ? i >> 9 : (i >> 1) & 255))
    decoded.push(decode(decoders[0], pairs))
    let state = 1
    const draw = () => (state = (state * 48_271) % 2_147_483_647)
    for (let round = 0; round < 50; round++) {
      const decoder = new TextDecoder('${name}', { ignoreBOM: round % 3 === 0 })
      for (let piece = 0; piece < 4; piece++) decoded.push(decode(decoder, Uint8Array.from({ length: draw() % 6 }, draw), { stream: piece < 3 }))
    }
    return decoded`,
  ),
  ...['big5', 'shift_jis', 'euc-kr'].map(
    name =>
      `const text = new Map([['big5', [0xa4, 0xa4, 0xa4, 0xe5]], ['shift_jis', [0x93, 0xfa, 0x96, 0x7b]], ['euc-kr', [0xc7, 0xd1, 0xb1, 0xb9]]]).get('${name}'); return new TextDecoder('${name}').decode(Uint8Array.from(text))`,
  ),
  `const sequence = [0x1b, 0x24, 0x42, 0x46, 0x7c, 0x4b, 0x5c, 0x1b, 0x28, 0x42]; const decoder = new TextDecoder('iso-2022-jp'); return sequence.map(byte => decoder.decode(Uint8Array.of(byte), { stream: true })).join('') + decoder.decode()`,
  `return ['latin1', 'ascii', ' Windows-1252', 'utf-16', 'unicode', 'cp1251', 'sjis', 'x-sjis', 'ks_c_5601-1987', 'gb2312', 'csBig5', 'x-x-big5', 'l2', 'logical', 'dos-874', 'mac', 'iso-8859-1'].map(label => new TextDecoder(label).encoding)`,
  `return [new TextDecoder('utf-16le').decode(Uint8Array.of(0xff, 0xfe, 0x41, 0)), new TextDecoder('utf-16le', { ignoreBOM: true }).decode(Uint8Array.of(0xff, 0xfe, 0x41, 0)).length]`,
  thrown(
    `new TextDecoder('nothing')`,
    `new TextDecoder('replacement')`,
    `new TextDecoder('utf-7')`,
    `new TextDecoder('gbk', { fatal: true }).decode(Uint8Array.of(0xff))`,
  ),
])

test('text of East Asia decodes as the standard has it: whatever Node.js makes text of, but for four characters', async t => {
  const guest = await startGuest(t)
  // Node.js leaves it to ICU, which makes control characters and private ones of what the standard knows, or calls wrong.
  const proper = /^[^\p{Cc}\p{Co}\ufffd]*$/u
  const others: string[] = []
  for (const name of ['big5', 'euc-jp', 'euc-kr', 'iso-2022-jp', 'shift_jis']) {
    const body = `const decoder = new TextDecoder('${name}'); return Array.from({ length: 65_536 }, (_, i) => decoder.decode(Uint8Array.of(i >> 8, i & 255)))`
    const [here, there] = [await guest.call(body), new Function(body)()] as [string[], string[]]
    there.forEach((text, i) => void (proper.test(text) && here[i] !== text && others.push(`${name} ${i.toString(16)}`)))
  }
  assert.deepEqual(others, ['big5 f9fe', 'euc-jp 8ee0', 'euc-jp 8ee1', 'euc-jp 8ee2'])
})

same('base64 is read and written as the standard has it', [
  `return ['', 'a', 'ab', 'abc', '\\xff\\x00\\x80'].map(btoa)`,
  `return ['', 'YQ==', 'YQ', ' Y W J j ', 'YWI=', '/w=='].map(atob)`,
  `return btoa(undefined) + btoa(12) + atob(null)`,
  thrown(`btoa('\\u20ac')`, `atob('a')`, `atob('YQ=')`, `atob('YQ===')`, `atob('Y*==')`, `atob('-_==')`),
])

same('URLs are taken apart and resolved as the standard has it', [
  `return ['https://user:pw@Example.com:8080/a/../b?x=1&y=%20#h', 'http://a.example:80/', 'https://ex\\u00e4mple.com/\\u20ac?\\u20ac', 'data:text/plain,x', 'http://192.168.0.1.:81/', 'http://[::1]/x', 'file:///etc/x'].map(text => { const url = new URL(text); return [url.href, url.origin, url.host, url.pathname, url.search, url.hash, url.username, url.port] })`,
  `return ['../x', '/y?z', '//other/', '?q', '#f', 'http:rel'].map(path => new URL(path, 'https://a.example/b/c/d').href)`,
  `const url = new URL('https://a.example/'); url.searchParams.append('q', 'a b&c'); url.pathname = '/x y'; url.hash = 'z'; url.port = '99'; return [url, String(url), url.toJSON()]`,
  `const params = new URLSearchParams('a=1&b=2&a=3'); params.delete('b'); params.append('c', '\\u20ac +'); params.sort(); return [params.toString(), params.getAll('a'), [...params], params.has('c'), params.size]`,
  `return [new URLSearchParams({ a: 1, b: 'x y' }).toString(), new URLSearchParams([['a', 'b']]).get('a'), URL.canParse('x'), URL.canParse('x:y'), URL.name, URLSearchParams.name]`,
  `return ['', 'x', '//a', 'http://', 'http://a b/', 'http://[::1'].map(text => { try { return new URL(text).href } catch (error) { return error.name } })`,
])

same('values are cloned with their types, cycles and shared parts', [
  `const at = new Date(5); const map = structuredClone(new Map([['k', { at, list: [1, , 3], set: new Set(['s', at]) }]])); const copy = map.get('k'); return [copy.at.getTime(), copy.at !== at, [...copy.set][1] === copy.at, 1 in copy.list, copy.list.length]`,
  `const self = { name: 'x' }; self.self = self; self.list = [self]; const copy = structuredClone(self); return [copy.self === copy, copy.list[0] === copy, copy !== self]`,
  `const buffer = new ArrayBuffer(8); const copy = structuredClone({ a: new Uint8Array(buffer, 2, 3), b: new Float32Array(buffer), c: new DataView(buffer, 1), buffer }); return [copy.a.buffer === copy.b.buffer, copy.a.byteOffset, copy.a.length, copy.b.length, copy.c.byteOffset, copy.buffer === copy.c.buffer, copy.a.constructor.name]`,
  `const copy = structuredClone(/a+/gi); return [String(copy), copy.lastIndex, copy instanceof RegExp]`,
  `const error = new RangeError('far', { cause: { a: 1 } }); error.extra = 1; const copy = structuredClone(error); return [copy instanceof RangeError, copy.name, copy.message, copy.cause, copy.extra, copy.stack === error.stack, Object.keys(copy)]`,
  `class Mine extends Error { constructor() { super('m'); this.name = 'Mine' } }; const copy = structuredClone(new Mine()); return [copy.name, copy.message, copy.constructor === Error]`,
  `class Point { constructor() { this.x = 1 } get y() { return 2 } }; const copy = structuredClone(new Point()); return [copy, copy.constructor === Object]`,
  `return [structuredClone(Object(1)) instanceof Number, typeof structuredClone(Object('s')), structuredClone(Object(1n)) == 1n, structuredClone(Object(true)).valueOf(), structuredClone(null), structuredClone(undefined) === undefined, String(structuredClone(10n)), Object.is(structuredClone(-0), -0)]`,
  `return structuredClone({ get a() { return [1] }, [Symbol('s')]: 1, ['__proto__']: { b: 1 } })`,
  `const list = Object.assign([1, 2], { extra: 3 }); const copy = structuredClone(list); return [copy.extra, copy.length, Array.isArray(copy)]`,
  `return [Object.getPrototypeOf(structuredClone(Object.create(null))) === Object.prototype, structuredClone(class extends Map {}.prototype.constructor === 1)]`,
  `return structuredClone(new (class extends Map { constructor() { super([[1, 2]]) } })()).constructor === Map`,
  thrown(
    `structuredClone(() => 1)`,
    `structuredClone({ a: Symbol('x') })`,
    `structuredClone(new WeakMap())`,
    `structuredClone([Promise.resolve()])`,
    `structuredClone({ m: new Map([[1, function named() {}]]) })`,
  ),
  `try { structuredClone(function named() {}) } catch (error) { return [error.constructor.name, error.code] }`,
])

same('events reach their listeners in order and obey their options', [
  `const target = new EventTarget(); const seen = []; const listener = event => seen.push([event.type, event.target === target, event.currentTarget === target, event.eventPhase]); target.addEventListener('x', listener); target.addEventListener('x', listener); target.addEventListener('x', () => seen.push('once'), { once: true }); target.addEventListener('x', { handleEvent(event) { seen.push('object'); event.preventDefault() } }); const results = [target.dispatchEvent(new Event('x', { cancelable: true })), target.dispatchEvent(new Event('x'))]; target.removeEventListener('x', listener); target.dispatchEvent(new Event('x')); return [seen, results]`,
  `const target = new EventTarget(); const seen = []; target.addEventListener('x', event => { seen.push(1); event.stopImmediatePropagation() }); target.addEventListener('x', () => seen.push(2)); target.dispatchEvent(new Event('x')); return seen`,
  `const target = new EventTarget(); const seen = []; const controller = new AbortController(); target.addEventListener('x', () => seen.push(1), { signal: controller.signal }); controller.abort(); target.dispatchEvent(new Event('x')); target.addEventListener('x', () => seen.push(2), { signal: AbortSignal.abort() }); target.dispatchEvent(new Event('x')); return seen`,
  `const event = new CustomEvent('x', { detail: { a: 1 }, bubbles: true }); return [event.detail, event.bubbles, event.cancelable, event.defaultPrevented, event instanceof Event, new CustomEvent('y').detail, String(event)]`,
  thrown('new Event()', `new EventTarget().dispatchEvent({})`).replace('error.code, ', ''),
])

same('signals abort once, with a reason, and pass it on', [
  `const controller = new AbortController(); const seen = []; controller.signal.onabort = event => seen.push(event.type, event.isTrusted); controller.signal.addEventListener('abort', () => seen.push(controller.signal.aborted)); controller.abort(); controller.abort('again'); return [seen, controller.signal.reason.name, controller.signal.reason.code, controller.signal.reason instanceof DOMException, controller.signal.reason.message]`,
  `const controller = new AbortController(); const any = AbortSignal.any([controller.signal, AbortSignal.any([controller.signal])]); let heard = 0; any.addEventListener('abort', () => heard++); controller.abort('why'); return [any.aborted, any.reason, heard, AbortSignal.any([AbortSignal.abort(1)]).reason, AbortSignal.any([]).aborted]`,
  `const signal = AbortSignal.timeout(1); await new Promise(done => signal.addEventListener('abort', done)); return [signal.reason.name, signal.reason.code, signal.reason.message]`,
  thrown(
    'AbortSignal.abort().throwIfAborted()',
    `AbortSignal.abort(new RangeError('r')).throwIfAborted()`,
    'new AbortController().signal.throwIfAborted()',
  ),
  thrown('new AbortSignal()').replace('error.code, ', ''),
])

same('exceptions of the DOM are errors with names and codes', [
  `const error = new DOMException('m', 'DataCloneError'); return [error.name, error.code, error.message, error instanceof Error, String(error), Object.prototype.toString.call(error), DOMException.DATA_CLONE_ERR, error.INVALID_STATE_ERR, DOMException.INVALID_CHARACTER_ERR, DOMException.INUSE_ATTRIBUTE_ERR, DOMException.URL_MISMATCH_ERR, DOMException.INDEX_SIZE_ERR]`,
  `return [new DOMException().name, new DOMException().code, new DOMException('m', { name: 'Mine', cause: 1 }).cause, new DOMException('m', 'Other').code]`,
])

same('random values fill arrays of integers, and nothing else', [
  `const array = new Uint32Array(4); return [crypto.getRandomValues(array) === array, crypto.getRandomValues(new BigInt64Array(1)).length]`,
  `return /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID())`,
  thrown(`crypto.getRandomValues(new Float64Array(1))`).replace(/error.code, /, ''),
])

test('random values are ChaCha20 of the seed, differ at every call and are spread evenly', async t => {
  const draw = (guest: { call(body: string): Promise<unknown> }) =>
    guest.call('return [...crypto.getRandomValues(new Uint8Array(4096))].join()')
  const seed = '00'.repeat(32)
  const guest = await startGuest(t, { seed })
  const first = String(await draw(guest))
  assert.equal(String(await draw(await startGuest(t, { seed }))), first)
  assert.notEqual(String(await draw(guest)), first)
  assert.notEqual(String(await draw(await startGuest(t))), first)
  // RFC 8439, A.1: the key stream of an all-zero key; its first 32 bytes became the next key and are not given out.
  assert.match(first, /^218,65,89,124,81,87,72,141,119,36,224,63,184,216,74,55,/)
  const ones = first.split(',').reduce((sum, byte) => sum + Number(byte).toString(2).replaceAll('0', '').length, 0)
  assert(Math.abs(ones / (4096 * 8) - 0.5) < 0.02, `${ones} of ${4096 * 8} bits are set`)
})

test('a module that looks into every iterator does not see the key of crypto', async t => {
  const guest = await startGuest(t)
  const seen = await guest.call(`
    const iterators = Object.getPrototypeOf([].values()), { next } = iterators, seen = []
    iterators.next = function () { const step = next.call(this); seen.push(step.value); return step }
    crypto.getRandomValues(new Uint8Array(4096))
    iterators.next = next
    return seen.filter(value => typeof value === 'number' && value > 4096).length`)
  assert.equal(seen, 0)
})

test('console writes lines with their level, formatted, whatever it is given', async t => {
  const guest = await startGuest(t)
  await guest.call(`
    const cycle = {}; cycle.cycle = cycle
    console.log('%s has %d of %i, %o%%', 'a', 1.5, 2.7, { b: 1 }, 'rest')
    console.info({ a: [1] }, undefined, null, 1n, Symbol('s'))
    console.debug('d'); console.warn('w'); console.error(new Error('boom').message)
    console.log(cycle); console.log({ toJSON() { throw new Error('no') } }, () => 1)
    console.group('outer'); console.log('inner'); console.groupEnd(); console.groupEnd()
    console.assert(true, 'not this'); console.assert(false, 'this')
    console.count(); console.count(); console.countReset(); console.count('c')
    console.time('t'); console.timeEnd('t'); console.table([1]); console.dir({ a: 1 }); console.clear(); console.trace('here')
    const { log } = console; log('unbound')`)
  const lines = guest.logs.map(({ level, text }) => `${level} ${text.split('\n')[0]?.replace(/\d+ms/, 'Nms')}`)
  assert.deepEqual(lines, [
    'info a has 1.5 of 2, {"b":1}% rest',
    'info {"a":[1]} undefined null 1 Symbol(s)',
    'debug d',
    'warn w',
    'error boom',
    'info [unprintable]',
    'info [unprintable] () => 1',
    'info outer',
    'info   inner',
    'error Assertion failed this',
    'info default: 1',
    'info default: 2',
    'info c: 1',
    'info t: Nms',
    'info [1]',
    'info {"a":1}',
    'debug here Error: Trace',
    'info unbound',
  ])
})

test('the clock starts at zero and does not go back', async t => {
  const before = Date.now()
  const guest = await startGuest(t)
  const started = Date.now()
  const [origin, first, second] = (await guest.call(
    'const first = performance.now(); return [performance.timeOrigin, first, performance.now()]',
  )) as [number, number, number]
  assert(origin >= before && origin <= started)
  assert(first >= 0 && second >= first && origin + second <= Date.now() + 1)
})

test('nothing ambient is there', async t => {
  const guest = await startGuest(t)
  const names = ['process', 'require', 'module', 'Buffer', 'window', 'bridge', 'gc', 'ivm']
  assert.deepEqual(await guest.call(`return ${JSON.stringify(names)}.filter(name => name in globalThis)`), [])
  assert.equal(await guest.call('return self === globalThis'), true)
})

test('the heavy parts are loaded when they are first used, once each', async t => {
  const guest = await startGuest(t)
  await guest.call(`setTimeout(() => {}); console.log('x'); performance.now()`)
  assert.deepEqual(guest.parts, [])
  await guest.call(`new URL('x:y'); new URL('x:y'); new URLSearchParams()`)
  assert.deepEqual(guest.parts, ['url'])
  await guest.call(`for (const name of Object.getOwnPropertyNames(globalThis)) globalThis[name]`)
  assert.equal([...guest.parts].sort().join(), 'clone,events,fetch,random,text,url')
  await guest.call(`new TextDecoder('latin1'); new TextDecoder('utf-16'); new TextDecoder('big5')`)
  // The other part is for scenes with schemas, and no module gets at it.
  assert.deepEqual([...guest.parts].sort(), LAZY_PARTS.filter(part => part !== 'schema-check').sort())
})

test('a class or function has the name of its global', async t => {
  const guest = await startGuest(t)
  const misnamed = `return Object.getOwnPropertyNames(globalThis).filter(name => typeof globalThis[name] === 'function' && globalThis[name].name !== name)`
  assert.deepEqual(await guest.call(misnamed), ['partLoaded'])
})
