import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Capsule, Captured, Entry } from './capsule.ts'
import { compilePointers, REDACTED, redact } from './redaction.ts'

const capsule: Capsule = {
  format: 1,
  id: '0123456789abcdef',
  recording: 'fedcba9876543210',
  no: 1,
  entries: [0, 2],
  at: '2026-12-01T00:00:00.000Z',
  requestId: 'r-1',
  scene: 's',
  version: 'v1',
  why: 'sampled',
  because: 'baseline',
  arms: [],
  deadlineMs: 1000,
  answer: { json: '{"ok":true}' },
  tookMs: 1,
  cpuMs: 1,
  stageMs: [1],
  logs: [],
  inexact: [],
  redacted: [],
}
const rest = { atMs: 0, readings: [], wallMinusMonotonic: 0, said: 'a digest' }
const turn = (body: string, unit = '', params = '{}'): Entry => ({
  ...rest,
  kind: 'turn',
  values: [1, ['r-1', body, unit, 1000, params, -1]],
  asked: [],
})
const settled = (json: string): Entry => ({ ...rest, kind: 'settleCalls', values: [[7, 1, json]], asked: [] })
const calls = (input: string): Entry => ({ ...turn('{}'), asked: [['calls', 7, 1, 'features', 'get', input]] })
const captured = (entries: readonly Entry[], more: Partial<Capsule> = {}): Captured => ({
  recording: capsule.recording,
  from: 0,
  entries,
  capsule: { ...capsule, ...more },
})
const redactOf = (pointers: readonly string[], what: Captured): Captured => redact(what, compilePointers(pointers))
const valuesIn = ({ entries }: Captured, no = 0): readonly unknown[] => (entries[no]?.values.at(-1) ?? []) as readonly unknown[]

test('what no pointer names stays the very same object', () => {
  const before = captured([turn('{"user":{"id":1}}')])
  assert.equal(redactOf(['/user/phone'], before), before)
})

test('a value that is taken out leaves the empty value of its type', () => {
  const body = '{"a":{"text":"x","number":7,"yes":true,"list":[1],"object":{"b":1},"nothing":null},"kept":1.50}'
  const after = redactOf(['/a/*'], captured([turn(body)]))
  assert.equal(valuesIn(after)[1], `{"a":{"text":"${REDACTED}","number":0,"yes":false,"list":[],"object":{},"nothing":null},"kept":1.5}`)
})

test('a redacted capsule names the pointers that have taken something out', () => {
  const after = redactOf(['/a', '/b', '/c/*/d'], captured([turn('{"a":1,"c":[{"d":2}]}')]))
  assert.deepEqual(after.capsule.redacted, ['/a', '/c/*/d'])
})

test('a redacted capsule has no digest from which a short text could be guessed', () => {
  assert.equal(redactOf(['/a'], captured([turn('{"a":1}')])).entries[0]?.said, '')
})

test('the unit of a request is taken out with the place in the body that it was read from', () => {
  const after = redactOf(['/user'], captured([turn('{"user":42}', '42')], { unit: '42' }))
  assert.equal(after.capsule.unit, REDACTED)
  assert.equal(valuesIn(after)[2], REDACTED)
})

test('pointers hold in the arguments of a service too', () => {
  const after = redactOf(['/phone'], captured([calls('["table",{"phone":"0123"}]')]))
  assert.equal(after.entries[0]?.asked[0]?.at(-1), `["table",{"phone":"${REDACTED}"}]`)
})

test('a text that was taken out is taken out of log lines and messages as well', () => {
  const logs = [{ level: 'info', message: 'calling 555-0123 now', fields: '{"to":"555-0123"}' }]
  const failure = { code: 'MODULE_THREW', message: 'no such phone: 555-0123' }
  const after = redactOf(['/phone'], captured([turn('{"phone":"555-0123"}')], { logs, answer: { failure } }))
  assert.deepEqual(after.capsule.logs, [{ level: 'info', message: `calling ${REDACTED} now`, fields: `{"to":"${REDACTED}"}` }])
  assert.deepEqual(after.capsule.answer, { failure: { ...failure, message: `no such phone: ${REDACTED}` } })
})

test('a text that was taken out is taken out of URLs, of JSON within a text, and of bytes that are a text', () => {
  const base64 = (text: string) => `base64:${Buffer.from(text).toString('base64')}`
  const fetched: Entry = {
    ...turn('{"mail":"a\\"b@example.org"}'),
    asked: [['fetch', 7, 1, 1, 'POST', '{"url":"http://host/?mail=a%22b%40example.org"}', base64('mail: a"b@example.org')]],
  }
  const nested = calls(JSON.stringify({ body: JSON.stringify({ to: 'a"b@example.org' }) }))
  const [one, two] = redactOf(['/mail'], captured([fetched, nested])).entries
  const head = `{"url":"http://host/?mail=${REDACTED}"}`
  assert.deepEqual(one?.asked, [['fetch', 7, 1, 1, 'POST', head, base64(`mail: ${REDACTED}`)]])
  assert.equal(two?.asked[0]?.at(-1), JSON.stringify({ body: `{"to":"${REDACTED}"}` }))
})

test('a body that is no JSON is taken out as a whole, with the messages that may quote it', () => {
  const failure = { code: 'BODY_MALFORMED', message: 'Unexpected end, ...Alexandra' }
  const after = redactOf(['/name'], captured([turn('{"name":"Alexandra')], { answer: { failure } }))
  assert.deepEqual([after.capsule.redacted, JSON.stringify(after).includes('Alexandra')], [['/name'], false])
})

test('a unit with more digits than a number can have goes with the number, and so does an id of the request that is the same', () => {
  const unit = '1234567890123456789'
  const after = redactOf(['/user'], captured([turn(`{"user":${unit}}`, unit)], { unit, requestId: unit }))
  assert.equal(JSON.stringify(after).includes(unit), false)
})

test('bytes and texts that are no JSON stay as they are', () => {
  const fetched: Entry = { ...rest, kind: 'settleFetch', values: [3, '{"status":200}', 'base64:AAAA'], asked: [] }
  assert.deepEqual(redactOf(['/a'], captured([turn('{"a":1}'), fetched])).entries[1]?.values, fetched.values)
})

test('a value under a pointer is nowhere in what leaves the cell, wherever it stands as a whole', () => {
  const json = fc.jsonValue()
  const secret = fc.stringMatching(/^[a-z]{8,20}$/)
  fc.assert(
    fc.property(secret, json, json, (secret, around, beside) => {
      const body = JSON.stringify({ user: { name: secret, around }, beside })
      const reply = JSON.stringify({ [secret]: [secret, { deep: secret }], beside })
      const before = captured([turn(body), calls(JSON.stringify([secret])), settled(reply)], {
        answer: { json: JSON.stringify([{ user: { name: secret } }, secret]) },
        unit: secret,
      })
      const text = JSON.stringify(redactOf(['/user/name'], before))
      assert.equal(text.includes(secret), JSON.stringify([around, beside]).includes(secret))
    }),
  )
})
