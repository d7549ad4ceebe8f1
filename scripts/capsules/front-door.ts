/**
 * `npm run test:validation:base`: captures requests of a base, and publishes candidates to it that have one fault or none, with `--validation strict`. Each has to
 * be refused for its fault, and leave nothing behind.
 */
import { createHash } from 'node:crypto'
import type { Fault } from '../../base/capsule/report.ts'
import type { ValidationReport } from '../../base/contract/validation-api.ts'
import { renderColumns } from '../../base/kernel/columns.ts'
import { describeValidation } from '../../sdk/cli/views/validation-report.ts'
import { RefusedError } from '../../sdk/sdk-error.ts'
import { callScene, launchBase, type RunningBase, until } from '../../test/support/base.ts'
import { readFlags } from '../bench/flags.ts'
import { cases, pure } from './isolates.ts'

const CPU_MS = 200
const DEADLINE_MS = 10_000

/** What became of a candidate. */
export interface Published {
  readonly report: ValidationReport | undefined
  readonly isBaseline: boolean
  /** Milliseconds that its publication took. */
  readonly tookMs: number
}

/** A scene with a baseline whose requests were captured. */
export class CapturedScene {
  readonly #base: RunningBase
  readonly #scene: string
  #patch = 0

  private constructor(base: RunningBase, scene: string) {
    this.#base = base
    this.#scene = scene
  }

  static async make(base: RunningBase, scene: string, code: string, requests: number): Promise<CapturedScene> {
    const made = new CapturedScene(base, scene)
    const { client, token } = base
    await made.#publishModule(code)
    const group = [{ stage: 'rank', modules: [`${scene}@^1`] }]
    await client.putScene({ id: scene, group, params: { k: 10 }, traffic: { deadlineMs: DEADLINE_MS, cpuMs: CPU_MS } }, undefined)
    await client.createVersion(scene, { as: 'baseline' })
    const headers = { 'x-scene-capture': '1', authorization: `Bearer ${token}` }
    for (let request = 0; request < requests; request++) {
      const answer = await callScene(base, scene, { request }, headers)
      if (answer.headers.get('x-scene-capsule')?.startsWith('none')) throw new Error(`Request ${request} was not captured`)
      await answer.arrayBuffer()
    }
    await until(async () => (await client.capsules(scene, { limit: String(requests) })).length >= requests)
    return made
  }

  /** Publishes the code as the new baseline. */
  async publish(code: string, validation: 'strict' | 'report' | 'off' = 'strict'): Promise<Published> {
    const { client } = this.#base
    const module = await this.#publishModule(code)
    const before = await client.scene(this.#scene)
    const startedAt = performance.now()
    const report = await client.createVersion(this.#scene, { modules: [module], as: 'baseline', validation }).then(
      made => made.validation,
      (error: unknown) => {
        if (error instanceof RefusedError && error.code === 'VALIDATION_FAILED') return error.problem.validation
        throw error
      },
    )
    const tookMs = performance.now() - startedAt
    const { baseline } = await client.scene(this.#scene)
    const isBaseline = baseline !== before.baseline
    // All are compared with the same.
    if (isBaseline && before.baseline !== null) await client.promote(this.#scene, before.baseline, { to: 'baseline', validation: 'off' })
    return { report, tookMs, isBaseline }
  }

  async #publishModule(code: string): Promise<string> {
    const { client } = this.#base
    const text = `(() => ({ rank: ${code} }))()`
    const bundle = createHash('sha256').update(text).digest('hex')
    await client.putBlob(bundle, text)
    const version = `1.0.${this.#patch++}`
    await client.publishModule({ name: this.#scene, version, stages: ['rank'], fetch: ['https://elsewhere.example'], bundle })
    return `${this.#scene}@${version}`
  }
}

/** Whether it was refused for its fault, or became the baseline. */
export const isAsItShould = ({ report, isBaseline }: Published, fault: Fault | undefined): boolean =>
  report?.reasons[0]?.fault === fault && isBaseline === (fault === undefined)

async function main(): Promise<void> {
  const { capsules, texts } = readFlags({
    capsules: { value: 450, about: 'requests that are captured of each scene' },
    texts: { value: 0, about: 'whether the reports are printed, 1 or 0' },
  })
  const base = await launchBase()
  const rows: string[][] = []
  try {
    const scenes = new Map<string, CapturedScene>()
    for (const [name, { before, after, fault }] of Object.entries(cases)) {
      const scene = scenes.get(before) ?? (await CapturedScene.make(base, before === pure ? 'pure' : 'impure', before, capsules))
      scenes.set(before, scene)
      const published = await scene.publish(after)
      const isGood = isAsItShould(published, fault)
      if (!isGood) process.exitCode = 1
      const { report, tookMs } = published
      rows.push([name, isGood ? 'as it should' : 'WRONG', report?.verdict ?? 'none', `${Math.round(tookMs)} ms`])
      if (texts > 0 && report !== undefined) process.stdout.write(`── ${name}\n${describeValidation(report).join('\n')}\n\n`)
    }
    for (const validation of ['off', 'strict', 'off', 'strict'] as const) {
      const { tookMs } = (await scenes.get(pure)?.publish(`${pure} /* ${rows.length} */`, validation)) ?? { tookMs: 0 }
      rows.push([`pure, the same, validation ${validation}`, '', '', `${Math.round(tookMs)} ms`])
    }
  } finally {
    await base.kill()
  }
  process.stdout.write(`${renderColumns(['candidate', '', 'verdict', 'took'], rows)}\n`)
}

if (import.meta.main) await main()
