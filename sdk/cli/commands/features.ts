/** `sdk features`: the tables that modules read features from. */
import { createHash } from 'node:crypto'
import { openAsBlob } from 'node:fs'
import { basename } from 'node:path'
import type { Reasoned } from '../../../base/contract/common-api.ts'
import type { FeatureTable, NewTable, TableChange, TableVersionView } from '../../../base/contract/feature-api.ts'
import { limits } from '../../../base/kernel/limits.ts'
import { TABLE_NAME, tableOfFile, WHAT_IS_A_TABLE } from '../../../base/kernel/table-facts.ts'
import { readParts } from '../../../base/kernel/text-file.ts'
import type { Client } from '../../api/client.ts'
import { RefusedError, SdkError } from '../../sdk-error.ts'
import { usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { fileError } from '../files/text.ts'
import { type AgreementOptions, agree } from '../terminal/agreement.ts'
import { ageOf, describeCells, formatBytes, type Output, timed } from '../terminal/output.ts'

export interface PutOptions extends Reasoned, AgreementOptions {
  readonly table?: string
  readonly dryRun?: boolean
}

/** A file with a fault changes nothing. So does one that may not be meant, unless that is confirmed. */
export async function putTable({ client, out }: Context, file: string, options: PutOptions): Promise<void> {
  const { name, format } = nameOf(file, options.table)
  const { digest, bytes } = await digestOf(file)
  out.say(name)
  const [wasThere, uploadMs] = await timed(() => upload(client, file, digest))
  out.done('upload', uploadMs, wasThere ? 'nothing: the base has these bytes' : formatBytes(bytes))
  const table: NewTable = { digest, format, ...(options.reason === undefined ? {} : { reason: options.reason }) }
  const [planned, checkMs] = await timed(() => check(client, name, table, file))
  out.done('check', checkMs, `${describeFacts(planned.after)}${describeBefore(planned)}`)
  for (const concern of planned.concerns) out.warn(`The new table ${concern}`)
  if (options.dryRun) {
    out.result(planned)
    return out.next('Nothing was changed: this was a dry run.')
  }
  if (isInForce(planned, table)) {
    out.result(planned)
    return out.say(`Nothing to do: ${name} is at this version already, ${describeTable(planned)}`)
  }
  if (planned.concerns.length > 0) {
    const what = `whether it is to come into force as "${name}"`
    await agree({ question: `Bring it into force as ${name}?`, what, hint: 'Add --yes if it is meant.' }, options)
  }
  const [change, ms] = await timed(() => client.putFeatureTable(name, table, planned.table?.revision ?? 0))
  out.result(change)
  out.done('live', ms, `version ${short(digest)}, ${describeTable(change)}`)
  out.next(planned.before === null ? `Look at it: sdk features show ${name}` : `Back again: sdk features rollback ${name}`)
}

/** Has the cells check the file. Where the bytes that the base had are damaged on its disk, they are sent again. */
async function check(client: Client, name: string, table: NewTable, file: string): Promise<TableChange> {
  const ask = () => client.putFeatureTable(name, { ...table, dryRun: true })
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof RefusedError) || error.code !== 'DATA_DAMAGED') throw error
    await client.putBlob(table.digest, await openAsBlob(file))
    return ask()
  }
}

function isInForce({ table: before }: TableChange, { digest, format }: NewTable): boolean {
  return before?.version === digest && before.versions.some(version => version.digest === digest && version.format === format)
}

/** @throws SdkError USAGE when the name does not say in which form the file is */
function nameOf(file: string, named: string | undefined): { readonly name: string; readonly format: NewTable['format'] } {
  const own = tableOfFile(basename(file))
  const byEnding = own ?? tableOfFile(`table.${basename(file).split('.').at(-1)}`)
  const action = `Cannot use "${file}" as a feature table: ${WHAT_IS_A_TABLE}`
  if (byEnding === undefined) throw usage(action, 'Write the table as NDJSON, CSV or TSV, and end the name of the file so.')
  if (own === undefined && named === undefined) throw usage(action, 'Rename the file, or name the table with --table.')
  const name = named ?? byEnding.name
  if (new RegExp(`^${TABLE_NAME}$`).test(name)) return { name, format: byEnding.format }
  throw usage(`Cannot name a feature table "${name}"`, 'Use letters, digits and . _ -, at most 100, the first a letter or digit.')
}

