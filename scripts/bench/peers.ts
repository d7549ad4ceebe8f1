/** The peers that the bench compares. Each answers the same ranking on its own port, in its own processes. */
import { type ChildProcess, spawn } from 'node:child_process'
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
import { launchBase, nodeFlags, type RunningBase, root } from '../../test/support/base.ts'

export interface Peer {
  readonly name: string
  readonly setUp: string
  readonly url: string
  /** The processes whose CPU is counted. */
  pids(): Promise<readonly number[]>
  stop(): Promise<unknown>
}

const here = (file: string) => join(root, 'scripts/bench', file)

export async function startFastify(): Promise<Peer> {
  return startNode('bare Fastify', 'Fastify 5, one process, the handler called in it, schema-less JSON', 'fastify-server.ts')
}

export async function startPiscina(): Promise<Peer> {
  const setUp = 'node:http and piscina with one worker thread, bodies and answers as text, 64 tasks at a time in the worker'
  return startNode('worker thread, tuned', setUp, 'piscina-server.ts')
}

export async function startPiscinaObjects(): Promise<Peer> {
  const setUp = 'Fastify 5 and piscina with one worker thread and its own settings, parsed bodies in, values out'
  return startNode('worker thread', setUp, 'piscina-objects-server.ts')
}

async function startNode(name: string, setUp: string, file: string): Promise<Peer> {
  const child = spawn(process.execPath, [...nodeFlags, here(file)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_ENV: 'production' },
  })
  const port = Number(await firstLine(child.stdout))
  return { name, setUp, url: `http://127.0.0.1:${port}/scenes/rank50`, pids: async () => [child.pid ?? 0], stop: () => end(child) }
}

export async function startWorkerd(): Promise<Peer> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-'))
  await build({ entryPoints: [here('workerd.ts')], bundle: true, format: 'esm', outfile: join(folder, 'worker.js'), logLevel: 'error' })
  const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (modules = [(name = "worker", esModule = embed "worker.js")], compatibilityDate = "2026-01-01"))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);`
  await writeFile(join(folder, 'config.capnp'), config)
  const { default: binary } = createRequire(import.meta.url)('workerd') as { default: string }
  const child = spawn(binary, ['serve', 'config.capnp', '--control-fd=3'], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit', 'pipe'] })
  const { port } = JSON.parse(await firstLine(child.stdio[3] as Readable)) as { port: number }
  return {
    name: 'workerd',
    setUp: 'workerd, one isolate in one process, request.json() in, JSON text out',
    url: `http://127.0.0.1:${port}/scenes/rank50`,
    pids: async () => [child.pid ?? 0],
    stop: async () => {
      await end(child)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Starts one base with one cell, as two peers: with the ranking alone, and with a stage before it that calls a base service once. */
export async function startBerth(): Promise<readonly Peer[]> {
  const base = await launchBase({ cells: 1 })
  const { client } = base
  const rows = Array.from({ length: 1000 }, (_, i) => JSON.stringify({ key: `i${i}`, price: i, ctr: 1 / (i + 1), tags: ['a', 'b'] }))
  await mkdir(featuresPath(base.data), { recursive: true })
  await writeFile(join(featuresPath(base.data), 'bench.ndjson'), `${rows.join('\n')}\n`)
  for (const module of ['rank50', 'ask-service']) await publishModule(client, module)
  const ask = { stage: 'ask', modules: ['ask-service@^1'] }
  await makeRanking(client, { id: 'rank50' })
  await makeRanking(client, { id: 'rank50-service', group: [ask, rankStage] })
  const pids = () => pidsOf(base)
  const set = 'supervisor, keeper and one cell, the handler in an isolate of 256 MB; CPU is that of all three'
  return [
    { name: 'Berth', setUp: set, url: `${base.url}/scenes/rank50`, pids, stop: base.kill },
    {
      name: 'Berth, service',
      setUp: 'the same with a first stage that awaits ten rows of a table from one call of the service features',
      url: `${base.url}/scenes/rank50-service`,
      pids,
      stop: base.kill,
    },
  ]
}

export async function publishModule(client: Client, name: string): Promise<void> {
  const bundle = await bundleModule(here(name))
  await uploadBundle(client, bundle)
  await publishBundle(client, bundle)
}

const rankStage = { stage: 'rank', modules: ['rank50@^1'] }

/** Makes a scene that ranks, with a baseline. */
export async function makeRanking(client: Client, scene: Partial<SceneDraft> & { readonly id: string }): Promise<void> {
  const traffic = { deadlineMs: 5000, maxConcurrency: 4096, spec: { memoryMB: 256 } }
  await client.putScene({ group: [rankStage], traffic, ...scene }, undefined)
  await client.createVersion(scene.id, { as: 'baseline' })
}

/** The ids of all processes of a base. */
export async function pidsOf({ client, process: { pid = 0 } }: RunningBase): Promise<number[]> {
  const { cells, keeper } = await client.status()
  return [pid, keeper.pid, ...cells.flatMap(cell => cell.pid ?? [])]
}

async function firstLine(stream: Readable | null): Promise<string> {
  if (stream === null) throw new Error('The peer has no output to say its port on')
  const [line] = await once(createInterface({ input: stream }), 'line')
  return line as string
}

async function end(child: ChildProcess): Promise<void> {
  child.kill()
  await once(child, 'exit')
}
