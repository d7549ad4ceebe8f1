/** What every command of the command line is given. */
import { type Client, createClient } from '../api/client.ts'
import { findBaseHere } from '../api/local-base.ts'
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

export async function createContext({ json = false, base, token }: CommonOptions): Promise<Context> {
  const { url, found, tried, token: theirs } = await findBaseHere({ url: base, token })
  const client = createClient({ base: url, token: theirs, onWait: sentence => out.next(sentence), ...(!found && { tried }) })
  const out = createOutput(json, client.base)
  return { out, client }
}
