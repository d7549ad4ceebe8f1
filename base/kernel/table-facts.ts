/** Feature tables without their rows: what they are called, in which forms their files may come, and what a process says of one. */

export type TableFormat = 'ndjson' | 'csv' | 'tsv'

/** A name of a table: letters, digits and `. _ -`, and the first a letter or digit. */
export const TABLE_NAME = '[A-Za-z0-9][A-Za-z0-9._-]{0,99}'

const FILE = new RegExp(`^(${TABLE_NAME})\\.(ndjson|jsonl|csv|tsv)$`, 'i')
const FORMATS: Readonly<Record<string, TableFormat>> = { ndjson: 'ndjson', jsonl: 'ndjson', csv: 'csv', tsv: 'tsv' }

export const WHAT_IS_A_TABLE = 'its name must end with .ndjson, .jsonl, .csv or .tsv, and have only letters, digits and . _ - before that'

/** The table that a file of this name holds; undefined when it is no name of a table's file. */
export function tableOfFile(file: string): { readonly name: string; readonly format: TableFormat } | undefined {
  const [, name, ending = ''] = FILE.exec(file) ?? []
  const format = FORMATS[ending.toLowerCase()]
  return name === undefined || format === undefined ? undefined : { name, format }
}

/** An uploaded table that is to be in force. */
export interface TableSource {
  readonly name: string
  readonly format: TableFormat
  /** sha256 of its file, hex: the name of its blob. */
  readonly digest: string
}

/** A table without its rows. */
export interface TableFacts {
  readonly rows: number
  /** Bytes of its file. */
  readonly bytes: number
  /** Members that some row has, at most `limits.features.columnsMax`. */
  readonly columns: readonly string[]
}

/** A table as a cell has it. */
export interface TableState extends TableFacts {
  readonly name: string
  /** sha256 of what answers, hex; null when nothing does. */
  readonly version: string | null
  /** Name of its file in the folder `features`; null when it was uploaded. */
  readonly file: string | null
  /** Why the table is not as it should be. */
  readonly fault: string | null
  /** The file in the folder that is not read, because a table of this name was uploaded. */
  readonly unread: string | null
}
