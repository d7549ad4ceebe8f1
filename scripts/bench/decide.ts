/**
 * `npm run bench:decide`: measures what one decision costs in a scene with 20 running, targeted experiments on disjoint segments, 5 layers of
 * parameters and a whitelist. In the same run it measures @growthbook/growthbook and @openfeature/flagd-core, set up to decide the same.
 */
import { GrowthBookClient } from '@growthbook/growthbook'
import { FlagdCore } from '@openfeature/flagd-core'
import { Bench } from 'tinybench'
import { renderColumns } from '../../base/kernel/columns.ts'
import { checkRules } from '../../base/traffic/check-rules.ts'
import { type DecisionInput, decide } from '../../base/traffic/decide.ts'
import { layOut } from '../../base/traffic/flip.ts'
import type { Condition, SceneRules } from '../../base/traffic/rules.ts'
import { compileTable, type Scene } from '../../base/traffic/scene.ts'
import type { SceneDefinition } from '../../base/traffic/schema.ts'
import { type SceneTable, TABLE_FORMAT } from '../../base/traffic/table.ts'
import type { Attribute } from '../../base/traffic/targeting.ts'
import { describeMachine, readFlags } from './flags.ts'
import { median } from './median.ts'

const flags = readFlags({
  whitelist: { value: 100_000, about: 'units on the whitelist' },
  ms: { value: 1500, about: 'milliseconds for which each library decides in a round' },
  rounds: { value: 3, about: 'rounds, of which medians count' },
})
const { whitelist: whitelistSize, ms: timeMs, rounds } = flags
// GrowthBook reads NODE_ENV in every decision. A bundler would replace it by a constant; a plain object is nearly as fast as that, and the real
// environment is much slower.
process.env = { ...process.env, NODE_ENV: 'production' }

const EXPERIMENTS = 20
const LAYERS = 5
const COUNTRIES = ['CN', 'SG', 'MY', 'TH', 'US']
const TARGETED = ['CN', 'SG', 'MY']
const APPS = ['7.9.1', '8.1.0', '8.2.0', '8.2.3', '9.0.0']
const MIN_APP = '8.2.0'
const everyCountry = (experiment: number) => experiment % 2 === 1

/** One request: the user, the country and the version of the app. */
interface Visit {
  readonly unit: string
  readonly country: string
  readonly app: string
}

/** Visits of different units, one in a hundred of them on the whitelist, so many that no cache helps. */
const STREAM = 1 << 17
const visits: readonly Visit[] = Array.from({ length: STREAM }, (_, i) => ({
  unit: i % 100 === 0 ? listed((i * 7919) % Math.max(1, whitelistSize)) : `user-${(i * 48_271) % 2_147_483_647}`,
  country: COUNTRIES[i % COUNTRIES.length] ?? '',
  app: APPS[(i >> 3) % APPS.length] ?? '',
}))

function listed(i: number): string {
  return `listed-${i}`
}

const indices = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** Decides one visit. @returns the version */
type Decider = (visit: Visit) => string

interface Peer {
  readonly name: string
  readonly setUp: string
  make(whitelist: readonly string[]): Decider
}

// Berth

class Ask implements DecisionInput {
  readonly pin = undefined
  readonly loadtest = false
  readonly requestId = 'r-1'
  readonly unit: string
  readonly #visit: Visit

  constructor(visit: Visit) {
    this.unit = visit.unit
    this.#visit = visit
  }

  attribute({ name }: Attribute): string {
    return name === 'country' ? this.#visit.country : this.#visit.app
  }
}

