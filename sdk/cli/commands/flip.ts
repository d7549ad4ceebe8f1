/** `sdk flip`: changing an experiment that runs. What would change is shown first, and what was shown is what happens. */

import type { Reasoned } from '../../../base/contract/common-api.ts'
import type { Flip, Flipped } from '../../../base/contract/experiment-api.ts'
import type { Client } from '../../api/client.ts'
import { parseArms, parseCondition, parseMeanings, parseShare, parseShares, usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { colorsFor } from '../terminal/colors.ts'
import { describeCells, timed } from '../terminal/output.ts'
import { ask, canAsk, cancelled, confirm } from '../terminal/questions.ts'
import { describeExperiment, describeMovement, describeSegments, describeWhere, flipHead, flipRows } from '../views/experiment-view.ts'

export interface FlipOptions extends Reasoned {
  readonly drop?: readonly string[]
  readonly add?: readonly string[]
  readonly set?: readonly string[]
  readonly where?: readonly string[]
  readonly segments?: string
  readonly newPhase?: boolean
  /** Whether to undo the last flip instead. */
  readonly revert?: boolean
  readonly yes?: boolean
  readonly dryRun?: boolean
  readonly json?: boolean | undefined
}

/** @param shares such as `treatment=20%` */
export async function flip(context: Context, scene: string, id: string, shares: readonly string[], options: FlipOptions): Promise<void> {
  const { out } = context
  const send = sender(context.client, scene, id, shares, options)
  if (!options.yes && !options.dryRun && (options.json || !canAsk())) {
    const why = options.json ? '--json prints one document' : 'there is no terminal'
    throw usage(`Cannot ask whether to change "${id}": ${why}`, 'Add --yes, or --dry-run to see what it would come to.')
  }
  const planned = await send({ dryRun: true })
  show(context, scene, planned)
  if (options.dryRun) {
    out.result(planned)
    return out.next('Nothing was changed: this was a dry run.')
  }
  if (isSame(planned, options)) {
    out.result({ ...planned, changed: false })
    return out.say('Nothing to do: it is so already')
  }
  const reason = options.yes ? options.reason : await approve(planned, options)
  const [flipped, ms] = await timed(() =>
    send({ ...(reason !== undefined && { reason }), newPhase: planned.newPhase.length > 0 }, planned.revision),
  )
  out.result(flipped)
  out.done('flipped', ms, `${id}, ${describeCells(flipped.cells)}`)
  if (!options.revert) out.next(`Back again: sdk flip ${scene} ${id} --revert`)
}

interface Sending extends Reasoned {
  readonly dryRun?: boolean
  /** Whether the user has agreed that a new phase begins. */
  readonly newPhase?: boolean
}

type Send = (sending: Sending, revision?: number) => Promise<Flipped>

/** @throws SdkError USAGE for what cannot be read, before anything is sent */
function sender(client: Client, scene: string, id: string, shares: readonly string[], options: FlipOptions): Send {
  const request = readRequest(shares, options)
  const isEmpty = Object.keys(request).length === 0
  if (!options.revert) {
    if (isEmpty)
      throw usage(`Cannot change "${id}": nothing says how`, `Write arms and their shares, as in: sdk flip ${scene} ${id} treatment=20%.`)
    return ({ newPhase, ...sending }, revision) =>
      client.flip(scene, id, { ...request, ...sending, ...(newPhase && { newPhase }) }, revision)
  }
  if (!isEmpty) throw usage('Cannot take --revert with other changes: it undoes the last flip, and no more', 'Leave the rest out.')
  return ({ newPhase: _, ...sending }, revision) => client.revert(scene, id, sending, revision)
}

function readRequest(shares: readonly string[], { drop, add, set, where, segments, newPhase }: FlipOptions): Flip {
  return {
    ...(shares.length > 0 && { arms: parseShares(shares) }),
    ...(drop && { drop }),
    ...(add && { add: parseArms(add) }),
    ...(set && { set: parseMeanings(set) }),
    ...(where && { where: where.map(parseCondition) }),
    ...(segments !== undefined && { segments: parseShare(segments) }),
    ...(newPhase && { newPhase }),
  }
}

/** Says first that a new phase begins, since this cannot be undone. */
function show({ out }: Context, scene: string, planned: Flipped): void {
  const { experiment, newPhase } = planned
  const colors = colorsFor(process.stdout)
  if (newPhase.length > 0) {
    out.say(`${colors.yellow(`! Phase ${experiment.phase} of ${experiment.id} begins`)}: ${newPhase.join(', and ')}.`)
    out.say('  Results start anew: what was measured before is not counted with what comes.')
  }
  out.say(`${colors.bold(scene)}  ${describeExperiment(experiment)}`)
  out.table(flipHead, flipRows(planned))
  for (const line of [...describeSegments(planned), ...describeWhere(experiment)]) out.say(line)
  out.say(describeMovement(planned))
}

/** Only shares and segments can be compared: what a draft means may change without a phase or a share that shows it. */
function isSame({ before, after, segments, newPhase }: Flipped, { revert, add, set, where }: FlipOptions): boolean {
  if (revert || add || set || where || newPhase.length > 0) return false
  return JSON.stringify([before, segments.before]) === JSON.stringify([after, segments.after])
}

/** @returns the reason, when one is given */
async function approve({ newPhase, experiment }: Flipped, { reason }: FlipOptions): Promise<string | undefined> {
  const question = newPhase.length > 0 ? `Begin phase ${experiment.phase} of ${experiment.id}?` : `Change ${experiment.id}?`
  if (!(await confirm(question))) throw cancelled()
  return reason ?? ask('Why? It goes into the audit log:')
}
