/** Writes docs/errors.md from the error table: `npm run docs:errors`. */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Blame, errorTable } from '../base/kernel/errors.ts'

export const errorsDocPath = fileURLToPath(new URL('../docs/errors.md', import.meta.url))

const intro = `# Error codes

Every failure of a base has one of these codes. Over HTTP it is an RFC 9457 document, \`application/problem+json\`, with \`code\`, \`detail\` (what
could not be done, and why), \`fix\` (what to do) and \`blame\` (who has to change something: \`caller\`, \`module\` or \`base\`; or \`load\`, when
there was only too much load). It also has \`scene\`, \`version\` and \`requestId\`, where they are known. Match on \`code\`, which never changes.

The error of a call, a service or a fetch that a stage lets through is answered \`MODULE_THREW\`, with blame \`module\`, and counts for the breaker. The
member \`uncaught\` then has the \`code\` of that error, and its \`blame\` and \`fix\`. Some errors keep their codes instead. What the base could not do for a
module, such as \`FEATURES_BROKEN\` (blame \`base\`), is not counted against it: the breaker takes no note, since no change of the module would mend that.
\`DEADLINE_EXCEEDED\`, \`CALL_CYCLE\` and \`CALL_TOO_DEEP\` are about the whole request. A module that can do without a feature table says so with \`catch\`.

Errors of options, ports and the data folder (status 500, blame \`base\`) keep a base from starting: the message is on standard error, and the exit
status is 1.

This page is generated from the table in \`base/kernel/errors.ts\` by \`npm run docs:errors\`; a test fails when they differ.
`

const blames: Readonly<Record<Blame, string>> = {
  caller: 'Mended by the caller',
  module: 'Mended by the author of the module',
  base: 'Mended by whoever runs the base',
  load: 'Mended by trying again',
}

/** The whole page. */
export function errorsDoc(): string {
  const sections = (Object.keys(blames) as Blame[]).map(blame => {
    const rows = Object.entries(errorTable).filter(([, row]) => row.blame === blame)
    const lines = rows.map(([code, { status, title, fix }]) => `| \`${code}\` | ${status} | ${title} | ${fix} |`)
    return `## ${blames[blame]}\n\n| code | status | meaning | what to do |\n| --- | --- | --- | --- |\n${lines.join('\n')}\n`
  })
  return [intro, ...sections].join('\n')
}

if (import.meta.main) writeFileSync(errorsDocPath, errorsDoc())
