/** Feature tables: what is in force, what can be gone back to, and rows. */
import Type from 'typebox'
import { limits } from '../kernel/limits.ts'
import { type TableFacts as Facts, type TableFormat as Format, TABLE_NAME } from '../kernel/table-facts.ts'
import { Digest } from '../traffic/schema.ts'
import { AppliedCells, closed, Reason, Timings, TokenId, TokenLabel } from './common-api.ts'
import { type Shape, schemaOf } from './shape.ts'

export const TableName = Type.String({ pattern: `^${TABLE_NAME}$`, description: 'name of a feature table' })
export const TableParams = Type.Object({ table: TableName }, closed)

export const TableFormat = schemaOf<Format>()(
  Type.Union([Type.Literal('ndjson'), Type.Literal('csv'), Type.Literal('tsv')], {
    description: 'ndjson: a JSON object a line, whose member "key" is the key; csv, tsv: a header, and the first column is the key',
  }),
)

const facts = {
  rows: Type.Integer(),
  bytes: Type.Integer({ description: 'of the file' }),
  columns: Type.Array(Type.String(), { description: 'members that some row has' }),
}
export const TableFacts = schemaOf<Facts>()(Type.Object(facts))

/** A version of an uploaded table, as it is kept. */
export const TableVersion = Type.Object({
  digest: Digest,
  format: TableFormat,
  ...facts,
  at: Type.String({ description: 'when it was uploaded: ISO 8601, UTC' }),
  by: TokenId,
})
export type TableVersion = Shape<typeof TableVersion>

const TableVersionView = Type.Object({ ...TableVersion.properties, byLabel: TokenLabel })
export type TableVersionView = Shape<typeof TableVersionView>

export const FeatureTable = Type.Object({
  name: TableName,
  source: Type.Union([Type.Literal('uploaded'), Type.Literal('folder')], {
    description: 'whether it was uploaded, or is a file in the folder features of the data folder',
  }),
  version: Type.Union([Digest, Type.Null()], { description: 'sha256 of the file in force; null when no cell can read it' }),
  ...facts,
  since: Type.Union([Type.String(), Type.Null()], { description: 'when that came into force: ISO 8601, UTC; null for a file' }),
  by: Type.Union([TokenId, Type.Null()], { description: 'who brought it into force; null for a file' }),
  byLabel: Type.Union([TokenLabel, Type.Null()]),
  versions: Type.Array(TableVersionView, { description: 'all that is kept, in the order in which it was last in force, newest first' }),
  revision: Type.Integer({ description: 'for If-Match; 0 for a file' }),
  cells: AppliedCells,
  note: Type.Union([Type.String(), Type.Null()], { description: 'what is not as it should be, such as a fault in the file' }),
})
export type FeatureTable = Shape<typeof FeatureTable>

export const NewTable = Type.Object(
  {
    digest: Digest,
    format: TableFormat,
    dryRun: Type.Optional(Type.Boolean({ description: 'only check it, and say what would change' })),
    reason: Reason,
  },
  closed,
)
export type NewTable = Shape<typeof NewTable>

export const TableRollback = Type.Object(
  {
    to: Type.Optional(Digest),
    reason: Reason,
  },
  closed,
)
export type TableRollback = Shape<typeof TableRollback>

export const TableChange = Type.Object({
  changed: Type.Boolean({ description: 'false when it was so already, and after a dry run' }),
  table: Type.Union([FeatureTable, Type.Null()], { description: 'the table afterwards; null when there is none, after a dry run' }),
  after: TableFacts,
  before: Type.Union([TableFacts, Type.Null()], { description: 'what was in force before; null when there was no such table' }),
  concerns: Type.Array(Type.String(), { description: 'what may not be meant, such as far fewer rows' }),
  timings: Timings,
})
/** What a change of a feature table did, or after a dry run would do. `table.cells` says how many cells have it in force. */
export type TableChange = Shape<typeof TableChange>

export const DeletedTable = Type.Object({ name: TableName, cells: AppliedCells })
export type DeletedTable = Shape<typeof DeletedTable>

export const RowsQuery = Type.Object(
  {
    keys: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: limits.features.shownMax,
        description: 'of the rows; without keys, the first rows are answered',
      }),
    ),
  },
  closed,
)
export type RowsQuery = Shape<typeof RowsQuery>

export const TableRows = Type.Object({
  version: Digest,
  rows: Type.Array(Type.Unknown({ description: 'a row as any JSON; null where there is none of this key' })),
})
export type TableRows = Shape<typeof TableRows>
