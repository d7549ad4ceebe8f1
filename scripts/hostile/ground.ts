/** The base that cases are run on, with what they find there: a neighbour, a feature table, and a host that answers fetches. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline, Readable } from 'node:stream'
import { featuresPath } from '../../base/folder/paths.ts'
import { breakerDefaults } from '../../base/traffic/schema.ts'
import { SdkError } from '../../sdk/sdk-error.ts'
import { launchBase, makeScene, type RunningBase, until } from '../../test/support/base.ts'
import { isAlive } from '../soak/processes.ts'
import { bundleOf, type Code, type NamedCase, stageOf } from './case.ts'
import { type Line, linesTo, NEIGHBOUR } from './lines.ts'
import { cpuOfTree } from './vitals.ts'

const CELLS = 2
/** Milliseconds from the publishing of a module that turns bad until it is bad. */
export const TURNS_BAD_MS = 5000
/** Milliseconds a base may take until all of its cells serve. */
const WHOLE_MS_MAX = 30_000
/** Milliseconds within which its processes have to end with a base that is killed. */
const ENDED_MS_MAX = 5000
/** Stages that a module may have. */
const STAGES_MAX = 32

/** What publishing a case gave: `OK`, or the code with which it was refused. */
export interface Published {
  readonly code: Code
  readonly detail: string
}

export class Ground {
  readonly base: RunningBase
  readonly #host: Server
  readonly #folder: string
  readonly #lines = new Map<number, readonly Line[]>()

  private constructor(base: RunningBase, host: Server, folder: string) {
    this.base = base
    this.#host = host
    this.#folder = folder
  }

  static async open(): Promise<Ground> {
    const folder = await mkdtemp(join(tmpdir(), 'berth-hostile-'))
    const data = join(folder, 'data')
    await mkdir(featuresPath(data), { recursive: true })
    await writeFile(join(featuresPath(data), 'rows.ndjson'), '{"key":"a","n":1}\n{"key":"b","n":2}\n')
    const config = join(folder, 'base.json')
    await writeFile(config, JSON.stringify({ fetchPrivate: ['127.0.0.1'] }))
    const [base, host] = await Promise.all([launchBase({ data, cells: CELLS, args: ['--config', config] }), startHost()])
    await makeScene(base.client, NEIGHBOUR, { rank: 'x => x' })
    return new Ground(base, host, folder)
  }

  get hostUrl(): string {
    return `http://127.0.0.1:${(this.#host.address() as AddressInfo).port}`
  }

