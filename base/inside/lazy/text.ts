/** Text as bytes: UTF-8 both ways as the Encoding standard has it, other encodings one way, and base64. */
import type encodings from './encodings.ts'
import type { Decode } from './encodings.ts'
import { domException, tools } from './tools.ts'

/** How many code units are turned into a string at a time: as many as one call may safely have arguments. */
const CHUNK = 8192
const REPLACEMENT = 0xfffd
/** What a byte gives that completes no code point, because more must follow (`PARTIAL`) or because it does not fit (`BROKEN`). */
const PARTIAL = -1
const BROKEN = -2
const { fromCharCode } = String

const isView = (source: unknown): source is ArrayBufferView => ArrayBuffer.isView(source)

function bytesOf(source: unknown): Uint8Array {
  if (source === undefined) return new Uint8Array(0)
  if (source instanceof Uint8Array) return source
  if (source instanceof ArrayBuffer) return new Uint8Array(source)
  if (isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
  throw new TypeError('TextDecoder.decode takes an ArrayBuffer or a view of one')
}

/** The code point at `i`; half a surrogate pair counts as U+FFFD. */
function codePointAt(text: string, i: number): number {
  const code = text.codePointAt(i) as number
  return code >= 0xd800 && code <= 0xdfff ? REPLACEMENT : code
}

/** Writes the characters that fit as a whole; returns how many code units were read and bytes written. */
function encodeInto(text: string, target: Uint8Array): { read: number; written: number } {
  const room = target.length
  let at = 0
  let i = 0
  while (i < text.length) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) {
      if (at === room) break
      target[at++] = unit
      i++
      continue
    }
    const code = unit < 0xd800 ? unit : codePointAt(text, i)
    const size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
    if (at + size > room) break
    if (size === 2) target[at++] = 0xc0 | (code >> 6)
    else {
      if (size === 3) target[at++] = 0xe0 | (code >> 12)
      else {
        target[at++] = 0xf0 | (code >> 18)
        target[at++] = 0x80 | ((code >> 12) & 63)
        i++
      }
      target[at++] = 0x80 | ((code >> 6) & 63)
    }
    target[at++] = 0x80 | (code & 63)
    i++
  }
  return { read: i, written: at }
}

function byteLength(text: string): number {
  let length = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    // A surrogate pair takes four bytes for its two units; half of one, as U+FFFD, takes three for its one.
    if (unit < 0x800) length += 1
    else if (unit >= 0xd800 && unit <= 0xdbff && codePointAt(text, i) > 0xffff) {
      length += 2
      i++
    } else length += 2
  }
  return length
}

class TextEncoder {
  get encoding() {
    return 'utf-8'
  }
  encode(text: unknown = ''): Uint8Array {
    const string = String(text)
    const bytes = new Uint8Array(byteLength(string))
    encodeInto(string, bytes)
    return bytes
  }
  encodeInto(text: unknown, target: unknown): { read: number; written: number } {
    if (!(target instanceof Uint8Array)) throw new TypeError('TextEncoder.encodeInto writes into a Uint8Array')
    return encodeInto(String(text), target)
  }
  get [Symbol.toStringTag]() {
    return 'TextEncoder'
  }
}

const utf8Labels = ['utf-8', 'utf8', 'unicode-1-1-utf-8', 'unicode11utf8', 'unicode20utf8', 'x-unicode20utf8']

const coded = (error: Error, code: string): Error => Object.assign(error, { code })

function invalidData(encoding: string): Error {
  return coded(new TypeError(`The encoded data was not valid for encoding ${encoding}`), 'ERR_ENCODING_INVALID_ENCODED_DATA')
}

class TextDecoder {
  readonly #fatal: boolean
  readonly #ignoreBOM: boolean
  readonly #encoding: string = 'utf-8'
  /** Undefined for UTF-8. */
  readonly #decodeOther: Decode | undefined
  // The state of a sequence that the end of a streamed chunk has cut in two.
  #code = 0
  #needed = 0
  #lower = 0x80
  #upper = 0xbf
  #bomPassed = false

  constructor(label: unknown = 'utf-8', options?: { readonly fatal?: unknown; readonly ignoreBOM?: unknown } | null) {
    this.#fatal = Boolean(options?.fatal)
    this.#ignoreBOM = Boolean(options?.ignoreBOM)
    if (utf8Labels.includes(String(label).trim().toLowerCase())) return
    const { nameOf, decoderOf } = tools.load('encodings') as typeof encodings
    const name = nameOf(String(label))
    if (name === undefined) throw coded(new RangeError(`The "${String(label)}" encoding is not supported`), 'ERR_ENCODING_NOT_SUPPORTED')
    if (name === 'utf-8') return
    this.#encoding = name
    this.#decodeOther = decoderOf(name, this.#fatal, this.#ignoreBOM)
  }
  get encoding() {
    return this.#encoding
  }
  get fatal() {
    return this.#fatal
  }
  get ignoreBOM() {
    return this.#ignoreBOM
  }
  get [Symbol.toStringTag]() {
    return 'TextDecoder'
  }

