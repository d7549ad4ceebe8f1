/** Answers on their way to the cell. */
import { post } from '../host.ts'
import { postLines } from '../log-lines.ts'
import { openRequests, type Request } from '../open-request.ts'
import { stringify } from '../primordials.ts'
import { ANSWER_STRIDE, AnswerKind, type Failure } from '../protocol.ts'
import { lookForOverflow } from '../readings.ts'

/** Answers of requests that went async, posted together. */
let outbox: (string | number)[] = []

/** Answers a request that went async. */
export function settle(request: Request, answer: string | Failure): void {
  if (request.done) return
  openRequests.delete(request.no)
  pushAnswer(outbox, request, answer)
  // The first of a batch sends it, once the microtasks that are due have run.
  if (outbox.length === ANSWER_STRIDE) Promise.resolve().then(flushOutbox)
}

function flushOutbox(): void {
  const answers = outbox
  outbox = []
  post('answers', ...answers)
}

/** Adds the answer of a request to `answers`, and posts its log lines. */
export function pushAnswer(answers: (string | number)[], request: Request, answer: string | Failure): void {
  request.done = true
  if (request.lines !== undefined) postLines(request.no, request.lines)
  const text = typeof answer === 'string' ? answer : stringify(answer)
  lookForOverflow(text)
  if (typeof answer !== 'string') answers.push(request.no, AnswerKind.failed, text)
  else if (request.degraded === undefined && request.tookMs === undefined) answers.push(request.no, AnswerKind.ok, text)
  else {
    const notes = `${request.degraded?.join(',') ?? ''} ${request.tookMs?.join(',') ?? ''}`
    answers.push(request.no, AnswerKind.noted, `${notes}\n${text}`)
  }
}
