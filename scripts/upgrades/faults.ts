/** Releases that cannot serve, and what else can go wrong while one takes over: the release that serves goes on, without a request that fails. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, readlink, rm, statfs, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf } from '../../base/kernel/errors.ts'
import { Load, type Sample } from './load.ts'
import { type BaseProcess, killThose, leftAfter } from './processes.ts'
import { edit } from './releases.ts'
import { type Command, startUpgrade, type UnderWay } from './running.ts'
import { Site } from './site.ts'

/** What the base is at while it is upgraded, as it says itself. */
export type Stage = 'start' | 'check' | 'stop keeper' | 'start keeper' | 'load scenes'
const stages: readonly Stage[] = ['start', 'check', 'stop keeper', 'start keeper', 'load scenes']

/** An upgrade that must be refused. */
interface Refused {
  readonly name: string
  /** What the command and the base say. */
  readonly says: RegExp
  /** Breaks the release, a copy of one that is good. */
  readonly spoil?: (folder: string) => Promise<void> | void
  /** Does something while the base is upgraded. @returns whether it could be done */
  readonly meddle?: (upgrade: Attempt) => Promise<boolean>
  readonly args?: readonly string[]
  /** Of the command. */
  readonly uid?: number
  /** Whether the base is not even asked, so that its status says nothing. */
  readonly isUnasked?: true
}

interface Attempt {
  readonly site: Site
  /** The release that is to take over. */
  readonly folder: string
  readonly data: string
  readonly command: UnderWay
}

/** Has the release do this when its supervisor starts. Its commands are as they were. */
const atStart = (code: string) => (folder: string) =>
  edit(join(folder, 'base/main.ts'), text =>
    text.replace('const loadKeeper', `if (process.argv[2] === 'start') { ${code} }\nconst loadKeeper`),
  )

const inCell = (code: string) => (folder: string) =>
  edit(join(folder, 'base/cell/cell.ts'), text => text.replace('    await this.#keeper.start()', `    ${code}\n$&`))

/** Kills processes of the release as soon as the upgrade is so far, and they are there. */
const killAt = (stage: Stage, role: BaseProcess['role']) => (attempt: Attempt) =>
  onceAt(attempt, stage, () => killThose(attempt.folder, role) > 0)

const refused: readonly Refused[] = [
  { name: 'exits at start', spoil: atStart('process.exit(7)'), says: /exit code 7/ },
  { name: 'throws while it is loaded', spoil: atStart("throw new Error('broken release')"), says: /exit code 1/ },
  {
    name: 'hangs at start',
    spoil: atStart('await new Promise(() => setInterval(() => 0, 1000))'),
    args: ['--timeout', '3'],
    says: /within 3 s/,
  },
  { name: 'loops at start', spoil: atStart('for (;;);'), args: ['--timeout', '3'], says: /within 3 s/ },
  {
    name: 'cannot read a data folder as new as this',
    spoil: folder =>
      edit(join(folder, 'base/store/sqlite.ts'), text =>
        text.replace(/const FORMAT = (\d+)/, (_, format) => `const FORMAT = ${Number(format) - 1}`),
      ),
    says: /format/,
  },
  { name: 'its cells crash before they are ready', spoil: inCell('process.exit(9)'), says: /exit code 9|before it was ready/ },
  {
    name: 'one of its cells crashes when the other is ready',
    spoil: inCell('if (this.#ordinal === 2) await delay(8000).then(() => process.exit(9))'),
    says: /exit code 9|before it was ready/,
  },
  {
    name: 'its cells hang before they are ready',
    spoil: inCell('await new Promise(() => 0)'),
    args: ['--timeout', '6'],
    says: /within 6 s/,
  },
  ...stages.map(stage => ({ name: `its supervisor is killed at “${stage}”`, meddle: killAt(stage, 'supervisor'), says: /SIGKILL/ })),
  { name: 'its keeper is killed at “start keeper”', meddle: killAt('start keeper', 'keeper'), says: /keeper/ },
  { name: 'its keeper is killed at “load scenes”', meddle: killAt('load scenes', 'keeper'), says: /keeper/ },
  {
    name: 'its folder is deleted at “check”',
    meddle: attempt =>
      onceAt(attempt, 'check', async () => {
        await rm(attempt.folder, { recursive: true, force: true })
        return true
      }),
    says: /./,
  },
  { name: 'its Node is not installed', spoil: withoutNode, isUnasked: true, says: /is not installed/ },
  { name: 'somebody asks who may not', uid: 65_534, isUnasked: true, says: /data folder|token|base/ },
]

async function withoutNode(folder: string): Promise<void> {
  const packages = join(folder, 'node_modules')
  const shared = await readlink(packages)
  await rm(packages)
  await mkdir(packages)
  const names = (await readdir(shared)).filter(name => !/^node-(bin-)?(linux|darwin|win)-/.test(name) && name !== '.bin')
  await Promise.all(names.map(name => symlink(join(shared, name), join(packages, name))))
}

