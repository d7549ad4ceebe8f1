/** Recall over a catalogue small enough to rank whole: every item of the campaign is a candidate. */
import type { Stage } from '#sdk/author'
import items from './items.json' with { type: 'json' }

/** What is known of the item is in the feature tables of the base, for the stage that needs it. */
export interface Candidate {
  readonly itemId: number
}

export interface Body {
  readonly user?: {
    /** `user_feature_0` to `user_feature_3` of the logs, as hashed there. A value the logs do not have is legal and says nothing. */
    readonly features?: readonly string[]
    /** Past clicks of this user by item id; items left out have none. */
    readonly affinity?: Readonly<Record<string, number>>
  }
  /** Ids of items not to show, such as those already bought. Ids the campaign does not have are ignored. */
  readonly exclude?: readonly number[]
}

export interface Params {
  readonly campaign: string
}

/** More is a defect of the caller, and sums of such numbers would run into infinity. */
const CLICKS_MAX = 1_000_000

// Stages share values by reference and requests share this table, so a stage that wrote to a candidate must throw, not spoil the next request.
const candidateOf = (itemId: number): Candidate => Object.freeze({ itemId })
const catalogue = new Map(Object.entries(items).map(([campaign, ids]) => [campaign, ids.map(candidateOf)]))

/** @throws TypeError that names the part of the body that does not fit, and an Error for a campaign without items. */
export const recall: Stage<unknown, Candidate[], { params: Params }> = (input, { params }) => {
  const { exclude = [] } = checkBody(input)
  const excluded = new Set(exclude)
  return itemsOf(params.campaign).filter(item => !excluded.has(item.itemId))
}

/** Candidates that nobody can write to. */
export function itemsOf(campaign: string): readonly Candidate[] {
  const found = catalogue.get(campaign)
  if (found) return found
  throw new Error(`Cannot recall items: params.campaign must be one of ${[...catalogue.keys()].join(', ')}, got ${show(campaign)}`)
}

function checkBody(input: unknown): Body {
  if (!isRecord(input)) refuse('the body must be an object such as {"user": {"features": [...]}}', input)
  const { user, exclude } = input
  if (user !== undefined) checkUser(user)
  if (exclude !== undefined && !(Array.isArray(exclude) && exclude.every(isItemId))) refuse('exclude must be a list of item ids', exclude)
  return input
}

function checkUser(user: unknown): void {
  if (!isRecord(user)) refuse('user must be an object', user)
  const { features, affinity } = user
  const fourStrings = Array.isArray(features) && features.length === 4 && features.every(value => typeof value === 'string')
  if (features !== undefined && !fourStrings) refuse('user.features must be a list of 4 strings', features)
  if (affinity === undefined) return
  if (!isRecord(affinity)) refuse('user.affinity must be an object of past clicks by item id', affinity)
  for (const [itemId, clicks] of Object.entries(affinity)) {
    if (!/^\d+$/.test(itemId)) refuse('user.affinity must have item ids as its keys', itemId)
    const possible = typeof clicks === 'number' && clicks >= 0 && clicks <= CLICKS_MAX
    if (!possible) refuse(`user.affinity["${itemId}"] must be a number of clicks from 0 to ${CLICKS_MAX}`, clicks)
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isItemId = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0

function refuse(expected: string, got: unknown): never {
  throw new TypeError(`Cannot recall items: ${expected}, got ${show(got)}`)
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
