/** The scripts that isolates run around the modules, as `npm run build:inside` makes them of `base/inside`. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LazyPart } from '../inside/protocol.ts'
import { codeFolder } from '../kernel/installation.ts'

/**
 * The script, from the snapshot of the code that this process was started from, because it has to fit that code. Its value is a function, to be called
 * with the arguments that `protocol.ts` describes.
 */
export function insideScript(name: 'inside' | 'input-module' | 'stacks' | LazyPart): string {
  const { BERTH_CODE_SNAPSHOT: snapshot = codeFolder } = process.env
  const [kept, current] = [snapshot, codeFolder].map(folder => join(folder, 'inside/built', `${name}.js`)) as [string, string]
  return readFileSync(existsSync(kept) ? kept : current, 'utf8')
}
