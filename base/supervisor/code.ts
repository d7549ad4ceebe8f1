/** Which code the base runs: whether a process that is started now would run other code than those that run already. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { messageOf } from '../kernel/errors.ts'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Milliseconds for which one look does: at a start, several processes are started together. */
const LOOK_AGAIN_MS = 1000

export class Code {
  readonly #folder: string
  readonly #first: string
  #last: string
  #lookedAt = performance.now()

  /** @param folder for tests; by default, that of the project */
  constructor(folder = root) {
    this.#folder = folder
    this.#first = digestOf(folder)
    this.#last = this.#first
  }

  /**
   * Looks at the files again, unless they were looked at a moment ago. To be called before each start of a process.
   * @returns whether they have changed since the last look
   */
  look(): boolean {
    const now = performance.now()
    if (now - this.#lookedAt < LOOK_AGAIN_MS) return false
    this.#lookedAt = now
    const before = this.#last
    this.#last = digestOf(this.#folder)
    return this.#last !== before
  }

  /** At the last look. */
  get hasChanged(): boolean {
    return this.#last !== this.#first
  }
}

/** A text that differs when any file of code differs. It takes a few milliseconds: they are read one after the other. */
function digestOf(folder: string): string {
  const hash = createHash('sha256')
  try {
    const files = readdirSync(join(folder, 'base'), { recursive: true, encoding: 'utf8' }).filter(isCode).sort()
    for (const file of files)
      hash
        .update(`${file}\0`)
        .update(readFileSync(join(folder, 'base', file)))
        .update('\0')
  } catch (error) {
    // A file may go while they are read, as in a checkout. That is a change too.
    hash.update(messageOf(error))
  }
  return hash.digest('hex')
}

const isCode = (path: string): boolean => /(?<!\.test)\.[jt]s$/.test(path)
