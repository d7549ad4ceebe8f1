/** `sdk token`: who may do what. */
import { hostname, userInfo } from 'node:os'
import type { Right } from '../../../base/traffic/schema.ts'
import type { Context } from '../context.ts'

export async function listTokens({ client, out }: Context): Promise<void> {
  const tokens = await client.tokens()
  out.result(tokens)
  out.table(
    ['token', 'rights', 'label', 'created', 'by'],
    tokens.map(({ id, rights, label, createdAt, createdByLabel }) => [id, rights.join(', '), label, createdAt, createdByLabel]),
  )
}

export interface CreateTokenOptions {
  readonly right: readonly Right[]
  readonly label?: string
}

export async function createToken({ client, out }: Context, { right, label }: CreateTokenOptions): Promise<void> {
  const made = await client.createToken(right, label ?? `${userInfo().username}@${hostname()}`)
  out.result(made)
  out.say(made.token)
  out.next(`Token ${made.id} with ${made.rights.join(', ')}. It is shown only now: keep it, and set BERTH_TOKEN to it.`)
}

export async function revokeToken({ client, out }: Context, id: string): Promise<void> {
  await client.revokeToken(id)
  out.result({ id, revoked: true })
  out.say(`${id} is revoked`)
}
