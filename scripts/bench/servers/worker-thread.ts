/** The ranking in a worker thread. It takes and returns values, which are cloned on the way. */
import { rank } from '../rank50/index.ts'

export default rank
