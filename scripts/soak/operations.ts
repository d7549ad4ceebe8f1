/** The operations of a run: what people do on a base. Each changes or reads what is in force, and is recorded with its outcome. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Applied, Reasoned } from '../../base/contract/common-api.ts'
import { messageOf } from '../../base/kernel/errors.ts'
import { SdkError } from '../../sdk/sdk-error.ts'
import { launchBase, nodeFlags, publishStages, root } from '../../test/support/base.ts'
import type { Failure } from './record.ts'
import type { Routing, Scope } from './routing.ts'
import { EXPERIMENT, FIRST_VERSION, hostileScene, ROUTED, ROUTED_MODULE, taggedStage, units, writeTable } from './scenes.ts'
import { between, type Operation, pick, type Random, type Step } from './schedule.ts'
import { readRouting, type Stage } from './stage.ts'

/** When more versions than this are unused, the oldest are taken offline. */
const SPARE_VERSIONS_MAX = 6
const EXPLAINED_UNITS = 5
/** Within this time every cell has looked for changed tables, which it does twice a second. */
const LOOKED_MS = 1500

type Written = Pick<Applied, 'cells'>

/** Does one operation at a time, and waits after each until it is in force. */
export class Operator {
  readonly #stage: Stage
  readonly #data: string
  #releases = 1
  #generation = 0
  /** The state that is in force, as far as is known. */
  #routing: Routing

  private constructor(stage: Stage, data: string, routing: Routing) {
    this.#stage = stage
    this.#data = data
    this.#routing = routing
  }

  /** Records what is in force at the beginning. */
  static async open(stage: Stage, data: string): Promise<Operator> {
    const routing = await stage.readRouting()
    if (routing === undefined) throw new Error('Cannot begin: the run was ended')
    stage.record({ is: 'routing', at: stage.now(), state: routing, scope: 'nobody' })
    stage.record({ is: 'features', at: stage.now(), state: 0 })
    return new Operator(stage, data, routing)
  }

  async do({ no, kind, random }: Step<Operation>): Promise<void> {
    const { now, record, ending } = this.#stage
    const from = now()
    await attempt(() => this.#liftAll())
    const failure = await attempt(() => this.#act(no, kind, random))
    if (ending.aborted) return
    record({ is: 'operation', at: now(), from, no, kind, ...(failure === undefined ? {} : { failure }) })
  }

  /** Lets the broken versions that the base has quarantined go on, so that the others suffer from them to the end of the run. */
  async #liftAll(): Promise<void> {
    const { client } = this.#stage
    for (const { scene, version } of (await client.status()).quarantined) await client.liftQuarantine(scene, version, { reason: 'soak' })
  }

  #act(no: number, kind: Operation, random: Random): Promise<void> {
    const why = { reason: `soak ${no}` }
    if (kind === 'publish') return this.#publish(no, why)
    if (kind === 'cutover') return this.#change(no, 'rest', () => this.#cutOver(random, why))
    if (kind === 'promote') return this.#change(no, 'rest', () => this.#promote(random, why))
    if (kind === 'rollback') return this.#change(no, 'rest', () => this.#rollBack(random, why))
    if (kind === 'flip') return this.#change(no, 'experiments', () => this.#flip(random, why))
    if (kind === 'whitelist') return this.#change(no, 'whitelist', () => this.#replaceWhitelist(random, why))
    if (kind === 'params') return this.#change(no, 'nobody', () => this.#stage.client.setParams(ROUTED, { params: { step: no }, ...why }))
    if (kind === 'features') return this.#replaceTable()
    if (kind === 'profile') return this.#profile(random)
    return kind === 'follow logs' ? this.#followLogs(random) : this.#backUp(no)
  }

