/** The peers of a bench that run, and what of them a scenario compares. */
import {
  type BerthSettings,
  type Peer,
  startBerth,
  startFastify,
  startFastifyCluster,
  startFastifyWith,
  startWorker,
  startWorkerd,
  startWorkerTuned,
} from './peers.ts'
import type { Subject } from './rig.ts'
import type { PeerName, Scenario } from './scenarios.ts'

type Settings = Pick<BerthSettings, 'rareScenes'>

const starters = {
  fastify: startFastify,
  'fastify-cluster': startFastifyCluster,
  'worker-tuned': startWorkerTuned,
  worker: startWorker,
  workerd: startWorkerd,
  berth: (settings: Settings) => startBerth('Berth', { ...settings, cells: 1 }),
  'berth-2': (settings: Settings) => startBerth('Berth, 2 cells', { ...settings, cells: 2 }),
} as const satisfies Readonly<Record<PeerName, (settings: Settings) => Promise<Peer>>>

interface PeersSettings extends Settings {
  /** Folders of other checkouts, a base of each of which is compared wherever Berth is. */
  readonly against: readonly string[]
  /** Flags of Node.js of a second Fastify, which is compared wherever Fastify is. None: there is no second one. */
  readonly fastifyFlags: readonly string[]
}

/** Peers, each of which is started when it is first needed and runs until the end. */
export class RunningPeers {
  readonly #running = new Map<string, Promise<Peer>>()
  readonly #settings: PeersSettings
  readonly #onStart: (peer: Peer) => void

  constructor(settings: PeersSettings, onStart: (peer: Peer) => void) {
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
    const { against, fastifyFlags } = this.#settings
    const peers = [await this.#start(name, () => starters[name](this.#settings))]
    if (name === 'fastify' && fastifyFlags.length > 0)
      peers.push(await this.#start('fastify with flags', () => startFastifyWith(fastifyFlags)))
    if (name !== 'berth' && name !== 'berth-2') return peers
    const cells = name === 'berth' ? 1 : 2
    for (const folder of against) {
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
