/** The bundles of the modules that a cell has loaded, kept so that each is read once for all slots. */
import { readBlob } from '../folder/blob-files.ts'
import { lockedModules, type SlotPlan } from '../traffic/table.ts'

export class Bundles {
  readonly #data: string
  readonly #known = new Map<string, Promise<string>>()

  /** @param data the data folder */
  constructor(data: string) {
    this.#data = data
  }

  /** The text of a bundle. Rejects when it cannot be read; the next call tries again. */
  read(digest: string): Promise<string> {
    const known = this.#known.get(digest)
    if (known !== undefined) return known
    const reading = readBlob(this.#data, digest).then(bytes => bytes.toString('utf8'))
    reading.catch(() => this.#known.delete(digest))
    this.#known.set(digest, reading)
    return reading
  }

  /** Forgets the bundles that none of these plans has. */
  retain(plans: readonly SlotPlan[]): void {
    const digests = new Set(plans.flatMap(plan => lockedModules(plan.lock).map(module => module.bundle)))
    for (const digest of this.#known.keys()) if (!digests.has(digest)) this.#known.delete(digest)
  }
}
