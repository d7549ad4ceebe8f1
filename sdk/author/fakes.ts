/** Fakes, which answer in a test for everything outside the slot: base services, other scenes and other hosts. */
import { isUtf8 } from 'node:buffer'
import type { ErrorCode } from '../../base/kernel/errors.ts'
import { mayBeRounded, roundedKey } from '../../base/kernel/exact-json.ts'
import type { FakeRequest, FakeResponse } from '../../base/wire/rehearsal-messages.ts'
import type { Bundle } from '../bundle/bundle.ts'
import type { Services } from './author.ts'
import type { Fake, FetchFake } from './testing-api.ts'

/** The fakes of all services, by service and method. */
export type Fakes = Readonly<Record<string, Readonly<Record<string, (...args: unknown[]) => unknown>>>>

export function featuresOf(tables: Readonly<Record<string, Readonly<Record<string, unknown>>>>): Fake<Services['features']> {
  const rowsByTable = new Map(Object.entries(tables).map(([table, rows]) => [table, withKeys(table, rows)]))
  const rowsOf = (table: string) => {
    const rows = rowsByTable.get(table)
    if (rows === undefined) throw withCode('FEATURES_NOT_FOUND', `There is no feature table "${table}" in this test`)
    return rows
  }
  const rowOf = (table: string, key: string | number) => {
    if (typeof key === 'number' && mayBeRounded(key))
      throw withCode('SERVICE_INPUT_INVALID', `Cannot look up a feature row: ${roundedKey(key)}`)
    return rowsOf(table).get(String(key)) ?? null
  }
  return {
    get: rowOf,
    getMany: (table, keys) => keys.map(key => rowOf(table, key)),
    version: table => {
      rowsOf(table)
      return 'test'
    },
  }
}

function withKeys(table: string, rows: Readonly<Record<string, unknown>>): ReadonlyMap<string, object> {
  return new Map(Object.entries(rows).map(([key, row]) => [key, rowWithKey(table, key, row)]))
}

/** A row that has a member `key` keeps it: in a table of a base it may be a number. */
function rowWithKey(table: string, key: string, row: unknown): object {
  const refuse = (why: string) => new TypeError(`Cannot fake the row "${key}" of feature table "${table}": ${why}`)
  if (key === '') throw refuse('its key is empty')
  if (typeof row !== 'object' || row === null || Array.isArray(row)) throw refuse('it is not an object')
  if (!('key' in row)) return { key, ...row }
  if (typeof row.key === 'number' && mayBeRounded(row.key)) throw refuse(roundedKey(row.key))
  if ((typeof row.key === 'string' || typeof row.key === 'number') && String(row.key) === key) return row
  throw refuse(`its member "key" is ${JSON.stringify(row.key)}`)
}

/** One fake for each service that the module declares, and no others, because a base gives a module exactly those. */
export function fakesOf({ manifest: { name, services = [] } }: Bundle, given: Fakes): Fakes {
  const undeclared = Object.keys(given).filter(service => !services.includes(service))
  if (undeclared.length > 0) {
    const list = undeclared.map(service => `"${service}"`).join(', ')
    throw new Error(`Cannot fake ${list}: ${name} does not declare it; add it to berth.services in package.json`)
  }
  return Object.fromEntries(services.map(service => [service, given[service] ?? missingFake(name, service)]))
}

function missingFake(module: string, service: string): Fakes[string] {
  // Every base has this service, even if it has no tables.
  if (service === 'features') return featuresOf({}) as Fakes[string]
  const example = `openSlot(import.meta.dirname, { services: { ${service}: { … } } })`
  throw new Error(`Cannot open a slot for ${module}: it declares service "${service}", and this test has no fake for it: ${example}`)
}

/** @throws FETCH_FORBIDDEN, FETCH_FAILED */
export async function answerFetch(
  { manifest }: Bundle,
  fake: FetchFake | undefined,
  { method, head, body }: FakeRequest,
): Promise<FakeResponse> {
  const { url, headers } = JSON.parse(head) as { url: string; headers: [name: string, value: string][] }
  const { origin } = new URL(url)
  const allowed = (manifest.fetch ?? []).map(host => new URL(host.includes('://') ? host : `https://${host}`).origin)
  if (!allowed.includes(origin)) {
    throw withCode(
      'FETCH_FORBIDDEN',
      `Cannot fetch from "${origin}": ${manifest.name} does not declare it; add it to berth.fetch in package.json`,
    )
  }
  if (fake === undefined) {
    throw withCode(
      'FETCH_FAILED',
      `Cannot fetch "${url}": this test has no fake for it; give one to openSlot: { fetch: request => Response.json(…) }`,
    )
  }
  const content = body && ('text' in body ? body.text : Buffer.from(body.base64, 'base64'))
  const response = await fake(new Request(url, { method, headers, ...(content !== undefined && { body: content }) }))
  const bytes = Buffer.from(await response.arrayBuffer())
  const { status, statusText } = response
  return {
    head: JSON.stringify({ status, statusText, headers: [...response.headers], url, redirected: false }),
    body: isUtf8(bytes) ? { text: bytes.toString('utf8') } : { base64: bytes.toString('base64') },
  }
}

export const withCode = (code: ErrorCode, message: string): Error => Object.assign(new Error(message), { code })