function berthScene(whitelist: readonly string[]): Scene {
  const definition: SceneDefinition = {
    id: 'home',
    group: [],
    traffic: { unit: { header: 'x-unit-id' }, deadlineMs: 200, spec: { memoryMB: 128 } },
    params: { topK: 3 },
    access: 'public',
    attributes: { country: { header: 'x-country' }, app: { header: 'x-app', type: 'semver' } },
  }
  const width = 10_000 / EXPERIMENTS
  const half = { weight: 5000 }
  const arms = layOut([
    { name: 'control', ...half },
    { name: 'treatment', ...half },
  ]).map(arm => ({ ...arm, share: 5000 }))
  const where = (i: number): Condition =>
    everyCountry(i) ? { attribute: 'app', op: 'gte', value: MIN_APP } : { attribute: 'country', op: 'in', value: TARGETED }
  const common = { phase: 1, unit: 'unit', state: 'running' } as const
  const rules: SceneRules = {
    whitelist: { v2: [...whitelist] },
    segmentSalt: 'home/segments',
    experiments: indices(EXPERIMENTS).map(i => ({
      ...common,
      id: `exp-${i}`,
      salt: `exp-${i}/1`,
      segments: [[i * width, (i + 1) * width]],
      where: [where(i)],
      arms: arms.map((arm, at) => ({ ...arm, version: at === 0 ? 'v1' : 'v2' })),
    })),
    layers: indices(LAYERS).map(i => ({
      id: `layer-${i}`,
      state: 'live',
      salt: `layer-${i}`,
      keys: [`key${i}`],
      experiments: [
        {
          ...common,
          id: `param-${i}`,
          salt: `param-${i}/1`,
          segments: [[0, 10_000]],
          where: [],
          arms: arms.map((arm, at) => ({ ...arm, values: { [`key${i}`]: at } })),
        },
      ],
    })),
  }
  const versions = ['v1', 'v2'].map(id => ({ id, lock: [] }))
  const checked = checkRules(rules, { definition, versions: ['v1', 'v2'], baseline: 'v1' })
  const table: SceneTable = {
    format: TABLE_FORMAT,
    revision: 1,
    scenes: [{ revision: 1, definition, baseline: 'v1', versions, rules: checked }],
    tokens: [],
  }
  const scene = compileTable(table).scenes.get('home')
  if (scene === undefined) throw new Error('The table lost its scene')
  return scene
}

const berth: Peer = {
  name: 'Berth',
  setUp: `one scene; ${EXPERIMENTS} code experiments, each on ${100 / EXPERIMENTS}% of the segments, two arms, one condition; ${LAYERS} layers with one experiment of two arms; the whitelist`,
  make(whitelist) {
    const scene = berthScene(whitelist)
    return visit => decide(scene, new Ask(visit)).plan.version
  },
}

// GrowthBook

const growthBook: Peer = {
  name: '@growthbook/growthbook',
  setUp: `GrowthBookClient; a feature for the version: a force rule on a saved group, then ${EXPERIMENTS} experiment rules with a filter each (its segments), hashVersion 2 and a condition; ${LAYERS} features with one experiment rule; evalFeature for each`,
  make(whitelist) {
    const width = 1 / EXPERIMENTS
    const split = (key: string, variations: unknown[]) => ({
      key,
      variations,
      weights: [0.5, 0.5],
      hashAttribute: 'id',
      hashVersion: 2,
      seed: key,
    })
    const experiments = indices(EXPERIMENTS).map(i => ({
      ...split(`exp-${i}`, ['v1', 'v2']),
      filters: [{ seed: 'home/segments', attribute: 'id', hashVersion: 2, ranges: [[i * width, (i + 1) * width] as [number, number]] }],
      condition: everyCountry(i) ? { app: { $vgte: MIN_APP } } : { country: { $in: TARGETED } },
    }))
    const force = { condition: { id: { $inGroup: 'whitelist' } }, force: 'v2' }
    const params = indices(LAYERS).map(i => [`key${i}`, { defaultValue: 0, rules: [split(`param-${i}`, [0, 1])] }] as const)
    const version = { defaultValue: 'v1', rules: whitelist.length === 0 ? experiments : [force, ...experiments] }
    const client = new GrowthBookClient().initSync({
      payload: { features: { version, ...Object.fromEntries(params) }, savedGroups: { whitelist: [...whitelist] } },
    })
    const keys = params.map(([key]) => key)
    return ({ unit, country, app }) => {
      const user = { attributes: { id: unit, country, app } }
      const chosen: string | null = client.evalFeature('version', user).value
      for (const key of keys) client.evalFeature(key, user)
      return chosen ?? ''
    }
  },
}

// flagd

const none = 'none'

function flagdFlags(whitelist: readonly string[]): Readonly<Record<string, object>> {
  const flag = (variants: readonly (string | number)[], targeting: object) => ({
    state: 'ENABLED',
    variants: Object.fromEntries(variants.map(value => [String(value), value])),
    defaultVariant: String(variants[0]),
    targeting,
  })
  const id = { var: 'targetingKey' }
  const fractional = (salt: string, shares: unknown[]) => ({ fractional: [{ cat: [salt, id] }, ...shares] })
  const half = (salt: string, a: string, b: string) =>
    fractional(salt, [
      [a, 50],
      [b, 50],
    ])
  const where = (i: number) => (everyCountry(i) ? { sem_ver: [{ var: 'app' }, '>=', MIN_APP] } : { in: [{ var: 'country' }, TARGETED] })
  const names = indices(EXPERIMENTS).map(i => `exp-${i}`)
  const experiments = names.map((name, i) => [name, flag(['v1', 'v2'], { if: [where(i), half(name, 'v1', 'v2'), 'v1'] })])
  const params = indices(LAYERS).map(i => [`key${i}`, flag([0, 1], half(`param-${i}`, '0', '1'))])
  return Object.fromEntries([
    ['whitelist', flag([none, 'v2'], { if: [{ in: [id, whitelist] }, 'v2', none] })],
    [
      'segment',
      flag(
        names,
        fractional(
          'home/segments',
          names.map(name => [name, 100 / EXPERIMENTS]),
        ),
      ),
    ],
    ...experiments,
    ...params,
  ])
}

