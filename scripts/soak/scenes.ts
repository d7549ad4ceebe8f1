/**
 * The scenes of a run: one whose answers say which version, parameters and unit they are from; one that reads feature tables; one of the example
 * modules; one for overloads; and broken ones.
 */
import { randomUUID } from 'node:crypto'
import { cp, mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { featuresPath } from '../../base/folder/paths.ts'
import type { Client } from '../../sdk/api/client.ts'
import { publishBundle, uploadBundle } from '../../sdk/api/publish-steps.ts'
import { bundleModule } from '../../sdk/bundle/bundle.ts'
import { makeScene, publishStages } from '../../test/support/base.ts'
import type { Ask } from './record.ts'
import { between, pick, type Random } from './schedule.ts'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** The scene whose versions, experiment, cutover, whitelist and parameters the operations change. */
export const ROUTED = 'routed'
export const ROUTED_MODULE = 'm-routed'
export const EXPERIMENT = 'exp-soak'
const TABLES = 'tables'
const EXAMPLE = 'example'
const BURST = 'burst'
/** Long enough for requests that have to wait for a paused process or an overload to end, on a machine with other work. */
const DEADLINE_MS = 8000
const BURST_DEADLINE_MS = 1000

/** Every unit id that requests use. */
export const units: readonly string[] = Array.from({ length: 60 }, (_, no) => `unit-${no}`)
/** The first version stays online during the whole run, because pinned requests ask for it. */
export const FIRST_VERSION = 'v1'

/** A request without its id. */
export type Draft = Omit<Ask, 'requestId'> & {
  readonly path: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** The body that is sent; undefined means JSON with a `nonce`. */
  readonly body?: string
}

const refuseAll = ['MODULE_KILLED', 'DEADLINE_EXCEEDED', 'BREAKER_OPEN', 'SCENE_OVERLOADED', 'VERSION_QUARANTINED']

interface Hostile {
  readonly stage: string
  readonly codes: readonly string[]
}

/** Broken modules, each with one fault. */
const hostiles: Readonly<Record<string, Hostile>> = {
  throws: { stage: 'x => { throw new Error("refused: " + x.nonce) }', codes: ['MODULE_THREW', 'BREAKER_OPEN'] },
  loops: { stage: '() => { for (;;); }', codes: refuseAll },
  'fills-memory': { stage: '() => { const kept = []; for (;;) kept.push(new Array(1e5).fill(kept.length)) }', codes: refuseAll },
  'never-settles': { stage: '() => new Promise(() => {})', codes: refuseAll },
  'answers-too-much': { stage: '() => "x".repeat(9_000_000)', codes: ['RESULT_TOO_LARGE', ...refuseAll] },
}

export const hostileScene = (name: string): string => `hostile-${name}`

const sound = { unit: { header: 'x-unit-id' }, deadlineMs: DEADLINE_MS }

/** Sets up all scenes on a fresh base. */
export async function setUp(client: Client, data: string): Promise<void> {
  await mkdir(featuresPath(data), { recursive: true })
  await cp(join(root, 'fixtures/features'), featuresPath(data), { recursive: true })
  await writeTable(data, 0)
  await makeRouted(client)
  const read =
    'async (x, ctx) => ({ generations: (await ctx.services.features.getMany("soak", ["a", "b", "c", "d"])).map(row => row.generation) })'
  await makeScene(client, TABLES, { rank: read }, { traffic: sound }, ['features'])
  await makeExample(client)
  const work = 'x => { let sum = 0; for (let i = 0; i < 250_000; i++) sum += Math.sqrt(i); return sum }'
  await makeScene(
    client,
    BURST,
    { rank: work },
    { traffic: { unit: { header: 'x-unit-id' }, deadlineMs: BURST_DEADLINE_MS, priority: 10 } },
  )
  for (const [name, { stage }] of Object.entries(hostiles)) {
    const traffic = { unit: { header: 'x-unit-id' }, deadlineMs: 400, spec: { memoryMB: 32 } }
    await makeScene(client, hostileScene(name), { rank: stage }, { traffic })
  }
}

/** The code of a version of the module whose answers say which version they are from. */
export const taggedStage = (tag: string): Readonly<Record<string, string>> => ({
  rank: `(x, ctx) => ({ tag: ${JSON.stringify(tag)}, version: ctx.version, unit: ctx.unit ?? null, nonce: x.nonce, step: ctx.params.step })`,
})

async function makeRouted(client: Client): Promise<void> {
  await makeScene(client, ROUTED, taggedStage('1.0.0'), { traffic: sound, params: { step: 0 } })
  await publishStages(client, ROUTED_MODULE, '1.1.0', taggedStage('1.1.0'))
  await client.createVersion(ROUTED, { modules: [`${ROUTED_MODULE}@1.1.0`], as: 'dev', whitelist: ['unit-0', 'unit-1'] })
  const arms = [
    { name: 'control', version: FIRST_VERSION, share: 2000 },
    { name: 'treatment', version: 'v2', share: 2000 },
  ]
  await client.createExperiment(ROUTED, { id: EXPERIMENT, segments: 4000, arms })
  await client.startExperiment(ROUTED, EXPERIMENT, {})
}

/** Sets up a scene with example modules of the repository. */
async function makeExample(client: Client): Promise<void> {
  for (const name of ['recall-all', 'rank-lr', 'diversify']) {
    const bundle = await bundleModule(join(root, 'modules', name))
    await uploadBundle(client, bundle)
    await publishBundle(client, bundle)
  }
  const group = [
    { stage: 'recall', modules: ['recall-all@*'] },
    { stage: 'rank', modules: ['rank-lr@*'] },
    { stage: 'rerank', modules: ['diversify@*'] },
  ]
  await client.putScene({ id: EXAMPLE, group, traffic: sound, params: { campaign: 'men', topK: 3, diversity: 0.3 } }, undefined)
  await client.createVersion(EXAMPLE, { as: 'baseline' })
}

/** Replaces the table in one step. Every row has the number of its generation. @returns the text of the file */
export async function writeTable(data: string, generation: number): Promise<string> {
  const rows = ['a', 'b', 'c', 'd'].map(key => JSON.stringify({ key, generation }))
  const text = `${rows.join('\n')}\n`
  const unfinished = join(featuresPath(data), '.soak.new')
  await writeFile(unfinished, text)
  await rename(unfinished, join(featuresPath(data), 'soak.ndjson'))
  return text
}

/** The next request of a client, which is usually correct and sometimes has a mistake. */
export function nextRequest(random: Random, token: string): Draft {
  const dice = random()
  const unit = random() < 0.9 ? pick(random, units) : undefined
  if (dice < 0.5) return { name: 'routed', path: `/scenes/${ROUTED}`, checks: 'routing', codes: ['OK'], unit }
  if (dice < 0.6) {
    const headers = { 'x-scene-version': FIRST_VERSION, authorization: `Bearer ${token}` }
    return { name: 'pinned', path: `/scenes/${ROUTED}`, checks: 'routing', codes: ['OK'], unit, pin: FIRST_VERSION, headers }
  }
  if (dice < 0.75) return { name: 'tables', path: `/scenes/${TABLES}`, checks: 'features', codes: ['OK'], unit }
  if (dice < 0.9) return { name: 'example', path: `/scenes/${EXAMPLE}`, checks: 'plain', codes: ['OK'], unit, body: '{"user":{}}' }
  return malformed(random, token)
}

function malformed(random: Random, token: string): Draft {
  const path = `/scenes/${ROUTED}`
  const to = (name: string, code: string, more: Partial<Draft>): Draft => ({ name, path, checks: 'plain', codes: [code], ...more })
  const pinned = { 'x-scene-version': 'v999999', authorization: `Bearer ${token}` }
  const mistakes = [
    to('cut-off JSON', 'BODY_MALFORMED', { body: '{"nonce":' }),
    to('no JSON', 'CONTENT_TYPE_UNSUPPORTED', { headers: { 'content-type': 'text/plain' } }),
    to('long unit id', 'UNIT_TOO_LONG', { headers: { 'x-unit-id': 'u'.repeat(between(random, 257, 2000)) } }),
    to('no such scene', 'SCENE_NOT_FOUND', { path: '/scenes/nobody' }),
    to('no such version', 'VERSION_NOT_FOUND', { headers: pinned }),
    to('pin without token', 'UNAUTHENTICATED', { headers: { 'x-scene-version': FIRST_VERSION } }),
    to('wrong method', 'METHOD_NOT_ALLOWED', { method: 'PUT' }),
    to('body too large', 'BODY_TOO_LARGE', { body: JSON.stringify('x'.repeat(1_100_000)) }),
  ]
  return pick(random, mistakes) ?? to('no such scene', 'SCENE_NOT_FOUND', { path: '/scenes/nobody' })
}

/** The next request of the client that calls broken modules. */
export function nextHostile(random: Random): Draft {
  const [name, { codes }] = pick(random, Object.entries(hostiles)) ?? ['throws', { codes: ['MODULE_THREW'] }]
  return { name: hostileScene(name), path: `/scenes/${hostileScene(name)}`, checks: 'plain', codes }
}

export const burst = { scene: BURST, body: '{}', deadlineMs: BURST_DEADLINE_MS } as const
export const newRequestId = (): string => randomUUID()
