/** Turns: the requests that the cell sends in at once. */
import { mendOpen } from '../built-ins/open.ts'
import { flush } from '../calls/calls.ts'
import { forget } from '../calls/open-calls.ts'
import { seedIfTold } from '../chance.ts'
import { readWrittenTime } from '../clock.ts'
import { cursor, post } from '../host.ts'
import type { SchemaCheck } from '../lazy/schema-check.ts'
import { logText, postLines } from '../log-lines.ts'
import { beginRun, closeLeftover, endRun, openRequests, type Request, running } from '../open-request.ts'
import { parse } from '../primordials.ts'
import { AnswerKind, CURSOR, demandShallow, type Failure, REQUEST_STRIDE, TURNS_IN_FLIGHT } from '../protocol.ts'
import { messageOf } from '../to-text.ts'
import { pushAnswer } from './answers.ts'
import { Context } from './context.ts'
import { brokenBy } from './fault.ts'
import { paramsOf } from './parsed-params.ts'
import { runStages } from './run.ts'
import { bodyFailure, requestSchema } from './schemas.ts'

/** What the last turns have returned. Each begins with the number of the first request. */
const reports: (readonly (string | number)[])[] = []
/** Characters of answers up to which a turn returns them: what is returned is kept for a while. */
const REPORT_CHARS_MAX = 2 ** 20

export function turn(firstNo: number, values: readonly (string | number)[]): (string | number)[] {
  closeLeftover()
  seedIfTold()
  const answers: (string | number)[] = []
  let someWait = false
  let chars = 0
  let params = ''
  for (let i = 0; i < values.length; i += REQUEST_STRIDE) {
    if (values[i + 4] !== '') params = values[i + 4] as string
    const request = begin(firstNo + i / REQUEST_STRIDE, values, i, params)
    const answer = startSafely(request)
    if (answer === undefined) {
      openRequests.add(request.no, request)
      answers.push(request.no, AnswerKind.waiting, '')
      someWait = true
    } else {
      pushAnswer(answers, request, answer)
      chars += (answers.at(-1) as string).length
    }
  }
  mend()
  // Calls are posted first, so that when the cell hears that a request waits, it knows what for.
  flush()
  // What is returned reaches the cell only after the promise reactions that are due. A request that waits is likely to have some: its neighbours are not kept
  // waiting for these, and the cell knows meanwhile whose they may be. What a request leaves behind that is answered does hold up its neighbours in the turn. To
  // post all answers would avoid that, and wake the thread of the cell twice for each turn.
  if (someWait || chars > REPORT_CHARS_MAX) {
    post('answers', ...answers)
    return []
  }
  reports.push(answers)
  if (reports.length > TURNS_IN_FLIGHT) reports.shift()
  return answers
}

export const reportOf = (firstNo: number) => reports.find(report => report[0] === firstNo) ?? []

/** Some built-ins stay writable, since V8 would become slow otherwise. What was done to them is undone instead. */
function mend(): void {
  const mended = mendOpen()
  if (mended === undefined) return
  logText('warn', `A module has changed what the modules of a version share, and the change was undone: ${mended.changed.join(', ')}`)
  if (!mended.complete) post('broken')
}

function begin(no: number, values: readonly (string | number)[], i: number, params: string): Request {
  const unit = values[i + 2] as string
  const bucket = values[i + 5] as number
  return {
    no,
    id: values[i] as string,
    body: values[i + 1] as string,
    unit: unit === '' ? undefined : unit,
    deadlineAt: values[i + 3] as number,
    params: paramsOf(params),
    bucket: bucket < 0 ? undefined : bucket,
    done: false,
    lines: undefined,
    degraded: undefined,
    tookMs: undefined,
    calls: 0,
    step: 0,
  }
}

/** Gives the other requests of a turn their answers, whatever one of them has done to the code here. */
function startSafely(request: Request): string | Failure | undefined {
  try {
    return start(request)
  } catch (error) {
    return brokenBy(error)
  }
}

function start(request: Request): string | Failure | undefined {
  // This must not depend on the wall clock at all: a step of it may come just before this.
  if (request.deadlineAt <= readWrittenTime()) return { code: 'DEADLINE_EXCEEDED', message: 'Its deadline passed before it began' }
  let input: unknown
  cursor[CURSOR.reading] = request.no
  try {
    demandShallow(request.body)
    input = parse(request.body)
  } catch (error) {
    return { code: 'BODY_MALFORMED', message: `Cannot read the body: ${messageOf(error)}` }
  } finally {
    cursor[CURSOR.reading] = 0
  }
  cursor[CURSOR.started] = request.no
  running.inTurn = true
  beginRun(request)
  try {
    const failure = requestSchema === undefined ? undefined : checkBody(requestSchema, input)
    return failure ?? runStages(request, new Context(request), 0, input)
  } finally {
    endRun()
    running.inTurn = false
  }
}

/** The cell kills a slot whose check takes too long, and knows then that no module is to blame. */
function checkBody(schema: SchemaCheck, body: unknown): Failure | undefined {
  cursor[CURSOR.checking] = 1
  try {
    return bodyFailure(schema, body)
  } finally {
    cursor[CURSOR.checking] = 0
  }
}

export function abandon(no: number): void {
  closeLeftover()
  const request = openRequests.get(no)
  if (request === undefined) return
  openRequests.delete(no)
  request.done = true
  if (request.lines !== undefined) postLines(no, request.lines)
  forget(request)
}
