/**
 * Runs the stages of a group. Values here are a module's result, a `Fault`, or a promise of one of these, which rejects only when a result
 * cannot be looked at. No promise is made where none is needed.
 */
import { monotonicTime } from '../clock.ts'
import { closeTimer, openTimer } from '../globals/timers.ts'
import { cursor } from '../host.ts'
import { keepLine, logLine } from '../log-lines.ts'
import { beginRun, endRun, type Request, running } from '../open-request.ts'
import { parse } from '../primordials.ts'
import { CURSOR, type Failure } from '../protocol.ts'
import { kindOf } from '../to-text.ts'
import { settle } from './answers.ts'
import { type Context, requestOf } from './context.ts'
import { brokenBy, Fault, orFault, threw } from './fault.ts'
import { toJson } from './json.ts'
import { type Stage, type Step, stages } from './version.ts'

/** Runs the stages from `index` on. Returns undefined when one went async; `settle` gets the answer later. */
export function runStages(request: Request, ctx: Context, index: number, input: unknown): string | Failure | undefined {
  let value = input
  let beganAt = monotonicTime()
  for (let i = index; i < stages.length; i++) {
    value = runStage(request, ctx, stages[i] as Stage, value)
    if (value instanceof Promise) {
      value.then(
        result => continueAfter(request, ctx, i, beganAt, result),
        error => settle(request, brokenBy(error)),
      )
      return undefined
    }
    if (value instanceof Fault) return value.failure
    beganAt = markTime(request, i, beganAt)
  }
  return toJson(request, value)
}

/** Returns the time at which the stage ended, which is when the next one begins. */
function markTime(request: Request, index: number, beganAt: number): number {
  const endedAt = monotonicTime()
  if (endedAt > beganAt) {
    request.tookMs ??= stages.map(() => 0)
    request.tookMs[index] = endedAt - beganAt
  }
  return endedAt
}

function continueAfter(request: Request, ctx: Context, index: number, beganAt: number, result: unknown): void {
  // The caller has gone, so the remaining stages would waste the slot's time.
  if (request.done) return
  markTime(request, index, beganAt)
  beginRun(request)
  cursor[CURSOR.step] = request.step
  try {
    const answer = result instanceof Fault ? result.failure : runStages(request, ctx, index + 1, result)
    if (answer !== undefined) settle(request, answer)
  } catch (error) {
    settle(request, brokenBy(error))
  } finally {
    endRun()
  }
}

function runStage(request: Request, ctx: Context, stage: Stage, input: unknown): unknown {
  const result = stage.parallel ? runParallel(request, ctx, stage, input) : runSequence(ctx, stage.steps, 0, input)
  if (result instanceof Promise) {
    // The modules of a parallel stage have been bounded one by one, so that the results of those in time count.
    const bounded = stage.parallel ? result : withinDeadline(stage, result)
    return bounded.then(settled => orInstead(request, ctx, stage, input, settled))
  }
  return orInstead(request, ctx, stage, input, result)
}

function runSequence(ctx: Context, steps: readonly Step[], index: number, input: unknown): unknown {
  let value = input
  for (let i = index; i < steps.length; i++) {
    value = runStep(ctx, steps[i] as Step, value)
    if (value instanceof Fault) return value
    if (value instanceof Promise) return value.then(result => (result instanceof Fault ? result : runSequence(ctx, steps, i + 1, result)))
  }
  return value
}

function runParallel(request: Request, ctx: Context, stage: Stage, input: unknown): unknown {
  const results = stage.steps.map(step => runStep(ctx, step, input))
  if (!results.some(result => result instanceof Promise)) return merge(request, ctx, stage, results)
  const bounded = results.map(result => (result instanceof Promise ? withinDeadline(stage, result) : result))
  return Promise.all(bounded).then(settled => merge(request, ctx, stage, settled))
}

/** Makes one result of those of a parallel stage. With `skip`, modules that failed are left out, unless all did. One that rejects the request ends it. */
function merge(request: Request, ctx: Context, stage: Stage, results: readonly unknown[]): unknown {
  const faults = results.filter(result => result instanceof Fault)
  const rejection = faults.find(fault => fault.isRejection)
  if (rejection !== undefined) return rejection
  const fine = results.filter(result => !(result instanceof Fault))
  if (faults.length > 0 && (stage.onFailure !== 'skip' || fine.length === 0)) return faults[0]
  for (const { failure } of faults) markDegraded(request, stage, failure)
  if (stage.merge !== undefined) return runStep(ctx, stage.merge, fine)
  const other = fine.find(result => !Array.isArray(result))
  if (other === undefined) return fine.flat()
  const message = `Stage "${stage.stage}" cannot join the results of its modules: one returned ${kindOf(other)}, not a list`
  return new Fault({ code: 'RESULT_NOT_LIST', message, stage: stage.stage })
}

function runStep(ctx: Context, step: Step, input: unknown): unknown {
  const { run } = step
  let begins = false
  try {
    const request = requestOf(ctx)
    begins = beginRun(request)
    running.module = step.module
    running.request = request
    request.step = step.no
    cursor[CURSOR.step] = step.no
    const value = run(input, ctx)
    if (!isThenable(value)) return orFault(step, value)
    // The engine calls whatever `then` the module's own promise has. In a new promise, what that throws becomes a rejection.
    return new Promise<unknown>(resolve => resolve(value)).then(
      settled => orFault(step, settled),
      error => threw(step, error),
    )
  } catch (error) {
    return threw(step, error)
  } finally {
    running.module = undefined
    running.request = undefined
    if (begins) endRun()
  }
}

function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

/** The result of a stage, or what the scene goes on with when the stage failed. */
function orInstead(request: Request, ctx: Context, stage: Stage, input: unknown, result: unknown): unknown {
  if (!(result instanceof Fault) || stage.onFailure === 'fail' || result.isRejection) return result
  markDegraded(request, stage, result.failure)
  if (stage.onFailure === 'skip') return stage.first ? [] : input
  return stage.fallbackStep === undefined ? parse(stage.fallbackValue as string) : runStep(ctx, stage.fallbackStep, input)
}

function markDegraded(request: Request, { stage, onFailure }: Stage, { message, module, stack }: Failure): void {
  request.degraded ??= []
  if (!request.degraded.includes(stage)) request.degraded.push(stage)
  const line = logLine('warn', module, `Stage "${stage}" failed (${onFailure}): ${message}`)
  if (line !== undefined) keepLine(request, stack === undefined ? line : { ...line, stack })
}

function withinDeadline({ stage, deadlineMs }: Stage, result: Promise<unknown>): Promise<unknown> {
  if (deadlineMs === undefined) return result
  return new Promise((resolve, reject) => {
    const message = `Stage "${stage}" had no result after ${deadlineMs} ms`
    const onLate = () => resolve(new Fault({ code: 'DEADLINE_EXCEEDED', message, stage }))
    const timer = openTimer('setTimeout', onLate, deadlineMs, [], false)
    result.then(value => {
      closeTimer(timer)
      resolve(value)
    }, reject)
  })
}
