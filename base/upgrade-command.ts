/** `base upgrade`: has this release take over the base that runs on a data folder, and shows how that goes. */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { readAddress } from './folder/base-address.ts'
import type { FoundBase } from './folder/find-base.ts'
import { readUpgradeLog, type UpgradeLog, type UpgradeStep, writeWish } from './folder/upgrade-files.ts'
import { BerthError, isErrorCode, messageOf } from './kernel/errors.ts'
import { release as folder, mainPath } from './kernel/installation.ts'
import { nameOf, type Release } from './kernel/origin.ts'
import { release as thisRelease } from './process/release.ts'
import { guarded } from './store/faults.ts'

export interface UpgradeSettings {
  /** The data folder. */
  readonly data: string
  /** The base that runs on it. */
  readonly found: FoundBase
  readonly timeoutSeconds: number
  /** Whether a base that runs this release already is started anew. */
  readonly isRestart: boolean
  readonly print: (line: string) => void
}

/** Milliseconds between two looks at how the upgrade goes. */
const LOOK_MS = 50
/** Milliseconds between two questions to the base, which says how it goes when the file that says it cannot be written. */
const STATUS_MS = 2000
/** Milliseconds that a request to the base may take. */
const ASK_MS_MAX = 10_000
/** Milliseconds that the base may be gone from its data folder before it counts as ended. */
const GONE_MS_MAX = 3000

type Progress = Omit<UpgradeLog, 'counts'>

interface Answer {
  readonly code?: string
  readonly detail?: string
  readonly fix?: string
  readonly release?: (Release & { readonly since: string }) | null
  readonly upgrade?: Progress | null
}

/**
 * Resolves when this release serves.
 * @throws {BerthError} `RELEASE_REFUSED` when it does not, and the one before serves on; what the base refuses; `STORE_FULL`, `DATA_UNWRITABLE`
 */
export async function upgradeBase(settings: UpgradeSettings): Promise<void> {
  const { data, found, timeoutSeconds, isRestart, print } = settings
  const release = await thisRelease()
  const running = (await ask(found, 'GET', '/api/status')).release
  if (running && isSame(running, release) && !isRestart) {
    print(`the base runs ${nameOf(running)} already, since ${running.since}. To start its processes anew: base upgrade --restart`)
    return
  }
  print(running ? `${nameOf(running)} → ${nameOf(release)}` : `→ ${nameOf(release)}`)
  const id = randomUUID()
  guarded(`upgrade the base on "${data}"`, () => writeWish(data, { id, release, folder, command: supervisorCommand() }))
  await ask(found, 'POST', '/api/upgrade', { id, timeoutSeconds })
  const { result, why, from, isStopped } = await follow(settings, id)
  if (isStopped === true)
    throw new BerthError('RELEASE_REFUSED', `Nothing serves: the base was stopped before ${nameOf(release)} could take over`, {
      advice: 'Start the base with the release that shall serve: base start.',
    })
  if (result === 'done') print(`${nameOf(release)} serves. What ${nameOf(from)} still has to answer, it answers; then it ends`)
  else throw new BerthError('RELEASE_REFUSED', `${nameOf(from)} serves on. ${nameOf(release)} could not take over: ${why}`)
}

const isSame = (one: Release, other: Release): boolean =>
  one.version === other.version && one.digest === other.digest && one.commit === other.commit

/** Starts the supervisor of this release: as this process was started, and without its arguments. The launcher adds those of the base. */
const supervisorCommand = (): readonly string[] => [process.execPath, ...process.execArgv, mainPath]

async function ask({ url, token }: FoundBase, method: string, path: string, body?: object): Promise<Answer> {
  const headers = {
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...(body !== undefined && { 'content-type': 'application/json' }),
  }
  const request = { method, headers, signal: AbortSignal.timeout(ASK_MS_MAX), ...(body !== undefined && { body: JSON.stringify(body) }) }
  const response = await fetch(new URL(path, url), request).catch((error: Error) => {
    throw new BerthError('RELEASE_REFUSED', `Cannot ask the base at ${url} to upgrade: ${messageOf(error.cause ?? error)}`, {
      cause: error,
    })
  })
  const answer = (await response.json()) as Answer
  if (response.ok) return answer
  const { code, detail = `it answers ${response.status}`, fix } = answer
  const isOld = code === 'ROUTE_NOT_FOUND'
  const advices: Readonly<Record<string, string>> = {
    ROUTE_NOT_FOUND: 'The release that runs is too old for it: stop the base, and start this release.',
    UNAUTHENTICATED: 'Run it as a user who may read the file "token" in the data folder, or set BERTH_TOKEN to a token of this base.',
    FORBIDDEN: 'Set BERTH_TOKEN to a token of this base with the right "admin".',
  }
  const advice = advices[String(code)] ?? fix
  throw new BerthError(isErrorCode(code) ? code : 'RELEASE_REFUSED', isOld ? `Cannot upgrade the base at ${url}: ${detail}` : detail, {
    advice,
  })
}

/** Prints each step when it is over. @returns how it ended */
async function follow({ data, found, print }: UpgradeSettings, id: string): Promise<Progress> {
  let said: Progress | null | undefined
  // On a full disk the file says for ever what it said last.
  const asking = setInterval(async () => {
    said = (await ask(found, 'GET', '/api/status').catch(() => undefined))?.upgrade
  }, STATUS_MS)
  try {
    return await untilOver(data, id, print, () => said)
  } finally {
    clearInterval(asking)
  }
}

/** @param said gives what the base itself has said last */
async function untilOver(
  data: string,
  id: string,
  print: (line: string) => void,
  said: () => Progress | null | undefined,
): Promise<Progress> {
  let printed = 0
  let goneSince: number | undefined
  for (;;) {
    const answer = said()
    const log = answer?.id === id && answer.result !== 'running' ? answer : readUpgradeLog(data)
    if (log?.id === id) {
      const over = log.steps.filter(step => step.ms !== null)
      for (const step of over.slice(printed)) print(describe(step))
      printed = over.length
      const failed = log.result === 'failed' ? log.steps.find(step => step.ms === null) : undefined
      if (failed !== undefined) print(`  ✖ ${failed.step}`)
      if (log.result !== 'running') return log
    }
    goneSince = isRunning(data) ? undefined : (goneSince ?? performance.now())
    if (goneSince !== undefined && performance.now() - goneSince > GONE_MS_MAX)
      throw new BerthError('RELEASE_REFUSED', 'Cannot see the upgrade to its end: the base has ended', {
        advice: 'Look at its log, and start it again.',
      })
    await delay(LOOK_MS)
  }
}

const describe = ({ step, ms, about }: UpgradeStep): string =>
  `  ✔ ${step.padEnd(12)} ${String(ms).padStart(6)} ms${about === undefined ? '' : `  ${about}`}`

function isRunning(data: string): boolean {
  const pid = readAddress(data)?.pid
  if (pid === undefined) return false
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
