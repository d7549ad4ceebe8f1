/** The base of a run, with what faults and operations share: watching it, waiting for it, and recording what happens to it. */
import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { messageOf } from '../../base/kernel/errors.ts'
import type { SceneRules } from '../../base/traffic/rules.ts'
import type { Client } from '../../sdk/api/client.ts'
import { SdkError } from '../../sdk/sdk-error.ts'
import type { RunningBase } from '../../test/support/base.ts'
import { type Leaving, Roster } from './processes.ts'
import type { Disturbance, Ending, Entry } from './record.ts'
import type { Routing } from './routing.ts'
import { ROUTED, ROUTED_MODULE } from './scenes.ts'

const LOOK_MS = 50
/** The time a commit may take to reach every cell when nothing disturbs it, on a machine with other work. */
const APPLIED_MS_MAX = 10_000
const AUDIT_PAGE = 1000

export interface StageSettings {
  readonly base: RunningBase
  readonly cells: number
  readonly now: () => number
  readonly record: (entry: Entry) => void
  readonly note: (line: string) => void
  /** Is aborted when the run ends, so that nothing waits any longer. */
  readonly ending: AbortSignal
}

export class Stage {
  readonly base: RunningBase
  readonly client: Client
  readonly url: string
  /** The scene port. */
  readonly port: number
  readonly cells: number
  readonly now: () => number
  readonly record: (entry: Entry) => void
  readonly note: (line: string) => void
  readonly ending: AbortSignal
  readonly roster: Roster
  /** Processes that this run has killed. */
  readonly injected = new Set<number>()
  /** Processes that this run has asked to retire. */
  readonly asked = new Set<number>()
  #disturbances = 0
  /** How many disturbances are going on, and when the last one ended. */
  #open = 0
  #calmAt = 0

  constructor({ base, cells, now, record, note, ending }: StageSettings) {
    this.base = base
    this.client = base.client
    this.url = base.url
    this.port = Number(new URL(base.url).port)
    this.cells = cells
    this.now = now
    this.record = record
    this.note = note
    this.ending = ending
    this.roster = new Roster(base, ({ pid, how, leaving, suspects }) => {
      record({ is: 'cell ended', at: now(), pid, how, because: this.#endingOf(pid, leaving), suspects })
    })
  }

  #endingOf(pid: number, leaving: Leaving | undefined): Ending {
    if (this.injected.has(pid)) return 'injected'
    if (leaving === 'memory') return 'outgrown'
    const isWanted = (leaving === 'asked' && this.asked.has(pid)) || (leaving === 'stop' && this.ending.aborted)
    return isWanted ? 'retired' : 'itself'
  }

  /** Records that requests may be disturbed from now on. @returns a function that records the end of the disturbance */
  disturb(by: Disturbance, ports?: readonly number[]): () => void {
    const id = ++this.#disturbances
    this.#open++
    this.record({ is: 'disturbed', at: this.now(), id, by, ...(ports === undefined ? {} : { ports }) })
    return () => {
      this.#open--
      this.#calmAt = this.now()
      this.record({ is: 'calm', at: this.now(), id })
    }
  }

  /** Resolves after so many milliseconds, or when the run ends. */
  async rest(ms: number): Promise<void> {
    // `delay` rejects only when it is aborted.
    await delay(ms, undefined, { signal: this.ending }).catch(() => undefined)
  }

  /** Waits until a condition holds. @returns false when it does not hold in time or the run ends */
  async until(holds: () => boolean | Promise<boolean>, msMax: number): Promise<boolean> {
    const startedAt = this.now()
    while (!(await holds())) {
      if (this.now() - startedAt > msMax || this.ending.aborted) return false
      await delay(LOOK_MS)
    }
    return true
  }

  /** Waits until every cell is ready and has the last table. @returns what is missing, when that takes too long */
  async whole(msMax: number): Promise<string | undefined> {
    let missing: string | undefined
    const holds = async () => {
      missing = await this.#missing()
      return missing === undefined
    }
    return (await this.until(holds, msMax)) || this.ending.aborted ? undefined : missing
  }

  async #missing(): Promise<string | undefined> {
    try {
      const { cells, tableRevision } = await this.client.status()
      // A starting cell counts as a disturbance: its start may be delayed for long, because the pause before it doubles with each crash. That it comes
      // back at all is checked after each fault.
      if (cells.some(({ state }) => state === 'starting')) this.#calmAt = this.now()
      const behind = cells.filter(cell => cell.state === 'starting' || !cell.connected || (cell.revision ?? 0) < tableRevision)
      if (behind.length > 0)
        return behind.map(({ cell, state, revision: at }) => `cell ${cell} is ${state} at ${at} of ${tableRevision}`).join(', ')
      const ready = new Set(cells.filter(({ state }) => state === 'ready').map(({ cell }) => cell)).size
      return ready < this.cells ? `${ready} of ${this.cells} cells are ready` : undefined
    } catch (error) {
      if (!(error instanceof SdkError)) throw error
      return error.message
    }
  }

