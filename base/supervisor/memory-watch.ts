/** Knows how much memory the base has, and tells what the kernel killed for want of it from what others killed. */
import type { Machine } from '../kernel/machine.ts'
import { type CellOptions, neededMB } from '../kernel/memory-plan.ts'
import type { MemoryStatus } from '../wire/messages.ts'

export const MEMORY_ADVICE = 'give the base more memory, or take fewer --cells or a smaller --cell-memory-mb'

export class MemoryWatch {
  readonly #options: CellOptions
  readonly #machine: Machine
  /** What the kernel had counted at the last tick, and at the one before it. */
  #counted: number | undefined
  #countedBefore: number | undefined
  #kills = 0
  #lastKillAt: Date | undefined

  constructor(options: CellOptions, machine: Machine) {
    this.#options = options
    this.#machine = machine
    this.#counted = machine.oomKills()
    this.#countedBefore = this.#counted
  }

  /** Call it every `limits.process.heartbeatMs`. */
  tick(): void {
    this.#countedBefore = this.#counted
    this.#counted = this.#machine.oomKills()
  }

  /**
   * Call it for a process of the base that SIGKILL has just ended and that the base has not killed.
   * @returns whether the kernel killed it. The kernel counts before it kills, but it does not say whom; so this is also true when the kernel killed
   * another process of the container in the last second.
   */
  noteKill(): boolean {
    const count = this.#machine.oomKills()
    if (count === undefined || this.#countedBefore === undefined || count <= this.#countedBefore) return false
    this.#kills++
    this.#lastKillAt = new Date()
    return true
  }

  get status(): MemoryStatus {
    const { memoryMB, memoryFile, cores } = this.#machine
    const shortage = `the kernel killed processes of the base, the last at ${this.#lastKillAt?.toISOString()}: ${MEMORY_ADVICE}`
    return {
      limitMB: memoryMB,
      limitFile: memoryFile ?? null,
      neededMB: neededMB(this.#options),
      cores,
      kernelKills: this.#kills,
      shortage: this.#kills === 0 ? null : shortage,
    }
  }
}
