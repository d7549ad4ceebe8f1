/**
 * Every change of what a base keeps, as a value. It has a kind, a payload, which is the one wish of one actor, and facts, which had to be
 * found out or made to carry it out. Payload and facts are all that a change needs besides the state before it, so changes can be stored,
 * read, applied again and sent to other bases. They are part of the format of a data folder.
 */
import type { BasePayloads, LostCell, ScenePayloads } from '../contract/change-api.ts'
import type { ExperimentView } from '../contract/experiment-api.ts'
import type { TableFacts } from '../kernel/table-facts.ts'
import type { Experiment, Layer } from '../traffic/rules.ts'
import type { Params, SceneDefinition } from '../traffic/schema.ts'
import type { WhitelistEntry } from '../traffic/table.ts'
import type { DeletedOutcomes, DeletionFacts } from './deletion.ts'
import type { FlipFacts, FlipOutcome, RevertFacts } from './experiments.ts'
import type { ParamsOutcome, ParamsRollbackOutcome, WayBack } from './parameters.ts'
import type { QuarantineOutcome } from './quarantine.ts'
import type { NewVersionOutcome, OfflineOutcome, PartOutcome, Retiring, VersionFacts } from './versions.ts'
import { auditedEdit, auditedUnits, countUnits, type WhitelistCounts } from './whitelist-edit.ts'

export type { BasePayloads, LostCell, ScenePayloads }

type Nothing = Readonly<Record<never, never>>

/** A salt for whatever begins to draw buckets with this change. */
interface Salted {
  readonly salt: string
}

/** What had to be found out or made before the change could be worked out, by the kind of the change of a scene. */
export interface SceneFacts extends DeletionFacts {
  readonly 'import scene': Nothing
  /** The salt is for the segments of the scene's experiments, when the scene is new. */
  readonly 'define scene': Salted
  readonly 'create version': VersionFacts
  readonly 'promote version': Salted
  readonly 'roll back': Nothing
  readonly 'take version offline': Nothing
  readonly 'take versions offline': Nothing
  readonly 'bring version online': Retiring
  /** When it began: ISO 8601, UTC. */
  readonly 'quarantine version': { readonly since: string }
  readonly 'lift quarantine': Nothing
  readonly 'set load-test version': Nothing
  readonly 'edit whitelist': WhitelistFacts
  readonly 'replace whitelist': WhitelistFacts
  readonly 'create experiment': Salted
  readonly 'start experiment': Nothing
  readonly 'stop experiment': Nothing
  readonly 'flip experiment': FlipFacts
  readonly 'revert experiment': RevertFacts
  readonly 'create layer': Salted
  readonly 'retire layer': Nothing
  readonly 'set params': Nothing
  readonly 'roll back params': WayBack
}

/** The whitelist afterwards, whose blob is written already, and how it differs from the one before. */
export interface WhitelistFacts {
  readonly whitelist: WhitelistEntry
  readonly counts: WhitelistCounts
}

/** The answer to the actor who wished for the change, by its kind. */
export interface SceneOutcomes extends DeletedOutcomes {
  readonly 'import scene': Nothing
  readonly 'define scene': { readonly created: boolean }
  readonly 'create version': NewVersionOutcome
  readonly 'promote version': PartOutcome
  readonly 'roll back': PartOutcome
  readonly 'take version offline': PartOutcome
  readonly 'take versions offline': OfflineOutcome
  readonly 'bring version online': PartOutcome
  readonly 'quarantine version': QuarantineOutcome
  readonly 'lift quarantine': QuarantineOutcome
  readonly 'set load-test version': { readonly loadtest: string | null }
  readonly 'edit whitelist': WhitelistCounts
  readonly 'replace whitelist': WhitelistCounts
  readonly 'create experiment': { readonly experiment: ExperimentView }
  readonly 'start experiment': FlipOutcome
  readonly 'stop experiment': FlipOutcome
  readonly 'flip experiment': FlipOutcome
  readonly 'revert experiment': FlipOutcome
  readonly 'create layer': { readonly layer: Layer }
  readonly 'retire layer': { readonly layer: Layer }
  readonly 'set params': ParamsOutcome
  readonly 'roll back params': ParamsRollbackOutcome
}