  decode(source?: unknown, options?: { readonly stream?: unknown } | null): string {
    const bytes = bytesOf(source)
    if (this.#decodeOther !== undefined) return this.#other(bytes, Boolean(options?.stream))
    const units = new Uint16Array(Math.min(bytes.length + 2, CHUNK))
    let text = ''
    let length = 0
    const flush = () => {
      text += fromCharCode.apply(null, units.subarray(0, length) as Iterable<number> as number[])
      length = 0
    }
    for (let i = 0; i < bytes.length; ) {
      if (length + 2 > units.length) flush()
      if (this.#needed === 0) {
        // Most text is runs of ASCII.
        const end = Math.min(bytes.length, i + units.length - length)
        while (i < end && (bytes[i] as number) < 0x80) units[length++] = bytes[i++] as number
        if (i === end) continue
        if (length + 2 > units.length) flush()
      }
      const code = this.#take(bytes[i] as number)
      if (code >= 0) length = append(units, length, code)
      // A byte that does not fit into a sequence may begin the next one, so it is looked at again.
      if (code === BROKEN) {
        this.#fail()
        units[length++] = REPLACEMENT
      } else i++
    }
    flush()
    return this.#finish(text, Boolean(options?.stream))
  }

  #other(bytes: Uint8Array, stream: boolean): string {
    try {
      return (this.#decodeOther as Decode)(bytes, stream)
    } catch {
      throw invalidData(this.#encoding)
    }
  }

  /** The code point that this byte completes, `PARTIAL` or `BROKEN`. */
  #take(byte: number): number {
    if (this.#needed === 0) return this.#start(byte)
    const fits = byte >= this.#lower && byte <= this.#upper
    this.#lower = 0x80
    this.#upper = 0xbf
    if (!fits) {
      this.#needed = 0
      return BROKEN
    }
    this.#code = (this.#code << 6) | (byte & 63)
    return --this.#needed === 0 ? this.#code : PARTIAL
  }

  #start(byte: number): number {
    if (byte < 0x80) return byte
    if (byte < 0xc2 || byte > 0xf4) {
      this.#fail()
      return REPLACEMENT
    }
    this.#needed = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3
    this.#code = byte & (0x3f >> this.#needed)
    // Overlong forms, surrogates and code points beyond U+10FFFF are recognised by their second byte.
    if (byte === 0xe0) this.#lower = 0xa0
    else if (byte === 0xed) this.#upper = 0x9f
    else if (byte === 0xf0) this.#lower = 0x90
    else if (byte === 0xf4) this.#upper = 0x8f
    return PARTIAL
  }

  #fail(): void {
    if (!this.#fatal) return
    this.#reset()
    throw invalidData('utf-8')
  }

  #reset(): void {
    this.#needed = 0
    this.#lower = 0x80
    this.#upper = 0xbf
    this.#bomPassed = false
  }

  #finish(decoded: string, stream: boolean): string {
    let text = decoded
    if (!stream && this.#needed > 0) {
      this.#fail()
      text += fromCharCode(REPLACEMENT)
    }
    if (!this.#bomPassed && !this.#ignoreBOM && text.charCodeAt(0) === 0xfeff) text = text.slice(1)
    if (!stream) this.#reset()
    else if (decoded !== '') this.#bomPassed = true
    return text
  }
}

function append(units: Uint16Array, length: number, code: number): number {
  if (code < 0x10000) {
    units[length] = code
    return length + 1
  }
  units[length] = 0xd7c0 + (code >> 10)
  units[length + 1] = 0xdc00 + (code & 0x3ff)
  return length + 2
}

// base64

interface Base64 {
  fromBase64(text: string): Uint8Array
  prototype: { toBase64(this: Uint8Array): string }
}
const native = Uint8Array as object as Base64

const invalid = (message: string) => domException(message, 'InvalidCharacterError')

function btoa(...args: unknown[]): string {
  if (args.length === 0) throw new TypeError('The "data" argument must be specified')
  const text = String(args[0])
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit > 0xff) throw invalid('Invalid character')
    bytes[i] = unit
  }
  return native.prototype.toBase64.call(bytes)
}

function atob(...args: unknown[]): string {
  if (args.length === 0) throw new TypeError('The "data" argument must be specified')
  const compact = String(args[0]).replace(/[\t\n\f\r ]+/g, '')
  const bare = compact.length % 4 === 0 ? compact.replace(/={1,2}$/, '') : compact
  if (bare.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(bare)) throw invalid('The string to be decoded is not correctly encoded.')
  const bytes = native.fromBase64(bare)
  let text = ''
  for (let at = 0; at < bytes.length; at += CHUNK) {
    text += fromCharCode.apply(null, bytes.subarray(at, at + CHUNK) as Iterable<number> as number[])
  }
  return text
}

export default { TextDecoder, TextEncoder, atob, btoa }
