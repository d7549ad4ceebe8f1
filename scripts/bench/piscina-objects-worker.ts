/** The bench's handler in a worker thread. It takes and returns values, which are cloned on the way. */
import type { StageContext } from '../../sdk/author/author.ts'
import { type Input, type Ranked, rank } from './rank50/index.ts'

const ctx = {} as StageContext

export default (input: Input): Ranked[] | Promise<Ranked[]> => rank(input, ctx)
