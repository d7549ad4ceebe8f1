/** `npm run train`: writes the files that the example modules import, and prints how good the click model is on days that it has not seen. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Table from 'cli-table3'
import { holdoutFrom, leakyDay } from './click-model.ts'
import type { Estimate } from './metrics.ts'
import { type Report, train } from './train.ts'

const root = join(import.meta.dirname, '../..')

const { files, reports } = await train()
for (const [path, text] of files) await writeFile(join(root, path), text)
console.log(`${describe(reports)}\n\nWritten: ${[...files.keys()].join(', ')}`)

function describe(reports: readonly Report[]): string {
  const table = new Table({
    head: ['campaign', 'held-out log', 'rows', 'clicks', 'log-loss base rate', 'log-loss model', 'gain ± s.e.', 'AUC ± s.e.'],
    style: { head: [], border: [] },
  })
  for (const { campaign, evaluations } of reports) {
    for (const { log, rows, clicks, baseLogLoss, logLoss, gain, auc } of evaluations) {
      table.push([campaign, log, rows, clicks, baseLogLoss.toFixed(5), logLoss.toFixed(5), show(gain, 6), show(auc, 3)])
    }
  }
  return [
    `Logistic regression, judged on the days from ${holdoutFrom}; fitted to the days before, without ${leakyDay} (its affinities count its own clicks).`,
    ...reports.map(
      ({ campaign, training, penalty }) =>
        `${campaign}: ${training.rows} training rows, ${training.clicks} clicks; L2 penalty ${penalty}, chosen by leaving out each training day in turn`,
    ),
    table.toString(),
    ...reports.map(verdict),
    'The base rate predicts one constant, the click rate of the training rows; its AUC is 0.5.',
    `The weights written are fitted once more, with the same penalty, to all days but ${leakyDay}.`,
  ].join('\n')
}

/** A verdict on both logs together, because one of them alone has too few clicks. */
function verdict({ campaign, evaluations }: Report): string {
  const both = evaluations.find(({ log }) => log === 'both')
  if (!both) throw new Error(`Cannot judge the model of ${campaign}: it was not evaluated on both logs`)
  const { value, standardError } = both.gain
  if (Math.abs(value) < 2 * standardError)
    return `${campaign}: no difference from the base rate can be seen in ${both.clicks} clicks (gain within 2 s.e.).`
  return `${campaign}: ${value > 0 ? 'better' : 'worse'} than the base rate by more than 2 s.e.`
}

function show({ value, standardError }: Estimate, decimals: number): string {
  return `${value.toFixed(decimals)} ± ${standardError.toFixed(decimals)}`
}
