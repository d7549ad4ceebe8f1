/** `sdk experiment` and `sdk layer`: starting, stopping and looking at experiments, and making room for them. */

import type { Reasoned } from '../../../base/contract/common-api.ts'
import type { ExperimentView } from '../../../base/contract/experiment-api.ts'
import { BUCKETS } from '../../../base/traffic/hash.ts'
import { showShare } from '../../../base/traffic/ranges.ts'
import type { Client } from '../../api/client.ts'
import type { Context } from '../context.ts'
import { type AgreementOptions, agreeToMove } from '../terminal/agreement.ts'
import { describeCells, timed } from '../terminal/output.ts'
import {
  armHead,
  armRows,
  describeExperiment,
  describeMovement,
  describeTargeting,
  showMeaning,
  showSpace,
} from '../views/experiment-view.ts'
import { countExposures, type Exposures } from '../views/exposures.ts'

export interface SwitchOptions extends Reasoned, AgreementOptions {
  readonly dryRun?: boolean
}

/** Starts an experiment, after who moves was agreed to, or stops it. When that was done already, nothing is changed. */
export async function switchExperiment(
  context: Context,
  scene: string,
  id: string,
  to: 'start' | 'stop',
  { reason, dryRun = false, ...agreement }: SwitchOptions,
): Promise<void> {
  const { client, out } = context
  const send = to === 'start' ? client.startExperiment : client.stopExperiment
  const planned = await send(scene, id, { dryRun: true })
  out.say(scene)
  if (dryRun || !planned.changed) {
    out.result(planned)
    const line = describeExperiment(planned.experiment)
    out.say(planned.changed ? `  ${line}\n  ${describeMovement(planned)}` : `  ${line}, already: nothing was changed`)
    return dryRun ? out.next('Nothing was changed: this was a dry run.') : undefined
  }
  const asked = { plan: describeMovement(planned), question: `Start ${id}?`, what: `whether ${id} may start` }
  const wasAsked = await agreeToMove(context, planned.moved, asked, agreement)
  // What was agreed to is what happens, or nothing. Nobody is asked about a stop, so others never hold it up.
  const [change, ms] = await timed(() => send(scene, id, { reason }, wasAsked ? planned.revision : undefined))
  out.result(change)
  out.done(to === 'start' ? 'started' : 'stopped', ms, `${describeExperiment(change.experiment)}, ${describeCells(change.cells)}`)
  out.table(armHead, armRows(change.experiment))
  out.say(`    ${describeMovement(change)}`)
  if (to === 'start')
    out.next(`Why a unit gets what it gets: sdk explain ${scene} --unit u1   How it goes: sdk experiment status ${scene} ${id}`)
}

/** Shows which arm runs what, and how many exposures each had since the cells started. */
export async function showExperiment({ client, out }: Context, scene: string, id: string): Promise<void> {
  const [experiment, exposures] = await Promise.all([client.experiment(scene, id), exposuresOf(client, scene)])
  const counts = countsOf(experiment, exposures)
  out.result({ ...experiment, exposures: counts })
  out.say(describeExperiment(experiment))
  for (const line of describeTargeting(experiment)) out.say(line)
  out.table(
    [...armHead, 'exposures'],
    armRows(experiment).map(row => [...row, counts[row[0] ?? '']?.toLocaleString('en') ?? '']),
  )
  const next = {
    draft: `Nobody is in it yet. Start it: sdk experiment start ${scene} ${id}`,
    running: `${nextFlip(scene, experiment)}End it: sdk experiment stop ${scene} ${id}`,
    stopped: `Once more, with the same units: sdk experiment start ${scene} ${id}`,
  }
  out.next(next[experiment.state])
}

/** Suggests twice the share of the last arm, when there is room. */
function nextFlip(scene: string, { id, arms }: ExperimentView): string {
  const room = BUCKETS - arms.reduce((sum, { share }) => sum + share, 0)
  const last = arms.at(-1)
  if (last === undefined || room === 0) return ''
  return `Change a share: sdk flip ${scene} ${id} ${last.name}=${showShare(last.share + Math.min(room, last.share || 100))}   `
}

async function exposuresOf(client: Client, scene: string): Promise<Exposures> {
  return countExposures(await client.metrics(), scene)
}

/** Exposures by arm, in the phase that the experiment is in. */
function countsOf({ id, phase, arms }: ExperimentView, exposures: Exposures): Record<string, number> {
  return Object.fromEntries(arms.map(({ name }) => [name, exposures.of(id, phase, name)]))
}

export async function listExperiments({ client, out }: Context, scene: string): Promise<void> {
  const list = await client.experiments(scene)
  out.result(list)
  if (list.experiments.length === 0) {
    return out.next(`"${scene}" has no experiment yet: sdk experiment create ${scene} exp-1 --arm control=v1:50% --arm treatment=v2:50%`)
  }
  out.table(
    ['experiment', 'state', 'phase', 'of', 'units', 'arms'],
    list.experiments.map(experiment => [
      experiment.id,
      experiment.state,
      String(experiment.phase),
      showSpace(experiment),
      showShare(experiment.traffic),
      experiment.arms.map(arm => `${arm.name} ${showMeaning(arm)} ${showShare(arm.share)}`).join(', '),
    ]),
  )
}

// Layers

export async function createLayer(
  { client, out }: Context,
  scene: string,
  id: string,
  { key: keys, reason }: Reasoned & { readonly key: readonly string[] },
): Promise<void> {
  const [made, ms] = await timed(() => client.createLayer(scene, { id, keys, reason }))
  out.result(made)
  out.say(scene)
  if (!made.changed) return out.say(`  ${id} owns ${keys.join(', ')} already: nothing was changed`)
  out.done('layer', ms, `${id} owns ${keys.join(', ')}, ${describeCells(made.cells)}`)
  out.next(`Put an experiment in it: sdk experiment create ${scene} exp-1 --layer ${id} --arm a='{"${keys[0]}":…}':50%`)
}

export async function listLayers({ client, out }: Context, scene: string): Promise<void> {
  const { layers } = await client.experiments(scene)
  out.result(layers)
  if (layers.length === 0) return out.next(`"${scene}" has no layer yet: sdk layer create ${scene} ui --key topK`)
  out.table(
    ['layer', 'state', 'parameters', 'experiments'],
    layers.map(({ id, state, keys, experiments }) => [
      id,
      state,
      keys.join(', '),
      experiments.map(experiment => `${experiment.id} (${experiment.state})`).join(', '),
    ]),
  )
}

export async function retireLayer({ client, out }: Context, scene: string, id: string, { reason }: Reasoned): Promise<void> {
  const [change, ms] = await timed(() => client.retireLayer(scene, id, { reason }))
  out.result(change)
  out.say(scene)
  if (!change.changed) return out.say(`  ${id} is retired already: nothing was changed`)
  out.done('retired', ms, `${id}: other layers may own its parameters, ${describeCells(change.cells)}`)
}
