/** A base whose wall clock a test sets while it runs. */
import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type BaseSettings, type RunningBase, startBase, tempFolder } from './base.ts'

export interface ClockedBase extends RunningBase {
  /** Sets the wall clock of all processes to so many seconds after the true time. */
  setClock(seconds: number): void
}

const LIBRARIES = '/usr/lib'

/** The path of libfaketime, where Debian has it; undefined when it is not installed. */
export function findFaketime(): string | undefined {
  if (process.platform !== 'linux' || !existsSync(LIBRARIES)) return undefined
  const found = readdirSync(LIBRARIES).map(name => join(LIBRARIES, name, 'faketime/libfaketimeMT.so.1'))
  return found.find(path => existsSync(path))
}

/**
 * Starts a base all of whose processes run under libfaketime, which reads from a file how far the wall clock is off, and leaves the monotonic clock
 * alone.
 * @param library the path of libfaketime
 */
export async function startClockedBase(t: TestContext, library: string, settings: BaseSettings = {}): Promise<ClockedBase> {
  const file = join(await tempFolder(), 'offset')
  const setClock = (seconds: number) => {
    // Processes read the file at any moment, so it must never be half written.
    writeFileSync(`${file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`)
    renameSync(`${file}.new`, file)
  }
  setClock(0)
  const env = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    // The second is the name that older versions know.
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
    NODE_OPTIONS: `--import=${new URL('../fixtures/pass-on-clock.ts', import.meta.url)}`,
  }
  const base = await startBase(t, { ...settings, env: { ...process.env, ...env } })
  return Object.assign(base, { setClock })
}