/** Does the work once the upgrade is at this stage, until it says that it is done. @returns false when the upgrade has ended before that */
async function onceAt(
  { data, command }: Pick<Attempt, 'data' | 'command'>,
  stage: Stage,
  work: () => boolean | Promise<boolean>,
): Promise<boolean> {
  let hasEnded = false
  void command.ended.then(() => {
    hasEnded = true
  })
  while (!hasEnded) {
    const log = upgradeLog(data)
    const isThere = log?.result === 'running' && log.steps.at(-1)?.step === stage
    if (isThere && (await work())) return true
    await delay(2)
  }
  return false
}

interface UpgradeLog {
  readonly id: string
  readonly result: string
  readonly why: string | null
  readonly steps: readonly { readonly step: string; readonly ms: number | null }[]
}

function upgradeLog(data: string): UpgradeLog | undefined {
  try {
    return JSON.parse(readFileSync(join(data, 'upgrade-log.json'), 'utf8')) as UpgradeLog
  } catch {
    return undefined
  }
}

// What must hold

export interface FaultResult {
  readonly name: string
  /** What was seen, in words. */
  readonly seen: string | undefined
  readonly failure: string | undefined
}

export interface FaultSettings {
  readonly cells: number
  readonly seed: number
  readonly rate: number
  /** Only those whose names hold this text. */
  readonly only?: string | undefined
}

/** Tries one fault after the other, each on the base that the one before has left. */
export async function* tryFaults(settings: FaultSettings): AsyncGenerator<FaultResult> {
  const isWanted = ({ name }: { readonly name: string }) => settings.only === undefined || name.includes(settings.only)
  const [ofOne, ofEach] = [refused.filter(isWanted), lethal.filter(isWanted)]
  if (ofOne.length > 0 || isWanted(twoAtOnce)) {
    await using site = await Site.open(settings.cells)
    for (const fault of ofOne) yield await result(fault.name, () => tryRefused(site, fault, settings))
    if (isWanted(twoAtOnce)) yield await result(twoAtOnce.name, () => twoAtOnce.run(site, settings))
  }
  for (const fault of ofEach) {
    await using site = await Site.open(settings.cells)
    yield await result(fault.name, () => tryLethal(site, fault))
  }
  for (const fault of [fullDisk].filter(isWanted)) yield await result(fault.name, () => fault.run(settings))
}

async function result(name: string, run: () => Promise<string>): Promise<FaultResult> {
  try {
    return { name, seen: await run(), failure: undefined }
  } catch (error) {
    return { name, seen: undefined, failure: messageOf(error) }
  }
}

const TIMEOUT_MS = 10_000

