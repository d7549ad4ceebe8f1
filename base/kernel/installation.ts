/**
 * Where the files of the program are. It runs from the sources in a clone of the project, or compiled from the installed package `@berth/base`, which
 * `@berth/sdk` depends on. Nothing else asks for its own place, since a compiled file is not where its source is.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'

/** Only sources have types. */
const isClone = import.meta.filename.endsWith('.ts')
const require = createRequire(import.meta.url)

/** The folder of the clone; undefined in a package. */
export const clone: string | undefined = isClone ? resolve(import.meta.dirname, '../..') : undefined

/** The folder with `bin/base.cjs`, by which a base is started: the clone, or that of `@berth/base`. Links on the way to it are resolved. */
export const release: string = clone ?? installedRelease(import.meta.dirname)

/** The package that the compiled file is part of, when it is that of the base, else the one that it depends on. */
function installedRelease(folder: string): string {
  if (!existsSync(join(folder, 'package.json'))) return installedRelease(dirname(folder))
  return existsSync(join(folder, 'bin/base.cjs')) ? folder : dirname(require.resolve('@berth/base/package.json'))
}

export const launcherPath: string = join(release, 'bin/base.cjs')

/** The folder with the code of a base, all that a process of it loads but for packages. */
export const codeFolder: string = join(release, isClone ? 'base' : 'lib')

/** @param name of a file that is started by its path, from the folder of the code and without its ending */
function codePath(name: string): string {
  return join(codeFolder, `${name}${isClone ? '.ts' : '.js'}`)
}

/** The entry of every process of a base. */
export const mainPath: string = codePath('main')

/** The thread that reads source maps. */
export const sourceMapWorkerPath: string = codePath('keeper/source-map-worker')

/** What the launcher knows: it is CommonJS, because it runs on any old Node.js. */
interface Launcher {
  /** Path of the Node.js that a base runs on. */
  runtime(): string
  /** Where processes keep what was compiled, for later starts. */
  cacheFolder(): string
}

export const launcher = (): Launcher => require(join(release, 'bin/launch.cjs')) as Launcher
