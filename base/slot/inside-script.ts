/** The scripts that isolates run around the modules, as `npm run build:inside` makes them of `base/inside`. */
import { readFileSync } from 'node:fs'
import type { LazyPart } from '../inside/protocol.ts'

/** The script. Its value is a function, to be called with the arguments that `protocol.ts` describes. */
export const insideScript = (name: 'inside' | 'fakes' | 'stacks' | LazyPart): string =>
  readFileSync(new URL(`../inside/built/${name}.js`, import.meta.url), 'utf8')
