/** A trial loads one bundle, in a slot and a process of its own, before the keeper accepts the bundle. The process is used once. */
import { toBerthError } from '../kernel/errors.ts'
import { type Blank, makeBlank } from '../slot/blank.ts'
import { CodeCache } from '../slot/code-cache.ts'
import { endProcess, endWithParent } from '../slot/isolate-process.ts'
import { Lookout } from '../slot/lookout.ts'
import { ModuleError } from '../slot/module-error.ts'
import { specialise } from '../slot/specialise.ts'
import { dispatcher } from '../wire/dispatch.ts'
import type { TrialReply, TrialRequest } from '../wire/messages.ts'

const TRIAL_MEMORY_MB = 128
const NO_DIGEST = ''
const STACK_CHARS_MAX = 64 * 1024

const codeCache = new CodeCache(0)

/** Says `waiting`, takes one `try`, answers `passed` or `failed`. The keeper ends the process. */
export function runTrial(): void {
  endWithParent()
  // The process is started ahead of its use, and so is the slot.
  const opening = open()
  opening.catch(() => undefined)
  const dispatch = dispatcher<TrialRequest>('a trial', { try: request => void tryBundle(request, opening).then(sendToKeeper) }, sentence =>
    sendToKeeper({ type: 'failed', code: 'INTERNAL', message: sentence }),
  )
  process.once('message', (request: TrialRequest) => dispatch(request))
  sendToKeeper({ type: 'waiting' })
}

interface Opened {
  readonly blank: Blank
  readonly lookout: Lookout
}

async function open(): Promise<Opened> {
  const blank = await makeBlank(TRIAL_MEMORY_MB, codeCache)
  blank.listener.onLost = endProcess
  return { blank, lookout: await Lookout.open(blank) }
}

async function tryBundle({ name, stages, bundle }: TrialRequest, opening: Promise<Opened>): Promise<TrialReply> {
  const [module = name, version = ''] = name.split('@')
  const lock = stages.map(stage => ({ stage, modules: [{ name: module, version, bundle: NO_DIGEST }] }))
  const plan = { key: name, scene: 'trial', version: 'trial', memoryMB: TRIAL_MEMORY_MB, lock }
  try {
    const { blank, lookout } = await opening
    await specialise(blank, plan, { readBundle: () => Promise.resolve(bundle), servicesOf: () => ({}), codeCache }, lookout)
    return { type: 'passed' }
  } catch (error) {
    const { code, message } = toBerthError(error)
    // The keeper has the source map.
    const stack = error instanceof ModuleError ? error.rawStack?.slice(0, STACK_CHARS_MAX) : undefined
    return { type: 'failed', code, message, stack }
  }
}

const sendToKeeper = (message: TrialReply): void => {
  // This fails only when the keeper has ended, and then this process is about to end too.
  process.send?.(message, undefined, undefined, () => undefined)
}
