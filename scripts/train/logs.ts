/** Reads the Open Bandit logs; the columns are described in fixtures/open-bandit/README.md. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { parse } from 'csv-parse/sync'
import type { Item, User } from '../../modules/rank-lr/features.ts'

export const campaigns = ['men', 'women'] as const
export type Campaign = (typeof campaigns)[number]

/** The policies that chose what was shown. */
export const policies = ['random', 'bts'] as const
export type Policy = (typeof policies)[number]

/** One item shown to one user. */
export interface Impression {
  readonly policy: Policy
  /** In UTC, as in the log; timestamps can be compared as strings. */
  readonly timestamp: string
  readonly item: Item
  readonly user: Required<User>
  readonly clicked: boolean
}

export interface CampaignLogs {
  /** The items, in the order of their ids. */
  readonly items: readonly Item[]
  /** The impressions of both policies, oldest first. */
  readonly impressions: readonly Impression[]
}

const folder = join(import.meta.dirname, '../../fixtures/open-bandit')
const affinityPrefix = 'user-item_affinity_'

type Row = Readonly<Record<string, string>>

export async function readLogs(campaign: Campaign): Promise<CampaignLogs> {
  const items = parseRows(await readFile(join(folder, `item_context_${campaign}.csv`))).map(toItem)
  const byId = new Map(items.map(item => [item.itemId, item]))
  const logs = await Promise.all(policies.map(policy => readLog(campaign, policy, byId)))
  return { items, impressions: logs.flat().sort((a, b) => (a.timestamp < b.timestamp ? -1 : Number(a.timestamp > b.timestamp))) }
}

async function readLog(campaign: Campaign, policy: Policy, items: ReadonlyMap<number, Item>): Promise<Impression[]> {
  const rows = parseRows(await promisify(gunzip)(await readFile(join(folder, `${policy}_${campaign}.csv.gz`))))
  return rows.map(row => {
    const item = items.get(number(row, 'item_id'))
    if (!item) throw new Error(`Cannot read the ${policy} log of ${campaign}: item ${row.item_id} has no context`)
    return { policy, timestamp: text(row, 'timestamp'), item, user: toUser(row), clicked: number(row, 'click') === 1 }
  })
}

function toItem(row: Row): Item {
  const hashed = [1, 2, 3].map(index => text(row, `item_feature_${index}`))
  return { itemId: number(row, 'item_id'), numeric: number(row, 'item_feature_0'), hashed }
}

function toUser(row: Row): Required<User> {
  const features = [0, 1, 2, 3].map(index => text(row, `user_feature_${index}`))
  const affinity: Record<string, number> = {}
  for (const column in row) {
    // Nearly all affinities are 0, and these are left out.
    if (column.startsWith(affinityPrefix) && row[column] !== '0.0') affinity[column.slice(affinityPrefix.length)] = number(row, column)
  }
  return { features, affinity }
}

const parseRows = (csv: Buffer): Row[] => parse(csv, { columns: true })

function text(row: Row, column: string): string {
  const value = row[column]
  if (value === undefined || value === '') throw new Error(`Cannot read the logs: a row has no ${column}`)
  return value
}

function number(row: Row, column: string): number {
  const value = Number(text(row, column))
  if (Number.isNaN(value)) throw new Error(`Cannot read the logs: ${column} is not a number: ${row[column]}`)
  return value
}
