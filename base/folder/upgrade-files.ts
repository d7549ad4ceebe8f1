/**
 * Two files of a data folder about upgrades of the base. `upgrade.json` is a wish: which release shall take over, and how it is started. Whoever may write in the
 * folder decides what is started there, nobody else. `upgrade-log.json` says how the last upgrade goes or went.
 */
import { closeSync, constants, fchownSync, fstatSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { BerthError, messageOf } from '../kernel/errors.ts'
import type { Release } from '../kernel/origin.ts'
import { upgradeLogPath, upgradePath } from './paths.ts'

export interface UpgradeWish {
  /** Of this wish. The request to the control API names it, so that no other wish is carried out. */
  readonly id: string
  readonly release: Release
  /** The folder of the release, for people. */
  readonly folder: string
  /** Starts its supervisor: the file and its first arguments. Those of the base follow. */
  readonly command: readonly string[]
}

export interface UpgradeStep {
  readonly step: string
  /** Milliseconds that it took; null while it goes on. */
  readonly ms: number | null
  readonly about?: string
}

export interface UpgradeLog {
  readonly id: string
  readonly result: 'running' | 'done' | 'failed'
  readonly from: Release
  readonly to: Release
  /** Id of the token that asked for it. */
  readonly by: string
  /** ISO 8601. */
  readonly startedAt: string
  readonly endedAt: string | null
  /** Why it failed, in words. */
  readonly why: string | null
  /** Whether it failed because the base was stopped, so that no release serves. */
  readonly isStopped?: boolean
  readonly steps: readonly UpgradeStep[]
  /** Upgrades of this folder so far, this one included once it has ended. */
  readonly counts: { readonly done: number; readonly failed: number }
}

/** Only the owner of the data folder may read or write the file. @throws as the file system */
export function writeWish(data: string, wish: UpgradeWish): void {
  replace(upgradePath(data), wish)
}

/**
 * Takes the wish out of the folder, so that it is carried out once: what its command starts may be something else some day.
 * @param id of the wish that is asked for
 * @throws {BerthError} `RELEASE_INVALID` when there is no such wish, or others than the owner of this process could have written it
 */
export function takeWish(data: string, id: string): UpgradeWish {
  const path = upgradePath(data)
  const refuse = (why: string, cause?: unknown) =>
    new BerthError('RELEASE_INVALID', `Cannot upgrade the base: "${path}" ${why}`, cause === undefined ? {} : { cause })
  let wish: Partial<UpgradeWish>
  try {
    wish = Object(JSON.parse(readOwn(path, refuse))) as Partial<UpgradeWish>
  } catch (error) {
    throw error instanceof BerthError ? error : refuse(`cannot be read: ${messageOf(error)}`, error)
  }
  const { command, release } = wish
  if (wish.id !== id) throw refuse('holds another wish: somebody else has asked for an upgrade since')
  const isCommand = Array.isArray(command) && command.length > 0 && command.every(part => typeof part === 'string')
  if (!isCommand || typeof release?.version !== 'string') throw refuse('does not say how the release is started')
  rmSync(path, { force: true })
  return wish as UpgradeWish
}

/** What is checked is the file that is read: another could take its place in between, or be what a link in its place leads to. */
function readOwn(path: string, refuse: (why: string) => BerthError): string {
  // Windows has no such flag, and no owners that Node knows of.
  const file = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0))
  try {
    refuseForeign(file, refuse)
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}

function refuseForeign(file: number, refuse: (why: string) => BerthError): void {
  const uid = process.getuid?.()
  if (uid === undefined) return
  const { uid: owner, mode } = fstatSync(file)
  if (owner !== uid && owner !== 0) throw refuse('belongs to another user than the base')
  if ((mode & 0o022) !== 0) throw refuse('can be written by other users')
}

/** @throws as the file system */
export function writeUpgradeLog(data: string, log: UpgradeLog): void {
  replace(upgradeLogPath(data), log)
}

/** The last upgrade; undefined when there was none, or the file cannot be read. */
export function readUpgradeLog(data: string): UpgradeLog | undefined {
  try {
    const log = Object(JSON.parse(readFileSync(upgradeLogPath(data), 'utf8'))) as Partial<UpgradeLog>
    return typeof log.id === 'string' && Array.isArray(log.steps) ? (log as UpgradeLog) : undefined
  } catch {
    return undefined
  }
}

/** Root, who may write in the folder of somebody else, gives the file to them, and follows no link that they have put there. */
function replace(path: string, value: object): void {
  const unfinished = `${path}.${process.pid}`
  try {
    rmSync(unfinished, { force: true })
    const file = openSync(unfinished, 'wx', 0o600)
    try {
      writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`)
      if (process.getuid?.() === 0) giveToOwner(file, dirname(path))
    } finally {
      closeSync(file)
    }
    renameSync(unfinished, path)
  } catch (error) {
    rmSync(unfinished, { force: true })
    throw error
  }
}

function giveToOwner(file: number, folder: string): void {
  const { uid, gid } = statSync(folder)
  fchownSync(file, uid, gid)
}
