import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { headerText } from './headers.ts'

/** As Node gives the bytes of a header. */
const received = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

test('every text is read back from its UTF-8, and from its percent-encoding', () => {
  const property = fc.property(fc.string({ unit: 'grapheme' }), text => {
    if (!/^utf-8'/i.test(text)) assert.equal(headerText(received(Buffer.from(text))), text)
    assert.equal(headerText(`UTF-8''${encodeURIComponent(text)}`), text)
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
