/** Bodies of requests and responses: whole, text or bytes. */
import { tools } from '../tools.ts'
import type { Headers } from './fetch-headers.ts'
import { isObject } from './values.ts'

export type Content = string | Uint8Array<ArrayBuffer> | null

const { parse } = JSON
const FORM = 'application/x-www-form-urlencoded;charset=UTF-8'
const TEXT = 'text/plain;charset=UTF-8'

const encode = (text: string) => new (tools.use('TextEncoder') as typeof TextEncoder)().encode(text) as Uint8Array<ArrayBuffer>
const decode = (bytes: Uint8Array) => new (tools.use('TextDecoder') as typeof TextDecoder)().decode(bytes)

const textOf = (content: Content) =>
  typeof content === 'string' ? content.replace(/^\ufeff/, '') : content === null ? '' : decode(content)

/** A copy of the bytes, because the clones of a body share those that it holds. */
export function bytesOf(content: Content): Uint8Array<ArrayBuffer> {
  if (content === null) return new Uint8Array(0)
  return typeof content === 'string' ? encode(content) : content.slice()
}

/** A content that becomes the body without another copy, and that sets no content type. */
export class Raw {
  readonly content: Content
  constructor(content: Content) {
    this.content = content
  }
}

export function contentOf(body: unknown): { content: Content; type?: string } {
  if (body === undefined || body === null) return { content: null }
  if (body instanceof Raw) return { content: body.content }
  if (body instanceof ArrayBuffer) return { content: new Uint8Array(body.slice(0)) }
  if (ArrayBuffer.isView(body)) return { content: new Uint8Array(body.buffer as ArrayBuffer, body.byteOffset, body.byteLength).slice() }
  return { content: String(body).toWellFormed(), type: isSearchParams(body) ? FORM : TEXT }
}

/** Looks at the tag, so that the part which defines `URLSearchParams` need not be loaded to find out. */
const isSearchParams = (body: unknown) => isObject(body) && Object.prototype.toString.call(body) === '[object URLSearchParams]'

export let contentIn: (body: Body) => Content
export let markUsed: (body: Body) => void

export class Body {
  readonly #content: Content
  #used = false

  static {
    contentIn = body => body.#content
    markUsed = body => {
      if (body.#used) throw new TypeError('The body has been read already')
      body.#used = body.#content !== null
    }
  }

  constructor(content: Content) {
    this.#content = content
  }

  get bodyUsed(): boolean {
    return this.#used
  }

  async text(): Promise<string> {
    markUsed(this)
    return textOf(this.#content)
  }

  async json(): Promise<unknown> {
    return parse(await this.text())
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    markUsed(this)
    return bytesOf(this.#content)
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer
  }
}

/** The content of a body once more, for a clone. @throws TypeError when the body has been read */
export function again(body: Body): Raw {
  if (body.bodyUsed) throw new TypeError('Cannot clone: the body has been read already')
  return new Raw(contentIn(body))
}

export function typed(headers: Headers, type: string | undefined): Headers {
  if (type !== undefined && !headers.has('content-type')) headers.append('content-type', type)
  return headers
}
