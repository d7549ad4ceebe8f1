/** How the processes of a base are started: with what they need and nothing else. */
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { blobsPath, featuresPath, tablePath } from '../folder/paths.ts'

export type Role = 'keeper' | 'cell' | 'trial' | 'rehearsal'

export interface RoleCommand {
  /** For `process.execPath`. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

const mainEntry = fileURLToPath(new URL('../main.ts', import.meta.url))
const root = dirname(dirname(mainEntry))

/**
 * The command line and the whole environment of a child.
 * Cells and trials hold isolates, so they run under Node's permission model: they read the code of the project, a cell also the blobs,
 * the feature tables, the saved table and the folders of the services; they write no file and start no process or thread; neither can open a database, which would pass the model by.
 * A trial and a rehearsal have no network either.
 * @param data absolute path of the data folder.
 * @param entry another file than `base/main.ts`, started in its stead.
 * @param services files of the services that a cell runs, absolute.
 */
export function roleCommand(role: Role, data: string, entry = mainEntry, services: readonly string[] = []): RoleCommand {
  const flags = ['--no-node-snapshot', '--disable-warning=ExperimentalWarning']
  if (role !== 'keeper') flags.push(...isolateFlags, ...permissionFlags(role, data, entry, services))
  return { args: [...flags, entry, role], env: scrubbedEnvironment(process.env) }
}

// Loops that V8 unrolls miss the interrupts by which an isolate is stopped.
const isolateFlags = ['--no-turboshaft-loop-unrolling']

function permissionFlags(role: Role, data: string, entry: string, services: readonly string[]): string[] {
  const packages = join(root, 'node_modules')
  const code = [join(root, 'package.json'), dirname(mainEntry), dirname(entry), packages]
  // A wildcard, because Node takes a folder that is not there yet for a file.
  const state = [join(blobsPath(data), '*'), featuresPath(data), join(featuresPath(data), '*'), tablePath(data)]
  const more = role === 'cell' ? [...state, ...services.flatMap(serviceReads)] : []
  const readable = new Set([...code, ...(existsSync(packages) ? [realpathSync(packages)] : []), ...more])
  const network = role === 'cell' ? ['--allow-net'] : []
  return [
    '--permission',
    '--allow-addons',
    // It warns that addons can pass the model by; isolated-vm is one, and the isolates are the boundary.
    '--disable-warning=SecurityWarning',
    '--no-experimental-sqlite',
    ...network,
    ...[...readable].map(path => `--allow-fs-read=${path}`),
  ]
}

/** A service reads its folder, with all that is in it, and the packages that Node finds from there. */
function serviceReads(file: string): string[] {
  // It fails to load then, and says why.
  if (!existsSync(file)) return [file]
  const folder = dirname(realpathSync(file))
  const found = foldersUpFrom(folder).flatMap(above => [join(above, 'package.json'), join(above, 'node_modules')])
  return [file, folder, ...found.filter(path => existsSync(path)).flatMap(path => [path, realpathSync(path)])]
}

function foldersUpFrom(folder: string): string[] {
  const above = dirname(folder)
  return above === folder ? [folder] : [folder, ...foldersUpFrom(above)]
}

/** What formats times and logs and names the temporary folder, where the keeper's socket may be; never a secret of the caller. */
const inherited: readonly string[] = ['TZ', 'LANG', 'LC_ALL', 'TMPDIR', 'TEMP', 'TMP', 'TERM', 'NO_COLOR', 'FORCE_COLOR']

function scrubbedEnvironment(from: NodeJS.ProcessEnv): Record<string, string> {
  const env: Record<string, string> = {}
  for (const name of inherited) if (from[name] !== undefined) env[name] = from[name]
  // The loader of isolated-vm would look for this file itself, and be denied.
  if (process.platform === 'linux') env.LIBC = existsSync('/etc/alpine-release') ? 'musl' : 'glibc'
  return env
}
