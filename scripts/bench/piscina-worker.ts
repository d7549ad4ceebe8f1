/** The bench's handler in a worker thread. It takes and returns text, as a slot does. */
import type { StageContext } from '../../sdk/author/author.ts'
import { type Input, rank } from './rank50/index.ts'

const ctx = {} as StageContext

export default (body: string): string => JSON.stringify(rank(JSON.parse(body) as Input, ctx))
