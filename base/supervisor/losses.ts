/** The cells that were lost to the code that they ran. Each is remembered until the keeper, which judges that code, has kept what follows from it. */
import { limits } from '../kernel/limits.ts'
import type { CellLoss } from '../wire/messages.ts'

export class Losses {
  #pending: readonly CellLoss[] = []
  #lastNo = 0

  /** Those that the keeper has not kept, the oldest first. */
  get pending(): readonly CellLoss[] {
    return this.#pending
  }

  /** Of more than `limits.process.lossesMax`, the oldest is forgotten. */
  add(loss: Omit<CellLoss, 'no'>): void {
    this.#pending = [...this.#pending, { ...loss, no: ++this.#lastNo }].slice(-limits.process.lossesMax)
  }

  /** Forgets the losses up to this number. */
  kept(upTo: number): void {
    this.#pending = this.#pending.filter(({ no }) => no > upTo)
  }
}
