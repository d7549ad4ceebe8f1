/** Checks whether an answer fits a state of the rules. */
import type { Answer, Ask, Invariant } from './record.ts'
import { expectedOf, type Routing } from './routing.ts'

export interface Fault {
  readonly invariant: Invariant
  readonly what: string
}

/** What is wrong with an answer, assuming that this routing was in force; empty when the answer fits. */
export function faultsUnder(routing: Routing, ask: Ask, got: Answer): Fault[] {
  const faults: Fault[] = []
  const { version, because, bucket } = expectedOf(routing, ask)
  const actual = { version: got.version, because: got.because, bucket: got.bucket }
  if (actual.version !== version || actual.because !== because || actual.bucket !== bucket) {
    faults.push({
      invariant: 'routed',
      what: `it was answered by ${JSON.stringify(actual)} instead of ${JSON.stringify({ version, because, bucket })}`,
    })
  }
  const answering = got.version ?? ''
  const should = { tag: routing.tags[answering], version: answering, unit: ask.unit ?? null, nonce: ask.requestId, step: routing.step }
  for (const [member, value] of Object.entries(should)) {
    const found = memberOf(got.body, member)
    if (found !== value)
      faults.push({ invariant: 'whole', what: `its ${member} is ${JSON.stringify(found)} instead of ${JSON.stringify(value)}` })
  }
  return faults
}

export function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined
}
