/** Counts which code of an isolate runs, with the precise coverage of V8. */
import type ivm from 'isolated-vm'
import { Inspector } from '../slot/inspector.ts'
import type { FunctionCount } from '../wire/rehearsal-messages.ts'

interface Coverage {
  readonly result: { readonly result: readonly { readonly url: string; readonly functions: readonly FunctionCount[] }[] }
}

export class Counter {
  readonly #inspector: Inspector

  private constructor(inspector: Inspector) {
    this.#inspector = inspector
  }

  /** Counts from now on, until the isolate is disposed of, through `guard` only. */
  static async start(isolate: ivm.Isolate, context: ivm.Context): Promise<Counter> {
    const inspector = new Inspector(isolate, context)
    try {
      await inspector.ask('Profiler.enable')
      await inspector.ask('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
      return new Counter(inspector)
    } catch (error) {
      await inspector.close()
      throw error
    }
  }

  /** The isolate, with a `dispose` that ends the session first: it has to end before the isolate does. */
  guard(isolate: ivm.Isolate): ivm.Isolate {
    // Until the session has ended the isolate seems to be there, so `dispose` may be called a second time.
    const end = () => {
      if (!isolate.isDisposed) isolate.dispose()
    }
    const dispose = () => void this.#inspector.close().then(end)
    return new Proxy(isolate, {
      get: (_, key) => {
        if (key === 'dispose') return dispose
        const member: unknown = Reflect.get(isolate, key)
        return typeof member === 'function' ? member.bind(isolate) : member
      },
    })
  }

  /** Counts of the functions of one script since the start; none when the isolate has not compiled it. */
  async take(url: string): Promise<readonly FunctionCount[]> {
    const { result } = JSON.parse(await this.#inspector.ask('Profiler.takePreciseCoverage')) as Coverage
    return result.result.find(script => script.url === url)?.functions ?? []
  }
}