/** The release that serves goes on, nobody notices, everybody who asks is told why, and a good release can be taken. */
async function tryRefused(site: Site, fault: Refused, settings: FaultSettings): Promise<string> {
  const folder = await site.copyOf(site.idle)
  try {
    await fault.spoil?.(folder)
    const serving = site.serving.name
    const { command, samples, isDone } = await upgradeUnderLoad(site, folder, fault, settings)
    assert.ok(isDone, `it could not be tried: the upgrade ended before\n${command.output}`)
    demandNoneFailed(samples, serving)
    demandRefusal(command, fault.says)
    if (fault.isUnasked !== true) await demandStatus(site, fault.says)
    assert.deepEqual(await leftAfter([folder], 3000), [], 'processes of the release are left')
    const good = await site.upgrade(site.idle)
    assert.equal(good.code, 0, `a good release cannot be taken any more:\n${good.output}`)
    return `${samples.length} requests, 0 failed; refused after ${Math.round(command.ms)} ms: ${reasonIn(command.output)}`
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Tried {
  readonly command: Command
  readonly samples: readonly Sample[]
  /** Whether what was to be done meanwhile could be done. */
  readonly isDone: boolean
}

async function upgradeUnderLoad(site: Site, folder: string, fault: Refused, { rate, seed }: FaultSettings): Promise<Tried> {
  const url = `${site.running.url}/scenes/echo`
  const load = new Load({ url, rate, connections: 16, timeoutMs: TIMEOUT_MS, seed })
  try {
    await site.settled()
    await load.begun
    const { data } = site.running
    const under = startUpgrade(folder, data, fault.args, fault.uid)
    const isDone = (await fault.meddle?.({ site, folder, data, command: under })) ?? true
    const command = await under.ended
    await delay(500)
    await load.stop()
    return { command, samples: load.samples, isDone }
  } finally {
    load.kill()
  }
}

function demandNoneFailed(samples: readonly Sample[], serving: string): void {
  const failed = samples.filter(({ failure }) => failure !== undefined)
  assert.equal(failed.length, 0, `${failed.length} of ${samples.length} requests failed: ${failed[0]?.failure}, ${failed[0]?.detail}`)
  const others = samples.filter(({ release }) => release !== serving)
  assert.equal(
    others.length,
    0,
    `${others.length} of ${samples.length} requests were answered by ${others[0]?.release}, which must not serve`,
  )
}

function demandRefusal({ code, output }: Command, says: RegExp): void {
  assert.equal(code, 1, output)
  assert.match(output, says)
  assert.match(output, /what to do: .|Run "npm/, 'it does not say what to do')
}

async function demandStatus(site: Site, says: RegExp): Promise<void> {
  const status = (await site.running.client.status()) as {
    readonly upgrade?: { readonly result: string; readonly why: string | null } | null
  }
  assert.equal(status.upgrade?.result, 'failed', 'its status does not say that an upgrade failed')
  assert.match(status.upgrade?.why ?? '', says, 'its status does not say why')
}

/** Why the upgrade failed. */
const reasonIn = (output: string): string => /^(berth: |Cannot ).*/m.exec(output)?.[0] ?? ''

/** The second command must not spoil what the first one does. */
const twoAtOnce = {
  name: 'two upgrades at once',
  run: async (site: Site, settings: FaultSettings): Promise<string> => {
    const [serving, to] = [site.serving, site.idle]
    const load = new Load({
      url: `${site.running.url}/scenes/echo`,
      rate: settings.rate,
      connections: 16,
      timeoutMs: TIMEOUT_MS,
      seed: settings.seed,
    })
    try {
      await site.settled()
      await load.begun
      const { data } = site.running
      const both = await Promise.all([startUpgrade(to.folder, data).ended, startUpgrade(serving.folder, data, ['--restart']).ended])
      await load.stop()
      const failed = load.samples.filter(({ failure }) => failure !== undefined)
      assert.equal(failed.length, 0, `${failed.length} requests failed: ${failed[0]?.failure}, ${failed[0]?.detail}`)
      const codes = both.map(({ code }) => code).sort()
      assert.deepEqual(codes, [0, 1], both.map(({ output }) => output).join('\n'))
      const refusal = both.find(({ code }) => code === 1)
      demandRefusal(refusal ?? both[0], /upgrade/)
      if (both[0].code === 0) site.swap()
      return `one was made, and the other refused: ${reasonIn(refusal?.output ?? '')}`
    } finally {
      load.kill()
    }
  },
}

/** What ends the base in the middle of an upgrade: all of it ends, and a new start finds what was there. */
interface Lethal {
  readonly name: string
  readonly stage: Stage
  readonly end: (site: Site) => void
  /** Of the launcher; undefined when it is killed. */
  readonly code?: number
}

const lethal: readonly Lethal[] = stages.flatMap(stage => [
  { name: `the base is stopped at “${stage}”`, stage, code: 0, end: site => void site.running.launcher.kill('SIGTERM') },
  { name: `the supervisor that serves is killed at “${stage}”`, stage, end: site => void killThose(site.serving.folder, 'supervisor') },
  { name: `the launcher is killed at “${stage}”`, stage, end: site => void site.running.launcher.kill('SIGKILL') },
])

/** Longer than a base takes to stop. */
const END_MS = 25_000

async function tryLethal(site: Site, fault: Lethal): Promise<string> {
  const { running, serving, idle } = site
  const { id } = await running.client.createToken(['call'], 'made before')
  await site.settled()
  const under = startUpgrade(idle.folder, running.data)
  const isDone = await onceAt({ data: running.data, command: under }, fault.stage, () => {
    fault.end(site)
    return true
  })
  const command = await under.ended
  assert.ok(isDone, `it could not be tried: the upgrade ended before\n${command.output}`)
  demandRefusal(command, fault.code === undefined ? /the base has ended/ : /Nothing serves: the base was stopped/)
  assert.deepEqual(await leftAfter([serving.folder, idle.folder], END_MS), [], 'processes of the base are left')
  if (fault.code !== undefined) assert.equal(await running.stop(), fault.code, 'the launcher ended in another way')
  await site.startAgain()
  const tokens = await site.running.client.tokens()
  assert.ok(
    tokens.some(token => token.id === id),
    'what was acknowledged before is lost',
  )
  await demandStatus(site, /./)
  const good = await site.upgrade(idle)
  assert.equal(good.code, 0, `a good release cannot be taken any more:\n${good.output}`)
  return `all of it ended, and it was started again: ${reasonIn(command.output)}`
}

const DISK_MB = 64

/** The disk of the data folder is full. */
const fullDisk = {
  name: 'the disk is full',
  run: async (settings: FaultSettings): Promise<string> => {
    await using site = await Site.open(settings.cells, DISK_MB)
    const { bavail, bsize } = await statfs(site.running.data)
    const filler = join(site.running.data, 'filler')
    writeFileSync(filler, Buffer.alloc(bavail * bsize - 8192))
    const fault: Refused = { name: '', says: /disk|space|full|written/i }
    const { command, samples } = await upgradeUnderLoad(site, site.idle.folder, fault, settings)
    demandNoneFailed(samples, site.serving.name)
    demandRefusal(command, fault.says)
    await rm(filler)
    const good = await site.upgrade(site.idle)
    assert.equal(good.code, 0, `a good release cannot be taken any more:\n${good.output}`)
    return `${samples.length} requests, 0 failed; refused: ${reasonIn(command.output)}`
  },
}
