/** The part of a base's control API that says who answers in a scene: versions and their parts, whitelist, experiments, layers, parameters. */
import type { Explanation, Step } from '../../base/traffic/explain.ts'
import type { Movement } from '../../base/traffic/flip.ts'
import type { Range } from '../../base/traffic/ranges.ts'
import type { Condition, Experiment, Layer, VersionKind, Whitelist } from '../../base/traffic/rules.ts'
import type { Params, VersionRecord } from '../../base/traffic/schema.ts'

export type { Condition, Explanation, Layer, Movement, Params, Range, Step, VersionKind, Whitelist }

/** Shares are in buckets everywhere: hundredths of a percent, 0 to 10,000. */
export type Share = number

/** Why, for the audit log. */
export interface Reasoned {
  readonly reason?: string | undefined
}

/** Milliseconds each step took in the base, by names such as `trialMs`. */
export type Timings = Readonly<Record<string, number>>

/** Cells that have a change in force, of those connected. */
export interface AppliedCells {
  readonly applied: number
  readonly connected: number
}

/** What every write is answered with. */
export interface Applied {
  /** Of the rules, afterwards. */
  readonly revision: number
  readonly cells: AppliedCells
  readonly timings: Timings
}

export interface VersionState extends VersionRecord {
  readonly kind: VersionKind
  readonly online: boolean
  /** What it is used for, in words. */
  readonly uses: readonly string[]
  /** Of a cutover. */
  readonly share?: Share | null
  /** Whether a rollback goes back to it. */
  readonly previous?: boolean
}

export interface Promotion extends Reasoned {
  /** @default the next step: dev to cutover, cutover to baseline; with a share, the cutover */
  readonly to?: 'cutover' | 'baseline' | undefined
  readonly share?: Share | undefined
}

/** What a change of the part of a version came to. */
export interface Placed extends Applied {
  readonly version: string
  readonly kind: VersionKind
  readonly cutover: { readonly version: string; readonly share: Share } | null
  readonly previousBaseline: string | null
  readonly moved?: Movement
  /** What is no longer possible, in words. */
  readonly warnings: readonly string[]
}

export interface RulesState {
  readonly whitelist: WhitelistState | null
  readonly revision: number
}

export interface WhitelistState {
  readonly digest: string
  readonly units: number
  readonly byVersion: Readonly<Record<string, number>>
}

export interface WhitelistEdit extends Reasoned {
  readonly add?: Whitelist
  readonly remove?: readonly string[]
}

/** Units that were as they were asked to be count in none. */
export interface WhitelistChange extends Applied {
  readonly whitelist: WhitelistState | null
  readonly added: number
  /** By the version they were sent to before. */
  readonly moved: Readonly<Record<string, number>>
  readonly removed: number
}

export interface NewArm {
  readonly name: string
  readonly version?: string
  readonly values?: Params
  readonly share: Share
}

/** An experiment as it is asked for: of versions, or with `layer` of values. */
export interface NewExperiment extends Reasoned {
  readonly id: string
  readonly description?: string | undefined
  readonly layer?: string | undefined
  readonly unit?: 'unit' | 'request' | undefined
  /** Of the units of the scene or the layer. @default all */
  readonly segments?: Share | undefined
  readonly where?: readonly Condition[] | undefined
  readonly versions?: readonly string[] | undefined
  readonly arms: readonly NewArm[]
}

export interface FlipRequest extends Reasoned {
  readonly arms?: Readonly<Record<string, Share>>
  readonly drop?: readonly string[]
  readonly add?: readonly NewArm[]
  /** What arms mean from now on. */
  readonly set?: Readonly<Record<string, { readonly version?: string; readonly values?: Params }>>
  readonly segments?: Share
  readonly where?: readonly Condition[]
  /** Lets a new phase begin; by itself, begins one. */
  readonly newPhase?: boolean
  readonly dryRun?: boolean
}

export interface ArmState {
  readonly share: Share
  readonly ranges: readonly Range[]
}

export type ArmStates = Readonly<Record<string, ArmState>>

export type ExperimentState = Experiment & {
  readonly layer: string | null
  /** Of the scene's or the layer's units. */
  readonly traffic: Share
  readonly inForce: ArmStates
}

export interface ExperimentList {
  readonly experiments: readonly ExperimentState[]
  readonly layers: readonly Layer[]
  readonly revision: number
}

/** What a flip came to, or would. */
export interface Flipped extends Applied {
  readonly experiment: ExperimentState
  readonly before: ArmStates
  readonly after: ArmStates
  readonly segments: { readonly before: readonly Range[]; readonly after: readonly Range[] }
  /** Of all units of the scene or layer: each count out of `of`. */
  readonly moved: Movement & { readonly of: number }
  /** Why a new phase begins, in words; empty: none does. */
  readonly newPhase: readonly string[]
}

export interface ParamsState {
  /** Of the scene. */
  readonly params: Params
  /** What versions set over them. */
  readonly versions: Readonly<Record<string, Params>>
  readonly revision: number
}

export interface ParamsChange extends Applied {
  readonly version: string | null
  readonly before: Params
  readonly after: Params
}

export interface ParamsHistoryEntry {
  readonly revision: number
  readonly at: string
  readonly who: string
  readonly reason?: string
  readonly version: string | null
  readonly before: Params
  readonly after: Params
  /** Whether the scene was defined with them. */
  readonly initial?: true
  /** Of a rollback: the change after which they were as they are again; 0: it was before every change. */
  readonly to?: number
}

export interface ParamsRolledBack extends ParamsChange {
  /** The change after which they were so; null: it was before every change. */
  readonly to: ParamsHistoryEntry | null
}

