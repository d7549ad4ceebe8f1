/** The bench's handler in a worker thread: text in, text out, as a slot has it. */
import type { StageContext } from '../../sdk/author/author.ts'
import { type Input, rank } from './rank50/index.ts'

const ctx = {} as StageContext

export default (body: string): string => JSON.stringify(rank(JSON.parse(body) as Input, ctx))
