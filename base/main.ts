/** The entry of every process of a base: the command line, or the role that the supervisor started it for. */

// Each role loads its own code only: the supervisor stays small, and a cell never loads the store.
const [, , role, ...rest] = process.argv
if (role === 'keeper') (await import('./keeper/main.ts')).runKeeper()
else if (role === 'cell') (await import('./cell/main.ts')).runCell()
else if (role === 'trial') (await import('./cell/trial.ts')).runTrial()
else if (role === 'rehearsal') (await import('./cell/rehearsal.ts')).runRehearsal()
else await (await import('./cli.ts')).runCli(role === undefined ? [] : [role, ...rest])