export interface Question {
  readonly unit?: string | undefined
  readonly pin?: string | undefined
  readonly loadtest?: boolean | undefined
  readonly requestId?: string | undefined
  readonly attributes?: Readonly<Record<string, string>> | undefined
}

/** `revision`: what was read, so that a write meets what was shown or is refused with REVISION_CONFLICT. */
export interface RulesClient {
  promote(scene: string, version: string, promotion: Promotion): Promise<Placed>
  rollback(scene: string, why: Reasoned): Promise<Placed>
  setOnline(scene: string, version: string, online: boolean, why: Reasoned): Promise<Placed>
  /** @param version null: load tests are answered by the baseline */
  setLoadtest(scene: string, version: string | null, why: Reasoned): Promise<Applied & { readonly loadtest: string | null }>
  rules(scene: string): Promise<RulesState>
  /** As lines that `parseWhitelist` reads. */
  whitelist(scene: string): Promise<string>
  /** @param text as `parseWhitelist` reads it; with `version` only the units that are sent to this one are replaced */
  setWhitelist(scene: string, text: string, options: Reasoned & { readonly version?: string | undefined }): Promise<WhitelistChange>
  editWhitelist(scene: string, edit: WhitelistEdit): Promise<WhitelistChange>
  experiments(scene: string): Promise<ExperimentList>
  experiment(scene: string, id: string): Promise<ExperimentState>
  createExperiment(scene: string, experiment: NewExperiment): Promise<Applied & { readonly experiment: ExperimentState }>
  startExperiment(scene: string, id: string, why: Reasoned): Promise<Flipped>
  stopExperiment(scene: string, id: string, why: Reasoned): Promise<Flipped>
  flip(scene: string, id: string, request: FlipRequest, revision?: number): Promise<Flipped>
  revert(scene: string, id: string, request: Reasoned & { readonly dryRun?: boolean }, revision?: number): Promise<Flipped>
  createLayer(scene: string, layer: Reasoned & { readonly id: string; readonly keys: readonly string[] }): Promise<Applied>
  retireLayer(scene: string, id: string, why: Reasoned): Promise<Applied>
  params(scene: string): Promise<ParamsState>
  setParams(
    scene: string,
    change: Reasoned & { readonly params: Params; readonly version?: string | undefined },
    revision?: number,
  ): Promise<ParamsChange & { readonly warnings: readonly string[] }>
  /** Newest first. */
  paramsHistory(scene: string): Promise<readonly ParamsHistoryEntry[]>
  /** Undoes the last change that is not undone yet, or goes back to a revision. */
  rollbackParams(
    scene: string,
    request: Reasoned & { readonly to?: number | undefined; readonly version?: string | undefined },
  ): Promise<ParamsRolledBack>
  explain(scene: string, question: Question): Promise<Explanation>
}

/** How the client talks to the base. */
export interface Transport {
  json<T>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<T>
  /** Asks for what is no JSON. */
  text(path: string): Promise<string>
  /** Sends what is no JSON. */
  putText<T>(path: string, text: string): Promise<T>
}

export function createRulesClient({ json, text, putText }: Transport): RulesClient {
  const pathOf = (scene: string, ...rest: readonly string[]) => ['/api/scenes', ...[scene, ...rest].map(encodeURIComponent)].join('/')
  const post = <T>(path: string, body: unknown, revision?: number) => json<T>('POST', path, body, ifMatch(revision))
  return {
    promote: (scene, version, promotion) => post(pathOf(scene, 'versions', version, 'promote'), promotion),
    rollback: (scene, why) => post(pathOf(scene, 'rollback'), why),
    setOnline: (scene, version, online, why) => post(pathOf(scene, 'versions', version, online ? 'online' : 'offline'), why),
    setLoadtest: (scene, version, why) => json('PUT', pathOf(scene, 'loadtest'), { version, ...why }),
    rules: scene => json('GET', pathOf(scene, 'rules')),
    whitelist: scene => text(pathOf(scene, 'whitelist')),
    setWhitelist: (scene, lines, { version, reason }) => putText(pathOf(scene, 'whitelist') + queryOf({ version, reason }), lines),
    editWhitelist: (scene, edit) => json('PATCH', pathOf(scene, 'whitelist'), edit),
    experiments: scene => json('GET', pathOf(scene, 'experiments')),
    experiment: (scene, id) => json('GET', pathOf(scene, 'experiments', id)),
    createExperiment: (scene, experiment) => post(pathOf(scene, 'experiments'), experiment),
    startExperiment: (scene, id, why) => post(pathOf(scene, 'experiments', id, 'start'), why),
    stopExperiment: (scene, id, why) => post(pathOf(scene, 'experiments', id, 'stop'), why),
    flip: (scene, id, request, revision) => post(pathOf(scene, 'experiments', id, 'flip'), request, revision),
    revert: (scene, id, request, revision) => post(pathOf(scene, 'experiments', id, 'revert'), request, revision),
    createLayer: (scene, layer) => post(pathOf(scene, 'layers'), layer),
    retireLayer: (scene, id, why) => post(pathOf(scene, 'layers', id, 'retire'), why),
    params: scene => json('GET', pathOf(scene, 'params')),
    setParams: (scene, change, revision) => json('PUT', pathOf(scene, 'params'), change, ifMatch(revision)),
    paramsHistory: scene => json('GET', pathOf(scene, 'params', 'history')),
    rollbackParams: (scene, request) => post(pathOf(scene, 'params', 'rollback'), request),
    explain: (scene, question) => post(pathOf(scene, 'explain'), question),
  }
}

const ifMatch = (revision: number | undefined): Record<string, string> => (revision === undefined ? {} : { 'if-match': `"${revision}"` })

function queryOf(members: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}
