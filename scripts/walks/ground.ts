/** What a walk goes on: a folder outside of the project, the commands as they are typed there, and bases on ports that the system chooses. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BaseLog, readLog, root } from '../../test/support/base.ts'
import { baseIn, type Ended, ended, type Run, sdkAlone } from '../../test/support/cli.ts'

/** The module of a walk. */
export interface Walk {
  /** Who walks, and what for. */
  readonly about: string
  /** Goes the whole way, and throws where it does not lead on. */
  readonly walk: (ground: Ground) => Promise<void>
}

/** Runs a command, and asserts its exit code and what it printed on either stream. */
export type Expect = (line: string, code: number, ...says: readonly RegExp[]) => Promise<Ended>

export interface StartSettings {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

export interface WalkedBase extends BaseLog {
  readonly process: ChildProcess
  /** URL of the scene port. */
  readonly url: string
  readonly controlUrl: string
  /** Sends a signal to the launcher. @returns the exit code, once the last process of the base has ended; null when it was killed */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

export class Ground {
  /** Where the user works. */
  readonly folder: string
  readonly #bases = new Set<WalkedBase>()
  #step: string | undefined

  private constructor(folder: string) {
    this.folder = folder
  }

  static async open(): Promise<Ground> {
    return new Ground(await realpath(await mkdtemp(join(tmpdir(), 'berth-walk-'))))
  }

  /** What is being tried. */
  get step(): string | undefined {
    return this.#step
  }

  /** Tries one thing that the user wants, and prints it as done. */
  async try<T>(what: string, work: () => Promise<T>): Promise<T> {
    this.#step = what
    const startedAt = performance.now()
    const result = await work()
    console.log(`  ✔ ${what}  ${Math.round(performance.now() - startedAt)} ms`)
    return result
  }

  /** `npx sdk`, in a folder of the user. Words of a command are separated by blanks; quotes keep blanks together. */
  sdk(cwd = this.folder, env: Readonly<Record<string, string>> = {}): Expect {
    return expecting(sdkAlone(cwd, env))
  }

  /** `npx base`, for commands that end by themselves. */
  base(cwd = this.folder, env: Readonly<Record<string, string>> = {}): Expect {
    return expecting(baseIn(cwd, env))
  }

  /**
   * Starts a base through the launcher, as `npx base start` or `npm start` do, on ports that the system chooses, and waits until it says that it is
   * ready. It ends with the walk, however that ends.
   */
  async start(
    script: 'bin/base.cjs start' | 'bin/launch.cjs scripts/start.ts',
    args: readonly string[] = [],
    settings: StartSettings = {},
  ): Promise<WalkedBase> {
    const { cwd = this.folder, env = {} } = settings
    const [file = '', ...words] = script.split(' ')
    const command = [join(root, file), ...words, '--port', '0', '--control-port', '0', ...args]
    const child = spawn(process.execPath, command, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    const log = readLog(child)
    const closed = once(child, 'close')
    const { port, controlPort } = await log.logged(({ msg }) => msg === 'base ready')
    const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
      child.kill(signal)
      await closed
      return child.exitCode
    }
    const base = { process: child, url: `http://127.0.0.1:${port}`, controlUrl: `http://127.0.0.1:${controlPort}`, stop, ...log }
    this.#bases.add(base)
    return base
  }

  /** Ends all bases and removes the folder. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#bases].map(base => base.stop()))
    await rm(this.folder, { recursive: true, force: true })
  }

  /** The line of a walk where an error was thrown. */
  place(error: unknown): string {
    const lines = error instanceof Error ? (error.stack ?? '').split('\n') : []
    return lines.find(line => line.includes('/scripts/walks/') && !line.includes('ground.ts')) ?? ''
  }
}

function expecting(run: Run): Expect {
  return async (line, code, ...says) => {
    const words = [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, double, single, plain]) => double ?? single ?? plain ?? '')
    return ended(await run(...words), code, ...says)
  }
}
