/** The table for the cells, built anew only where something has changed. */

import { versionInForce } from '../../change/feature-versions.ts'
import { type FeaturesRecord, type Records, versionKey } from '../../change/records.ts'
import type { KeptScene } from '../../change/scene-state.ts'
import type { TableSource } from '../../kernel/table-facts.ts'
import type { BaseStore } from '../../store/base-store.ts'
import { rulesInForce } from '../../traffic/rules.ts'
import { type SceneEntry, type SceneTable, TABLE_FORMAT } from '../../traffic/table.ts'

export class TableBuilder {
  readonly #store: BaseStore
  readonly #findScene: (scene: string) => KeptScene | undefined
  /** Entries by scene, as of the store's revision `#built`. */
  readonly #entries = new Map<string, SceneEntry>()
  #built = 0

  constructor(store: BaseStore, findScene: (scene: string) => KeptScene | undefined) {
    this.#store = store
    this.#findScene = findScene
  }

  /** What cells know of a scene. */
  entry(scene: KeptScene): SceneEntry {
    this.#update()
    return this.#entries.get(scene.definition.id) ?? this.#make(scene, 0)
  }

  build(): SceneTable {
    this.#update()
    return {
      format: TABLE_FORMAT,
      revision: this.#built,
      scenes: [...this.#entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry),
      features: this.#store.list('features').map(({ key, value }) => ({ name: key, ...sourceOf(value) })),
      tokens: this.#store.list('token').map(({ key, value: { hash, rights } }) => ({ id: key, hash, rights })),
    }
  }

  #update(): void {
    const changed = new Map<string, number>()
    // A deletion has a revision here, so no two states of an entry have the same one.
    for (const { kind, key, revision } of this.#store.changesSince(this.#built)) {
      const scene = sceneOf(kind, key)
      if (scene !== undefined) changed.set(scene, revision)
    }
    for (const [scene, revision] of changed) {
      const kept = this.#findScene(scene)
      if (kept === undefined) this.#entries.delete(scene)
      else this.#entries.set(scene, this.#make(kept, revision))
    }
    this.#built = this.#store.revision
  }

  #make({ definition, baseline, whitelist, online, rules, revisions }: KeptScene, revision: number): SceneEntry {
    const versions = online.flatMap(version => this.#store.get('version', versionKey(definition.id, version))?.value ?? [])
    return {
      ...{ revision, definition, baseline },
      versions: versions.map(({ id, lock }) => ({ id, lock })),
      ...(revisions.rules === 0 ? {} : { rules: rulesInForce(rules) }),
      ...(whitelist === undefined || whitelist.units === 0 ? {} : { whitelist }),
    }
  }
}

function sourceOf(table: FeaturesRecord): Omit<TableSource, 'name'> {
  const { digest, format } = versionInForce(table)
  return { digest, format }
}

function sceneOf(kind: keyof Records, key: string): string | undefined {
  if (kind === 'version' || kind === 'online') return key.slice(0, key.indexOf('/'))
  return kind === 'scene' || kind === 'rules' || kind === 'whitelist' ? key : undefined
}
