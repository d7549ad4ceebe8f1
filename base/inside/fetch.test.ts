/** Headers, requests and responses of a slot, compared with those of Node.js. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { same, startGuest, thrown } from '../../test/support/isolate.ts'

const named = (...expressions: string[]) => thrown(...expressions).replace('error.code, ', '')

same('headers are found whatever their case, combined, and listed in order', [
  `const h = new Headers([['b', '2'], ['A', ' 1\\t'], ['B', '3'], ['a', '']]); return [[...h], h.get('B'), h.has('a'), h.get('c'), h.has('c')]`,
  `const h = new Headers({ 'X-One': 1, two: 'x' }); h.set('x-one', 'y'); h.append('X-ONE', 'z'); h.delete('TWO'); return [[...h.entries()], [...h.keys()], [...h.values()]]`,
  `const h = new Headers(); h.append('set-cookie', 'a=1, b'); h.append('x', '1'); h.append('Set-Cookie', 'c'); return [[...h], h.get('set-cookie'), h.getSetCookie(), h.has('set-cookie')]`,
  `const h = new Headers([['set-cookie', 'a'], ['set-cookie', 'b']]); h.set('set-cookie', 'c'); const before = h.getSetCookie(); h.delete('set-cookie'); return [before, h.get('set-cookie'), h.getSetCookie()]`,
  `const h = new Headers({ a: '1', c: '3' }); const seen = []; for (const [name] of h) { seen.push(name); if (name === 'a') { h.append('b', '2'); h.delete('c') } }; return seen`,
  `const seen = []; const h = new Headers({ b: '1', a: '2' }); const self = {}; h.forEach(function (value, name, all) { seen.push(value, name, all === h, this === self) }, self); return seen`,
  `const h = new Headers(new Headers({ a: '1' })); return [[...h], Object.prototype.toString.call(h), new Headers(new Map([['m', 'n']])).get('m'), [...new Headers()]]`,
  named(
    `new Headers({ 'a b': '1' })`,
    `new Headers({ a: 'b\\nc' })`,
    `new Headers({ a: '\\u20ac' })`,
    `new Headers({ '': '1' })`,
    `new Headers([['a']])`,
    `new Headers([['a', 'b', 'c']])`,
    `new Headers('a')`,
    `new Headers(null)`,
    `new Headers(['ab'])`,
    `new Headers().get('a b')`,
    `new Headers().forEach(1)`,
    `new Headers({ a: '\\xff\\x01' }).get('a')`,
  ),
])

/** Few names, so that they collide, and values that a list of headers may hold or not. */
const names = fc.constantFrom('a', 'A', 'b', 'B-c', 'set-cookie', 'Set-Cookie', 'x y', 'content-type')
const values = fc.oneof(fc.string({ maxLength: 4 }), fc.constantFrom(' x ', '\t', 'a,b', 'é', '€', '\n', 'x\r\ny', '\0'))
const step = fc.oneof(
  fc.tuple(fc.constantFrom('append', 'set'), names, values),
  fc.tuple(fc.constantFrom('delete', 'get', 'has'), names),
  fc.tuple(fc.constant('getSetCookie')),
)

test('headers do what those of Node.js do, whatever is done to them', async t => {
  const guest = await startGuest(t)
  const body = (steps: string) => `const h = new Headers()
    const results = ${steps}.map(([method, ...args]) => { try { return h[method](...args) ?? null } catch (error) { return error.name } })
    return JSON.stringify([results, [...h], [...h.keys()], [...h.values()]])`
  const property = fc.asyncProperty(fc.array(step, { maxLength: 12 }), async steps => {
    const code = body(JSON.stringify(steps))
    assert.equal(await guest.call(code), new Function(code)())
  })
  await fc.assert(property, { numRuns: 300 })
})

const parts = (...of: string[]) => fc.array(fc.constantFrom(...of), { maxLength: 5 }).map(texts => texts.join(''))
const url = fc
  .tuple(
    fc.constantFrom('http://', 'https://', 'HTTPS://', 'http:/', 'ftp://'),
    // core-js deals with names beyond ASCII, and accepts some that Node.js refuses. The cell parses again what is sent.
    parts('a', 'Z', '9', '-', '.', 'example', '127.0.0.1', '0x7f', '@'),
    fc.constantFrom('', ':80', ':443', ':8080', ':065', ':70000', ':'),
    parts('/', '.', '..', '%2e', '%2E.', '%20', '%', 'a', 'Z', '~', "'", '"', ' ', ';', '\\', '|', 'é', '@'),
    fc.oneof(
      fc.constant(''),
      parts('a=1', '&', '%', "'", ' ', 'é', '/', '?', '#').map(text => `?${text}`),
    ),
    fc.constantFrom('', '#', '#x y'),
  )
  .map(texts => texts.join(''))

