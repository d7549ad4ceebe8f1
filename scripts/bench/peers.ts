/** What the bench compares. Each peer answers the same ranking on its own port, in its own processes. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { build } from 'esbuild'
import { featuresPath } from '../../base/folder/paths.ts'
import type { SceneDraft } from '../../base/traffic/schema.ts'
import type { Client } from '../../sdk/api/client.ts'
import { publishBundle, uploadBundle } from '../../sdk/api/publish-steps.ts'
import { bundleModule } from '../../sdk/bundle/bundle.ts'
import { callScene, launchBase, nodeFlags, type RunningBase, root } from '../../test/support/base.ts'
import { printComparison } from './comparison.ts'
import { defaultGenerator } from './generator.ts'
import { type Load, type Plan, Rig, type Subject } from './rig.ts'
import type { Announcement } from './servers/announce.ts'

export interface Peer {
  readonly name: string
  readonly setUp: string
  /** One of its scenes, to send requests to. */
  scene(id: string): Promise<Subject>
  stop(): Promise<unknown>
}

const here = (file: string) => join(root, 'scripts/bench', file)

const FASTIFY = 'Fastify 5, one process, the stages are functions that are called in it, without schemas'

export const startFastify = () => startNode('Fastify', FASTIFY, 'fastify.ts')

/** @param flags of Node.js */
export const startFastifyWith = (flags: readonly string[]) =>
  startNode('Fastify with flags', `${FASTIFY}; Node.js with ${flags.join(' ')}`, 'fastify.ts', flags)

export const startFastifyCluster = () =>
  startNode('Fastify, 2 processes', 'the same in two processes behind one port, by node:cluster', 'fastify-cluster.ts')

export const startWorkerTuned = () =>
  startNode(
    'worker thread, tuned',
    'node:http and piscina with one worker thread, bodies and answers as text, 64 tasks at a time',
    'worker-tuned.ts',
  )

export const startWorker = () =>
  startNode('worker thread', 'Fastify 5 and piscina with one worker thread and its own settings, parsed bodies in, values out', 'worker.ts')

async function startNode(name: string, setUp: string, file: string, flags: readonly string[] = []): Promise<Peer> {
  const child = startProcess(process.execPath, [...nodeFlags, ...flags, here(join('servers', file))], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_ENV: 'production' },
  })
  const { port, pids } = JSON.parse(await firstLine(name, child, child.stdout)) as Announcement
  return { name, setUp, scene: sceneAt(name, `http://127.0.0.1:${port}`, async () => pids), stop: () => end(child) }
}

/** Starts a process that ends with this one. */
function startProcess(file: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const child = spawn(file, args, options)
  const kill = () => void child.kill()
  process.once('exit', kill)
  child.once('exit', () => process.off('exit', kill))
  return child
}

