/** Upgrades of the base, as far as the keeper has to do with them: it takes the request, and keeps a row of how each of them went. */

import { takeWish, type UpgradeLog } from '../folder/upgrade-files.ts'
import { BerthError, messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import type { FromKeeper, RunningRelease } from '../wire/messages.ts'
import type { Actor, Book } from './book/book.ts'
import type { Cells } from './cells/cells.ts'

export interface UpgradesParts {
  readonly data: string
  readonly book: Book
  readonly cells: Pick<Cells, 'connected'>
  readonly log: Logger
  /** Asks the supervisor. */
  readonly ask: (message: Extract<FromKeeper, { type: 'upgrade' }>) => void
}

export class Upgrades {
  readonly #parts: UpgradesParts
  #release: RunningRelease | undefined
  /** The upgrade of which there is a row. */
  #kept: string | undefined

  constructor(parts: UpgradesParts) {
    this.#parts = parts
  }

  /** Takes a report of the supervisor. */
  report(release: RunningRelease, upgrade: UpgradeLog | undefined): void {
    this.#release = release
    if (upgrade !== undefined && upgrade.result !== 'running' && upgrade.id !== this.#kept) this.#keep(upgrade)
  }

  /**
   * Has another release take over. How that goes is in the data folder, and at last in the audit log.
   * @param id of the wish in the data folder, which names the release
   * @throws RELEASE_FIXED when the base cannot be upgraded now; RELEASE_INVALID
   */
  start(id: string, timeoutSeconds: number | undefined, { who }: Actor): { readonly id: string } {
    const { data, ask, cells } = this.#parts
    const fixed = this.#release === undefined ? 'it is still starting' : this.#release.fixed
    if (fixed !== null) throw new BerthError('RELEASE_FIXED', `Cannot upgrade the base: ${fixed}`)
    const wish = takeWish(data, id)
    const failing = cells.connected.flatMap(cell => cell.failures.map(({ scene, version }) => `${scene}/${version}`))
    const timeoutMs = timeoutSeconds === undefined ? limits.process.upgradeMs : timeoutSeconds * 1000
    ask({ type: 'upgrade', wish, by: who, timeoutMs, failing: [...new Set(failing)] })
    // Another request may come before the supervisor says so. It would be ignored, and its command wait for ever.
    if (this.#release !== undefined) this.#release = { ...this.#release, fixed: 'an upgrade is under way' }
    return { id }
  }

  /** A row that cannot be kept is no reason to fail: the log of the base says the same. */
  #keep({ id, from, to, result, why, by }: UpgradeLog): void {
    const { book, log } = this.#parts
    const target = `berth@${to.version}`
    try {
      const rows = book.audit(10, undefined, target)
      const isThere = rows.some(row => row.kind === 'upgrade base' && row.payload.id === id)
      const isDone = result === 'done'
      const payload = { id, from, to, isDone, ...(why !== null && { why }) }
      const change = { kind: 'upgrade base', payload, facts: {}, target, before: from, after: isDone ? to : from } as const
      if (!isThere)
        book.commit([], { who: by }, { ...change, action: isDone ? 'upgrade base' : 'go back after an upgrade of the base failed' })
      this.#kept = id
    } catch (error) {
      log.error({ err: error, id }, `a row of the audit log could not be kept: ${messageOf(error)}`)
    }
  }
}
