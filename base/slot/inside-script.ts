/** The scripts that isolates run around the modules, as `npm run build:inside` makes them of `base/inside`. */
import { readFileSync } from 'node:fs'
import type { LazyPart } from '../inside/protocol.ts'

/** Its value is a function, to be called with what `protocol.ts` says that it is given. */
export const insideScript = (name: 'inside' | 'fakes' | LazyPart): string =>
  readFileSync(new URL(`../inside/built/${name}.js`, import.meta.url), 'utf8')
