/** The ranking in a worker thread. It takes and returns text, as a slot does. */
import { type Input, rank } from '../rank50/index.ts'

export default (body: string): string => JSON.stringify(rank(JSON.parse(body) as Input))
