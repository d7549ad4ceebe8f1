/** Takes a base over from the supervisor of another release: what the two say to each other, as the new one sees it. */
import { realpathSync } from 'node:fs'
import { BerthError, toBerthError } from '../../kernel/errors.ts'
import type { Options } from '../../kernel/options.ts'
import { dispatcher } from '../../wire/dispatch.ts'
import { HANDOVER_PROTOCOL, type Offer, type ToHeir } from '../../wire/handover-messages.ts'
import type { CellLoss, Unkept } from '../../wire/messages.ts'
import type { ListenHandle } from '../handle.ts'
import type { LauncherLink } from './launcher-link.ts'

/** What the old supervisor has handed over. */
export interface Inheritance extends Offer {
  readonly handle: ListenHandle
  readonly control: ListenHandle
}

export class Heir {
  readonly #link: LauncherLink
  readonly #offered = Promise.withResolvers<Offer & { readonly handle: ListenHandle }>()
  readonly #control = Promise.withResolvers<ListenHandle>()
  readonly #given = Promise.withResolvers<void>()
  readonly #owner = Promise.withResolvers<void>()
  readonly #sentAway = Promise.withResolvers<void>()
  readonly #alone = Promise.withResolvers<void>()
  #hasRefused = false
  #onUnkept: (unkept: Unkept) => void = () => undefined
  #onLosses: (losses: readonly CellLoss[]) => void = () => undefined

  constructor(link: LauncherLink, report: (sentence: string) => void) {
    this.#link = link
    const dispatch = dispatcher<ToHeir, [ListenHandle | undefined]>(
      'the heir',
      {
        offer: (offer, handle) => handle !== undefined && this.#offered.resolve({ ...offer, handle }),
        control: (_, handle) => handle !== undefined && this.#control.resolve(handle),
        give: () => this.#given.resolve(),
        yours: () => this.#owner.resolve(),
        unkept: ({ type: _, ...unkept }) => this.#onUnkept(unkept),
        losses: ({ losses }) => this.#onLosses(losses),
        end: () => this.#sentAway.resolve(),
      },
      report,
    )
    link.listen<ToHeir>({ onMessage: (message, handle) => dispatch(message, handle), onEnded: () => this.#alone.resolve() })
    link.pass({ type: 'hello', protocol: HANDOVER_PROTOCOL })
  }

  /** Resolves with what there is to take over. */
  async inheritance(): Promise<Inheritance> {
    return { ...(await this.#offered.promise), control: await this.#control.promise }
  }

  /** Says that this release can read the data folder, and resolves once the folder is free. */
  async given(about: string, keeperPid: number): Promise<void> {
    this.#link.pass({ type: 'proved', about, keeperPid })
    await this.#given.promise
  }

  /** Gives what the cells of the old supervisor had no keeper for. */
  onUnkept(listener: (unkept: Unkept) => void): void {
    this.#onUnkept = listener
  }

  /** Gives the lost cells of the old supervisor that no keeper has judged. */
  onLosses(listener: (losses: readonly CellLoss[]) => void): void {
    this.#onLosses = listener
  }

  /** Says that the keeper runs. */
  keeps(): void {
    this.#link.pass({ type: 'keeping' })
  }

  /** Says that every cell serves, and resolves once the base is this supervisor's. From then on no failure leads back. */
  async owner(about: string): Promise<void> {
    this.#link.pass({ type: 'ready', about })
    await this.#owner.promise
  }

  /** Says why this release cannot take over. */
  refuse(error: unknown): void {
    if (this.#hasRefused) return
    this.#hasRefused = true
    const { code, message } = toBerthError(error)
    this.#link.pass({ type: 'refused', code, message })
  }

  /** Resolves when the base stays with the old supervisor, and this process has to end. */
  get sentAway(): Promise<void> {
    return this.#sentAway.promise
  }

  /** Resolves when the old supervisor has ended, and with it all of its processes. */
  get alone(): Promise<void> {
    return this.#alone.promise
  }
}

/**
 * The options for a base that goes on where it is.
 * @throws {BerthError} `OPTION_INVALID` when they say that it should be somewhere else
 */
export function inheritedOptions(options: Options, offer: Offer): Options {
  const { port, host, controlPort, controlHost } = offer
  const wanted = [
    ['--data', realpathSync(options.data), realpathSync(offer.data)],
    ['--host', options.host, host],
    ['--port', options.port || port, port],
    ['--control-host', options.controlHost, controlHost],
    ['--control-port', options.controlPort || controlPort, controlPort],
  ] as const
  for (const [flag, is, was] of wanted) {
    if (is === was) continue
    throw new BerthError(
      'OPTION_INVALID',
      `Cannot take the base over: ${flag} is ${is} now, and the base runs with ${was}. Where it is can change only with a restart`,
    )
  }
  return { ...options, port, controlPort }
}
