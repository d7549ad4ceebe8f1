/** Runs the command lines as a user does: through the launcher, in a folder outside of the project. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { type RunningBase, root } from './base.ts'

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Asserts the exit code and what was printed on either stream. On a failure, all of the output is shown. */
export function ended(run: Ended, code: number, ...says: readonly RegExp[]): Ended {
  const all = `${run.stdout}\n${run.stderr}`
  assert.equal(run.code, code, all)
  for (const pattern of says) assert.match(all, pattern)
  return run
}

export type Run = (...args: readonly string[]) => Promise<Ended>

/** Runs `npx sdk` in `cwd`, with the base and its token in the environment. */
export function sdkIn(
  cwd: string,
  { controlUrl, token }: Pick<RunningBase, 'controlUrl' | 'token'>,
  env: Readonly<Record<string, string>> = {},
): Run {
  return (...args) => run('bin/sdk.cjs', args, cwd, { ...env, BERTH_BASE: controlUrl, BERTH_TOKEN: token })
}

/** Runs `npx sdk` in `cwd`, where it has to find the base itself. */
export function sdkAlone(cwd: string, env: Readonly<Record<string, string>> = {}): Run {
  return (...args) => run('bin/sdk.cjs', args, cwd, env)
}

/** Runs `npx base` in `cwd`. */
export function baseIn(cwd: string, env: Readonly<Record<string, string>> = {}): Run {
  return (...args) => run('bin/base.cjs', args, cwd, env)
}

/** Runs a command with empty standard input. Resolves whatever its exit code is. */
function run(bin: string, args: readonly string[], cwd: string, env: Readonly<Record<string, string>>): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>()
  const child = execFile(process.execPath, [join(root, bin), ...args], { cwd, env: { ...process.env, ...env } }, (_, stdout, stderr) => {
    resolve({ code: child.exitCode ?? -1, stdout, stderr })
  })
  child.stdin?.end()
  return promise
}
