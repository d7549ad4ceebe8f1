/**
 * How every text file that people write is read: strictly as UTF-8, never lossily. Other decoders put U+FFFD in place of what they cannot decode,
 * which turns two ids into one without a word. Here such bytes are refused with their line and offset. A byte order mark at the start is skipped.
 */
import { isUtf8 } from 'node:buffer'
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import { messageOf } from './errors.ts'
import { limits } from './limits.ts'

/** Why a text cannot be read. The message says what is wrong, without the name of the file; `hint` is a sentence that says what to do. */
export class TextError extends Error {
  /** `missing` when there is no such file, `content` when its bytes are no text, `unreadable` for every other reason. */
  readonly reason: 'missing' | 'unreadable' | 'content'
  readonly hint: string
  /** The line of the first byte that is wrong, from 1. Only for `content`. */
  readonly line: number | undefined
  /** The offset of that byte in the file, from 0. */
  readonly byte: number | undefined

  constructor(reason: TextError['reason'], message: string, hint: string, place: Partial<Place> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.reason = reason
    this.hint = hint
    this.line = place.line
    this.byte = place.byte
  }
}

interface Place {
  readonly line: number
  readonly byte: number
}

const START: Place = { line: 1, byte: 0 }

// Files

/**
 * The text of a file.
 * @param bytesMax the largest file that is read
 * @throws TextError
 */
export async function readTextFile(path: string, bytesMax: number = limits.files.textBytesMax): Promise<string> {
  return decodeText(await readFileBytes(path, bytesMax))
}

/**
 * The bytes of a file. A pipe, a socket and a folder are refused at once; nothing ever waits for somebody to write to them.
 * @throws TextError for every reason but the content
 */
export async function readFileBytes(path: string, bytesMax: number): Promise<Buffer> {
  try {
    await using file = await open(path, flagsFor(path))
    const stats = await file.stat()
    checkKind(path, stats)
    checkSize(stats.size, bytesMax)
    return stats.isFile() ? await file.readFile() : await collect(file.createReadStream({ autoClose: false }), bytesMax)
  } catch (error) {
    throw unreadable(error)
  }
}

/** The bytes of a file, part by part. @throws TextError as `readFileBytes`, when the first part is asked for */
export async function* readParts(path: string): AsyncGenerator<Buffer> {
  try {
    await using file = await open(path, flagsFor(path))
    checkKind(path, await file.stat())
    yield* file.createReadStream({ autoClose: false })
  } catch (error) {
    throw unreadable(error)
  }
}

/** As `readTextFile`, for what is read once while a process starts. @throws TextError */
export function readTextFileSync(path: string, bytesMax: number = limits.files.textBytesMax): string {
  try {
    const file = openSync(path, flagsFor(path))
    try {
      const stats = fstatSync(file)
      checkKind(path, stats)
      checkSize(stats.size, bytesMax)
      return decodeText(collectSync(file, bytesMax))
    } finally {
      closeSync(file)
    }
  } catch (error) {
    throw unreadable(error)
  }
}

/** All bytes of a stream, such as standard input. @throws TextError when there are more than `bytesMax` */
export async function collect(stream: AsyncIterable<Buffer>, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stream) {
    size += chunk.length
    if (size > bytesMax) throw tooLarge(`over ${bytesMax.toLocaleString('en')}`, bytesMax)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, size)
}

const PART_BYTES = 64 * 1024

function collectSync(file: number, bytesMax: number): Buffer {
  const chunks: Buffer[] = []
  for (let size = 0; ; ) {
    const chunk = Buffer.allocUnsafe(PART_BYTES)
    const read = readSync(file, chunk)
    size += read
    if (size > bytesMax) throw tooLarge(`over ${bytesMax.toLocaleString('en')}`, bytesMax)
    if (read === 0) return Buffer.concat(chunks, size)
    chunks.push(chunk.subarray(0, read))
  }
}

/** Files that stand for an open descriptor, as in `sdk scene apply <(make-scene)`. What writes to such a pipe is there already. */
const isDevice = (path: string): boolean => /^\/(dev|proc)\//.test(path)

/** Without O_NONBLOCK, to open a pipe waits until somebody writes to it, perhaps for ever. */
const flagsFor = (path: string): number => constants.O_RDONLY | (isDevice(path) ? 0 : (constants.O_NONBLOCK ?? 0))

