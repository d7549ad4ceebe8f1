/** The entry of every process of a base. It runs the command line, or the role for which the supervisor started the process. */
import { enableCompileCache, flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

// Each role loads only its own code: the supervisor stays small, and a cell never loads the store.
const [, , role, ...rest] = process.argv
if (role === 'cell') (await import('./cell/cell.ts')).runCell()
else if (role === 'trial') (await import('./trial/trial.ts')).runTrial()
else if (role === 'rehearsal') (await import('./trial/rehearsal.ts')).runRehearsal()
else if (role === 'keeper') (await keptCompiled(() => import('./keeper/keeper.ts'))).runKeeper()
else await (await keptCompiled(() => import('./cli.ts'))).runCli(role === undefined ? [] : [role, ...rest])

/**
 * Keeps the compiled code for all later starts, since compiling it is a fifth of what a start costs. The other roles cannot: they hold modules
 * and may write no file.
 */
async function keptCompiled<T>(load: () => Promise<T>): Promise<T> {
  enableCompileCache(process.env.NODE_COMPILE_CACHE ?? fileURLToPath(new URL('../node_modules/.cache/berth', import.meta.url)))
  const loaded = await load()
  // The cache is written now, since a process that is killed never gets to write it at its end.
  flushCompileCache()
  return loaded
}
