/** A captured request in words. */
import type { Exchange } from '../../../base/capsule/contents.ts'
import type { CapsuleDetail } from '../../../base/contract/capsule-api.ts'
import { ageOf, printable } from '../terminal/output.ts'

/** Characters of a text that are shown unless all are asked for. */
const SHOWN_CHARS = 600
const LABEL_CHARS = 10

/** The command that has a request of a scene captured. */
export const lineToCapture = (scene: string): string => `sdk invoke ${scene} --header "x-scene-capture: 1"`

const reasons = {
  sampled: 'captured by chance',
  asked: 'captured because the request asked for it',
  failed: 'run again to be captured, because it had failed',
} as const

/**
 * The lines of a capsule, in the order in which things happened.
 * @param charsMax of each text
 */
export function describeCapsule(detail: CapsuleDetail, charsMax = SHOWN_CHARS): string[] {
  const { capsule, imported, contents } = detail
  const cut = (text: string) => cutTo(text, charsMax)
  const origin = imported ? ', of another base' : ''
  return [
    `${capsule.id}  ${capsule.scene} ${capsule.version}${origin}, ${ageOf(capsule.at)} ago (${capsule.at}), ${reasons[capsule.why]}`,
    line('request', requestOf(detail)),
    line('body', cut(contents.body)),
    line('decided', decisionOf(detail)),
    ...capsule.arms.map(({ layer, experiment, arm, values }) =>
      line('arm', `${arm} of ${experiment} in layer ${layer}: ${cut(JSON.stringify(values))}`),
    ),
    line('params', cut(contents.params)),
    ...contents.exchanges.flatMap(exchange => exchangeOf(exchange, cut)),
    line('stages', stagesOf(detail)),
    line('clocks', `read ${times(contents.readings)}, timers set ${times(contents.timers)}`),
    ...capsule.logs.map(({ level, message, module, fields }) =>
      line('log', cut([level.toUpperCase(), module, message, fields].filter(part => part !== undefined).join(' '))),
    ),
    line('answer', answerOf(detail, cut)),
    line('replay', replayOf(detail)),
  ]
}

const line = (label: string, text: string): string => `  ${label.padEnd(LABEL_CHARS)}${printable(text)}`

const times = (count: number): string => (count === 1 ? 'once' : count === 0 ? 'never' : `${count} times`)

function cutTo(text: string, charsMax: number): string {
  return text.length <= charsMax ? text : `${text.slice(0, charsMax)}… (${text.length - charsMax} more characters: --full)`
}

function requestOf({ capsule, recording }: CapsuleDetail): string {
  const unit = capsule.unit === undefined ? 'no unit' : `unit ${capsule.unit}`
  const before = recording.before === 0 ? 'the first of its slot' : `number ${recording.before + 1} of its slot`
  return `${capsule.requestId}, ${unit}, deadline ${capsule.deadlineMs} ms, ${before}, which was loaded at ${recording.startedAt}`
}

function decisionOf({ capsule: { because, bucket, version } }: CapsuleDetail): string {
  return `${version} because of ${because}${bucket === undefined ? '' : `, bucket ${bucket}`}`
}

function exchangeOf({ kind, target, input, askedMs, reply }: Exchange, cut: (text: string) => string): string[] {
  const asked = line(kind, `${askedMs.toFixed(1)} ms  ${target} ${cut(input ?? '')}`.trimEnd())
  if (reply === undefined) return [asked, line('', 'no reply before the request was answered')]
  const status = reply.status === undefined ? '' : ` ${reply.status}`
  return [
    asked,
    line('', `${reply.atMs.toFixed(1)} ms  ${reply.ok ? 'reply' : 'error'}${status} ${reply.isBase64 ? 'base64 ' : ''}${cut(reply.text)}`),
  ]
}

function stagesOf({ capsule, stages }: CapsuleDetail): string {
  const each = stages.map(({ stage, modules }, index) => {
    const ms = capsule.stageMs[index]
    return `${stage} (${modules.join(', ')})${ms === undefined ? '' : ` ${Math.round(ms)} ms`}`
  })
  return `${each.join(' → ')}; in all ${capsule.tookMs.toFixed(1)} ms, ${capsule.cpuMs.toFixed(1)} ms of CPU`
}

function answerOf({ capsule: { answer } }: CapsuleDetail, cut: (text: string) => string): string {
  if ('json' in answer) return `${cut(answer.json)}${answer.degraded === undefined ? '' : ` without ${answer.degraded}`}`
  const { code, message, stage, module } = answer.failure
  return `${code}: ${cut(message)}${stage === undefined ? '' : ` (stage ${stage}${module === undefined ? '' : `, ${module}`})`}`
}

function replayOf({ capsule: { inexact, redacted }, recording: { origin } }: CapsuleDetail): string {
  if (inexact.length === 0) return `exact: the same bytes again, on V8 ${origin.v8} and ${origin.platform}`
  const out = redacted.length === 0 ? '' : `; taken out: ${redacted.join(', ')}`
  return `may give other bytes: ${inexact.join(', ')}${out}`
}