  /**
   * Waits until a change is in force in every cell: as long as there are disturbances, and for a bounded time without any.
   * @returns whether it is in force; if not, that is recorded
   */
  async applied(of: 'routing' | 'features', holds: () => Promise<string | undefined>): Promise<boolean> {
    const from = this.now()
    let seen: string | undefined
    const isThere = async () => {
      seen = await holds()
      return seen === undefined || this.#undisturbedMs(from) > APPLIED_MS_MAX
    }
    await this.until(isThere, Number.POSITIVE_INFINITY)
    if (seen === undefined || this.ending.aborted) return seen === undefined
    this.record({ is: 'unsettled', at: this.now(), of, waited: Math.round(this.now() - from), seen })
    return false
  }

  #undisturbedMs(from: number): number {
    return this.#open > 0 ? 0 : this.now() - Math.max(from, this.#calmAt)
  }

  /** Reads what is in force in the scene `routed`, and waits for the keeper if it is away. Undefined when the run ends in the meantime. */
  async readRouting(): Promise<Routing | undefined> {
    let read: Routing | undefined
    const isRead = async () => {
      try {
        read = await readRouting(this.client)
        return true
      } catch (error) {
        if (!(error instanceof SdkError)) throw error
        return false
      }
    }
    await this.until(isRead, Number.POSITIVE_INFINITY)
    return read
  }

  /** Reads which operations the audit log has, in its last page or in all of it, and records them. */
  async checkAudit({ all = false } = {}): Promise<void> {
    const found: number[] = []
    let before: number | undefined
    try {
      for (;;) {
        const page = await this.#auditPage(before)
        found.push(...page.flatMap(({ reason }) => Number(/^soak (\d+)$/.exec(reason ?? '')?.[1] ?? Number.NaN)).filter(Number.isFinite))
        before = page.at(-1)?.revision
        if (!all || page.length < AUDIT_PAGE) break
      }
      // Operations older than the oldest that was found may be on an earlier page, so only those from it on are checked.
      const since = all ? 0 : Math.min(Number.POSITIVE_INFINITY, ...found)
      this.record({ is: 'audit', at: this.now(), since, found })
    } catch (error) {
      if (!(error instanceof SdkError)) throw error
      this.note(`the audit log could not be read: ${messageOf(error)}`)
    }
  }

  async #auditPage(before: number | undefined): Promise<readonly { readonly revision: number; readonly reason?: string }[]> {
    const path = `/api/audit?limit=${AUDIT_PAGE}&scene=${ROUTED}${before === undefined ? '' : `&before=${before}`}`
    return (await (await this.client.open(path, {})).json()) as { revision: number; reason?: string }[]
  }
}

/** Reads what is in force at one moment. Since that takes several requests, it is read until two readings in a row are equal. */
export async function readRouting(client: Client): Promise<Routing> {
  let before: Routing | undefined
  for (;;) {
    const now = await readRoutingOnce(client)
    if (isDeepStrictEqual(before, now)) return now
    before = now
  }
}

async function readRoutingOnce(client: Client): Promise<Routing> {
  const { rules } = (await (await client.open(`/api/scenes/${ROUTED}/rules`, {})).json()) as { rules: SceneRules }
  const [{ baseline, definition }, versions, { experiments }, listed] = await Promise.all([
    client.scene(ROUTED),
    client.versions(ROUTED),
    client.experiments(ROUTED),
    client.whitelist(ROUTED),
  ])
  const tags = versions.flatMap(({ id, lock }) => {
    const module = lock.flatMap(({ modules }) => modules).find(({ name }) => name === ROUTED_MODULE)
    return module === undefined ? [] : [[id, module.version] as const]
  })
  const running = experiments.filter(({ state, layer }) => state === 'running' && layer === null)
  return {
    baseline: baseline ?? '',
    tags: Object.fromEntries(tags),
    whitelist: Object.fromEntries(listed.split('\n').flatMap(line => (line === '' ? [] : [line.split(/[\t,]/) as [string, string]]))),
    segmentSalt: rules.segmentSalt,
    experiments: running.map(({ id, phase, salt, segments, arms, inForce }) => ({
      ...{ id, phase, salt, segments },
      arms: arms.map(arm => ({ name: arm.name, version: 'version' in arm ? arm.version : '', ranges: inForce[arm.name]?.ranges ?? [] })),
    })),
    cutover: rules.cutover,
    step: definition.params.step,
  }
}
