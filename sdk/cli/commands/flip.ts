/** `sdk flip`: changing an experiment that runs. What would change is shown first, and what was shown is what happens. */

import type { Reasoned } from '../../../base/contract/common-api.ts'
import type { Flip, Flipped } from '../../../base/contract/experiment-api.ts'
import type { Client } from '../../api/client.ts'
import { parseArms, parseCondition, parseMeanings, parseNumber, parseShare, parseShares, usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { type AgreementOptions, agree, requireQuestions } from '../terminal/agreement.ts'
import { colorsFor } from '../terminal/colors.ts'
import { ageOf, describeCells, timed } from '../terminal/output.ts'
import { ask } from '../terminal/questions.ts'
import { describeExperiment, describeMovement, describeSegments, describeWhere, flipHead, flipRows } from '../views/experiment-view.ts'

export interface FlipOptions extends Reasoned, AgreementOptions {
  readonly drop?: readonly string[]
  readonly add?: readonly string[]
  readonly set?: readonly string[]
  readonly where?: readonly string[]
  readonly segments?: string
  /** The number of the phase to begin; true for whichever is the next. */
  readonly newPhase?: string | true
  /** The revision of the flip to undo instead; true for the last one that stands. */
  readonly revert?: string | true
  readonly dryRun?: boolean
}

/** @param shares such as `treatment=20%` */
export async function flip(context: Context, scene: string, id: string, shares: readonly string[], options: FlipOptions): Promise<void> {
  const { out } = context
  const line = `sdk flip ${scene} ${id}`
  const send = sender(context.client, scene, id, shares, options)
  const mustAsk = !options.yes && !options.dryRun
  if (mustAsk && options.revert !== true) requireQuestions(`whether to change "${id}"`, ADD_YES, options)
  const planned = await send({ dryRun: true })
  if (!options.dryRun) requireNamed(line, planned, options)
  show(context, scene, planned)
  if (options.dryRun) {
    out.result(planned)
    return out.next('Nothing was changed: this was a dry run.')
  }
  if (!planned.changed) {
    out.result(planned)
    return out.say('Nothing to do: it is so already')
  }
  const reason = mustAsk ? await approve(planned, options) : options.reason
  // What was shown names the phase and the flip, so that the same request does it once.
  const phase = planned.newPhase.length > 0 ? planned.experiment.phase : undefined
  const named = { ...(phase !== undefined && { newPhase: phase }), ...(planned.undoes && { flip: planned.undoes.revision }) }
  const [flipped, ms] = await timed(() => send({ ...(reason !== undefined && { reason }), ...named }, planned.revision))
  out.result(flipped)
  out.done('flipped', ms, `${id}, ${describeCells(flipped.cells)}`)
  if (!options.revert) out.next(`Back again: ${line} --revert ${flipped.revision}`)
}

const ADD_YES = 'Add --yes, or --dry-run to see what it would come to.'

/**
 * Checks that a command that is not asked about says which flip it undoes and which phase it begins: typed twice, it would do the same to the
 * one before, or the one after.
 * @throws SdkError USAGE with the command that names it
 */
function requireNamed(line: string, { undoes, experiment, newPhase }: Flipped, options: FlipOptions): void {
  if (options.revert === true && undoes !== undefined) {
    const hint = `Name it: ${line} --revert ${undoes.revision} --yes (${describeUndone(undoes)})`
    if (options.yes) throw usage('Cannot undo the last flip without asking: typed twice, the command would undo two', hint)
    requireQuestions(`whether to undo a flip of "${experiment.id}"`, hint, options)
  }
  if (options.newPhase === true && options.yes && newPhase.length > 0) {
    const message = 'Cannot begin a new phase without asking: typed twice, the command would begin two'
    throw usage(message, `Name the phase: --new-phase ${experiment.phase}`)
  }
}

interface Sending extends Reasoned {
  readonly dryRun?: boolean
  /** The phase that begins, as the user has agreed. */
  readonly newPhase?: number
  /** The revision of the flip that is undone. */
  readonly flip?: number
}

type Send = (sending: Sending, revision?: number) => Promise<Flipped>

/** @throws SdkError USAGE for what cannot be read, before anything is sent */
function sender(client: Client, scene: string, id: string, shares: readonly string[], options: FlipOptions): Send {
  const request = readRequest(shares, options)
  const isEmpty = Object.keys(request).length === 0
  if (!options.revert) {
    if (isEmpty)
      throw usage(`Cannot change "${id}": nothing says how`, `Write arms and their shares, as in: sdk flip ${scene} ${id} treatment=20%.`)
    return ({ flip: _, ...sending }, revision) => client.flip(scene, id, { ...request, ...sending }, revision)
  }
  if (!isEmpty) throw usage('Cannot take --revert with other changes: it undoes a flip, and no more', 'Leave the rest out.')
  const named = options.revert === true ? {} : { flip: parseNumber(options.revert, 'the revision of a flip') }
  return ({ newPhase: _, ...sending }, revision) => client.revert(scene, id, { ...named, ...sending }, revision)
}

function readRequest(shares: readonly string[], { drop, add, set, where, segments, newPhase }: FlipOptions): Flip {
  return {
    ...(shares.length > 0 && { arms: parseShares(shares) }),
    ...(drop && { drop }),
    ...(add && { add: parseArms(add) }),
    ...(set && { set: parseMeanings(set) }),
    ...(where && { where: where.map(parseCondition) }),
    ...(segments !== undefined && { segments: parseShare(segments) }),
    ...(newPhase !== undefined && { newPhase: newPhase === true || parseNumber(newPhase, 'the number of a phase') }),
  }
}

/** Says first that a new phase begins, since this cannot be undone. */
function show({ out }: Context, scene: string, planned: Flipped): void {
  const { experiment, newPhase, undoes } = planned
  const colors = colorsFor(process.stdout)
  if (newPhase.length > 0) {
    out.say(`${colors.yellow(`! Phase ${experiment.phase} of ${experiment.id} begins`)}: ${newPhase.join(', and ')}.`)
    out.say('  Results start anew: what was measured before is not counted with what comes.')
  }
  out.say(`${colors.bold(scene)}  ${describeExperiment(experiment)}`)
  if (undoes !== undefined) out.say(`undoes    the flip of ${describeUndone(undoes)}`)
  out.table(flipHead, flipRows(planned))
  for (const line of [...describeSegments(planned), ...describeWhere(experiment)]) out.say(line)
  out.say(describeMovement(planned))
}

/** Whose flip is undone: `revision 41, by ada, 3 min ago`. */
function describeUndone({ revision, at, whoLabel }: NonNullable<Flipped['undoes']>): string {
  return `revision ${revision}${whoLabel === undefined ? '' : `, by ${whoLabel}`}${at === undefined ? '' : `, ${ageOf(at)} ago`}`
}

/** @returns the reason, when one is given */
async function approve({ newPhase, experiment, undoes }: Flipped, { reason }: FlipOptions): Promise<string | undefined> {
  const change = undoes === undefined ? `Change ${experiment.id}?` : `Undo this flip of ${experiment.id}?`
  const question = newPhase.length > 0 ? `Begin phase ${experiment.phase} of ${experiment.id}?` : change
  await agree({ question, what: `whether to change "${experiment.id}"`, hint: ADD_YES }, {})
  return reason ?? ask('Why? It goes into the audit log:')
}
