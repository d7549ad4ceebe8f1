import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { headerOf, headerText } from './headers.ts'

/** As Node gives the bytes of a header. */
const received = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

test('every text is read back from its UTF-8, and from its percent-encoding', () => {
  const property = fc.property(fc.string({ unit: 'grapheme' }), text => {
    if (!/^utf-8'/i.test(text)) assert.equal(headerText(received(Buffer.from(text))), text)
    assert.equal(headerText(`UTF-8''${encodeURIComponent(text)}`), text)
  })
  fc.assert(property)
})

test('every text without control characters comes as it is through a header, which HTTP trims', () => {
  const property = fc.property(fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom(' u1', 'u1\t', 'u1\n', "utf-8''u1")), text => {
    fc.pre(!/\p{Cc}/u.test(text.trim()))
    const value = headerOf(text)
    assert.doesNotMatch(value, /[^\x20-\x7e\x80-\xff]/)
    assert.equal(headerText(value.replaceAll(/^[ \t]+|[ \t]+$/g, '')), text)
  })
  fc.assert(property)
})

test('no two values of bytes are the same text, unless one is percent-encoded', () => {
  const property = fc.property(fc.uint8Array({ maxLength: 8 }), bytes => {
    let text: string
    try {
      text = headerText(received(bytes))
    } catch {
      return
    }
    assert.deepEqual(new Uint8Array(Buffer.from(text)), bytes)
  })
  fc.assert(property)
})