/** The file is read part by part, for it may be large. @throws SdkError FILE_UNREADABLE, FEATURES_INVALID */
async function digestOf(file: string): Promise<{ readonly digest: string; readonly bytes: number }> {
  const hash = createHash('sha256')
  let bytes = 0
  try {
    for await (const part of readParts(file)) {
      hash.update(part)
      bytes += part.length
    }
  } catch (error) {
    throw fileError(`"${file}"`, error)
  }
  const { tableBytesMax } = limits.features
  if (bytes <= tableBytesMax) return { digest: hash.digest('hex'), bytes }
  throw new SdkError('FEATURES_INVALID', `Cannot use "${file}" as a feature table: it has ${formatBytes(bytes)}`, {
    hint: `A table has at most ${formatBytes(tableBytesMax)}: leave out what no module reads, or divide it.`,
  })
}

/** @returns whether the base had the bytes already */
async function upload(client: Client, file: string, digest: string): Promise<boolean> {
  if (await client.hasBlob(digest)) return true
  await client.putBlob(digest, await openAsBlob(file))
  return false
}

export async function listTables({ client, out }: Context): Promise<void> {
  const tables = await client.featureTables()
  out.result(tables)
  if (tables.length === 0) return out.next('There is no feature table yet: sdk features put items.ndjson')
  out.table(
    ['table', 'rows', 'size', 'version', 'since', 'by', 'cells', ''],
    tables.map(({ name, rows, bytes, version, since, byLabel, cells, note }) => [
      ...[name, rows.toLocaleString('en'), formatBytes(bytes), version === null ? '–' : short(version)],
      ...[since === null ? '–' : `${ageOf(since)} ago`, byLabel ?? 'a file in the data folder'],
      ...[`${cells.applied} of ${cells.connected}`, note ?? ''],
    ]),
  )
}

export async function showTable({ client, out }: Context, name: string, keys: readonly string[]): Promise<void> {
  if (keys.length > limits.features.shownMax) {
    throw usage(`Cannot show ${keys.length} rows at once`, `Name at most ${limits.features.shownMax} keys.`)
  }
  const table = await client.featureTable(name)
  const { rows, version } = await client.featureRows(name, keys.length === 0 ? undefined : keys)
  out.result({ ...table, version, rows })
  if (keys.length === 0) describeWhole(out, table)
  for (const row of rows) out.say(JSON.stringify(row))
  if (keys.length === 0 && table.rows > rows.length)
    out.next(`These are the first ${rows.length}. Others by key: sdk features show ${name} KEY…`)
}

function describeWhole(out: Output, { name, version, columns, note, source, since, byLabel, ...facts }: FeatureTable): void {
  const origin =
    source === 'uploaded' ? `in force for ${ageOf(since ?? '')}, by ${byLabel}` : 'a file in the folder "features" of the data folder'
  out.say(`${name}  ${describeFacts({ columns, ...facts })}`)
  out.say(`  version ${version === null ? 'none' : short(version)}, ${origin}, ${describeCells(facts.cells)}`)
  if (note !== null) out.warn(note)
}

export async function showHistory({ client, out }: Context, name: string): Promise<void> {
  const table = await client.featureTable(name)
  out.result(table.versions)
  if (table.source === 'folder') {
    return out.next(`${name} is a file in the data folder, of which no versions are kept. To keep them: sdk features put ${name}.ndjson`)
  }
  out.table(
    ['version', 'in force', 'rows', 'size', 'uploaded', 'by', 'columns'],
    table.versions.map(({ digest, rows, bytes, at, byLabel, columns }) => [
      ...[short(digest), digest === table.version ? '●' : '', rows.toLocaleString('en'), formatBytes(bytes)],
      ...[`${ageOf(at)} ago`, byLabel, namesOf(columns)],
    ]),
  )
}

