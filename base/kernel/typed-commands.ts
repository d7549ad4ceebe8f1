/**
 * How the commands of this project are typed where this process runs. Messages name them as `sdk scene list` and `base start`, which a shell finds only
 * where they are on the PATH. And `npx base` runs a package of somebody else where @berth/base is not installed.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

export type Program = 'sdk' | 'base'

export interface Place {
  readonly cwd: string
  /** Package managers that start a command say there who they are. */
  readonly env: Readonly<Record<string, string | undefined>>
}

interface Manager {
  /** Installs what package.json lists. */
  readonly install: string
  /** Runs a program of an installed package. */
  readonly run: string
  /** Runs the program of a package, which is fetched if it is not installed. */
  readonly fetchAndRun: string
}

const npm: Manager = { install: 'npm install', run: 'npx', fetchAndRun: 'npx' }
const managers: Readonly<Record<string, Manager>> = {
  pnpm: { install: 'pnpm install', run: 'pnpm exec', fetchAndRun: 'pnpm dlx' },
  // The first Yarn has no such command, and npm is wherever Node.js is.
  yarn: { install: 'yarn install', run: 'yarn', fetchAndRun: 'npx' },
}

/** The package manager that has started this process; npm when none has. */
export function managerOf({ env }: Place): Manager {
  const [name = ''] = (env.npm_config_user_agent ?? '').split('/')
  return managers[name] ?? npm
}

/**
 * The words that run a program at `place`: `npx sdk` where the package is installed, else `npx @berth/sdk`, or `sdk` alone for whoever has
 * typed it so.
 * @param started the program that this process runs
 */
export function commandFor(program: Program, started: Program, place: Place): string {
  const { run, fetchAndRun } = managerOf(place)
  if (isInstalled(program, place.cwd)) return `${run} ${program}`
  const isOnPath = program === started && place.env.npm_config_user_agent === undefined
  return isOnPath ? program : `${fetchAndRun} @berth/${program}`
}

function isInstalled(program: Program, folder: string): boolean {
  const packages = join(folder, 'node_modules')
  // Another package may have a program of this name.
  if (existsSync(join(packages, '@berth', program)) && existsSync(join(packages, '.bin', program))) return true
  return dirname(folder) !== folder && isInstalled(program, dirname(folder))
}

const verbs: Readonly<Record<Program, string>> = {
  sdk: '--help|init|test|dev|publish|modules|scene|schema|types|invoke|explain|version|whitelist|experiment|flip|layer|params|features|capsule|bisect|logs|profile|replay|token',
  base: '--help|start|status|backup|upgrade',
}
// What says already how it is run stays as it is.
const named = new RegExp(`(?<![\\w@/.-]|npx |exec |yarn )(?:(sdk)(?= (?:${verbs.sdk})\\b)|(base)(?= (?:${verbs.base})\\b))`, 'g')

/** The text with each command of this project as it is typed here. */
export function asTyped(text: string, started: Program, place: Place = here()): string {
  return text.replaceAll(named, (_, sdk?: 'sdk', base?: 'base') => commandFor(sdk ?? base ?? started, started, place))
}

const here = (): Place => ({ cwd: workingFolder(), env: process.env })

/** Any folder does when the working folder has been deleted. */
function workingFolder(): string {
  try {
    return process.cwd()
  } catch {
    return '/'
  }
}