/** @throws TextError when what is there is of a kind that cannot be read as a text */
export function checkKind(path: string, stats: Pick<Stats, 'isFile' | 'isDirectory' | 'isFIFO'>): void {
  if (stats.isFile()) return
  if (stats.isDirectory()) throw new TextError('unreadable', 'it is a folder', 'Name a file in it.')
  if (isDevice(path)) return
  const kind = stats.isFIFO() ? 'a pipe' : 'a socket or device'
  throw new TextError('unreadable', `it is ${kind}, not a file`, 'Write what comes out of it to a file, and name that.')
}

function checkSize(bytes: number, bytesMax: number): void {
  if (bytes > bytesMax) throw tooLarge(bytes.toLocaleString('en'), bytesMax)
}

function tooLarge(size: string, bytesMax: number): TextError {
  return new TextError(
    'unreadable',
    `it has ${size} bytes, the limit is ${bytesMax.toLocaleString('en')}`,
    'Give a smaller file, or split it.',
  )
}

/** What the system says, in words: by the code of its error. */
const WORDS: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  ENOENT: ['there is no such file', 'Check the path.'],
  ENOTDIR: ['its path leads through something that is not a folder', 'Check the path.'],
  EISDIR: ['it is a folder', 'Name a file in it.'],
  EACCES: ['this user may not read it', 'Give the user of this process the right to read it.'],
  EPERM: ['this user may not read it', 'Give the user of this process the right to read it.'],
  ERR_ACCESS_DENIED: ['this process may not read it', 'Put the file itself there, not a link to one elsewhere.'],
  ELOOP: ['it is a link that leads back to itself', 'Replace the link by a file.'],
  ENAMETOOLONG: ['its path is too long', 'Check the path.'],
  ENXIO: ['it is a socket or device, not a file', 'Name a file.'],
}

/** Puts an error of the file system into words; a `TextError` is returned as it is. */
export function unreadable(error: unknown): TextError {
  if (error instanceof TextError) return error
  const { code = '' } = error as NodeJS.ErrnoException
  const [what, hint] = WORDS[code] ?? [messageOf(error), code === '' ? '' : 'Check the path and the file.']
  return new TextError(code === 'ENOENT' ? 'missing' : 'unreadable', what, hint, {}, error)
}

// Bytes

const BOM = Buffer.from([0xef, 0xbb, 0xbf])

/** The number of bytes of the byte order mark at the start, 0 or 3. */
export const bomLength = (bytes: Uint8Array): number => (bytes[0] === BOM[0] && bytes[1] === BOM[1] && bytes[2] === BOM[2] ? BOM.length : 0)

/** The text of all bytes of a file. @throws TextError */
export function decodeText(bytes: Buffer): string {
  checkText(bytes)
  return bytes.toString('utf8', bomLength(bytes))
}

/** @throws TextError when the bytes are not UTF-8, or have a NUL */
function checkText(bytes: Buffer, start: Place = START): void {
  const fault = isUtf8(bytes) ? undefined : faultIn(bytes, start)
  const nul = bytes.indexOf(0)
  if (nul >= 0 && start.byte + nul < (fault?.byte ?? Number.POSITIVE_INFINITY)) throw nulAt(bytes, placeAt(bytes, nul, start))
  if (fault !== undefined) throw fault
}

/** Where and why bytes that are not UTF-8 are not. */
export const utf8Fault = (bytes: Buffer): TextError => faultIn(bytes, START)

/** The same in words: `line 1, byte offset 4: byte 0xe9 is not UTF-8; …`. */
export const describeFault = (bytes: Buffer): string => utf8Fault(bytes).message

/**
 * Decodes a file that comes in parts, each of which may end within a character. Nothing is returned of a part with a fault.
 * @throws TextError from `write` and `end`
 */
export class TextDecoding {
  /** The beginning of a character whose other bytes are still to come. */
  #held: Buffer = Buffer.alloc(0)
  #place: Place = START

  write(part: Buffer): string {
    const bytes = this.#held.length === 0 ? part : Buffer.concat([this.#held, part])
    const isFirst = this.#place.byte === 0
    // A mark may come in two parts.
    const whole = isFirst && bytes.length < BOM.length && bytes[0] === BOM[0] ? 0 : bytes.length - unfinishedAtEnd(bytes)
    this.#held = bytes.subarray(whole)
    return this.#decode(bytes.subarray(0, whole), isFirst)
  }

  end(): string {
    return this.#decode(this.#held, this.#place.byte === 0)
  }

  #decode(bytes: Buffer, isFirst: boolean): string {
    checkText(bytes, this.#place)
    this.#place = placeAt(bytes, bytes.length, this.#place)
    return bytes.toString('utf8', isFirst ? bomLength(bytes) : 0)
  }
}

