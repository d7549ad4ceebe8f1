/** What `npm run bench` measures: each scenario compares peers under one load. */
import {
  type BerthSettings,
  type Peer,
  startBerth,
  startFastify,
  startFastifyCluster,
  startWorker,
  startWorkerd,
  startWorkerTuned,
} from './peers.ts'
import { sampleInput } from './rank50/index.ts'
import type { Subject, Way } from './rig.ts'

/** A closed loop; an open loop at half of the rate that Fastify reaches in `connections-32`; or one request to each of many scenes. */
export type ScenarioLoad = { readonly connections: number } | 'half of the most' | 'one by one'

export interface Scenario {
  readonly title: string
  /** Peers and the scene that is asked of each. The first is what others are compared with. */
  readonly subjects: readonly (readonly [PeerName, string?])[]
  /** Candidates in a body, of about sixty bytes each. @default 50 */
  readonly candidates?: number
  readonly load: ScenarioLoad
  readonly ways: readonly Way[]
}

const both = ['pinned', 'free'] as const
const twoPeers = [['fastify'], ['berth']] as const

export const scenarios = {
  'connections-2': { title: '2 connections', load: { connections: 2 }, subjects: twoPeers, ways: both },
  'connections-32': {
    title: '32 connections',
    load: { connections: 32 },
    subjects: [['fastify'], ['berth'], ['worker-tuned'], ['worker'], ['workerd']],
    ways: both,
  },
  'connections-256': { title: '256 connections', load: { connections: 256 }, subjects: twoPeers, ways: both },
  'body-small': { title: 'Bodies of 0.3 KB', load: { connections: 32 }, candidates: 4, subjects: twoPeers, ways: both },
  'body-large': { title: 'Bodies of 30 KB', load: { connections: 32 }, candidates: 500, subjects: twoPeers, ways: both },
  'two-cells': {
    title: 'Two cells, two processes',
    load: { connections: 64 },
    subjects: [['fastify-cluster'], ['berth-2']],
    ways: ['free'],
  },
  'three-modules': {
    title: 'Three modules',
    load: { connections: 32 },
    subjects: [
      ['fastify', 'rank50-three'],
      ['berth', 'rank50-three'],
    ],
    ways: both,
  },
  awaits: {
    title: 'A stage that awaits a service',
    load: { connections: 32 },
    subjects: [['berth'], ['berth', 'rank50-service']],
    ways: both,
  },
  'half-rate': {
    title: 'Half of what Fastify answers at most',
    load: 'half of the most',
    subjects: twoPeers,
    ways: both,
  },
  cold: {
    title: 'A scene whose slot is not loaded',
    load: 'one by one',
    subjects: [
      ['berth', 'warm'],
      ['berth', 'cold'],
    ],
    ways: ['pinned'],
  },
} as const satisfies Readonly<Record<string, Scenario>>

export type ScenarioName = keyof typeof scenarios

type Settings = Pick<BerthSettings, 'rareScenes'>

const starters = {
  fastify: startFastify,
  'fastify-cluster': startFastifyCluster,
  'worker-tuned': startWorkerTuned,
  worker: startWorker,
  workerd: startWorkerd,
  berth: (settings: Settings) => startBerth('Berth', { ...settings, cells: 1 }),
  'berth-2': (settings: Settings) => startBerth('Berth, 2 cells', { ...settings, cells: 2 }),
} as const satisfies Readonly<Record<string, (settings: Settings) => Promise<Peer>>>

export type PeerName = keyof typeof starters
export const peerNames = Object.keys(starters) as PeerName[]

/** Peers, each of which is started when it is first needed and runs until the end. */
export class Peers {
  readonly #running = new Map<string, Promise<Peer>>()
  readonly #against: readonly string[]
  readonly #settings: Settings
  readonly #onStart: (peer: Peer) => void

  /** @param against folders of other checkouts, a base of each of which is compared wherever Berth is */
  constructor(against: readonly string[], settings: Settings, onStart: (peer: Peer) => void) {
    this.#against = against
    this.#settings = settings
    this.#onStart = onStart
  }

  /** @param chosen the peers to start, of those that the scenario has */
  async subjectsOf({ subjects }: Scenario, chosen: readonly PeerName[]): Promise<Subject[]> {
    const wanted = subjects.filter(([name]) => chosen.includes(name))
    const found = await Promise.all(wanted.map(([name, scene]) => this.#scenesOf(name, scene)))
    return found.flat()
  }

  async #scenesOf(name: PeerName, scene = 'rank50'): Promise<Subject[]> {
    const suffix = scene === 'rank50' ? '' : ` ${scene.replace('rank50-', '')}`
    const found: Subject[] = []
    for (const peer of await this.#peersOf(name)) found.push({ ...(await peer.scene(scene)), name: `${peer.name}${suffix}` })
    return found
  }

  async stop(): Promise<void> {
    const started = await Promise.allSettled(this.#running.values())
    await Promise.all(started.map(peer => peer.status === 'fulfilled' && peer.value.stop()))
  }

  async #peersOf(name: PeerName): Promise<Peer[]> {
    const peers = [await this.#start(name, () => starters[name](this.#settings))]
    if (name !== 'berth' && name !== 'berth-2') return peers
    const cells = name === 'berth' ? 1 : 2
    for (const folder of this.#against) {
      const label = `${peers[0]?.name} of ${folder}`
      peers.push(await this.#start(`${name} ${folder}`, () => startBerth(label, { ...this.#settings, cells, project: folder })))
    }
    return peers
  }

  #start(key: string, start: () => Promise<Peer>): Promise<Peer> {
    const running = this.#running.get(key)
    if (running !== undefined) return running
    const started = start()
    this.#running.set(key, started)
    started.then(this.#onStart, () => undefined)
    return started
  }
}

export const bodyOf = (candidates?: number): string => JSON.stringify(sampleInput(candidates))
