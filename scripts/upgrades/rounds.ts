/** Upgrades a base under load, to another release and back, again and again. */
import { setTimeout as delay } from 'node:timers/promises'
import { Load, loadTime, type Sample, type Summary, summarise } from './load.ts'
import type { Release } from './releases.ts'
import type { Command } from './running.ts'

export interface RoundSettings {
  readonly rate: number
  readonly upgrades: number
  /** Of load before each upgrade. */
  readonly seconds: number
  readonly connections: number
  readonly seed: number
}

/** One upgrade, and what requests met before and during it. */
export interface Round {
  readonly from: string
  readonly to: string
  readonly command: Command
  readonly steps: readonly Step[]
  readonly before: Summary
  /** From the start of the command until the last connection to the old release has ended. */
  readonly during: Summary
  /** The first requests that failed, in words. */
  readonly examples: readonly string[]
}

export interface Step {
  readonly name: string
  readonly ms: number
}

const TIMEOUT_MS = 10_000
const EXAMPLES_MAX = 5
/** The base under load. */
export interface Target {
  /** URL of a scene that answers with the body. */
  readonly url: string
  /** Has a release take over from the one that serves. */
  takeOver(to: Release): Promise<Command>
  /** Resolves once the release before has ended. */
  settled(): Promise<void>
}

/** Upgrades to the second release, then back to the first, and so on. */
export async function* rounds(target: Target, releases: readonly [Release, Release], settings: RoundSettings): AsyncGenerator<Round> {
  const { rate, upgrades, seconds, connections, seed } = settings
  const load = new Load({ url: target.url, rate, connections, timeoutMs: TIMEOUT_MS, seed })
  try {
    await load.begun
    for (let done = 0; done < upgrades; done++) {
      const [from, to] = done % 2 === 0 ? releases : [releases[1], releases[0]]
      yield await upgradeUnderLoad(load, from, to, seconds, target)
    }
    await load.stop()
  } finally {
    load.kill()
  }
}

async function upgradeUnderLoad(load: Load, from: Release, to: Release, seconds: number, target: Target): Promise<Round> {
  const first = load.samples.length
  await delay(seconds * 1000)
  const startedAt = loadTime()
  const command = await target.takeOver(to)
  await target.settled()
  await load.until(loadTime())
  const samples = load.samples.slice(first)
  const during = samples.filter(({ dueAt }) => dueAt >= startedAt)
  return {
    from: from.name,
    to: to.name,
    command,
    steps: stepsOf(command.output),
    before: summarise(samples.filter(({ dueAt }) => dueAt < startedAt)),
    during: summarise(during),
    examples: samples
      .filter(({ failure }) => failure !== undefined)
      .slice(0, EXAMPLES_MAX)
      .map(describe),
  }
}

/** What the command has printed of its steps. */
function stepsOf(output: string): Step[] {
  return [...output.matchAll(/^\s*✔ (\S.*?)\s+(\d+) ms\b/gm)].map(([, name = '', ms]) => ({ name, ms: Number(ms) }))
}

function describe({ failure, detail, release, isKept }: Sample): string {
  const by = release === '' ? '' : `, by ${release}`
  return `${failure} on a ${isKept ? 'kept' : 'new'} connection${by}: ${detail}`
}
