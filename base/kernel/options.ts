/** What an operator may set, checked once at start. */
import Type, { type Static } from 'typebox'

export const OptionsSchema = Type.Object({})
export interface Options {
  /** Where scenes answer. 0 lets the system choose. */
  readonly port: number
  readonly host: string
  /** Where the control API, its page and /metrics answer. */
  readonly controlPort: number
  readonly controlHost: string
  /** Absolute path of the data folder. */
  readonly data: string
  readonly cells: number
  readonly logLevel: string
  /** Bytes of a request body on the scene port. */
  readonly bodyLimitBytes: number
  /** Resident MB above which a cell is retired; a quarter above that it is killed. */
  readonly cellMemoryMB: number
}
export type _Unused = Static<typeof OptionsSchema>
