/** The entry of every process of a base. It runs the command line, or the role for which the supervisor started the process. */
import { enableCompileCache, flushCompileCache } from 'node:module'
import { inspect } from 'node:util'
import './kernel/bundled-typebox.ts'
import type { FromCell, FromKeeper } from './wire/messages.ts'

const loadKeeper = () => import('./keeper/keeper.ts')

// Each role loads only its own code: the supervisor stays small, and a cell never loads the store.
const [, , role, ...rest] = process.argv
if (role === 'cell') (await codeOf(role, import('./cell/cell.ts'))).runCell()
else if (role === 'trial') (await import('./trial/trial.ts')).runTrial()
else if (role === 'validator') (await import('./trial/validator.ts')).runValidator()
else if (role === 'rehearsal') (await import('./trial/rehearsal.ts')).runRehearsal()
else if (role === 'keeper') (await codeOf(role, keptCompiled(loadKeeper))).runKeeper()
else await (await keptCompiled(() => import('./cli.ts'))).runCli(role === undefined ? [] : [role, ...rest])

/** Says why the code cannot be loaded to the supervisor, which says it to operators. Half of the files may be new, as while a working tree is updated. */
async function codeOf<T>(role: 'cell' | 'keeper', loading: Promise<T>): Promise<T> {
  try {
    return await loading
  } catch (error) {
    const message = `Cannot load the code of the ${role}: ${inspect(error).split('\n    at ', 1)[0]}`
    const refused: FromCell & FromKeeper = { type: 'refused', code: 'INTERNAL', message }
    if (process.connected) await new Promise(sent => process.send?.(refused, undefined, undefined, sent))
    throw error
  }
}

/**
 * Keeps the compiled code for all later starts, since compiling it is a fifth of what a start costs. The other roles cannot: they hold modules
 * and may write no file.
 */
async function keptCompiled<T>(load: () => Promise<T>): Promise<T> {
  const { cacheFolder } = await import('./process/code-snapshot.ts')
  enableCompileCache(cacheFolder)
  const loaded = await load()
  // The cache is written now, since a process that is killed never gets to write it at its end.
  flushCompileCache()
  return loaded
}