export async function startWorkerd(): Promise<Peer> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-'))
  const outfile = join(folder, 'worker.js')
  await build({ entryPoints: [here('servers/workerd.ts')], bundle: true, format: 'esm', outfile, logLevel: 'error' })
  const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (modules = [(name = "worker", esModule = embed "worker.js")], compatibilityDate = "2026-01-01"))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);`
  await writeFile(join(folder, 'config.capnp'), config)
  const { default: binary } = createRequire(import.meta.url)('workerd') as { default: string }
  const name = 'workerd'
  const stdio = ['ignore', 'inherit', 'inherit', 'pipe'] as const
  const child = startProcess(binary, ['serve', 'config.capnp', '--control-fd=3'], { cwd: folder, stdio: [...stdio] })
  const { port } = JSON.parse(await firstLine(name, child, child.stdio[3] as Readable)) as { port: number }
  return {
    name,
    setUp: 'workerd, one isolate in one process, request.json() in, JSON text out',
    scene: sceneAt(name, `http://127.0.0.1:${port}`, async () => [child.pid ?? 0]),
    stop: async () => {
      await end(child)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const sceneAt = (name: string, origin: string, pids: Subject['pids']) => async (id: string) => ({
  name,
  url: `${origin}/scenes/${id}`,
  pids,
})

export interface BerthSettings {
  readonly cells: number
  /** How many scenes it has of which no cell keeps the slots loaded. */
  readonly rareScenes: number
  /** The folder of another checkout of this project. */
  readonly project?: string
}

/** Starts a base with the scenes of the bench. */
export async function startBerth(name: string, { cells, rareScenes, project = root }: BerthSettings): Promise<Peer> {
  const base = await launchBase({ cells, project })
  await defineScenes(base)
  const scene = sceneAt(name, base.url, () => pidsOf(base))
  const headers = { authorization: `Bearer ${base.token}`, 'x-scene-version': 'v1' }
  let rare: Promise<void> | undefined
  return {
    name,
    setUp: `supervisor, keeper and ${cells === 1 ? 'one cell' : `${cells} cells`}, the stages in an isolate of 256 MB; CPU is that of all these processes`,
    async scene(id) {
      if (id !== 'warm' && id !== 'cold') return scene(id)
      rare ??= defineRareScenes(base, rareScenes)
      await rare
      return { ...(await scene('rare')), headers, ...(id === 'cold' ? { before: () => replaceCell(base) } : {}) }
    },
    stop: base.kill,
  }
}

/** One scene that ranks, one with a stage before it that awaits a call of a base service, and one with three modules. */
async function defineScenes({ client, data }: RunningBase): Promise<void> {
  const rows = Array.from({ length: 1000 }, (_, i) => JSON.stringify({ key: `i${i}`, price: i, ctr: 1 / (i + 1), tags: ['a', 'b'] }))
  await mkdir(featuresPath(data), { recursive: true })
  await writeFile(join(featuresPath(data), 'bench.ndjson'), `${rows.join('\n')}\n`)
  for (const module of ['rank50', 'ask-service', 'filter50', 'top10']) await publishModule(client, module)
  await makeRanking(client, { id: 'rank50' })
  await makeRanking(client, { id: 'rank50-service', group: [stage('ask', 'ask-service'), rankStage] })
  await makeRanking(client, { id: 'rank50-three', group: [stage('filter', 'filter50'), rankStage, stage('top', 'top10')] })
}

/** Scenes whose slots no cell loads before a request comes: each has only a version for development, which a request must name. */
async function defineRareScenes({ client }: RunningBase, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await makeRanking(client, { id: `rare-${i}` }, 'dev')
}

/**
 * Has the only cell of a base replaced by a new one, in which nothing is loaded but baselines.
 * @returns milliseconds from the start of the new process until it served, as the supervisor logs them
 */
export async function replaceCell(base: RunningBase): Promise<number> {
  const from = base.log.length
  await base.client.retireCell(1)
  const { ms } = await base.logged(({ msg }) => msg === 'cell ready', from)
  for (const next of ['cell connected', 'cell ended']) await base.logged(({ msg }) => msg === next, from)
  return Number(ms)
}

/** Asks a scene for something that it must answer. */
export async function askOnce(base: RunningBase, scene: string, body: string): Promise<void> {
  const answer = await callScene(base, scene, body, { 'x-unit-id': 'u42' })
  const text = await answer.text()
  if (answer.status !== 200) throw new Error(`Scene "${scene}" answered ${answer.status}: ${text}`)
}

export async function publishModule(client: Client, name: string): Promise<void> {
  const bundle = await bundleModule(here(name))
  await uploadBundle(client, bundle)
  await publishBundle(client, bundle)
}

const stage = (stage: string, module: string) => ({ stage, modules: [`${module}@^1`] })
const rankStage = stage('rank', 'rank50')

/** Makes a scene that ranks, with one version. */
export async function makeRanking(
  client: Client,
  scene: Partial<SceneDraft> & { readonly id: string },
  as: 'baseline' | 'dev' = 'baseline',
): Promise<void> {
  const traffic = { deadlineMs: 5000, maxConcurrency: 4096, spec: { memoryMB: 256 } }
  await client.putScene({ group: [rankStage], traffic, ...scene }, undefined)
  await client.createVersion(scene.id, { as })
}

/** The ids of all processes of a base. */
export async function pidsOf({ client, process: { pid = 0 } }: RunningBase): Promise<number[]> {
  const { cells, keeper } = await client.status()
  return [pid, keeper.pid, ...cells.flatMap(cell => cell.pid ?? [])]
}

/** Compares what requests to scenes of one base cost, the first with the others. */
export async function compareScenes(
  base: RunningBase,
  { scenes, ...plan }: Pick<Plan, 'title' | 'rounds' | 'seconds'> & { readonly scenes: readonly string[] },
  load: Load,
): Promise<void> {
  const rig = new Rig(defaultGenerator())
  try {
    const subjects = scenes.map(name => ({ name, url: `${base.url}/scenes/${name}`, pids: () => pidsOf(base) }))
    const what = { scenario: plan.title, load: `${load.connections} connections`, hasOwnLoad: true, way: rig.bestWay }
    printComparison(await rig.closed({ ...plan, ...what, subjects }, load))
  } finally {
    await rig.stop()
  }
}

/** @throws Error when the process ends, or does not start, before it has written a line */
async function firstLine(name: string, child: ChildProcess, stream: Readable | null): Promise<string> {
  if (stream === null) throw new Error(`${name} has no output to say its port on`)
  const line = once(createInterface({ input: stream }), 'line') as Promise<[string]>
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`${name} ended with ${code} before it served`)
  })
  return (await Promise.race([line, ended]))[0]
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill()
  await once(child, 'exit')
}
