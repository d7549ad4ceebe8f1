/** What the tests of the modules stand on. */
import type { TestContext } from 'node:test'
import type { Context, Frozen, Services } from '#sdk/author'

type Rows = Readonly<Record<string, Readonly<Record<string, unknown>>>>

/** Feature tables with these rows, by table and key. */
export function featuresOf(tables: Rows): Services['features'] {
  const read = <Row>(table: string, key: string | number) => {
    const rows = tables[table]
    if (rows === undefined) throw new Error(`Cannot read feature table "${table}": not in this test`)
    return (rows[key] ?? null) as Row | null
  }
  return {
    get: async (table, key) => read(table, key),
    getMany: async (table, keys) => keys.map(key => read(table, key)),
    version: async () => 'test',
  }
}

/** A context as a base would give it, for a stage called by hand. Calling another scene or host fails. */
export function stageContext<Params, Request>(
  params: Frozen<Params>,
  request: Frozen<Request>,
  { unit, services = { features: featuresOf({}) } }: { readonly unit?: string; readonly services?: Services } = {},
): Context<Params, keyof Services, Request> {
  const ignore = (): void => {}
  return {
    request,
    params,
    scene: 'test',
    version: 'v1',
    unit,
    requestId: 'test',
    log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    services,
    deadlineMs: () => 200,
    call: scene => Promise.reject(new Error(`Cannot call "${scene}": no other scene in this test`)),
    fetch: () => Promise.reject(new TypeError('Cannot fetch: no other host in this test')),
  }
}

/** Makes Math.random repeatable until the test ends: mulberry32, a 32-bit generator by Tommy Ettinger. */
export function seedRandom(t: TestContext, seed: number): void {
  const { random } = Math
  t.after(() => Object.assign(Math, { random }))
  let state = seed
  // Not t.mock: it keeps a record of every call, and there are hundreds of thousands.
  Math.random = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