const LINE_FEED = 10
const CARRIAGE_RETURN = 13

/** The place of the byte with this index. Lines end with LF, CR LF or CR. */
function placeAt(bytes: Buffer, index: number, start: Place): Place {
  let { line } = start
  for (let at = 0; at < index; at++) {
    const byte = bytes[at]
    if (byte === LINE_FEED || (byte === CARRIAGE_RETURN && at + 1 < bytes.length && bytes[at + 1] !== LINE_FEED)) line++
  }
  return { line, byte: start.byte + index }
}

const SAVE = 'Save the file as UTF-8.'

/** The fault in bytes that are not UTF-8. */
function faultIn(bytes: Buffer, start: Place): TextError {
  const encoding = encodingOf(bytes)
  if (encoding !== undefined && start.byte === 0) return new TextError('content', `it is ${encoding}`, SAVE, START)
  let index = validBlocks(bytes)
  for (let length = sequenceAt(bytes, index); length > 0; length = sequenceAt(bytes, index)) index += length
  const place = placeAt(bytes, index, start)
  const looks =
    sequenceAt(bytes, index) < 0 ? 'it ends within a character, or is Latin-1 or Windows-1252' : 'it looks like Latin-1 or Windows-1252'
  return new TextError('content', `${words(place)}: byte ${hex(bytes[index])} is not UTF-8; ${looks}`, SAVE, place)
}

/** How many bytes at the start are whole blocks without a fault. To look at every character of a long text here would hold up whoever waits. */
function validBlocks(bytes: Buffer): number {
  for (let start = 0; ; ) {
    const block = bytes.subarray(start, start + PART_BYTES)
    const length = block.length - unfinishedAtEnd(block)
    if (length === 0 || !isUtf8(block.subarray(0, length))) return start
    start += length
  }
}

function nulAt(bytes: Buffer, place: Place): TextError {
  const looks = isUtf16(bytes) ? '; it looks like UTF-16' : ''
  return new TextError('content', `${words(place)}: byte 0x00 is a NUL, which no text has${looks}`, SAVE, place)
}

const words = ({ line, byte }: Place): string => `line ${line}, byte offset ${byte}`
const hex = (byte = 0): string => `0x${byte.toString(16).padStart(2, '0')}`

/** The encoding that the first bytes name. */
function encodingOf(bytes: Buffer): string | undefined {
  const [first, second] = bytes
  if (first === 0xff && second === 0xfe) return 'UTF-16 (little-endian), not UTF-8'
  if (first === 0xfe && second === 0xff) return 'UTF-16 (big-endian), not UTF-8'
  return first === 0x1f && second === 0x8b ? 'compressed with gzip' : undefined
}

/** Whether about half of the first bytes are NUL, as in a UTF-16 text in a Latin script. */
function isUtf16(bytes: Buffer): boolean {
  const sample = bytes.subarray(0, 256)
  return sample.filter(byte => byte === 0).length * 3 > sample.length
}

/** For the first byte of a character of several bytes: how many bytes follow it, and between which bounds the second is. */
function sequenceOf(first: number): readonly [following: number, least: number, greatest: number] | undefined {
  if (first >= 0xc2 && first <= 0xdf) return [1, 0x80, 0xbf]
  if (first >= 0xe0 && first <= 0xef) return [2, first === 0xe0 ? 0xa0 : 0x80, first === 0xed ? 0x9f : 0xbf]
  if (first >= 0xf0 && first <= 0xf4) return [3, first === 0xf0 ? 0x90 : 0x80, first === 0xf4 ? 0x8f : 0xbf]
  return undefined
}

/** Bytes of the character that begins here: 0 when there is none, negative when the bytes end within it. */
function sequenceAt(bytes: Uint8Array, index: number): number {
  const first = bytes[index]
  if (first === undefined) return 0
  if (first < 0x80) return 1
  const sequence = sequenceOf(first)
  if (sequence === undefined) return 0
  const [following, least, greatest] = sequence
  for (let i = 1; i <= following; i++) {
    const byte = bytes[index + i]
    if (byte === undefined) return -i
    if (byte < (i === 1 ? least : 0x80) || byte > (i === 1 ? greatest : 0xbf)) return 0
  }
  return following + 1
}

/** How many bytes at the end are the beginning of a character. */
function unfinishedAtEnd(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) if (sequenceAt(bytes, bytes.length - back) < 0) return back
  return 0
}