  /** Kills the base. @returns how many of its processes outlived it, and had to be killed one by one */
  async close(): Promise<number> {
    this.#closeLines()
    const pids = [...cpuOfTree(this.base.process.pid ?? 0).keys()]
    const ended = this.base.kill()
    const from = performance.now()
    await until(() => performance.now() - from > ENDED_MS_MAX || !pids.some(isAlive))
    const orphans = pids.filter(isAlive)
    for (const pid of orphans) process.kill(pid, 'SIGKILL')
    await ended
    this.#host.closeAllConnections()
    this.#host.close()
    await rm(this.#folder, { recursive: true, force: true })
    return orphans.length
  }

  /**
   * Publishes cases of one family, and makes a scene with a slot of its own of each. Cases share modules, with a stage for each, so that there are few
   * trials; one that does something while it loads has its module to itself. Of a case that shall be refused, this publishes a sound predecessor.
   */
  async publish(cases: readonly NamedCase[]): Promise<void> {
    const sound = cases.map(each => (each.isRefused ? { ...each, stage: 'x => x', top: '' } : each))
    const alone = ({ name, top = '', isRefused = false }: NamedCase) => (top !== '' || isRefused ? name : '')
    const groups = Map.groupBy(sound, each => [each.family, ...(each.uses ?? []), alone(each)].join('-').replace(/-$/, ''))
    for (const [group, members] of groups) {
      for (let from = 0; from < members.length; from += STAGES_MAX) {
        const name = alone(members[0] as NamedCase) || `${group}-${from}`
        const some = members.slice(from, from + STAGES_MAX)
        await this.#publishModule(name, '1.0.0', some)
        await Promise.all(some.map(each => this.#makeScene(each, name)))
      }
    }
  }

  /** Publishes the module of a case as the successor of the one that its scene has. @returns what came of it */
  async publishNext(each: NamedCase): Promise<Published> {
    try {
      await this.#publishModule(each.name, '2.0.0', [each])
      await this.base.client.createVersion(each.name, { modules: [`${each.name}@2.0.0`], as: 'baseline' })
      return { code: 'OK', detail: '' }
    } catch (error) {
      if (!(error instanceof SdkError)) throw error
      return { code: error.code as Code, detail: error.message }
    }
  }

  async #makeScene(each: NamedCase, module: string): Promise<void> {
    const { client } = this.base
    const { deadlineMs, cpuMs, memoryMB } = each.limits
    // The breaker would answer in the place of a module that fails often.
    const traffic = { deadlineMs, cpuMs, spec: { memoryMB }, breaker: { ...breakerDefaults, enabled: false } }
    await client.putScene({ id: each.name, group: [{ stage: stageOf(each), modules: [`${module}@*`] }], traffic }, undefined)
    await client.createVersion(each.name, { as: 'baseline' })
  }

  async #publishModule(name: string, version: string, cases: readonly NamedCase[]): Promise<void> {
    const { client } = this.base
    const code = bundleOf(cases, this.hostUrl, performance.timeOrigin + performance.now() + TURNS_BAD_MS)
    const bundle = createHash('sha256').update(code).digest('hex')
    const uses = cases[0]?.uses ?? []
    const services = uses.filter(use => use === 'features')
    const fetch = uses.includes('fetch') ? [this.hostUrl] : []
    await client.putBlob(bundle, code)
    await client.publishModule({ name, version, stages: cases.map(stageOf), services, fetch, bundle })
  }

  /**
   * Waits until every cell serves and no other process is left of any, and gives their process ids in the order of their ordinals.
   * @throws Error when that takes too long
   */
  async cells(): Promise<readonly number[]> {
    let pids: readonly number[] = []
    const from = performance.now()
    await until(async () => {
      if (performance.now() - from > WHOLE_MS_MAX) throw new Error(`The base has not got all of its cells back within ${WHOLE_MS_MAX} ms`)
      const { cells, tableRevision } = await this.base.client.status()
      const ready = cells.filter(({ state, connected, revision }) => state === 'ready' && connected && revision === tableRevision)
      pids = ready.sort((a, b) => a.cell - b.cell).map(({ pid }) => pid)
      return ready.length === CELLS && cells.length === CELLS
    })
    return pids
  }

  /** Two lines to each of these cells. Those that were opened before are used again while they lead to the right cell. */
  async linesTo(pids: readonly number[]): Promise<ReadonlyMap<number, readonly Line[]>> {
    const isKept = pids.every(pid => this.#lines.get(pid)?.every(line => line.ownerAmong(pids) === pid))
    if (isKept) return this.#lines
    this.#closeLines()
    for (const [pid, lines] of await linesTo(this.base.url, pids, 2)) this.#lines.set(pid, lines)
    return this.#lines
  }

  #closeLines(): void {
    for (const line of [...this.#lines.values()].flat()) line.close()
    this.#lines.clear()
  }
}

/** A host that answers every fetch, with a body without end at `/endless` and a redirect to elsewhere at `/away`. */
async function startHost(): Promise<Server> {
  const host = createServer((request, response) => {
    if (request.url === '/away') response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()
    else if (request.url === '/endless') pipeline(Readable.from(endless()), response, () => undefined)
    else response.setHeader('content-type', 'application/json').end('{"fetched":true}')
  })
  await once(host.listen(0, '127.0.0.1'), 'listening')
  return host
}

function* endless(): Generator<Buffer> {
  for (;;) yield Buffer.alloc(2 ** 20)
}
