/** What the tests of the modules stand on. */
import type { TestContext } from 'node:test'
import type { Services, StageContext } from '#sdk/author'

const noTable = (table: string) => Promise.reject(new Error(`Cannot read "${table}": no tables in this test`))

/** A context as a base would give it, for a stage called by hand. Calling another scene throws, and so does any service not given. */
export function stageContext<Params, Request>(
  params: Params,
  request: Request,
  services: Services = { features: { get: noTable, getMany: noTable, version: noTable } },
): StageContext<Params, Request> {
  const ignore = (): void => {}
  return {
    request,
    params,
    scene: 'test',
    version: 'v1',
    unit: undefined,
    requestId: 'test',
    log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    services,
    deadlineMs: () => 200,
    call: scene => Promise.reject(new Error(`Cannot call "${scene}": no other scene in this test`)),
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
