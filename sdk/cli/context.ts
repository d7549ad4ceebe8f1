/** What every command of the command line is given. */
import { type Client, createClient } from '../api/client.ts'
import { createOutput, type Output } from './terminal/output.ts'

/** The options that every command takes. */
export interface CommonOptions {
  readonly json?: boolean | undefined
  readonly base?: string | undefined
  readonly token?: string | undefined
}

export interface Context {
  readonly out: Output
  readonly client: Client
}

export function createContext({ json = false, base, token }: CommonOptions): Context {
  return { out: createOutput(json), client: createClient({ base, token }) }
}
