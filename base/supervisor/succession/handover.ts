/** Hands the base over to another release: takes the actions that `succession.ts` decides on, and keeps the log of them in the data folder. */
import { rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { upgradeCheckPath } from '../../folder/paths.ts'
import { readUpgradeLog, type UpgradeLog, type UpgradeStep, writeUpgradeLog } from '../../folder/upgrade-files.ts'
import type { Logger } from '../../kernel/log.ts'
import { nameOf, type Release } from '../../kernel/origin.ts'
import { dispatcher } from '../../wire/dispatch.ts'
import { type FromHeir, HANDOVER_PROTOCOL, type Offer } from '../../wire/handover-messages.ts'
import type { CellLoss, Unkept } from '../../wire/messages.ts'
import type { ListenHandle } from '../handle.ts'
import type { UpgradeAsked } from '../keeper-process.ts'
import type { LauncherLink } from './launcher-link.ts'
import { type Action, alone, next, type Stage, type Succession, type SuccessionEvent } from './succession.ts'

/** The base, as far as it is handed over. */
export interface BaseInHand {
  readonly data: string
  readonly handle: ListenHandle
  readonly control: ListenHandle
  offer(failing: readonly string[]): Offer
  /** Stops the keeper, at most `limits.process.keeperStopMsMax`, and releases the lock of the data folder. */
  stopKeeper(): Promise<void>
  /** Takes the lock again, and resolves when the keeper runs. */
  takeBack(): Promise<void>
  /** Retires the cells, and ends this process with the last of them. */
  leave(): void
  /** Called when the log of the upgrade has changed. */
  onChange(): void
}

/** Milliseconds that an heir may take to end its processes before it is killed. */
const END_MS_MAX = 3000

export class Handover {
  readonly #base: BaseInHand
  readonly #release: Release
  readonly #link: LauncherLink
  readonly #log: Logger
  #state: Succession = alone
  #asked: UpgradeAsked | undefined
  #upgrade: UpgradeLog | undefined
  #stepAt = 0
  /** When the heir has to serve; and when it is killed that does not end. */
  #timeout: NodeJS.Timeout | undefined
  #killing: NodeJS.Timeout | undefined
  #keeperPid = 0
  /** Whether the base stops, so that no failure leads back to a release that serves. */
  #isStopping = false
  #passed: Promise<void> = Promise.resolve()

  /** @param release that has the base now */
  constructor(base: BaseInHand, release: Release, link: LauncherLink, log: Logger) {
    this.#base = base
    this.#release = release
    this.#link = link
    this.#log = log
    this.#upgrade = readUpgradeLog(base.data)
  }

  /** The last upgrade of the data folder. */
  get upgrade(): UpgradeLog | undefined {
    return this.#upgrade
  }

  /** The release that is about to take over; undefined when none is. */
  get heir(): Release | undefined {
    return this.isUnderWay ? this.#asked?.wish.release : undefined
  }

  get isUnderWay(): boolean {
    return this.#state.is !== 'alone'
  }

  /** Begins. An upgrade that is under way goes on instead. */
  start(asked: UpgradeAsked): void {
    if (this.isUnderWay) return
    const { wish, by, timeoutMs } = asked
    this.#asked = asked
    const { done = 0, failed = 0 } = this.#upgrade?.counts ?? {}
    this.#log.info({ from: nameOf(this.#release), to: nameOf(wish.release), folder: wish.folder, by }, 'base is upgraded')
    this.#note({
      id: wish.id,
      result: 'running',
      from: this.#release,
      to: wish.release,
      by,
      startedAt: new Date().toISOString(),
      endedAt: null,
      why: null,
      steps: [],
      counts: { done, failed },
    })
    this.#timeout = setTimeout(() => this.#take({ type: 'late', seconds: timeoutMs / 1000 }), timeoutMs)
    this.#link.listen<FromHeir>({ onMessage: message => this.#hear(message), onEnded: how => this.#take({ type: 'ended', how }) })
    this.#take({ type: 'asked' })
  }

  /** Says of the upgrade by which this process has got the base that it is done. @throws as the file system */
  noteDone(): void {
    const upgrade = readUpgradeLog(this.#base.data)
    if (upgrade === undefined) return
    const counts = { ...upgrade.counts, done: upgrade.counts.done + 1 }
    this.#upgrade = { ...upgrade, result: 'done', endedAt: new Date().toISOString(), counts }
    writeUpgradeLog(this.#base.data, this.#upgrade)
  }

  /** Gives the release that has the base what cells of this one had no keeper for. */
  passUnkept(unkept: Unkept): void {
    this.#passed = this.#link.pass({ type: 'unkept', ...unkept })
  }

  /** Gives the release that has the base the lost cells that no keeper has judged. */
  passLosses(losses: readonly CellLoss[]): void {
    if (losses.length > 0) this.#passed = this.#link.pass({ type: 'losses', losses })
  }

  /** Resolves when all of that has left this process. */
  get passed(): Promise<void> {
    return this.#passed
  }

  /** Ends an upgrade that is under way, because the base stops. Resolves when no other release has a part of the base, and the log of the upgrade says so. */
  async abort(): Promise<void> {
    this.#isStopping = true
    this.#take({ type: 'failed', why: 'the base was stopped' })
    // Without the launcher, the end of the heir cannot be heard of. It ends by itself then, as this process does.
    const until = performance.now() + 2 * END_MS_MAX
    while (this.#isEnding() && performance.now() < until) await delay(20)
  }

  #isEnding(): boolean {
    return this.#state.is === 'returning' || (this.#state.is === 'failing' && process.connected)
  }

  readonly #hear = dispatcher<FromHeir>(
    'the supervisor',
    {
      hello: ({ protocol }) =>
        this.#take(
          protocol === HANDOVER_PROTOCOL
            ? { type: 'hello' }
            : {
                type: 'failed',
                why: `it takes bases over by protocol ${protocol}, and this release by ${HANDOVER_PROTOCOL}: stop the base and start the other release`,
              },
        ),
      proved: ({ about, keeperPid }) => {
        this.#keeperPid = keeperPid
        this.#take({ type: 'proved' }, about)
      },
      keeping: () => this.#take({ type: 'keeping' }),
      ready: ({ about }) => this.#take({ type: 'ready' }, about),
      refused: ({ code, message }) => this.#take({ type: 'failed', why: code === 'RELEASE_REFUSED' ? message : `${message} (${code})` }),
    },
    sentence => this.#log.error(sentence),
  )

  /** @param about what the step that ends with the event has found, for people */
  #take(event: SuccessionEvent, about?: string): void {
    const before = this.#state
    const { state, actions } = next(before, event)
    this.#state = state
    if (event.type === 'ended') clearTimeout(this.#killing)
    // A step that fails stays open.
    if ((state.is === 'passing' || state.is === 'left') && stageOf(before) !== stageOf(state))
      this.#step(stageOf(before), stageOf(state), about)
    for (const action of actions) this.#do(action, before)
  }

  #do(action: Action, before: Succession): void {
    if (action.do === 'start heir') this.#link.start(this.#asked?.wish.command ?? [])
    if (action.do === 'offer') this.#offer()
    if (action.do === 'stop keeper') void this.#base.stopKeeper().then(() => this.#take({ type: 'stopped' }))
    if (action.do === 'give') this.#link.pass({ type: 'give' })
    if (action.do === 'leave') this.#leave()
    // What has not said anything has no processes of its own yet, and may hang.
    if (action.do === 'end heir') this.#endHeir(stageOf(before) === 'start' ? 0 : END_MS_MAX)
    if (action.do === 'take back') void this.#takeBack()
    if (action.do === 'report') this.#report(action.why)
  }

  #offer(): void {
    const { handle, control } = this.#base
    this.#link.pass({ type: 'offer', ...this.#base.offer(this.#asked?.failing ?? []) }, handle)
    this.#link.pass({ type: 'control' }, control)
  }

  #leave(): void {
    clearTimeout(this.#timeout)
    // First the launcher knows whose the base is, so that the heir never acts for a base that ends with this process.
    this.#link.yield()
    this.#link.pass({ type: 'yours' })
    this.#base.leave()
  }

  /** It can end its keeper and cells, also those that hang, and the launcher cannot. */
  #endHeir(msMax: number): void {
    clearTimeout(this.#timeout)
    this.#link.pass({ type: 'end' })
    this.#killing = setTimeout(() => this.#link.end(), msMax)
  }

  async #takeBack(): Promise<void> {
    await ended(this.#keeperPid)
    await this.#base.takeBack()
    this.#take({ type: 'returned' })
  }

  #report(why: string): void {
    clearTimeout(this.#timeout)
    const upgrade = this.#upgrade
    if (upgrade === undefined) return
    rmSync(upgradeCheckPath(this.#base.data), { recursive: true, force: true })
    const { counts, to, from } = upgrade
    const isStopped = this.#isStopping
    const outcome = isStopped ? 'no release serves' : `${nameOf(from)} serves on, because of ${nameOf(to)}`
    this.#log.error({ to: nameOf(to), why }, `base is not upgraded: ${outcome}: ${why}`)
    const endedAt = new Date().toISOString()
    const ended = { result: 'failed', why, isStopped, endedAt, counts: { ...counts, failed: counts.failed + 1 } } as const
    this.#note({ ...upgrade, ...ended })
  }

  #step(ended: Stage | undefined, begun: Stage | undefined, about: string | undefined): void {
    if (this.#upgrade === undefined) return
    const now = performance.now()
    const ms = Math.round(now - this.#stepAt)
    this.#stepAt = now
    const past = this.#upgrade.steps.map(step =>
      step.step === ended && step.ms === null ? { ...step, ms, ...(about !== undefined && { about }) } : step,
    )
    if (ended !== undefined) this.#log.info({ step: ended, ms, about }, 'step of the upgrade is over')
    const steps: UpgradeStep[] = begun === undefined ? past : [...past, { step: begun, ms: null }]
    this.#note({ ...this.#upgrade, steps })
  }

  /** A log that cannot be written is no reason to fail: the status of the base says the same. */
  #note(upgrade: UpgradeLog): void {
    this.#upgrade = upgrade
    try {
      writeUpgradeLog(this.#base.data, upgrade)
    } catch (error) {
      this.#log.warn({ err: error }, 'the log of the upgrade cannot be written: the command that asked for it does not see how it goes')
    }
    this.#base.onChange()
  }
}

const stageOf = (state: Succession): Stage | undefined => (state.is === 'passing' ? state.stage : undefined)

/**
 * Resolves when the process has ended, whose parent has. One that hangs is killed. In a container nobody may take note of its end: then it seems to be there
 * for ever.
 */
async function ended(pid: number): Promise<void> {
  if (await endsWithin(pid, END_MS_MAX)) return
  kill(pid)
  await endsWithin(pid, END_MS_MAX)
}

async function endsWithin(pid: number, ms: number): Promise<boolean> {
  const until = performance.now() + ms
  while (pid > 0 && isAlive(pid)) {
    if (performance.now() > until) return false
    await delay(20)
  }
  return true
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended just now.
  }
}

/** Says of an upgrade during which everything has ended that it failed. Call it at the start of a base that takes over from nobody. */
export function endInterrupted(data: string, log: Logger): void {
  try {
    noteInterrupted(data)
  } catch (error) {
    log.warn({ err: error }, 'the log of the last upgrade cannot be written')
  }
}

function noteInterrupted(data: string): void {
  const upgrade = readUpgradeLog(data)
  if (upgrade?.result !== 'running') return
  const { counts } = upgrade
  const why = 'the base ended in the meantime'
  writeUpgradeLog(data, {
    ...upgrade,
    result: 'failed',
    why,
    endedAt: new Date().toISOString(),
    counts: { ...counts, failed: counts.failed + 1 },
  })
}
