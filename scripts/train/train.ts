/** Derives everything that the example modules know from the logs. The same logs give the same bytes. */
import type { Item, Weights } from '../../modules/rank-lr/features.ts'
import { choosePenalty, clicksOf, type Evaluation, evaluate, fitWeights, splitByTime, withoutLeak } from './click-model.ts'
import { type Campaign, type CampaignLogs, campaigns, type Impression, policies, readLogs } from './logs.ts'

export interface Training {
  /** The text of each file, by its path in the project. */
  readonly files: ReadonlyMap<string, string>
  readonly reports: readonly Report[]
}

export interface Report {
  readonly campaign: Campaign
  readonly penalty: number
  readonly training: { readonly rows: number; readonly clicks: number }
  /** Evaluations on the held-out rows of both logs together, and of each. */
  readonly evaluations: readonly (Evaluation & { readonly log: string })[]
}

interface TrainedWeights extends Weights {
  readonly trainedOn: { readonly rows: number; readonly clicks: number; readonly penalty: number }
}

/** The prior of each item: one click in 200 impressions, which is near the rate of the logs. */
const prior = { alpha: 1, beta: 199 }

export async function train(): Promise<Training> {
  const logs = await Promise.all(campaigns.map(async campaign => ({ campaign, ...(await readLogs(campaign)) })))
  const models = logs.map(({ campaign, impressions }) => ({ campaign, ...trainModel(campaign, impressions) }))
  const files = {
    'modules/recall-all/items.json': byCampaign(logs, ({ items }) => items.map(({ itemId }) => itemId)),
    'modules/rank-lr/weights.json': byCampaign(models, ({ weights }) => weights),
    'modules/policy-bts/counts.json': { prior, logs: policies, campaigns: byCampaign(logs, countItems) },
  }
  const texts = Object.entries(files).map(([path, content]): [string, string] => [path, `${JSON.stringify(content, null, 2)}\n`])
  return {
    files: new Map([...texts, ...logs.flatMap(featureTables)]),
    reports: models.map(({ report }) => report),
  }
}

/** Chooses and evaluates the penalty without the held-out days, and then fits the weights to commit to all days but the leaky one. */
function trainModel(campaign: Campaign, impressions: readonly Impression[]): { weights: TrainedWeights; report: Report } {
  const sound = withoutLeak(impressions)
  const { training, holdout } = splitByTime(sound)
  const penalty = choosePenalty(training)
  const judged = fitWeights(training, penalty)
  const evaluations = [
    { log: 'both', ...evaluate(judged, training, holdout) },
    ...policies.map(policy => ({
      log: policy,
      ...evaluate(
        judged,
        training,
        holdout.filter(row => row.policy === policy),
      ),
    })),
  ]
  return {
    weights: { trainedOn: { ...sizeOf(sound), penalty }, ...fitWeights(sound, penalty) },
    report: { campaign, penalty, training: sizeOf(training), evaluations },
  }
}

const sizeOf = (impressions: readonly Impression[]): { rows: number; clicks: number } => ({
  rows: impressions.length,
  clicks: clicksOf(impressions),
})

/** Counts over all days of both logs, because a click on an item means the same whichever policy has shown it. */
function countItems({ items, impressions }: CampaignLogs): { itemId: number; clicks: number; impressions: number }[] {
  return items.map(({ itemId }: Item) => {
    const shown = impressions.filter(({ item }) => item.itemId === itemId)
    return { itemId, clicks: clicksOf(shown), impressions: shown.length }
  })
}

/** The feature tables that the base serves to `rank-lr`, one row a line. */
function featureTables({ campaign, items, impressions }: CampaignLogs & { readonly campaign: Campaign }): [path: string, text: string][] {
  const table = (name: string, rows: readonly object[]): [string, string] => [
    `fixtures/features/${name}-${campaign}.ndjson`,
    rows.map(row => `${JSON.stringify(row)}\n`).join(''),
  ]
  return [
    table(
      'items',
      items.map(({ itemId, ...features }) => ({ key: String(itemId), ...features })),
    ),
    table(
      'users',
      profiles(impressions).map((features, index) => ({ key: `u${index + 1}`, features })),
    ),
  ]
}

/** The logs have no user ids, so each combination of user features counts as one user. The most frequent ones come first. */
function profiles(impressions: readonly Impression[]): (readonly string[])[] {
  const byProfile = Map.groupBy(impressions, ({ user }) => user.features.join())
  const groups = [...byProfile].sort(([a, rowsA], [b, rowsB]) => rowsB.length - rowsA.length || (a < b ? -1 : 1))
  return groups.map(([profile]) => profile.split(','))
}

function byCampaign<T extends { readonly campaign: Campaign }, R>(entries: readonly T[], pick: (entry: T) => R): Record<string, R> {
  return Object.fromEntries(entries.map(entry => [entry.campaign, pick(entry)]))
}
