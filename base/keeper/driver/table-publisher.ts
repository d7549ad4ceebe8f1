/** Brings what is committed into force: builds the scene table, saves it, and has the cells switch to it. */
import { tablePath } from '../../folder/paths.ts'
import { sealTable } from '../../folder/saved-table.ts'
import { messageOf } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import type { Logger } from '../../kernel/log.ts'
import { storeFault } from '../../store/faults.ts'
import { writeWhole } from '../../store/files.ts'
import type { SceneTable } from '../../traffic/table.ts'
import type { Book } from '../book/book.ts'
import type { Applied, Cells } from '../cells/cells.ts'
import { Turns } from './turns.ts'

export class TablePublisher {
  readonly #data: string
  readonly #book: Book
  readonly #cells: Cells
  readonly #log: Logger
  readonly #turns = new Turns()
  #saveAgain: NodeJS.Timeout | undefined
  #fault: string | null = null

  constructor(data: string, book: Book, cells: Cells, log: Logger) {
    this.#data = data
    this.#book = book
    this.#cells = cells
    this.#log = log
  }

  /** Why the table could not be saved the last time; null when it could. */
  get fault(): string | null {
    return this.#fault
  }

  /** How many of the cells have the last table in force. */
  applied(): Applied {
    const { connected, table } = this.#cells
    return { applied: connected.filter(({ revision }) => revision >= table.revision).length, connected: connected.length }
  }

  /** Saves the table as of now and resolves when the connected cells have it in force (bounded). */
  async refresh(): Promise<Applied> {
    const { done } = await this.#turns.run('table', async () => {
      const table = this.#book.tables.build()
      await this.#save(table)
      return { done: this.#cells.publish(table) }
    })
    return done
  }

  /** Does as `refresh` does, and waits for nothing. @returns how many cells have the last table in force by now */
  refreshSoon(): Applied {
    this.refresh().catch((error: unknown) => this.#log.error({ err: error }, 'the scene table could not be published'))
    return this.applied()
  }

  /** Saves the table that the cells have been sent. When that fails, it is tried again after a while. */
  save(): Promise<void> {
    return this.#turns.run('table', () => this.#save(this.#cells.table))
  }

  /**
   * A failure is only logged, since what is committed is in force. Until the table is saved, cells that boot without a keeper have the one
   * before.
   */
  async #save(table: SceneTable): Promise<void> {
    clearTimeout(this.#saveAgain)
    try {
      await writeTable(this.#data, table)
      if (this.#fault !== null) this.#log.info('the scene table is saved again')
      this.#fault = null
    } catch (error) {
      this.#fault = messageOf(error)
      this.#log.error({ err: error }, 'the scene table could not be saved')
      this.#saveAgain = setTimeout(() => this.save(), limits.keeper.saveTableAgainMs).unref()
    }
  }
}

/**
 * Only the owner may read the file, because it holds hashes of tokens.
 * @throws STORE_FULL, DATA_UNWRITABLE
 */
async function writeTable(data: string, table: SceneTable): Promise<void> {
  try {
    await writeWhole(tablePath(data), await sealTable(table))
  } catch (error) {
    throw storeFault('save the scene table', error)
  }
}
