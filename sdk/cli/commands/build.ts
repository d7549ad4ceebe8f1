/** Builds a module for `sdk publish`: the bundler and the compiler of TypeScript run at the same time, beside what the command does meanwhile. */
import type { Bundle } from '../../bundle/bundle.ts'
import { locateModule, readPackage } from '../../bundle/manifest.ts'
import { startTypeCheck } from '../../bundle/type-check.ts'
import { colorsFor } from '../terminal/colors.ts'

/** A module that is being bundled and checked. When it is disposed of, what still runs is ended, and nobody hears how it went. */
export interface Build extends Disposable {
  readonly folder: string
  /** Rejects as `Bundler.bundle` does. */
  readonly bundling: Promise<Timed<Bundle>>
  /** Rejects as `TypeCheck.result` does. */
  readonly checking: Promise<Timed<string>>
}

export type Timed<T> = readonly [result: T, ms: number]

export const inColor = (): boolean => colorsFor(process.stderr).isColorSupported

/**
 * Resolves when the compiler of TypeScript runs.
 * @param check whether types are checked
 * @throws SdkError PACKAGE_INVALID, ENTRY_NOT_FOUND
 */
export async function startBuild(folder: string, check: boolean): Promise<Build> {
  const color = inColor()
  const unwanted = new AbortController()
  const startedAt = performance.now()
  const contents = await readPackage(await locateModule(folder, color))
  const { result } = check
    ? await startTypeCheck(folder, contents, { color, signal: unwanted.signal })
    : { result: Promise.resolve('no types: --no-check') }
  const checking = timedFrom(startedAt, result)
  // The bundler is loaded while types are checked.
  const bundling = import('../../bundle/bundle.ts').then(({ bundleModule }) =>
    timedFrom(performance.now(), bundleModule(folder, { color })),
  )
  return { folder, bundling: heard(bundling), checking: heard(checking), [Symbol.dispose]: () => unwanted.abort() }
}

async function timedFrom<T>(startedAt: number, work: Promise<T>): Promise<Timed<T>> {
  const result = await work
  return [result, Math.round((performance.now() - startedAt) * 10) / 10]
}

/** A promise whose rejection is no error of the process, because another may be reported first. */
function heard<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined)
  return promise
}
