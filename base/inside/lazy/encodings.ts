/** Decoders of the Encoding standard for what is not UTF-8. */
import { normalizeEncoding, TextDecoder } from '@exodus/bytes/encoding-lite.js'
import type { createMultibyteDecoder } from '@exodus/bytes/multi-byte.js'
import { tools } from './tools.ts'

/** Returns the text of these bytes; what a character lacks is kept when there is more to come (`stream`). @throws TypeError when bytes are wrong and it is fatal */
export type Decode = (bytes: Uint8Array, stream: boolean) => string

const multibyte = ['big5', 'euc-jp', 'euc-kr', 'gb18030', 'gbk', 'iso-2022-jp', 'shift_jis']

/** The name of the encoding with this label. Undefined when there is none that can be decoded. */
function nameOf(label: string): string | undefined {
  const name = normalizeEncoding(label)
  return name === null || name === 'replacement' ? undefined : name
}

function decoderOf(name: string, fatal: boolean, ignoreBOM: boolean): Decode {
  if (multibyte.includes(name)) {
    // Their tables are eight times as large as all the rest.
    return (tools.load('multibyte').createMultibyteDecoder as typeof createMultibyteDecoder)(name, !fatal)
  }
  const decoder = new TextDecoder(name, { fatal, ignoreBOM })
  return (bytes, stream) => decoder.decode(bytes, { stream })
}

export default { nameOf, decoderOf }
