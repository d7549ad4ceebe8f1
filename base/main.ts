/** The entry of every process of a base: the command line, or the role that the supervisor started it for. */
import { enableCompileCache, flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

// Each role loads its own code only: the supervisor stays small, and a cell never loads the store.
const [, , role, ...rest] = process.argv
if (role === 'cell') (await import('./cell/cell.ts')).runCell()
else if (role === 'trial') (await import('./trial/trial.ts')).runTrial()
else if (role === 'rehearsal') (await import('./trial/rehearsal.ts')).runRehearsal()
else if (role === 'keeper') (await keptCompiled(() => import('./keeper/keeper.ts'))).runKeeper()
else await (await keptCompiled(() => import('./cli.ts'))).runCli(role === undefined ? [] : [role, ...rest])

/** Compiled once for all starts: a fifth of what one costs. Not for the other roles, which hold modules and may write no file. */
async function keptCompiled<T>(load: () => Promise<T>): Promise<T> {
  enableCompileCache(process.env.NODE_COMPILE_CACHE ?? fileURLToPath(new URL('../node_modules/.cache/berth', import.meta.url)))
  const loaded = await load()
  // Now, since a process that is killed does not come to it.
  flushCompileCache()
  return loaded
}
