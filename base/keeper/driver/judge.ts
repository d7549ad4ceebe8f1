/** Takes in what versions have cost, keeps it, and quarantines those that have cost too much. */
import type { LostCell } from '../../change/change.ts'
import { judgeKills, judgeLosses, type KillReport, recentReports, type Verdict } from '../../change/judging.ts'
import { versionKey } from '../../change/records.ts'
import { BerthError } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import type { Logger } from '../../kernel/log.ts'
import { isQuarantined } from '../../traffic/rules.ts'
import type { CellLoss, SlotKills } from '../../wire/messages.ts'
import type { Book } from '../book/book.ts'
import type { SceneDriver } from './scene-driver.ts'
import { Turns } from './turns.ts'

/** How often a quarantine is tried that another change of the scene comes between. */
const ATTEMPTS = 5
const base = { who: 'base' } as const

export class Judge {
  readonly #book: Book
  readonly #driver: SceneDriver
  readonly #log: Logger
  readonly #turns = new Turns()
  /** Kills of slots by version. They are only in memory: a version that goes on killing its slots is soon found again. */
  readonly #kills = new Map<string, KillReport[]>()

  constructor(book: Book, driver: SceneDriver, log: Logger) {
    this.#book = book
    this.#driver = driver
    this.#log = log
  }

  /**
   * Takes in lost cells, those too that were reported before.
   * @returns the number up to which the losses, and what follows from them, are on disk
   */
  lost(losses: readonly CellLoss[]): Promise<number> {
    return this.#turns.run('losses', async () => {
      for (const loss of losses) this.#book.keepLoss(asKept(loss))
      const verdicts = judgeLosses(this.#book.losses(), (scene, version) => this.#countsFrom(scene, version))
      await Promise.all(verdicts.map(verdict => this.#quarantine(verdict)))
      return losses.at(-1)?.no ?? 0
    })
  }

  /** Takes in the kills of slots in a cell. */
  killed(cell: number, kills: readonly SlotKills[]): void {
    for (const one of kills) {
      this.#takeKills(cell, one).catch((error: unknown) => this.#log.error({ err: error, cell, ...one }, 'kills could not be judged'))
    }
  }

  /** What a cell counts until it has the table with the quarantine is no new evidence, and would count after a lift. */
  async #takeKills(cell: number, { scene, version, why, ...counts }: SlotKills): Promise<void> {
    if (!this.#mayBeQuarantined(scene, version)) return
    const key = versionKey(scene, version)
    const report = { at: this.#book.now().toISOString(), cell, why: cut(why), ...counts }
    const reports = recentReports([...(this.#kills.get(key) ?? []), report])
    const verdict = judgeKills(scene, version, reports)
    if (verdict === undefined) this.#kills.set(key, reports)
    else {
      this.#kills.delete(key)
      await this.#quarantine(verdict)
    }
  }

  /** Before a version was made, its id may have belonged to one that could not be loaded, so that it never came to be. */
  #countsFrom(scene: string, version: string): string | undefined {
    const { scenes } = this.#book
    const made = scenes.find(scene) && scenes.versions(scene).find(({ id }) => id === version)
    return this.#liftedAt(scene, version) ?? made?.createdAt
  }

  /** When the quarantine of the version was lifted last, as far back as losses count. */
  #liftedAt(scene: string, version: string): string | undefined {
    const since = this.#book.now().getTime() - limits.quarantine.lossWindowMs
    for (const row of this.#book.history(scene)) {
      if (Date.parse(row.at) < since) return undefined
      if (row.kind === 'lift quarantine' && row.payload.version === version) return row.at
    }
    return undefined
  }

  /** Whether there is such a version, and it is not in quarantine. */
  #mayBeQuarantined(scene: string, version: string): boolean {
    const { scenes } = this.#book
    const rules = scenes.find(scene)?.rules
    return rules !== undefined && !isQuarantined(rules, version) && scenes.versions(scene).some(({ id }) => id === version)
  }

  async #quarantine({ scene, version, why, evidence }: Verdict, attempt = 1): Promise<void> {
    if (!this.#mayBeQuarantined(scene, version)) return
    const payload = { version, why, evidence: [...evidence] }
    try {
      await this.#driver.apply({ kind: 'quarantine version', scene, payload }, { actor: { ...base, reason: why }, waits: false })
      this.#log.error({ scene, version, why, evidence }, 'version quarantined')
    } catch (error) {
      const isOvertaken = error instanceof BerthError && error.code === 'REVISION_CONFLICT' && attempt < ATTEMPTS
      if (isOvertaken) return this.#quarantine({ scene, version, why, evidence }, attempt + 1)
      this.#log.error({ err: error, scene, version, why }, 'a version could not be quarantined')
      throw error
    }
  }
}

const cut = (why: string): string => why.slice(0, limits.quarantine.whyCharsMax)

/** Suspects that the cell has named come first, so that they are kept when there are too many. */
function asKept({ at, cell, pid, why, endedItself, suspects }: CellLoss): LostCell {
  const sorted = suspects.toSorted((a, b) => Number(b.isNamed) - Number(a.isNamed)).slice(0, limits.quarantine.suspectsKept)
  return {
    ...{ at, cell, pid, why: cut(why), endedItself },
    suspects: sorted.map(({ stage, module, ...rest }) => ({
      ...rest,
      ...(stage === undefined ? {} : { stage }),
      ...(module === undefined ? {} : { module }),
    })),
  }
}