test('the URL of a request is the one that Node.js makes of it, or refused as there', async t => {
  const guest = await startGuest(t)
  const property = fc.asyncProperty(fc.array(url, { minLength: 20, maxLength: 20 }), async urls => {
    const code = `return JSON.stringify(${JSON.stringify(urls)}.map(url => { try { return new Request(url).url } catch (error) { return error.name } }))`
    assert.equal(await guest.call(code), new Function(code)())
  })
  await fc.assert(property, { numRuns: 200 })
})

test('an ordinary URL needs no parser', async t => {
  const guest = await startGuest(t)
  await guest.call(
    `for (const url of ['https://api.example.com/v1/items?ids=1,2&q=a%20b', 'http://localhost:8080/', 'https://a-b.example/X_~(1)/y.json']) new Request(url)`,
  )
  assert.deepEqual(guest.parts, ['fetch'])
})

same('a request has what it was made of', [
  `const r = new Request('https://a.example/b', { method: 'post', headers: { 'X-A': '1' }, body: '{}', redirect: 'manual' }); return [r.url, r.method, [...r.headers], r.redirect, r.bodyUsed, await r.json(), r.bodyUsed]`,
  `const r = new Request(new URL('https://a.example')); return [r.url, r.method, [...r.headers], r.redirect, r.signal.aborted, await r.text(), r.bodyUsed]`,
  `return ['get', 'Delete', 'patch', 'PATCH', 'x-mine'].map(method => new Request('https://a.example/', { method }).method)`,
  `const one = new Request('https://a.example/', { method: 'PUT', body: 'x', headers: { a: '1' } }); const two = new Request(one, { headers: { b: '2' } }); return [one.bodyUsed, await two.text(), two.method, [...two.headers]]`,
  `const one = new Request('https://a.example/', { method: 'PUT', body: 'x' }); const two = new Request(one, { body: 'y' }); return [one.bodyUsed, await two.text(), await one.text()]`,
  `const one = new Request('https://a.example/', { method: 'POST', body: new Uint8Array([1, 2]) }); const two = one.clone(); return [[...await one.bytes()], [...await two.bytes()], two.method, [...two.headers]]`,
  `const controller = new AbortController(); const r = new Request('https://a.example/', { signal: controller.signal }); controller.abort('why'); return [r.signal.aborted, r.signal.reason]`,
  `return Object.prototype.toString.call(new Request('https://a.example/'))`,
  named(
    `new Request('/relative')`,
    `new Request('https://user:pw@a.example/')`,
    `new Request('https://a.example/', { body: 'x' })`,
    `new Request('https://a.example/', { method: 'HEAD', body: 'x' })`,
    `new Request('https://a.example/', { method: 'TRACE' })`,
    `new Request('https://a.example/', { method: 'a b' })`,
    `new Request('https://a.example/', { redirect: 'never' })`,
    `new Request('https://a.example/', { signal: {} })`,
    `new Request('https://a.example/', 1)`,
  ),
])

