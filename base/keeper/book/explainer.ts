/** Explains decisions as cells make them, on the same entry of the table and compiled by the same code. */
import { randomUUID } from 'node:crypto'
import type { ExplainRequest } from '../../contract/explain-api.ts'
import { BerthError } from '../../kernel/errors.ts'
import type { Blobs } from '../../store/blobs.ts'
import { type Explanation, explain } from '../../traffic/explain.ts'
import { type CompiledTable, compileTable, type Scene } from '../../traffic/scene.ts'
import { type SceneEntry, TABLE_FORMAT } from '../../traffic/table.ts'
import { indexWhitelist, unitFault } from '../../traffic/whitelist.ts'
import type { Book } from './book.ts'
import { readWhitelist } from './whitelist-blob.ts'

export class Explainer {
  readonly #book: Book
  readonly #blobs: Blobs
  /** The scene that was asked about last. */
  #compiled: CompiledTable | undefined

  constructor(book: Book, blobs: Blobs) {
    this.#book = book
    this.#blobs = blobs
  }

  /** @throws SCENE_NOT_FOUND, SCENE_WITHOUT_BASELINE, VERSION_NOT_FOUND, ATTRIBUTE_UNKNOWN, UNIT_TOO_LONG */
  async explain(
    id: string,
    { unit, pin, loadtest = false, requestId = randomUUID(), attributes = {} }: ExplainRequest,
  ): Promise<Explanation> {
    const scene = await this.#compile(this.#book.tables.entry(this.#book.scenes.get(id)))
    const unknown = Object.keys(attributes).find(name => !scene.attributes.has(name))
    if (unknown !== undefined) {
      const known = [...scene.attributes.keys()].join(', ') || 'none'
      throw new BerthError('ATTRIBUTE_UNKNOWN', `Cannot explain with the attribute "${unknown}": scene "${id}" declares ${known}`)
    }
    const fault = unit === undefined || unit === '' ? undefined : unitFault(unit)
    if (fault !== undefined) throw new BerthError('UNIT_TOO_LONG', `Cannot explain: the request ${fault}`)
    return explain(scene, { pin, loadtest, unit: unit === '' ? undefined : unit, requestId, attribute: ({ name }) => attributes[name] })
  }

  async #compile(entry: SceneEntry): Promise<Scene> {
    const { id } = entry.definition
    const known = this.#compiled?.scenes.get(id)
    if (known?.revision === entry.revision) return known
    const { whitelist } = entry
    const units = whitelist && indexWhitelist(await readWhitelist(this.#blobs, whitelist))
    const whitelists = new Map(whitelist && units ? [[whitelist.digest, units]] : [])
    const compiled = compileTable({ format: TABLE_FORMAT, revision: entry.revision, scenes: [entry], tokens: [] }, undefined, whitelists)
    const scene = compiled.scenes.get(id)
    if (scene === undefined) throw new BerthError('INTERNAL', `Cannot explain scene "${id}": the table lost it`)
    this.#compiled = compiled
    return scene
  }
}
