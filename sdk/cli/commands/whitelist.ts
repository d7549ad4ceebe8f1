/** `sdk whitelist`: the unit ids of a scene that are sent to a version by name. */

import type { Reasoned } from '../../../base/contract/common-api.ts'
import type { WhitelistChange } from '../../../base/contract/whitelist-api.ts'
import { BerthError } from '../../../base/kernel/errors.ts'
import { limits } from '../../../base/kernel/limits.ts'
import { parseWhitelist } from '../../../base/traffic/whitelist.ts'
import { SdkError } from '../../sdk-error.ts'
import { parseUnits, parseVersion } from '../arguments.ts'
import type { Context } from '../context.ts'
import { readText } from '../files/text.ts'
import { describeCells, timed } from '../terminal/output.ts'

/** Shows how many units each version has, or with `units` the lines themselves, as `setWhitelist` reads them. */
export async function showWhitelist({ client, out }: Context, scene: string, options: { readonly units?: boolean }): Promise<void> {
  if (options.units) {
    const lines = await client.whitelist(scene)
    out.result(parseWhitelist(lines))
    if (lines !== '') out.say(lines.trimEnd())
    return
  }
  const { whitelist } = await client.rules(scene)
  out.result(whitelist ?? { units: 0, byVersion: {} })
  if (whitelist === null || whitelist.units === 0) {
    return out.next(`The whitelist of "${scene}" is empty: sdk whitelist add ${scene} u1 --version v2`)
  }
  out.table(
    ['version', 'unit ids'],
    Object.entries(whitelist.byVersion).map(([version, units]) => [version, units.toLocaleString('en')]),
  )
  out.next(`The unit ids themselves: sdk whitelist show ${scene} --units`)
}

/**
 * Replaces the whitelist, or with `version` the units that are sent to that one. A fault anywhere in the file changes nothing.
 * @throws SdkError WHITELIST_INVALID naming the lines at fault, before anything is sent
 */
export async function setWhitelist(
  context: Context,
  scene: string,
  file: string,
  { version, allowEmpty = false, reason }: Reasoned & { readonly version?: string; readonly allowEmpty?: boolean },
): Promise<void> {
  if (version !== undefined) parseVersion(version)
  const lines = await readText(file)
  if (version !== undefined) checkColumns(file, lines)
  check(file, lines, version)
  if (lines.trim() === '' && !allowEmpty) {
    throw new SdkError('WHITELIST_INVALID', `Cannot use "${file}" as a whitelist: it is empty`, {
      hint: 'If nobody is to be on it any more, add --allow-empty.',
    })
  }
  const [change, ms] = await timed(() => context.client.setWhitelist(scene, lines, { version, reason }))
  showChange(context, scene, change, ms)
}

/** @throws SdkError WHITELIST_INVALID */
function check(file: string, lines: string, version: string | undefined): void {
  try {
    parseWhitelist(lines, version)
  } catch (error) {
    if (!(error instanceof BerthError)) throw error
    const message = error.message.replace('the whitelist', `"${file}" as a whitelist`)
    throw new SdkError(error.code, message, {
      hint: `A line is "unit,v3", or a unit id alone with --version; either may be in quotes; at most ${limits.scene.whitelistUnitsMax} unit ids of ${limits.request.unitIdBytesMax} bytes.`,
    })
  }
}

/** In text files a unit id may contain commas, but in a CSV file they are more likely further columns. @throws SdkError WHITELIST_INVALID */
function checkColumns(file: string, lines: string): void {
  const [, ending] = /\.(csv|tsv)$/i.exec(file) ?? []
  if (ending === undefined) return
  const separator = ending.toLowerCase() === 'csv' ? /[,;\t]/ : /\t/
  const index = lines.split(/\r\n|\n|\r/).findIndex(line => separator.test(line.replaceAll(/"(?:[^"]|"")*"/g, '')))
  if (index < 0) return
  throw new SdkError('WHITELIST_INVALID', `Cannot use "${file}" as a whitelist: line ${index + 1} has several columns`, {
    hint: 'Keep only the column of the unit ids; put a unit id with a comma, a semicolon or a tab in quotes.',
  })
}

export async function addToWhitelist(
  context: Context,
  scene: string,
  units: readonly string[],
  { version, reason }: Reasoned & { readonly version: string },
): Promise<void> {
  const [change, ms] = await timed(() =>
    context.client.editWhitelist(scene, { add: { [parseVersion(version)]: parseUnits(units) }, reason }),
  )
  showChange(context, scene, change, ms)
}

export async function removeFromWhitelist(context: Context, scene: string, units: readonly string[], { reason }: Reasoned): Promise<void> {
  const [change, ms] = await timed(() => context.client.editWhitelist(scene, { remove: parseUnits(units), reason }))
  showChange(context, scene, change, ms)
}

function showChange({ out }: Context, scene: string, change: WhitelistChange, ms: number): void {
  out.result(change)
  out.say(scene)
  out.done('whitelist', ms, `${describeChange(change)}, ${describeCells(change.cells)}`)
  const counts = Object.entries(change.whitelist?.byVersion ?? {}).map(([version, units]) => `${version} ${units.toLocaleString('en')}`)
  out.say(`    ${counts.join(', ') || 'empty'}`)
}

/** A summary such as `3 added, 2 moved from v2, 1 removed`. */
function describeChange({ added, moved, removed }: Pick<WhitelistChange, 'added' | 'moved' | 'removed'>): string {
  const parts = [
    ...(added > 0 ? [`${added} added`] : []),
    ...Object.entries(moved).map(([version, count]) => `${count} moved from ${version}`),
    ...(removed > 0 ? [`${removed} removed`] : []),
  ]
  return parts.join(', ') || 'nothing changed'
}