same('a response has what it was made of', [
  `const r = new Response('h\\u00e9', { status: 201, statusText: 'Made', headers: { a: '1' } }); return [r.status, r.statusText, r.ok, r.type, r.url, r.redirected, [...r.headers], await r.text(), r.bodyUsed]`,
  `const r = new Response(); return [r.status, r.ok, [...r.headers], await r.text(), r.bodyUsed, [...await r.bytes()]]`,
  `const r = new Response(null, { status: 204 }); return [r.status, r.ok, (await r.arrayBuffer()).byteLength]`,
  `return [new Response('', { status: 404 }).ok, new Response('', { status: 299 }).ok, new Response(undefined, null).status, Object.prototype.toString.call(new Response())]`,
  `return Promise.all(['a', new Uint8Array([0xe2, 0x82, 0xac]), new Uint8Array([0, 0x61, 0]).subarray(1, 2), new Uint8Array([0x62]).buffer, new URLSearchParams({ q: 'a b&' }), 12, { a: 1 }, '\\ud800x', '\\ufeffb', new Uint8Array([0xef, 0xbb, 0xbf, 0x63]), new Uint8Array([0xff])].map(async body => { const r = new Response(body); return [[...r.headers], [...await r.clone().bytes()], await r.text()] }))`,
  `const bytes = new Uint8Array([1, 2]); const r = new Response(bytes); bytes[0] = 9; const copy = r.clone(); const got = await r.bytes(); got[1] = 9; return [[...got], [...await copy.bytes()]]`,
  `const r = new Response('{"a":[1]}', { headers: { 'content-type': 'text/x' } }); const copy = r.clone(); return [await r.json(), await copy.json(), copy.headers.get('content-type')]`,
  `const r = Response.json({ a: 1 }, { status: 202 }); return [r.status, [...r.headers], await r.text(), [...Response.json(1, { headers: { 'content-type': 'x' } }).headers]]`,
  `const r = Response.redirect('https://a.example/x', 301); return [r.status, [...r.headers], Response.redirect('https://a.example/').status]`,
  `const r = Response.error(); return [r.status, r.type, r.ok, [...r.headers]]`,
  `const r = new Response('x'); await r.text(); const failures = []; for (const read of ['text', 'json', 'bytes', 'arrayBuffer']) await r[read]().catch(error => failures.push(error.name)); try { r.clone() } catch (error) { failures.push(error.name) }; return failures`,
  `return new Response('{').json().catch(error => error.name)`,
  named(
    `new Response('x', { status: 204 })`,
    `new Response('', { status: 199 })`,
    `new Response('', { status: 600 })`,
    `new Response('', { statusText: 'a\\nb' })`,
    `new Response('', 1)`,
    `Response.redirect('https://a.example/', 200)`,
    `Response.redirect('/relative')`.replace('/relative', 'http://['),
    `Response.error().headers.set('a', 'b')`,
    `Response.redirect('https://a.example/').headers.delete('location')`,
    `Response.json(undefined)`,
    `Response.json(() => 1)`,
  ),
])

test('fetch sends what it is given and answers with a response that cannot be changed', async t => {
  const guest = await startGuest(t)
  const sent =
    await guest.call(`const response = await fetch('https://a.example/x', { method: 'post', body: new URLSearchParams({ a: 1 }), headers: { B: 'c' } })
    const { status, ok, type, url, redirected } = response
    return JSON.stringify([status, ok, type, url, redirected, response.headers.getSetCookie(), await response.json()])`)
  assert.deepEqual(JSON.parse(String(sent)), [
    ...[200, true, 'basic', 'https://a.example/x', false, ['a', 'b']],
    {
      url: 'https://a.example/x',
      method: 'POST',
      redirect: 'follow',
      headers: [
        ['b', 'c'],
        ['content-type', 'application/x-www-form-urlencoded;charset=UTF-8'],
      ],
      body: 'a=1',
    },
  ])
  assert.deepEqual(
    await guest.call(
      `const r = await fetch(new Request('https://a.example/', { method: 'PUT', body: new Uint8Array([1, 255]) })); return (await r.json()).body`,
    ),
    [1, 255],
  )
  await assert.rejects(guest.call(`(await fetch('https://a.example/')).headers.set('a', 'b')`), { name: 'TypeError' })
})

test('a request that is aborted before or after it is sent rejects with the reason', async t => {
  const guest = await startGuest(t)
  const outcome = (code: string) =>
    guest.call(
      `const controller = new AbortController(); const { signal } = controller; ${code}; return fetch('https://a.example/', { signal }).catch(error => error.name ?? error)`,
    )
  assert.equal(await outcome(`controller.abort('early')`), 'early')
  assert.equal(await outcome('Promise.resolve().then(() => controller.abort())'), 'AbortError')
})

test('nothing of the part can be changed by a module', async t => {
  const guest = await startGuest(t)
  assert.deepEqual(
    await guest.call(`const types = [Headers, Request, Response, Object.getPrototypeOf(Request)]
      return types.flatMap(type => [Object.isFrozen(type), Object.isFrozen(type.prototype), Object.isFrozen(type.prototype.text ?? type.prototype.get)])`),
    Array(12).fill(true),
  )
})
