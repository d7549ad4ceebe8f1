import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { dayOf, holdoutFrom, leakyDay, splitByTime, withoutLeak } from './click-model.ts'
import { campaigns, type Impression, readLogs } from './logs.ts'
import { train } from './train.ts'

const root = join(import.meta.dirname, '../..')
/** Read once, because they are long. */
const logs = Promise.all(campaigns.map(async campaign => ({ campaign, ...(await readLogs(campaign)) })))

test('training again gives the committed files, byte for byte', async () => {
  const { files } = await train()
  assert.equal(files.size, 7)
  for (const [path, text] of files)
    assert(text === (await readFile(join(root, path), 'utf8')), `${path} differs: run "npm run train" and commit`)
})

test('the held-out days come after every day of training', async () => {
  for (const { impressions } of await logs) {
    const { training, holdout } = splitByTime(impressions)
    assert.equal(training.length + holdout.length, impressions.length)
    assert(training.every(row => dayOf(row) < holdoutFrom))
    assert(holdout.every(row => dayOf(row) >= holdoutFrom))
  }
})

test('the logs are read whole, oldest first', async () => {
  const clicks = { men: 115, women: 92 }
  for (const { campaign, impressions } of await logs) {
    assert.equal(impressions.length, 20_000)
    assert.equal(impressions.filter(row => row.clicked).length, clicks[campaign])
    assert.deepEqual(
      impressions.map(row => row.timestamp),
      impressions.map(row => row.timestamp).toSorted(),
    )
  }
})

test('every click of the first day has an affinity, which is why no model is fitted to that day', async () => {
  const impressions = (await logs).flatMap(({ impressions }) => impressions)
  const clicked = impressions.filter(row => row.clicked)
  const [first, later] = [clicked.filter(row => dayOf(row) === leakyDay), clicked.filter(row => dayOf(row) !== leakyDay)]
  assert.deepEqual([first.length, first.filter(hasAffinity).length], [36, 36])
  assert.deepEqual([later.length, later.filter(hasAffinity).length], [171, 8])
  assert.deepEqual([...new Set(withoutLeak(impressions).map(dayOf))].includes(leakyDay), false)
})

const hasAffinity = ({ user }: Impression): boolean => Object.keys(user.affinity).length > 0
