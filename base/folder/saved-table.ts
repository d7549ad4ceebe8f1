/** The saved scene table. The file has the digest of its text, because a cell would serve whatever valid JSON a damaged file holds. */
import { readFile } from 'node:fs/promises'
import { BerthError, messageOf } from '../kernel/errors.ts'
import { type SceneTable, TABLE_FORMAT } from '../traffic/table.ts'
import { digestOf } from './blob-files.ts'
import { tablePath } from './paths.ts'

const HEAD = /^\{"sha256":"([0-9a-f]{64})","table":/

/** The text to write to `tablePath`. */
export async function sealTable(table: SceneTable): Promise<string> {
  const json = JSON.stringify(table)
  return `{"sha256":"${await digestOf(Buffer.from(json))}","table":${json}}`
}

/**
 * The table that the keeper saved last; undefined when it has never saved one.
 * @throws DATA_DAMAGED when the file cannot be read, is not exactly what was written, or has another format
 */
export async function readSavedTable(data: string): Promise<SceneTable | undefined> {
  const path = tablePath(data)
  const refuse = (why: string, cause?: unknown) =>
    new BerthError('DATA_DAMAGED', `Cannot read the scene table "${path}": ${why}`, { cause })
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw refuse(messageOf(error), error)
  })
  if (text === undefined) return undefined
  const [head = '', digest] = HEAD.exec(text) ?? []
  const json = text.slice(head.length, -1)
  if (!text.endsWith('}') || digest !== (await digestOf(Buffer.from(json)))) throw refuse('its bytes are not those that were written')
  const table = JSON.parse(json) as SceneTable
  if (table.format !== TABLE_FORMAT) throw refuse(`it has format ${table.format}, and this base reads ${TABLE_FORMAT}`)
  return table
}
