/** The channel to the launcher, which passes messages and handles between the supervisors of two releases. The protocol is described in bin/host.cjs. */
import type { FromHeir, ToHeir } from '../../wire/handover-messages.ts'
import type { ListenHandle } from '../handle.ts'

/** The number of the protocol that this release speaks. */
const PROTOCOL = 1

export interface LauncherListener<In> {
  /** The supervisor of the other release has said something. */
  onMessage(message: In, handle: ListenHandle | undefined): void
  /** The supervisor of the other release has ended, or could not be started. */
  onEnded(how: string): void
}

type FromLauncher<In> = { readonly berth?: number } & (
  | { readonly is: 'passed'; readonly body: In }
  | { readonly is: 'ended'; readonly how: string }
)

/** Node can send native handles, but its types do not say so. */
type Send = (message: unknown, handle: ListenHandle | undefined, options: undefined, done: () => void) => boolean

const { BERTH_LAUNCHER: spoken, BERTH_HEIR: heir } = process.env
// No process that is started from here is to take the channel for its own.
delete process.env.BERTH_LAUNCHER
delete process.env.BERTH_HEIR

/** Whether a launcher has started this process that can have the base taken over by another release. */
export const hasLauncher: boolean = Number(spoken) >= PROTOCOL && process.channel !== undefined

/** Whether this process takes a base over from the supervisor of another release. */
export const isHeir: boolean = hasLauncher && heir === '1'

/** The end of the channel in this process. */
export class LauncherLink {
  #listener: LauncherListener<never> = { onMessage: () => undefined, onEnded: () => undefined }

  constructor() {
    process.on('message', (message: FromLauncher<never>, handle) => {
      if (Object(message).berth !== PROTOCOL) return
      if (message.is === 'passed') this.#listener.onMessage(message.body, handle as ListenHandle | undefined)
      if (message.is === 'ended') this.#listener.onEnded(message.how)
    })
  }

  /** Whoever listened before hears nothing any more. */
  listen<In>(listener: LauncherListener<In>): void {
    this.#listener = listener
  }

  /** Starts the supervisor of another release, with the arguments of this one. */
  start(command: readonly string[]): void {
    this.#send({ do: 'start', command })
  }

  /** Kills it. `onEnded` says when it has ended. */
  end(): void {
    this.#send({ do: 'end' })
  }

  /** Puts it in charge of the base: the launcher ends as it ends. */
  yield(): void {
    this.#send({ do: 'yield' })
  }

  /** Says something to the supervisor of the other release. Resolves when it has left this process. */
  pass(body: ToHeir | FromHeir, handle?: ListenHandle): Promise<void> {
    return this.#send({ do: 'pass', body }, handle)
  }

  #send(message: object, handle?: ListenHandle): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    // This fails only when the launcher has ended, and then this process is about to end too.
    const send = process.send as Send | undefined
    if (process.connected && send !== undefined) send.call(process, { berth: PROTOCOL, ...message }, handle, undefined, resolve)
    else resolve()
    return promise
  }
}
