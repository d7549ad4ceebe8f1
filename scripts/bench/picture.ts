/** `npm run bench:picture FILE…`: draws `docs/performance.svg` and writes the tables of `docs/performance.md` from what `npm run bench -- --json FILE` has written. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../../base/kernel/errors.ts'
import { root } from '../../test/support/base.ts'
import type { Report } from './comparison.ts'
import { drawingOf } from './drawing.ts'
import { endWith } from './flags.ts'
import { mergeReports, resultsOf, withResults } from './page.ts'

const [first, ...others] = process.argv.slice(2)
if (first === undefined) endWith('Name the files that "npm run bench -- --json FILE" has written')
const read = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Report
const page = join(root, 'docs/performance.md')
try {
  const report = mergeReports([read(first), ...others.map(read)])
  const text = withResults(readFileSync(page, 'utf8'), resultsOf(report))
  writeFileSync(join(root, 'docs/performance.svg'), drawingOf(report))
  writeFileSync(page, text)
} catch (error) {
  endWith(messageOf(error))
}