export type SceneChangeKind = keyof ScenePayloads

/** The kinds that can be wished for. Scenes are imported only by the upgrade of a data folder. */
export type WishKind = Exclude<SceneChangeKind, 'import scene'>

/** One wish for a scene. */
export interface SceneChangeOf<K extends SceneChangeKind> {
  readonly kind: K
  readonly scene: string
  readonly payload: ScenePayloads[K]
}

export type SceneChange = { [K in SceneChangeKind]: SceneChangeOf<K> }[SceneChangeKind]

export interface BaseFacts {
  readonly 'publish module': Nothing
  /** What the cells have found in the file. */
  readonly 'put feature table': TableFacts
  readonly 'roll back feature table': Nothing
  readonly 'delete feature table': Nothing
  readonly 'delete modules': Nothing
  /** The sha256 of the token, hex. The token itself is kept nowhere. */
  readonly 'create token': { readonly hash: string }
  readonly 'revoke token': Nothing
  readonly 'retire cell': Nothing
  readonly 'lose cell': Nothing
  readonly 'upgrade base': Nothing
  readonly 'take profile': Nothing
  readonly 'read capsules': Nothing
  readonly 'import capsule': Nothing
  readonly 'delete capsules': Nothing
  readonly 'limit guesses': Nothing
}

export type BaseChangeKind = keyof BasePayloads
export type ChangeKind = SceneChangeKind | BaseChangeKind

type Payloads = ScenePayloads & BasePayloads
type Facts = SceneFacts & BaseFacts

/** What changes of these kinds are about, before and after them. Changes of other kinds record that for people only. */
interface Traces {
  readonly 'flip experiment': Experiment
  readonly 'set params': { readonly params: Params }
  readonly 'roll back params': { readonly params: Params }
  readonly 'define scene': SceneDefinition
}

/** What every row of the audit log says. */
export interface RowHead {
  /** The number of its commit; rows are ordered by it. */
  readonly revision: number
  /** ISO 8601, UTC. For people: order comes from the revision. */
  readonly at: string
  /** Id of the token that asked for the change, or `base`. */
  readonly who: string
  /** What it was done to: the id of a scene, token or cell, `name@version` of a module, or the name of a feature table. */
  readonly target: string
  /** What happened, as a verb and a noun for people. */
  readonly action: string
  readonly reason?: string
  /** The `Idempotency-Key` that it was sent with. */
  readonly key?: string
}

/** A row of the audit log: a change that was applied. */
export interface ChangeRowOf<K extends ChangeKind> extends RowHead {
  readonly kind: K
  readonly payload: Payloads[K]
  readonly facts: Facts[K]
  readonly before: K extends keyof Traces ? Traces[K] | null : unknown
  readonly after: K extends keyof Traces ? Traces[K] : unknown
}

export type SceneChangeRow = { [K in SceneChangeKind]: ChangeRowOf<K> }[SceneChangeKind]
export type ChangeRow = { [K in ChangeKind]: ChangeRowOf<K> }[ChangeKind]

/** A row that was written before changes were values: what it says is for people only. */
export interface WordsRow extends RowHead {
  readonly kind: null
  readonly payload: null
  readonly facts: null
  readonly before: unknown
  readonly after: unknown
}

export type AuditedChange = ChangeRow | WordsRow

/** The change as the audit log keeps it. It is the same, but of many unit ids only the number is kept. */
export function asAudited(change: SceneChange): SceneChange {
  if (change.kind === 'replace whitelist') return { ...change, payload: { ...change.payload, units: countUnits(change.payload.units) } }
  if (change.kind === 'edit whitelist') return { ...change, payload: auditedEdit(change.payload) }
  if (change.kind !== 'create version' || change.payload.whitelist === undefined) return change
  return { ...change, payload: { ...change.payload, whitelist: auditedUnits(change.payload.whitelist) } }
}