  /**
   * Makes a change, and records what is in force afterwards.
   * @param work resolves with the answer of the base, or undefined when there was nothing to change
   * @throws what `work` throws, after the state in force has been read
   */
  async #change(no: number, scope: Scope, work: () => Promise<Written | undefined>): Promise<void> {
    const stage = this.#stage
    stage.record({ is: 'change', at: stage.now(), of: 'routing' })
    try {
      const answer = await work()
      if (answer !== undefined) stage.record({ is: 'acknowledged', at: stage.now(), no, ...answer.cells })
    } finally {
      await stage.applied('routing', () => stage.whole(0))
      const state = await stage.readRouting()
      if (state !== undefined) {
        stage.record({ is: 'routing', at: stage.now(), state, scope })
        this.#routing = state
      }
    }
    await this.#explain()
  }

  async #explain(): Promise<void> {
    const { client, record, now } = this.#stage
    for (let i = 0; i < EXPLAINED_UNITS; i++) {
      const unit = units[(this.#releases * 7 + i * 11) % units.length] ?? ''
      const { version, because, bucket } = await client.explain(ROUTED, { unit })
      if (because === 'loadtest' || because === 'quarantine')
        throw new Error(`Cannot compare: nothing here is to be answered because of ${because}`)
      record({ is: 'explained', at: now(), unit, said: { version, because, bucket } })
    }
  }

  async #online(): Promise<string[]> {
    const versions = await this.#stage.client.versions(ROUTED)
    return versions.filter(({ online }) => online).map(({ id }) => id)
  }

  async #publish(no: number, why: Reasoned): Promise<void> {
    const { client } = this.#stage
    const tag = `1.${++this.#releases}.0`
    await publishStages(client, ROUTED_MODULE, tag, taggedStage(tag))
    const request = { modules: [`${ROUTED_MODULE}@${tag}`], from: FIRST_VERSION, as: 'dev' as const, reason: why.reason ?? '' }
    await this.#change(no, 'nobody', () => client.createVersion(ROUTED, request))
    await this.#takeOffline()
  }

  /** Takes unused versions offline, the oldest first. */
  async #takeOffline(): Promise<void> {
    const { client } = this.#stage
    const spare = (await client.versions(ROUTED)).filter(({ id, online, uses, kind, previous }) => {
      return online && uses.length === 0 && kind === 'dev' && previous !== true && id !== FIRST_VERSION
    })
    const oldest = spare.map(({ id }) => id).sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)))
    for (const id of oldest.slice(0, -SPARE_VERSIONS_MAX)) await client.setOnline(ROUTED, id, false, { reason: 'no longer used' })
  }

  async #cutOver(random: Random, why: Reasoned): Promise<Written | undefined> {
    const { client } = this.#stage
    const { cutover } = this.#routing
    const share = between(random, 500, 5000)
    if (cutover !== undefined) {
      return client.promote(ROUTED, cutover.version, { to: 'cutover', share: Math.min(9999, cutover.share + share), ...why })
    }
    const version = await this.#pickOther(random)
    return version === undefined ? undefined : client.promote(ROUTED, version, { to: 'cutover', share, ...why })
  }

  async #promote(random: Random, why: Reasoned): Promise<Written | undefined> {
    const version = this.#routing.cutover?.version ?? (await this.#pickOther(random))
    return version === undefined ? undefined : this.#stage.client.promote(ROUTED, version, { to: 'baseline', ...why })
  }

  /** A version that is online and not the baseline. */
  async #pickOther(random: Random): Promise<string | undefined> {
    return pick(
      random,
      (await this.#online()).filter(id => id !== this.#routing.baseline),
    )
  }

  /** Goes back from the cutover, and without one from the baseline, or promotes when there is nothing to go back to yet. */
  async #rollBack(random: Random, why: Reasoned): Promise<Written | undefined> {
    const { client } = this.#stage
    const { cutover, baseline } = this.#routing
    const from = cutover?.version ?? ((await client.versions(ROUTED)).some(({ previous }) => previous === true) ? baseline : null)
    return from === null ? this.#promote(random, why) : client.rollback(ROUTED, { from, ...why })
  }

  async #flip(random: Random, why: Reasoned): Promise<Written | undefined> {
    const { client } = this.#stage
    const arms = this.#routing.experiments.find(({ id }) => id === EXPERIMENT)?.arms ?? []
    const [control, treatment] = [between(random, 100, 4900), between(random, 100, 4900)]
    const meant = arms.map(({ version }) => version)
    const version =
      random() < 0.2
        ? pick(
            random,
            (await this.#online()).filter(id => !meant.includes(id)),
          )
        : undefined
    const request = version === undefined ? { arms: { control, treatment } } : { set: { treatment: { version } }, newPhase: true }
    return client.flip(ROUTED, EXPERIMENT, { ...request, ...why })
  }

  async #replaceWhitelist(random: Random, why: Reasoned): Promise<Written | undefined> {
    const online = await this.#online()
    const lines = units.filter(() => random() < 0.2).map(unit => `${unit},${pick(random, online)}`)
    return this.#stage.client.setWhitelist(
      ROUTED,
      `${[...lines, `changed-${why.reason?.replace(' ', '-')},${FIRST_VERSION}`].join('\n')}\n`,
      why,
    )
  }

  /** Replaces the feature table. The log says when a cell has read it. */
  async #replaceTable(): Promise<void> {
    const stage = this.#stage
    const { base, now, record } = stage
    const generation = ++this.#generation
    const from = base.log.length
    record({ is: 'change', at: now(), of: 'features' })
    const version = createHash('sha256')
      .update(await writeTable(this.#data, generation))
      .digest('hex')
    const isRead = async () => {
      const lines = base.log.slice(from).filter(line => line.msg === 'feature table read' && line.version === version)
      const waiting = stage.roster.ready.filter(({ cell }) => !lines.some(line => line.process === `cell-${cell}`))
      return waiting.length === 0 ? undefined : `not read by cells ${waiting.map(({ cell }) => cell).join(', ')}`
    }
    const isThere = await stage.applied('features', isRead)
    // A retiring cell and its replacement have the same name in the log, so the lines cannot tell them apart. After this time both have looked.
    await stage.rest(LOOKED_MS)
    if (isThere) record({ is: 'features', at: now(), state: generation })
  }

  /** Takes a profile, and sometimes breaks it off, as a person would. */
  async #profile(random: Random): Promise<void> {
    const signal = random() < 0.3 ? AbortSignal.timeout(300) : undefined
    const request = { method: 'POST' as const, body: { kind: 'cpu', seconds: 1 }, ...(signal && { signal }) }
    try {
      await (await this.#stage.client.open(`/api/scenes/${ROUTED}/profiles`, request)).text()
    } catch (error) {
      if (signal?.aborted !== true) throw error
    }
  }

  /** Follows logs for a while, and then just drops the connection. */
  async #followLogs(random: Random): Promise<void> {
    const gone = AbortSignal.timeout(between(random, 200, 2000))
    try {
      const path = `/api/scenes/${hostileScene('throws')}/logs?follow=true`
      await (await this.#stage.client.open(path, { signal: gone })).text()
    } catch (error) {
      if (!gone.aborted) throw error
    }
  }

  /** Makes a backup, and starts a base from it. */
  async #backUp(no: number): Promise<void> {
    const target = join(this.#data, '..', `backup-${no}`)
    const command = [...nodeFlags, join(root, 'base/main.ts'), 'backup', target, '--data', this.#data]
    try {
      await promisify(execFile)(process.execPath, command)
      const restored = await launchBase({ data: target })
      const state = await readRouting(restored.client).finally(() => restored.kill())
      this.#stage.record({ is: 'restored', at: this.#stage.now(), state })
    } finally {
      await rm(target, { recursive: true, force: true })
    }
  }
}

async function attempt(work: () => Promise<void>): Promise<Failure | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    // When an answer breaks off after it has begun, `fetch` throws this error.
    const isCutOff = error instanceof TypeError && error.message === 'terminated'
    return { code: error instanceof SdkError ? error.code : isCutOff ? 'CUT_OFF' : 'FAILED', message: messageOf(error) }
  }
}
