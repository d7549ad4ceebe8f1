/** Stack traces of modules, mapped to the TypeScript they were written in. */
import { originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'
import type { Lock } from '../traffic/schema.ts'

/** A frame of a module. Lines and columns count from 1: a module may write a frame with a 0, which no source map has a place for. */
const FRAME = /berth:\/\/\/([a-z0-9-]+@[^/\s]+)\.js:([1-9]\d{0,8}):([1-9]\d{0,8})/
const MAPS_KEPT = 32
/** Characters of a stack that are looked at. A module may pass off a text of any length as its stack; the frames that matter come first. */
const STACK_CHARS_MAX = 64 * 1024

export class Stacks {
  readonly #readBlob: (digest: string) => Promise<Buffer>
  readonly #maps = new Map<string, Promise<TraceMap>>()

  constructor(readBlob: (digest: string) => Promise<Buffer>) {
    this.#readBlob = readBlob
  }

  /**
   * The stack with every frame of a module in `lock` replaced by its place in the source, and the frames of the slot itself left out; cut off at 64 KB.
   * A module without a source map keeps its frames as they are.
   */
  async map(stack: string, lock: Lock): Promise<string> {
    const digests = new Map<string, string>()
    for (const { modules } of lock) {
      for (const { name, version, sourceMap } of modules) if (sourceMap !== undefined) digests.set(`${name}@${version}`, sourceMap)
    }
    const lines = stack
      .slice(0, STACK_CHARS_MAX)
      .split('\n')
      .filter(line => !line.includes('berth:///inside.js'))
    return (await Promise.all(lines.map(line => this.#mapLine(line, digests)))).join('\n')
  }

  async #mapLine(line: string, digests: ReadonlyMap<string, string>): Promise<string> {
    const match = FRAME.exec(line)
    const digest = digests.get(match?.[1] ?? '')
    if (match === null || digest === undefined) return line
    const [whole, module = '', row, column] = match
    const found = originalPositionFor(await this.#load(digest), { line: Number(row), column: Number(column) - 1 })
    if (found.source === null) return line
    const name = module.slice(0, module.indexOf('@'))
    return line.replace(whole, `${name}/${found.source}:${found.line}:${found.column + 1}`)
  }

  #load(digest: string): Promise<TraceMap> {
    const known = this.#maps.get(digest)
    if (known !== undefined) return known
    const loading = this.#readBlob(digest).then(bytes => new TraceMap(bytes.toString('utf8')))
    // A failed read is not kept, so that the next stack tries it again. The caller gets the error.
    loading.catch(() => this.#maps.delete(digest))
    this.#maps.set(digest, loading)
    const oldest = this.#maps.keys().next().value
    if (this.#maps.size > MAPS_KEPT && oldest !== undefined) this.#maps.delete(oldest)
    return loading
  }
}
