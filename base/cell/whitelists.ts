/** The whitelists that a cell holds. Each is read once from its blob, and kept while a table names it. */
import type { Whitelist } from '../traffic/rules.ts'
import type { SceneTable } from '../traffic/table.ts'
import { indexWhitelist, type VersionByUnit } from '../traffic/whitelist.ts'

export class Whitelists {
  readonly #readBlob: (digest: string) => Promise<Buffer>
  readonly #onUnreadable: (scene: string, error: unknown) => void
  #known: ReadonlyMap<string, VersionByUnit> = new Map()

  constructor(readBlob: (digest: string) => Promise<Buffer>, onUnreadable: (scene: string, error: unknown) => void) {
    this.#readBlob = readBlob
    this.#onUnreadable = onUnreadable
  }

  /** The whitelists that a table names, by digest. One that cannot be read is reported and left out. The next call tries it again. */
  async read(table: SceneTable): Promise<ReadonlyMap<string, VersionByUnit>> {
    const read = await Promise.all(
      [...whitelistsOf(table)].map(async ([digest, scene]) => [digest, await this.#readOne(digest, scene)] as const),
    )
    this.#known = new Map(read.flatMap(([digest, whitelist]) => (whitelist ? [[digest, whitelist]] : [])))
    return this.#known
  }

  async #readOne(digest: string, scene: string): Promise<VersionByUnit | undefined> {
    const known = this.#known.get(digest)
    if (known !== undefined) return known
    try {
      // The whitelist need not be checked: the keeper has checked it, and its digest shows that it is what the keeper wrote.
      return indexWhitelist(JSON.parse((await this.#readBlob(digest)).toString('utf8')) as Whitelist)
    } catch (error) {
      this.#onUnreadable(scene, error)
      return undefined
    }
  }
}

/** The digests of all whitelists that a table names, each with a scene that has it. */
export const whitelistsOf = ({ scenes }: SceneTable): ReadonlyMap<string, string> =>
  new Map(scenes.flatMap(({ definition, whitelist }) => (whitelist ? [[whitelist.digest, definition.id]] : [])))
