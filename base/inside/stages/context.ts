/** What a stage sees of its request and of the base. */
import { ask } from '../calls/calls.ts'
import { type Services, servicesFor } from '../calls/services.ts'
import { readWholeTime } from '../clock.ts'
import { deepFreeze } from '../deep-freeze.ts'
import { fetchFor } from '../globals/lazy.ts'
import { logFor } from '../log-lines.ts'
import type { Request } from '../open-request.ts'
import { deleteProperty, freeze, parse } from '../primordials.ts'
import { reject } from './rejection.ts'
import { scene, version } from './version.ts'

/** Gives only the code here the request behind a context: a module cannot get at it. */
export let requestOf: (ctx: Context) => Request

export class Context {
  readonly #request: Request
  #input: unknown
  #services: Services | undefined

  static {
    requestOf = ctx => ctx.#request
  }

  constructor(request: Request) {
    this.#request = request
  }

  get request(): unknown {
    // The body is parsed again, because the first stage may change its input. It is parsed on demand, because most stages do not ask.
    this.#input ??= deepFreeze(parse(this.#request.body))
    return this.#input
  }

  get scene(): string {
    return scene
  }

  get version(): string {
    return version
  }

  get unit(): string | undefined {
    return this.#request.unit
  }

  get bucket(): number | undefined {
    return this.#request.bucket
  }

  get requestId(): string {
    return this.#request.id
  }

  get params(): unknown {
    return this.#request.params
  }

  get log() {
    const request = this.#request
    return {
      debug: (message: unknown, fields?: unknown) => logFor(request, 'debug', message, fields),
      info: (message: unknown, fields?: unknown) => logFor(request, 'info', message, fields),
      warn: (message: unknown, fields?: unknown) => logFor(request, 'warn', message, fields),
      error: (message: unknown, fields?: unknown) => logFor(request, 'error', message, fields),
    }
  }

  deadlineMs(): number {
    return this.#request.deadlineAt - readWholeTime()
  }

  call(callee: unknown, input: unknown): Promise<unknown> {
    return ask(this.#request, '', String(callee), input)
  }

  reject(reason: unknown, message: unknown, details?: unknown): never {
    return reject(this.#request, reason, message, details)
  }

  get services(): unknown {
    this.#services ??= servicesFor(this.#request)
    return this.#services
  }

  get fetch(): (input: unknown, init?: unknown) => Promise<unknown> {
    const request = this.#request
    return (input, init) => fetchFor(request, input, init)
  }
}

// With it, a module could make contexts of its own, or change what other and later requests see.
deleteProperty(Context.prototype, 'constructor')
freeze(Context.prototype)
