/**
 * Modules that are simulated in this process, and how they answer capsules: with recorded or other chance and clocks, in slots that are kept or fresh, and with
 * the noise that CPU and heap have in a real process. A hundred trials take seconds with them.
 */
import type { Answered, Answering, AnsweringJob, Chance } from '../../base/capsule/answered.ts'
import { type Random, seeded } from '../soak/schedule.ts'

/** What a simulated module can do. */
export interface World {
  /** The capsule, as a number that is different for each. */
  readonly request: number
  random(): number
  now(): number
  /** Uses so many milliseconds of CPU. */
  spend(ms: number): void
  /** Waits so many milliseconds of virtual time. */
  wait(ms: number): void
  fetch(host: string): void
  /** Keeps so many bytes for ever. */
  keep(bytes: number): void
  /** Never comes to an end. */
  block(): never
}

export type SimulatedStage = (world: World) => unknown
/** Makes what one slot holds. */
export type SimulatedModule = () => SimulatedStage

const HEAP_BYTES = 8 * 1024 * 1024
const HEAP_BYTES_MAX = 120 * 1024 * 1024
/** Every so many answers of a slot its heap is measured. */
const MEASURED_EACH = 16
const CPU_MS = 0.4

class Killed extends Error {}

interface Slot {
  readonly stage: SimulatedStage
  heapBytes: number
  answered: number
}

/** Answers with the modules of these versions. The same seed gives the same answers. */
export class SimulatedAnswering implements Answering {
  readonly #modules: Readonly<Record<string, SimulatedModule>>
  readonly #seed: number

  constructor(modules: Readonly<Record<string, SimulatedModule>>, seed: number) {
    this.#modules = modules
    this.#seed = seed
  }

  async answer(job: AnsweringJob, take: (answers: readonly Answered[]) => void, signal: AbortSignal): Promise<void> {
    const slots = job.contenders.map(({ plan }) => this.#slot(plan.version))
    for (const capsule of job.capsules) {
      if (signal.aborted) return
      const answers = job.contenders.map(({ plan, chance }, index) => {
        const slot = job.freshness === 'fresh' ? this.#slot(plan.version) : (slots[index] ?? this.#slot(plan.version))
        const answered = this.#answerOne(capsule, slot, chance, `${job.freshness} ${index} ${plan.version}`)
        if (answered.killed) slots[index] = this.#slot(plan.version)
        return answered
      })
      take(answers)
    }
  }

  #slot(version: string): Slot {
    const make = this.#modules[version]
    if (make === undefined) throw new Error(`no module is simulated for version "${version}"`)
    return { stage: make(), heapBytes: HEAP_BYTES, answered: 0 }
  }

  #answerOne(capsule: string, slot: Slot, chance: Chance, contender: string): Answered {
    const machine = seeded(this.#seed, capsule, chance, contender)
    const used = { cpuMs: CPU_MS, waitedMs: 0, hosts: new Set<string>() }
    const world = worldOf(Number(capsule), slot, used, seeded(chance === 'recorded' ? 0 : this.#seed, capsule, chance), machine)
    const { answer, killed } = outcomeOf(() => slot.stage(world))
    slot.answered++
    const cpuMs = used.cpuMs * noisy(machine)
    const hosts = [...used.hosts]
    return {
      ...{
        capsule,
        answer,
        killed,
        hosts,
        cpuMs,
        tookMs: cpuMs + 0.2 * noisy(machine),
        waitedMs: used.waitedMs,
        stageMs: [cpuMs],
        logs: [],
      },
      newCalls: hosts.map(target => ({ kind: 'fetch', target })),
      ...(slot.answered % MEASURED_EACH === 0 && { heapBytes: slot.heapBytes + machine() * 100_000 }),
    }
  }
}

function outcomeOf(run: () => unknown): Pick<Answered, 'answer' | 'killed'> {
  try {
    return { answer: { json: JSON.stringify(run()) }, killed: false }
  } catch (error) {
    const killed = error instanceof Killed
    return { answer: { failure: { code: killed ? 'MODULE_KILLED' : 'MODULE_THREW', message: String(error) } }, killed }
  }
}

/** CPU is measured with noise of some 30 %, and now and then garbage is collected. */
const noisy = (machine: Random): number => Math.exp(0.3 * (machine() + machine() + machine() - 1.5) * 2) * (machine() < 0.02 ? 10 : 1)

function worldOf(
  request: number,
  slot: Slot,
  used: { cpuMs: number; waitedMs: number; readonly hosts: Set<string> },
  chance: Random,
  machine: Random,
): World {
  let at = 1_790_000_000_000 + request * 1000 + Math.floor(chance() * 20)
  return {
    request,
    random: chance,
    now: () => {
      at += chance() * 3
      return Math.floor(at)
    },
    spend: ms => {
      used.cpuMs += ms
    },
    wait: ms => {
      used.waitedMs += ms
    },
    fetch: host => {
      used.hosts.add(host)
    },
    keep: bytes => {
      slot.heapBytes += bytes * (0.9 + machine() * 0.2)
      if (slot.heapBytes > HEAP_BYTES_MAX) throw new Killed('out of memory')
    },
    block: () => {
      throw new Killed('too much CPU')
    },
  }
}
