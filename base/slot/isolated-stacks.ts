/**
 * Reads the stacks of modules by their source maps in an isolate of its own: on its own thread, with a bound on memory and time. A map that goes over
 * them costs the isolate, which is made anew, and is not read again.
 */
import ivm from 'isolated-vm'
import { messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { cutStack, type Located, locate, type MappedModule, type ModuleWithMap, modulesIn, type Stacks, unread } from '../kernel/stacks.ts'
import { insideScript } from './inside-script.ts'
import type { StacksInside } from './stacks-inside.ts'

const bounds = limits.sourceMap
const script = insideScript('stacks')
const inTime = { timeout: bounds.msMax, arguments: { copy: true }, result: { copy: true } } as const
/** Maps that could not be read and are known as such. The first is forgotten when there are more. */
const UNREADABLE_KEPT = 1000

interface Reader {
  readonly isolate: ivm.Isolate
  readonly keep: ivm.Reference<StacksInside['keep']>
  readonly locate: ivm.Reference<StacksInside['locate']>
  /** Digests of the maps that it has. */
  readonly kept: Set<string>
  chars: number
}

export class IsolatedStacks implements Stacks {
  readonly #readBlob: (digest: string) => Promise<Buffer>
  readonly #memoryMB: number
  /** Why a map cannot be read, by its digest. */
  readonly #unreadable = new Map<string, string>()
  #reader: Reader | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #idle: NodeJS.Timeout | undefined

  /**
   * @param readBlob reads a source map by its digest
   * @param memoryMB that reading may take
   */
  constructor(readBlob: (digest: string) => Promise<Buffer>, memoryMB: number = bounds.memoryMB) {
    this.#readBlob = readBlob
    this.#memoryMB = memoryMB
  }

  async locate(stack: string, modules: Iterable<MappedModule>): Promise<Located> {
    const mapped = modulesIn(stack, modules)
    if (mapped.length === 0) return locate(stack, [], () => undefined)
    if (this.#waiting >= bounds.waitingMax) return unread(stack, 'too many stacks wait to be read')
    this.#waiting++
    const turn = this.#turn.then(() => this.#read(cutStack(stack), mapped))
    this.#turn = turn
    return turn.finally(() => {
      this.#waiting--
    })
  }

  /** Lets go of the isolate. The next stack makes another one. */
  close(): void {
    clearTimeout(this.#idle)
    const { isolate } = this.#reader ?? {}
    this.#reader = undefined
    if (isolate !== undefined && !isolate.isDisposed) isolate.dispose()
  }

  async #read(stack: string, modules: readonly ModuleWithMap[]): Promise<Located> {
    clearTimeout(this.#idle)
    try {
      for (const { name, version, sourceMap } of modules) {
        const fault = this.#unreadable.get(sourceMap) ?? (await this.#keep(sourceMap))
        if (fault !== undefined) return unread(stack, `the source map of ${name}@${version} cannot be read: ${fault}`)
      }
      return await this.#locate(stack, modules)
    } catch (error) {
      this.close()
      return unread(stack, `reading it failed: ${messageOf(error)}`)
    } finally {
      this.#idle = setTimeout(() => this.close(), bounds.idleMs).unref()
    }
  }

  /** @returns why the map cannot be read */
  async #keep(digest: string): Promise<string | undefined> {
    if (this.#reader?.kept.has(digest)) return undefined
    const text = (await this.#readBlob(digest)).toString('utf8')
    if (this.#reader !== undefined && this.#reader.chars + text.length > bounds.keptCharsMax) this.close()
    const reader = await this.#open()
    try {
      const fault = (await reader.keep.apply(undefined, [digest, text, bounds], inTime)) as string | undefined
      if (fault !== undefined) return this.#note(digest, fault)
      reader.kept.add(digest)
      reader.chars += text.length
      return undefined
    } catch (error) {
      this.close()
      return this.#note(digest, `it takes too much time or memory (${messageOf(error)})`)
    }
  }

  #note(digest: string, fault: string): string {
    this.#unreadable.set(digest, fault)
    const [oldest] = this.#unreadable.keys()
    if (this.#unreadable.size > UNREADABLE_KEPT && oldest !== undefined) this.#unreadable.delete(oldest)
    return fault
  }

  async #locate(stack: string, modules: readonly ModuleWithMap[]): Promise<Located> {
    const reader = await this.#open()
    return JSON.parse((await reader.locate.apply(undefined, [stack, modules.map(plainOf)], inTime)) as string) as Located
  }

  async #open(): Promise<Reader> {
    if (this.#reader !== undefined && !this.#reader.isolate.isDisposed) return this.#reader
    const isolate = new ivm.Isolate({ memoryLimit: this.#memoryMB })
    const context = await isolate.createContext()
    const compiled = await isolate.compileScript(script, { filename: 'berth:///stacks.js' })
    const setUp = (await compiled.run(context, { reference: true })) as ivm.Reference<() => StacksInside>
    const inside = (await setUp.apply(undefined, [], { result: { reference: true } })) as ivm.Reference<StacksInside>
    const [keep, find] = await Promise.all([inside.get('keep', { reference: true }), inside.get('locate', { reference: true })])
    this.#reader = {
      isolate,
      keep: keep as Reader['keep'],
      locate: find as Reader['locate'],
      kept: new Set(),
      chars: 0,
    }
    return this.#reader
  }
}

/** What an isolate can be sent. */
const plainOf = ({ name, version, sourceMap }: ModuleWithMap): ModuleWithMap => ({ name, version, sourceMap })
