/** Keeps what V8 has compiled of scripts, for the isolates to come. */
import { hash } from 'node:crypto'
import ivm from 'isolated-vm'

type Bytes = Uint8Array<ArrayBuffer>

interface CachedCode {
  readonly bytes: Bytes
  /** V8 checks the flags and the version of a cache, but not whether it is damaged: a flipped bit would be run. */
  readonly digest: string
}

/** What V8 has compiled of each script, kept in memory for the next isolate. Compiling 500 KB falls from 9 to 1 ms. */
export class CodeCache {
  readonly #kept = new Map<string, CachedCode>()
  /** The code of scripts that every isolate runs. It is never dropped to make room. */
  readonly #own = new Map<string, CachedCode>()
  readonly #bytesMax: number
  #bytes = 0

  /** @param bytesMax of all that is kept; when there is more, the oldest is dropped */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  async compile(isolate: ivm.Isolate, code: string, filename: string): Promise<ivm.Script> {
    const key = keyOf(code, filename)
    const cached = this.#get(key)
    if (cached !== undefined) {
      const cachedData = new ivm.ExternalCopy(cached.buffer)
      const script = (await isolate.compileScript(code, { filename, cachedData })) as ivm.Script & { cachedDataRejected?: boolean }
      // Otherwise it would stay until this thread collects garbage, which may be after hundreds of loads.
      cachedData.release()
      if (script.cachedDataRejected !== true) return script
      this.#forget(key)
    }
    const script = (await isolate.compileScript(code, { filename, produceCachedData: true })) as ivm.Script & ivm.ScriptInfo
    if (script.cachedData !== undefined) this.#put(key, takeBytes(script.cachedData))
    return script
  }

  /**
   * Keeps what V8 has compiled of a script by now. Functions compile when they are first called, so a cache that was made with the script
   * knows none of those that it goes on to run. V8 hands the same script out again for the same text, and isolated-vm makes its cache then.
   * @param isolate has run that script, and nothing that the cell does not trust: what it keeps is run in every isolate
   */
  async keepWarm(isolate: ivm.Isolate, code: string, filename: string): Promise<void> {
    const script = (await isolate.compileScript(code, { filename, produceCachedData: true })) as ivm.Script & ivm.ScriptInfo
    if (script.cachedData === undefined) return
    const key = keyOf(code, filename)
    this.#forget(key)
    this.#own.set(key, sealed(takeBytes(script.cachedData)))
  }

  #get(key: string): Bytes | undefined {
    const cached = this.#own.get(key) ?? this.#kept.get(key)
    if (cached === undefined) return undefined
    if (hash('sha256', cached.bytes, 'hex') === cached.digest) return cached.bytes
    this.#forget(key)
    return undefined
  }

  #put(key: string, bytes: Bytes): void {
    this.#forget(key)
    this.#kept.set(key, sealed(bytes))
    this.#bytes += bytes.length
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#bytesMax) return
      this.#forget(oldest)
    }
  }

  #forget(key: string): void {
    this.#own.delete(key)
    this.#bytes -= this.#kept.get(key)?.bytes.length ?? 0
    this.#kept.delete(key)
  }
}

/** The file name is part of what is cached, because stack traces show it. */
const keyOf = (code: string, filename: string): string => `${filename}\n${hash('sha256', code, 'hex')}`

const sealed = (bytes: Bytes): CachedCode => ({ bytes, digest: hash('sha256', bytes, 'hex') })

/** The bytes, in a buffer that holds nothing else. What isolated-vm holds is freed. */
function takeBytes(cachedData: ivm.ExternalCopy<ArrayBuffer>): Bytes {
  const bytes = new Uint8Array(cachedData.copy() as ArrayBuffer)
  cachedData.release()
  return bytes
}
