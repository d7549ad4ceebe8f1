/** Where upgrades are tried: two releases, and a base that runs one of them. */
import { execFileSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeScene } from '../../test/support/base.ts'
import { UNDER_WAY_MAX } from './load.ts'
import { makeRelease, type Release } from './releases.ts'
import { type Command, type Running, settled, startRelease, upgradeTo } from './running.ts'

export class Site implements AsyncDisposable {
  readonly folder: string
  readonly #cells: number
  /** A disk of its own for the data folder. */
  readonly #disk: string | undefined
  /** The release that serves, as long as upgrades are made by this object, and the other one. */
  serving: Release
  idle: Release
  running: Running
  #copies = 0

  private constructor(folder: string, cells: number, disk: string | undefined, releases: readonly [Release, Release], running: Running) {
    this.folder = folder
    this.#cells = cells
    this.#disk = disk
    ;[this.serving, this.idle] = releases
    this.running = running
  }

  /** @param diskMB the data folder gets a disk of this size, which takes the right to mount one */
  static async open(cells: number, diskMB?: number, make = makeRelease): Promise<Site> {
    const folder = await mkdtemp(join(tmpdir(), 'berth-upgrades-'))
    // Others may read the releases; the data folder is closed to them.
    await chmod(folder, 0o755)
    const releases = [await make(join(folder, 'a'), 'A', '0.1.1'), await make(join(folder, 'b'), 'B', '0.1.2')] as const
    const data = join(folder, 'data')
    if (diskMB !== undefined) await mountDisk(data, diskMB)
    const running = await startRelease(releases[0], { cells, data })
    // On a busy machine the load is late, and then many requests come at once: these must wait rather than be refused.
    await makeScene(running.client, 'echo', { rank: 'x => x' }, { traffic: { maxConcurrency: UNDER_WAY_MAX * 2 * cells } })
    return new Site(folder, cells, diskMB === undefined ? undefined : data, releases, running)
  }

  /** Has a release take over from the one that serves, as soon as one can. */
  async upgrade(to: Release): Promise<Command> {
    await this.settled()
    const command = await upgradeTo(to, this.running.data)
    if (command.code === 0 && to === this.idle) this.swap()
    return command
  }

  /** Resolves once the base can be upgraded. */
  settled(): Promise<void> {
    return settled(this.running)
  }

  /** Takes note of an upgrade. */
  swap(): void {
    ;[this.serving, this.idle] = [this.idle, this.serving]
  }

  /** What there was before upgrades. */
  async restart(to: Release): Promise<Command> {
    const startedAt = performance.now()
    await this.running.stop()
    if (to === this.idle) this.swap()
    await this.startAgain()
    return { code: 0, output: '', ms: performance.now() - startedAt }
  }

  /** Starts the base, which has ended, where it was. */
  async startAgain(): Promise<void> {
    const { url, controlUrl, data } = this.running
    const ports = [Number(new URL(url).port), Number(new URL(controlUrl).port)] as const
    this.running = await startRelease(this.serving, { cells: this.#cells, data, ports })
  }

  /** The folder of a copy of a release. */
  async copyOf({ name, version }: Release): Promise<string> {
    return (await makeRelease(join(this.folder, `copy-${++this.#copies}`), name, version)).folder
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.running.stop()
    if (this.#disk !== undefined) execFileSync('umount', [this.#disk])
    await rm(this.folder, { recursive: true, force: true })
  }
}

async function mountDisk(folder: string, megabytes: number): Promise<void> {
  await mkdir(folder)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700`, 'tmpfs', folder])
}