const flagd: Peer = {
  name: '@openfeature/flagd-core',
  setUp: `FlagdCore; a flag "whitelist" (in), a flag "segment" (fractional over ${EXPERIMENTS}), a flag for each experiment (if its condition, fractional) of which the one that the segment names is resolved, ${LAYERS} flags for parameters (fractional)`,
  make(whitelist) {
    const core = new FlagdCore()
    core.setConfigurations(JSON.stringify({ flags: flagdFlags(whitelist) }))
    const keys = indices(LAYERS).map(i => `key${i}`)
    return ({ unit, country, app }) => {
      const context = { targetingKey: unit, country, app }
      const forced = whitelist.length === 0 ? none : core.resolveStringEvaluation('whitelist', none, context).value
      const chosen =
        forced === none
          ? core.resolveStringEvaluation(core.resolveStringEvaluation('segment', '', context).value, 'v1', context).value
          : forced
      for (const key of keys) core.resolveNumberEvaluation(key, 0, context)
      return chosen
    }
  },
}

// The run

const peers = [berth, growthBook, flagd]
const BATCH = 64

/** Microseconds that a decision takes: the median over batches of different visits. */
async function measure(decider: Decider): Promise<number> {
  let at = 0
  let sink = 0
  const bench = new Bench({ time: timeMs, warmupTime: timeMs / 3, iterations: 8, warmupIterations: 2 })
  bench.add('decide', () => {
    for (let i = 0; i < BATCH; i++) sink += decider(visits[at++ & (STREAM - 1)] ?? neverVisit).length
  })
  await bench.run()
  const result = bench.tasks[0]?.result
  if (result?.state !== 'completed' || sink === 0) throw new Error('The bench did not run')
  return (result.latency.p50 * 1000) / BATCH
}

const neverVisit: Visit = { unit: '', country: '', app: '' }

/** How many of 2,000 visits that are not on the whitelist get v2. Similar numbers show that the set-ups decide alike. */
function treated(decider: Decider): string {
  const sample = visits.filter((_, i) => i % 100 !== 0).slice(0, 2000)
  return `${((100 * sample.filter(visit => decider(visit) === 'v2').length) / sample.length).toFixed(1)}%`
}

async function compare(title: string, whitelist: readonly string[]): Promise<readonly number[]> {
  const deciders = peers.map(peer => peer.make(whitelist))
  const runs: number[][] = peers.map(() => [])
  for (let round = 0; round < rounds; round++) for (const [i, decider] of deciders.entries()) runs[i]?.push(await measure(decider))
  const medians = runs.map(median)
  const rows = deciders.map((decider, i) => [
    peers[i]?.name ?? '',
    treated(decider),
    ...[medians[i] ?? Number.NaN, ...(runs[i] ?? [])].map(micros => micros.toFixed(3)),
  ])
  console.log(`\n${title}`)
  console.log(renderColumns(['', 'v2', 'µs a decision', ...indices(rounds).map(i => `round ${i + 1}`)], rows))
  return medians
}

function printRatios(title: string, [own = Number.NaN, ...others]: readonly number[]): void {
  const ratios = others.map((other, i) => `${(other / own).toFixed(1)}x faster than ${peers[i + 1]?.name}`)
  console.log(`${title}: ${own.toFixed(3)} µs, ${ratios.join(', ')}`)
}

console.log(`${describeMachine()}; ${rounds} rounds of ${timeMs} ms, interleaved; ${STREAM} visits`)
for (const { name, setUp } of peers) console.log(`${name}: ${setUp}`)
const withList = await compare(`With a whitelist of ${whitelistSize}`, indices(whitelistSize).map(listed))
const without = await compare('Without the whitelist, as both others search theirs from end to end', [])
console.log()
printRatios('With the whitelist', withList)
printRatios('Without it', without)