export interface RollbackOptions extends Reasoned {
  readonly to?: string
}

/** Twice is the same as once: without `to`, it goes from the newest version to the one before, and says so when that is in force. */
export async function rollBackTable({ client, out }: Context, name: string, { to, reason }: RollbackOptions): Promise<void> {
  const before = await client.featureTable(name)
  const why = reason === undefined ? {} : { reason }
  const target = to === undefined ? {} : { to: versionOf(before, to).digest }
  const [change, ms] = await timed(() => client.rollBackFeatureTable(name, { ...target, ...why }, before.revision))
  out.result(change)
  if (!change.changed) {
    const { since, byLabel, version } = before
    const at = `${name} is at version ${short(version ?? '')}, for ${ageOf(since ?? '')}, by ${byLabel}`
    out.say(`Nothing to do: ${at}`)
    return out.next(`Further back, or forth again: sdk features rollback ${name} --to VERSION; sdk features history ${name} lists them.`)
  }
  out.say(name)
  out.done('rollback', ms, `from version ${short(before.version ?? '')} to ${short(change.table?.version ?? '')}, ${describeTable(change)}`)
  out.next(`The other way again: sdk features rollback ${name} --to ${short(before.version ?? '')}`)
}

/** @throws SdkError TABLE_NOT_FOUND unless exactly one version that is kept begins so */
function versionOf({ name, versions }: FeatureTable, text: string): TableVersionView {
  const found = versions.filter(({ digest }) => digest.startsWith(text.toLowerCase()))
  const [only] = found
  if (found.length === 1 && only !== undefined) return only
  const why = found.length === 0 ? 'no version that is kept begins so' : `${found.length} versions begin so`
  throw new SdkError('TABLE_NOT_FOUND', `Cannot roll back "${name}" to version "${text}": ${why}`, {
    hint: `See the versions with "sdk features history ${name}".`,
  })
}

export async function deleteTable({ client, out }: Context, name: string, options: AgreementOptions): Promise<void> {
  const { source, revision, rows, versions } = await client.featureTable(name)
  if (source === 'folder') {
    throw new SdkError(
      'TABLE_NOT_FOUND',
      `Cannot delete "${name}": it was not uploaded, it is a file in the folder "features" of the data folder`,
      {
        hint: 'Whoever runs the base removes the file.',
      },
    )
  }
  const what = `${name} with ${rows.toLocaleString('en')} rows and ${versions.length} versions`
  const question = `Delete ${what}? Modules that read it are then answered FEATURES_NOT_FOUND`
  await agree({ question, what: `whether to delete ${name}`, hint: 'Add --yes if it is meant.' }, options)
  const [deleted, ms] = await timed(() => client.deleteFeatureTable(name, revision))
  out.result(deleted)
  out.done('deleted', ms, `${what}, gone from ${deleted.cells.applied} of ${deleted.cells.connected} cells`)
}

/** `37 rows, 2.1 KB, columns key, price`. */
function describeFacts({ rows, bytes, columns }: Pick<FeatureTable, 'rows' | 'bytes' | 'columns'>): string {
  return `${rows.toLocaleString('en')} ${rows === 1 ? 'row' : 'rows'}, ${formatBytes(bytes)}, ${describeColumns(columns)}`
}

const COLUMNS_SHOWN = 12

const describeColumns = (columns: readonly string[]): string => (columns.length === 0 ? 'no columns' : `columns ${namesOf(columns)}`)

function namesOf(columns: readonly string[]): string {
  const more = columns.length > COLUMNS_SHOWN ? ` and ${columns.length - COLUMNS_SHOWN} more` : ''
  return columns.slice(0, COLUMNS_SHOWN).join(', ') + more
}

const describeBefore = ({ before }: TableChange): string =>
  before === null ? '; a new table' : `; before, ${before.rows.toLocaleString('en')} rows`

const describeTable = ({ table }: TableChange): string => (table === null ? '' : describeCells(table.cells))

/** As many digits of a digest as people need. */
const short = (digest: string): string => digest.slice(0, 12)
