/** `sdk params`: the parameters of a scene and of its versions, published apart from code. */

import type { Reasoned } from '../../../base/contract/common-api.ts'
import type { ParamsChange, ParamsHistoryEntry, ParamsRollback, ParamsRolledBack, ParamsView } from '../../../base/contract/params-api.ts'
import { describeOverride } from '../../../base/traffic/overrides.ts'
import type { Params, ValidationMode } from '../../../base/traffic/schema.ts'
import { SdkError } from '../../sdk-error.ts'
import { parseParams, parseVersion, usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { readJson } from '../files/text.ts'
import { agree } from '../terminal/agreement.ts'
import { ageOf, describeCells, timed } from '../terminal/output.ts'
import { differences } from './scene.ts'
import { showValidation, validated, warnOfFailed } from './validation.ts'

interface VersionOption {
  /**
   * The version whose parameters they are.
   * @default the scene's own
   */
  readonly version?: string
}

/** The parameters of the scene, or what a version sets over them. */
const ofVersion = ({ params, versions }: ParamsView, version: string | undefined): Params =>
  version === undefined ? params : (versions[parseVersion(version)] ?? {})

export async function showParams({ client, out }: Context, scene: string, { version }: VersionOption): Promise<void> {
  const state = await client.params(scene)
  out.result(version === undefined ? state : { version, params: ofVersion(state, version), revision: state.revision })
  out.say(JSON.stringify(ofVersion(state, version), null, 2))
  for (const override of state.overrides) out.warn(describeOverride(override))
  const others = Object.keys(state.versions)
  if (version !== undefined) return out.next(`${version} sets these over those of the scene: sdk params show ${scene}`)
  if (others.length > 0) out.next(`Set over these by ${others.join(', ')}: sdk params show ${scene} --version ${others[0]}`)
}

export interface SetOptions extends Reasoned, VersionOption {
  /** JSON that replaces all of them. */
  readonly file?: string
  /** Keys to take away. */
  readonly unset?: readonly string[]
  readonly validation?: ValidationMode
}

/** Sets single parameters and leaves the others, or replaces all by those of a file. */
export async function setParams(
  { client, out }: Context,
  scene: string,
  assignments: readonly string[],
  { file, unset = [], version, validation, reason }: SetOptions,
): Promise<void> {
  const single = parseParams(assignments)
  const isSingle = assignments.length + unset.length > 0
  if (isSingle === (file !== undefined)) {
    throw usage(
      `Cannot set params: ${isSingle ? 'there are both a file and single ones' : 'nothing says which'}`,
      'Name some, as in topK=5, or give --file.',
    )
  }
  const whole = file === undefined ? undefined : await readParams(file)
  const state = await client.params(scene)
  const before = ofVersion(state, version)
  const params = whole ?? withoutKeys({ ...before, ...single }, unset)
  if (differences('', before, params).length === 0) {
    out.result({ version: version ?? null, before, after: params, changed: false })
    return out.say(`${scene}: the params are so already`)
  }
  const [change, ms] = await timed(() => validated(out, client.setParams(scene, { params, version, validation, reason }, state.revision)))
  showChange({ out }, scene, change, ms)
  for (const warning of change.warnings) out.warn(`${scene}: ${warning}`)
  warnOfFailed(out, scene, change.validation)
  out.next(`Back again: sdk params rollback ${scene} ${change.revision}${version === undefined ? '' : ` --version ${version}`}`)
}

function withoutKeys(params: Params, keys: readonly string[]): Params {
  const unknown = keys.find(key => !Object.hasOwn(params, key))
  if (unknown !== undefined)
    throw usage(`Cannot unset "${unknown}": there is no such parameter`, `There are: ${Object.keys(params).join(', ') || 'none'}.`)
  return Object.fromEntries(Object.entries(params).filter(([key]) => !keys.includes(key)))
}

async function readParams(file: string): Promise<Params> {
  const refuse = (why: string) =>
    new SdkError('PARAMS_INVALID', `Cannot set the params of "${file}": ${why}`, {
      hint: 'The file holds one JSON object: { "topK": 5 }.',
    })
  const params = await readJson(file, refuse)
  if (typeof params === 'object' && params !== null && !Array.isArray(params)) return params as Params
  throw refuse('it is not a JSON object')
}

export interface DiffOptions extends VersionOption {
  readonly file?: string
  /** A revision in the history of the parameters. */
  readonly from?: string
}

/** Shows how the parameters in force differ from a file, from what they were at a revision, or from before the last change. */
export async function diffParams({ client, out }: Context, scene: string, { file, from, version }: DiffOptions): Promise<void> {
  if (file !== undefined && from !== undefined) throw usage('Cannot compare with both --file and --from', 'Give one of them.')
  const now = ofVersion(await client.params(scene), version)
  const [before, after, what] =
    file === undefined
      ? [await earlier({ client, out }, scene, version, from), now, from === undefined ? 'before the last change' : `revision ${from}`]
      : [now, await readParams(file), `what is in force, and "${file}"`]
  const lines = differences('', before, after)
  out.result({ version: version ?? null, before, after })
  if (lines.length === 0) return out.say(`${scene}: no difference from ${what}`)
  for (const line of lines) out.say(line)
}

async function earlier({ client }: Context, scene: string, version: string | undefined, from: string | undefined): Promise<Params> {
  const changes = (await client.paramsHistory(scene)).filter(change => (change.version ?? undefined) === version)
  if (from === undefined) return changes[0]?.before ?? ofVersion(await client.params(scene), version)
  const change = changes.find(({ revision }) => String(revision) === from)
  if (change !== undefined) return change.after
  const known = changes.slice(0, 10).map(({ revision }) => revision)
  throw usage(`Cannot compare with revision "${from}": the params did not change then`, `They did at ${known.join(', ') || 'none'}.`)
}

export async function showHistory({ client, out }: Context, scene: string, { version }: VersionOption): Promise<void> {
  const all = await client.paramsHistory(scene)
  const changes = version === undefined ? all : all.filter(change => change.version === version)
  out.result(changes)
  if (changes.length === 0) return out.next('The params have not changed yet.')
  out.table(
    ['revision', 'age', 'by', 'of', 'changed', 'reason'],
    changes.map(({ revision, at, whoLabel, version: of, before, after, reason, to }) => [
      String(revision),
      ageOf(at),
      whoLabel,
      of ?? 'the scene',
      differences('', before, after).join('\n'),
      describeWhy(to, reason),
    ]),
  )
  const [last, ...earlier] = changes
  const target = earlier.find(change => change.version === last?.version)
  const of = target?.version == null ? '' : ` --version ${target.version}`
  if (target !== undefined) out.next(`As they were after one of these: sdk params rollback ${scene} --to ${target.revision}${of}`)
}

function describeWhy(to: number | undefined, reason = ''): string {
  if (to === undefined) return reason
  return `back to ${to === 0 ? 'before every change' : to}${reason === '' ? '' : `: ${reason}`}`
}

export interface RollbackOptions extends Reasoned, VersionOption {
  readonly to?: string
  readonly json?: boolean | undefined
}

/**
 * Undoes a change of parameters, or goes to how they were after one. A second time nothing is left to do.
 * @param revision of the change to undo; undefined, without `to`: the last that stands, after a question
 */
export async function rollBackParams(
  context: Context,
  scene: string,
  revision: string | undefined,
  { to, version, reason, json }: RollbackOptions,
): Promise<void> {
  if (revision !== undefined && to !== undefined) throw usage('Cannot undo a change and go to another', 'Give a revision, or --to.')
  const of = { ...(version !== undefined && { version: parseVersion(version) }) }
  const line = `sdk params rollback ${scene}${version === undefined ? '' : ` --version ${version}`}`
  const where =
    to === undefined
      ? { from: revision === undefined ? await askUndone(context, scene, line, of, json) : parseRevision(scene, revision) }
      : { to: parseRevision(scene, to) }
  const { client, out } = context
  const [was] = (await client.paramsHistory(scene)).filter(change => (change.version ?? undefined) === version)
  const [change, ms] = await timed(() => client.rollbackParams(scene, { ...of, ...where, reason }))
  if (!change.changed) {
    out.result(change)
    const done = change.undoes === undefined ? 'the params are so already' : `revision ${change.undoes.revision} is undone already`
    return out.say(`${scene}: ${done}: nothing was changed`)
  }
  showChange(context, scene, change, ms, `${describePlace(change.to)}, `)
  const isFirst = change.to === null || change.to.initial === true || change.undoes === undefined
  out.next(
    [
      ...(isFirst ? [] : [`Further back: ${line} ${change.to?.revision}`]),
      ...(was === undefined ? [] : [`Forth again: ${line} --to ${was.revision}`]),
    ].join('   '),
  )
}

/** @throws SdkError USAGE */
function parseRevision(scene: string, text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw usage(`Cannot go back to "${text}": it is no revision`, `"sdk params history ${scene}" lists the revisions.`)
}

/**
 * The revision of the last change that is not undone, once somebody has agreed that it is the one that is meant.
 * @throws SdkError USAGE with the command that names it, when nobody can be asked
 */
async function askUndone(
  { client, out }: Context,
  scene: string,
  line: string,
  of: Pick<ParamsRollback, 'version'>,
  json: boolean | undefined,
): Promise<number> {
  const { undoes } = await client.rollbackParams(scene, { ...of, dryRun: true })
  if (undoes === undefined) throw new Error('a rollback of parameters undoes no change')
  const { revision, whoLabel, at, before, after } = undoes
  const which = `revision ${revision}, by ${whoLabel}, ${ageOf(at)} ago`
  for (const difference of differences('', before, after)) out.say(`  ${difference}`)
  const hint = `Name it, so that the same command undoes no other: ${line} ${revision} (${which})`
  await agree({ question: `Undo this change (${which})?`, what: 'which change to undo', hint }, { json })
  return revision
}

/** A past change in words: `as after revision 41, 3 min ago ("more room")`. */
function describePlace(to: ParamsHistoryEntry | null): string {
  if (to === null) return 'as before every change'
  const why = to.initial ? ' (as it was defined)' : to.reason === undefined ? '' : ` (${JSON.stringify(to.reason)})`
  return `as after revision ${to.revision}, ${ageOf(to.at)} ago${why}`
}

function showChange({ out }: Pick<Context, 'out'>, scene: string, change: ParamsRolledBack | ParamsChange, ms: number, how = ''): void {
  out.result(change)
  out.say(change.version === null ? scene : `${scene} ${change.version}`)
  if ('validation' in change) showValidation(out, change.validation)
  out.done('params', ms, `${how}${describeCells(change.cells)}`)
  for (const line of differences('', change.before, change.after)) out.say(`    ${line}`)
}
